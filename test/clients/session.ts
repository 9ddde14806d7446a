// A client under test: a process of its own that is told jobs by its input, one a line, and answers by its output.
//
//   in:  name TAB 0|1 (stream) TAB url TAB base64(prompt) TAB base64(body)
//   out: event                                       an event of the stream has reached the program
//        text TAB version TAB base64(text)           an SDK's answer
//        http TAB status TAB version TAB base64(body) a plain client's answer
//        fail TAB kind TAB status TAB base64(message) what was thrown
// `version` is the HTTP version that the client says it spoke (h1, h2, or empty where it does not say).

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { bodyOf, type Job, messageOf, textOf, urlOf } from './jobs.ts'

const PATIENCE_MS = 45_000

export interface Answer {
  readonly text?: string
  readonly http?: string
  readonly failure?: { readonly kind: string; readonly status?: number; readonly message: string }
}

export interface Session {
  /** Does one job; `told` is called for each event that reached the program. */
  ask(job: Job, prompt: string, told: () => void): Promise<Answer>
  close(): Promise<void>
}

export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export class ProcessSession implements Session {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  #said = ''

  constructor({ command, args, env }: Program) {
    this.#child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.on('error', (error) => {
      this.#said += error.message
    })
    this.#child.stdin?.on('error', () => undefined)
    this.#child.stderr?.on('data', (part: Buffer) => {
      this.#said = (this.#said + part.toString('utf8')).slice(-2000)
    })
    const { stdout } = this.#child
    if (stdout === null) throw new Error('the program has no output')
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  }

  async ask(job: Job, prompt: string, told: () => void): Promise<Answer> {
    const fields = [
      job.name,
      job.stream ? '1' : '0',
      urlOf(job),
      base64(prompt),
      base64(bodyOf(job, prompt)),
    ]
    this.#child.stdin?.write(`${fields.join('\t')}\n`)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS)
    try {
      for (;;) {
        const { done, value } = await this.#lines.next()
        if (done === true) return ended(this.#said)
        if (value === 'event') told()
        else return answerOf(value)
      }
    } finally {
      clearTimeout(timer)
    }
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    if (this.#child.pid === undefined) return
    const closed = once(this.#child, 'close')
    this.#child.stdin?.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000)
    await closed
    clearTimeout(timer)
  }
}

function ended(said: string): Answer {
  const message = said.trim().split('\n').slice(-3).join(' ')
  return { failure: { kind: 'ended', message: `the program ended or hung: ${message}` } }
}

/** The answer in one line of a program. */
function answerOf(line: string): Answer {
  const [what, ...fields] = line.split('\t')
  if (what === 'text') return { http: fields[0] ?? '', text: plain(fields[1]) }
  if (what === 'http') return plainAnswer(Number(fields[0]), fields[1] ?? '', plain(fields[2]))
  if (what === 'fail') {
    const status = Number(fields[1])
    return {
      failure: {
        kind: fields[0] ?? '',
        ...(status > 0 ? { status } : {}),
        message: plain(fields[2]),
      },
    }
  }
  return { failure: { kind: 'unreadable', message: line } }
}

/** The answer of a client without an opinion about statuses. */
export function plainAnswer(status: number, http: string, body: string): Answer {
  if (status >= 200 && status < 300) return { http, text: textOf(body) }
  return { http, failure: { kind: `HTTP ${status}`, status, message: messageOf(body) } }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function plain(text: string | undefined): string {
  return Buffer.from(text ?? '', 'base64').toString('utf8')
}
