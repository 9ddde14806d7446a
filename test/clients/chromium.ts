// Debian's Chromium, headless: a navigation, requests of a page, a WebSocket of a page.
//
// The authority is trusted through the NSS database of its home folder, as `certutil` or a company's management
// puts it there, rather than by switching checks off. Playwright only answers the proxy's question for a login,
// which a person would type. The page's own policy is passed by, so that a page of Cordon can be asked to fetch too.

import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { getuid } from 'node:process'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { bodyOf, type Job, urlOf } from './jobs.ts'
import { type Answer, plainAnswer, type Session } from './session.ts'
import { environment, type Trust, type Way } from './way.ts'

const PATIENCE_MS = 20_000
const PAGE: Job = { name: 'page', stream: false }

/** One browser for each authority: the database is read at its start. */
const browsers = new Map<Trust, Promise<Browser>>()

async function launch(program: string, trust: Trust): Promise<Browser> {
  const home = await trust.home()
  const { PATH = '' } = environment({ port: 0, login: '', password: '', trust })
  return chromium.launch({
    executablePath: program,
    chromiumSandbox: getuid?.() !== 0,
    env: { PATH, HOME: home, TMPDIR: mkdtempSync(join(home, 'tmp-')) },
    args: ['--disable-quic', '--disable-background-networking', '--disable-component-update'],
  })
}

export async function openChromium(program: string, way: Way, script: string): Promise<Session> {
  const browser = browsers.get(way.trust) ?? launch(program, way.trust)
  browsers.set(way.trust, browser)
  const context = await (
    await browser
  ).newContext({
    proxy: {
      server: `http://127.0.0.1:${way.port}`,
      username: way.login,
      password: way.password,
    },
    bypassCSP: true,
  })
  return ChromiumSession.over(context, script)
}

export async function closeChromium(): Promise<void> {
  for (const browser of browsers.values()) await (await browser).close()
  browsers.clear()
}

class ChromiumSession implements Session {
  readonly #context: BrowserContext
  readonly #page: Page
  #told: () => void = () => undefined
  #closed = false

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context
    this.#page = page
  }

  static async over(context: BrowserContext, script: string): Promise<ChromiumSession> {
    context.setDefaultTimeout(PATIENCE_MS)
    await context.addInitScript({ content: script })
    const session = new ChromiumSession(context, await context.newPage())
    await context.exposeFunction('told', () => session.#told())
    return session
  }

  async ask(job: Job, prompt: string, told: () => void): Promise<Answer> {
    this.#told = told
    if (this.#closed) return { failure: { kind: 'no page to ask from', message: '' } }
    try {
      if (job.name === 'page') return await this.#visit(urlOf(job))
      // The page that asks is one of the same service, as its users have it open.
      if (this.#page.url() === 'about:blank') await this.#visit(urlOf(PAGE))
      const call = job.name === 'realtime' ? 'talk' : 'post'
      const args = [urlOf(job), bodyOf(job, prompt)].map((text) => JSON.stringify(text))
      const hung = { code: 0, reason: `no answer within ${PATIENCE_MS} ms` }
      const patience = `new Promise((resolve) => setTimeout(resolve, ${PATIENCE_MS}, ${JSON.stringify(hung)}))`
      const answer = await this.#page.evaluate(
        `Promise.race([${call}(${args.join(', ')}), ${patience}])`,
      )
      return answerOf(answer as Evaluated)
    } catch (error) {
      const [message = ''] = (error as Error).message.split('\n')
      const [name] = /net::\w+/.exec(message) ?? []
      this.#closed = this.#page.url() === 'about:blank' || this.#page.url().startsWith('chrome')
      return { failure: { kind: name ?? 'page', message } }
    }
  }

  async close(): Promise<void> {
    await this.#context.close()
  }

  async #visit(url: string): Promise<Answer> {
    const response = await this.#page.goto(url)
    const status = response?.status() ?? 0
    const body = await this.#page.locator('body').innerText()
    return plainAnswer(status, '', body)
  }
}

interface Evaluated {
  readonly status?: number
  readonly http?: string
  readonly body?: string
  readonly text?: string
  readonly code?: number
  readonly reason?: string
}

function answerOf({ status, http, body, text, code, reason }: Evaluated): Answer {
  if (status !== undefined) return plainAnswer(status, http === 'h2' ? 'h2' : 'h1', body ?? '')
  if (text !== undefined) return { text }
  return { failure: { kind: `close ${code}`, message: reason ?? '' } }
}
