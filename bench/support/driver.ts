// The driver in Go: requests through CONNECT and TLS, streams, connections that are only held.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'
import { createInterface } from 'node:readline'
import { cacheDirs } from '../../src/config/cache.ts'
import type { Prepare } from './rounds.ts'

const SOURCES = join(import.meta.dirname, 'driver')

/** Where the load goes: through a proxy that listens on a port, or straight to the origin. */
export interface Way {
  readonly proxyPort?: number
  /** Where the origin listens: what is dialled without a proxy, and the port that CONNECT names; absent: 443. */
  readonly originPort?: number
  /** The file with the authority that signed what the client sees. */
  readonly ca: string
}

export interface Ask {
  /** One request after the other on open connections, a connection for each request, or a stream on each. */
  readonly mode: 'request' | 'connect' | 'stream'
  /** `%d` becomes the number of a fresh host. */
  readonly host: string
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly bodyFile?: string
  /** Bytes that every answer must have. */
  readonly length?: number
  readonly connections: number
  readonly seconds: number
  readonly isResuming?: boolean
  /** The names that this run may use; each is used once. */
  readonly fresh?: () => { readonly from: number; readonly to: number }
  readonly onUsed?: (hosts: number) => void
}

interface Figures {
  readonly requests: number
  readonly seconds: number
  readonly p50_us: number
  readonly p99_us: number
  readonly bytes: number
  readonly resumed: number
  readonly cpu_us: number
  readonly failed: number
  readonly first_fail?: string
}

/** Builds the driver into the user's cache; Go keeps what has not changed. */
export function buildDriver(): string {
  const { tools } = cacheDirs(env, tmpdir())
  mkdirSync(tools, { recursive: true })
  const program = join(tools, 'bench-driver')
  execFileSync('go', ['build', '-o', program, '.'], {
    cwd: SOURCES,
    env: { ...env, GOTOOLCHAIN: 'local', GOFLAGS: '-mod=mod', GOPROXY: 'off' },
  })
  return program
}

export function prepareDriver(program: string, way: Way, ask: Ask): Prepare {
  return async (seconds = ask.seconds) => {
    const driver = await Driver.start(program, 'load', argsOf(way, ask, seconds))
    return {
      run: async () => {
        const text = await driver.tell('go')
        const figures = JSON.parse(text) as Figures
        if (figures.failed > 0 || figures.requests === 0)
          throw new Error(
            `${ask.mode} ${ask.host} by port ${way.proxyPort ?? way.originPort}: ${figures.first_fail ?? 'no answer'}`,
          )
        ask.onUsed?.(figures.requests)
        return {
          requests: figures.requests,
          seconds: figures.seconds,
          p50Ms: round3(figures.p50_us),
          p99Ms: round3(figures.p99_us),
          bytesPerAnswer: Math.round(figures.bytes / figures.requests),
          text,
          driverUs: figures.cpu_us,
          more: { resumed: Math.round((100 * figures.resumed) / figures.requests) / 100 },
        }
      },
      close: () => driver.close(),
    }
  }
}

export function argsOf(way: Way, ask: Ask, seconds: number): string[] {
  const fresh = ask.fresh?.()
  return [
    ['mode', ask.mode],
    ['proxy', way.proxyPort === undefined ? '' : `127.0.0.1:${way.proxyPort}`],
    ['origin', way.originPort === undefined ? '' : `127.0.0.1:${way.originPort}`],
    ['ca', way.ca],
    ['host', ask.host],
    ['method', ask.method ?? 'GET'],
    ['path', ask.path],
    ['body', ask.bodyFile ?? ''],
    ['length', ask.length ?? 0],
    ['connections', ask.connections],
    ['time', `${seconds}s`],
    ['resume', ask.isResuming ?? false],
    ['from', fresh?.from ?? 0],
    ['to', fresh?.to ?? 0],
  ].map(([name, value]) => `-${name}=${value}`)
}

/** A running driver: a line in, a line out. */
export class Driver {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  #said = ''

  private constructor(program: string, args: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const { stdout, stderr } = this.#child
    if (stdout === null || stderr === null) throw new Error('the driver has no output')
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
    stderr.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-2000)
    })
  }

  static async start(program: string, mode: string, args: readonly string[]): Promise<Driver> {
    const driver = new Driver(program, [mode, ...args])
    await driver.#line()
    return driver
  }

  tell(line: string): Promise<string> {
    this.#child.stdin?.write(`${line}\n`)
    return this.#line()
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await ended
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done !== true) return value
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
    throw new Error(`the driver ended: ${this.#said.trim()}`)
  }
}

function round3(us: number): number {
  return Math.round(us) / 1000
}
