// `cordon tail`: decisions live, one a line, whether Cordon runs or not and however often it starts again.

import { stripVTControlCharacters, styleText } from 'node:util'
import { connectControl } from '../app/control.ts'
import type { Line, Shown, TailQuery } from '../app/tail.ts'
import { CordonError } from '../base/errors.ts'
import { readTime } from '../base/rfc3339.ts'
import { parseDuration } from '../base/size.ts'
import type { Config } from '../config/schema.ts'
import type { Filter } from '../store/filters.ts'
import { configOf, type ExitCode, type Io, writeOut } from './io.ts'

export interface TailOptions {
  readonly config?: string
  readonly json?: boolean
  readonly lines?: string
  readonly since?: string
  readonly follow: boolean
  readonly filter: Filter
}

const DEFAULT_LINES = 10
const MAX_LINES = 10_000
const LOOK_EVERY_MS = 500

export async function tail(io: Io, options: TailOptions): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const since = sinceOf(options.since)
  const last = linesOf(options.lines, since)
  const filter: Filter = { ...options.filter, ...(since === undefined ? {} : { since }) }
  const over = new AbortController()
  const end = (): void => over.abort()
  for (const signal of SIGNALS) process.once(signal, end)
  try {
    const view = new View(io, options.json === true, over)
    await view.follow(
      config,
      { filter, ...(last === undefined ? {} : { last }), once: !options.follow },
      over.signal,
    )
  } finally {
    for (const signal of SIGNALS) process.off(signal, end)
  }
  return 0
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** RFC 3339, or how long ago. */
function sinceOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const ago = parseDuration(text)
  const time = ago === undefined ? readTime(text) : Math.max(0, Date.now() - ago)
  if (time === undefined)
    throw new CordonError(
      'INPUT_INVALID',
      '--since must be a time such as 2026-11-24T00:00:00Z, or a duration such as 15m',
    )
  return new Date(time).toISOString()
}

/** With a time and no number: all from there on. */
function linesOf(text: string | undefined, since: string | undefined): number | undefined {
  if (text === undefined) return since === undefined ? DEFAULT_LINES : undefined
  const lines = Number(text)
  if (!Number.isInteger(lines) || lines < 0 || lines > MAX_LINES)
    throw new CordonError('INPUT_INVALID', `-n must be a whole number up to ${MAX_LINES}`)
  return lines
}

class View {
  readonly #io: Io
  readonly #json: boolean
  readonly #over: AbortController
  /** Behind what was shown. */
  #id: string | undefined
  #isWaiting = false

  constructor(io: Io, json: boolean, over: AbortController) {
    this.#io = io
    this.#json = json
    this.#over = over
  }

  async follow(config: Config, first: TailQuery, signal: AbortSignal): Promise<void> {
    // An embedded database belongs to one process: it is looked at once, and then left to the Cordon that may start.
    const isShared = config.database_url !== ''
    while (!signal.aborted) {
      const query: TailQuery =
        this.#id === undefined ? first : { filter: first.filter, after: this.#id }
      const remote = await connectControl(config.data_dir)
      if (remote !== undefined) {
        try {
          await this.#show(remote.tail(query, signal), signal)
        } finally {
          await remote.close().catch(() => undefined)
        }
      } else if (isShared || this.#id === undefined) {
        await this.#showOwn(config, query, isShared, signal)
      }
      if (first.once === true || signal.aborted) return
      if (!this.#isWaiting) this.#note('Cordon does not run here: waiting for it')
      this.#isWaiting = true
      await pause(LOOK_EVERY_MS, signal)
    }
  }

  async #showOwn(
    config: Config,
    query: TailQuery,
    isShared: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { withStore } = await import('./own-store.ts')
    try {
      await withStore(this.#io, config, (commands) =>
        this.#show(
          commands.tail({ ...query, once: !isShared || query.once === true }, signal),
          signal,
        ),
      )
    } catch (error) {
      // It starts at this moment: then it answers soon.
      if (!(error instanceof CordonError && error.code === 'STORE_LOCKED' && query.once !== true))
        throw error
    }
  }

  /** Ends with the texts, and with a connection that breaks: the next one goes on. */
  async #show(texts: AsyncIterable<string>, signal: AbortSignal): Promise<void> {
    let rest = ''
    try {
      for await (const text of texts) {
        this.#isWaiting = false
        const lines = `${rest}${text}`.split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (!(await this.#line(JSON.parse(line) as Line))) {
            this.#over.abort()
            return
          }
        }
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof CordonError || !isBroken(error)) throw error
    }
  }

  /** Whether there is still a reader. */
  async #line(line: Line): Promise<boolean> {
    if ('id' in line) this.#id = line.id
    switch (line.kind) {
      case 'decision': {
        const { decision } = line
        const text = this.#json ? JSON.stringify(decision) : textOf(this.#io, decision)
        return writeOut(this.#io, `${text}\n`)
      }
      case 'gap':
        this.#note(
          line.reason === 'expired'
            ? 'decisions are left out here: what came between is no longer kept for following ("cordon ledger export" has it)'
            : 'decisions may be left out here: the database is another one than before',
        )
        return true
      case 'away':
        this.#note('the store does not answer; what arrives meanwhile follows')
        return true
      case 'back':
        this.#note('the store answers again')
        return true
      case 'at':
        return true
    }
  }

  #note(text: string): void {
    this.#io.err.write(`cordon: ${text}\n`)
  }
}

/** A Cordon that ends breaks the connection. */
function isBroken(error: unknown): boolean {
  return error instanceof Error && 'code' in error
}

/** `09:31:44 DENY   maya (Finance)  chatgpt  send_prompt  no-secrets: a key was found`. */
function textOf(io: Io, decision: Shown): string {
  const part = (name: string): Shown => (decision[name] ?? {}) as Shown
  const [user, resource] = [part('user'), part('resource')]
  const effect = String(decision['decision'])
  const wouldBe = decision['would_be']
  const department = plain(user['department'])
  const who = plain(user['name'] ?? user['id']) || '-'
  const what = plain(resource['name'] ?? resource['host']) || '-'
  const policy = plain(decision['primary_policy_id'])
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    styleText(style, text, { stream: io.out })
  const mark =
    typeof wouldBe === 'string'
      ? paint('magenta', `${effect}, would be ${wouldBe}`)
      : paint(COLOURS[effect] ?? 'reset', effect.padEnd(6))
  return [
    paint('dim', timeOf(decision['time'])),
    mark,
    department === '' ? who : `${who} (${department})`,
    paint('bold', what),
    plain(decision['action']),
    `${policy === '' ? '' : `${policy}: `}${plain(decision['reason'])}`,
  ].join('  ')
}

const COLOURS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  ALLOW: 'green',
  DENY: 'red',
  REVIEW: 'yellow',
}

/** Of this machine's zone, with the day: a tail may run for weeks. */
function timeOf(time: unknown): string {
  const date = new Date(String(time))
  const two = (number: number): string => String(number).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')
  return `${day} ${clock}`
}

/** Names and reasons come from outside: nothing in them moves the cursor, changes colours or turns text around. */
function plain(value: unknown): string {
  if (typeof value !== 'string') return ''
  return stripVTControlCharacters(value).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}
