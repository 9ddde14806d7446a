// The whole program as its users meet it: a process of its own, a folder of its own, free ports, the real command line.
//
// A start costs seconds (an embedded database boots), so a test file shares one; the empty database is made once
// for all of them and copied.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'
import { openStore } from '../../src/store/open.ts'

const ROOT = join(import.meta.dirname, '../..')
export const MAIN = join(ROOT, 'src/main.ts')
const READY_MS = 120_000
const PATIENCE_MS = 20_000

export type Settings = Readonly<Record<string, unknown>>

export interface Printed {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface CommandOptions {
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Runs `cordon ARGS` to its end. */
export async function cordon(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Printed> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const [out, err, [code]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, out, err }
}

export interface StartOptions {
  readonly role?: string
  readonly env?: Readonly<Record<string, string>>
  /** The program of another release. */
  readonly main?: string
}

/** A data folder, a configuration file and the commands over both; nothing runs yet. */
export class Place {
  readonly dir = mkdtempSync(join(tmpdir(), 'cordon-test-'))
  readonly dataDir = join(this.dir, 'data')
  readonly file = join(this.dir, 'cordon.yaml')

  /** Writes the configuration: these settings over free ports and one worker. */
  configure(settings: Settings): void {
    const { proxy, ...rest } = settings
    const config = {
      data_dir: this.dataDir,
      api: { listen: '127.0.0.1:0' },
      observe: { listen: '127.0.0.1:0' },
      ...rest,
      proxy: { listen: '127.0.0.1:0', workers: 1, ...(proxy as object | undefined) },
    }
    // JSON is YAML.
    writeFileSync(this.file, JSON.stringify(config, undefined, 2))
  }

  write(name: string, text: string): string {
    const path = join(this.dir, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, text)
    return path
  }

  /** An empty embedded database, so that the first start need not make one. */
  async withStore(): Promise<this> {
    mkdirSync(this.dataDir, { mode: 0o700 })
    cpSync(await emptyStore(), this.dataDir, { recursive: true })
    chmodSync(this.dataDir, 0o700)
    return this
  }

  /** A command over this configuration. */
  cordon(args: readonly string[], options: CommandOptions = {}): Promise<Printed> {
    return cordon([...args, '--config', this.file], options)
  }

  /** What a command printed; throws where it did not end well. */
  async done(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { code, out, err } = await this.cordon(args, options)
    if (code !== 0) throw new Error(`cordon ${args.join(' ')} ended with ${code}: ${err}`)
    return out
  }

  start(options: StartOptions = {}): Promise<Running> {
    return Running.start(this, options)
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export class Running {
  readonly place: Place
  readonly child: ChildProcess
  /** Everything it said on stderr so far. */
  said = ''
  stdout = ''
  proxyPort = 0
  api = ''
  metrics = ''
  #heard: (() => void) | undefined

  private constructor(place: Place, child: ChildProcess) {
    this.place = place
    this.child = child
    child.stdout?.on('data', (part: Buffer) => {
      this.stdout += part.toString('utf8')
    })
    child.stderr?.on('data', (part: Buffer) => {
      this.said += part.toString('utf8')
      this.#heard?.()
    })
    child.on('close', () => this.#heard?.())
  }

  static async start(place: Place, options: StartOptions): Promise<Running> {
    const { role = 'all', main = MAIN, env: more = {} } = options
    const child = spawn(process.execPath, [main, 'start', '--role', role, '--config', place.file], {
      cwd: place.dir,
      env: { ...plainEnvironment(), ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const running = new Running(place, child)
    try {
      const line = await running.hear(/^cordon ready: .*$/m, READY_MS)
      running.proxyPort = Number(/proxy http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? 0)
      running.api = /api (http:\S+?)(?:,|$)/.exec(line)?.[1] ?? ''
      running.metrics = /metrics (http:\S+?)(?:,|$)/.exec(line)?.[1] ?? ''
      return running
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
  }

  get proxy(): string {
    return `http://127.0.0.1:${this.proxyPort}`
  }

  /** Waits for something on stderr, said after `from`; what matched. */
  async hear(pattern: RegExp, patienceMs: number = PATIENCE_MS, from = 0): Promise<string> {
    const deadline = Date.now() + patienceMs
    for (;;) {
      const [found] = pattern.exec(this.said.slice(from)) ?? []
      if (found !== undefined) return found
      const left = deadline - Date.now()
      const ended = this.child.exitCode !== null || this.child.signalCode !== null
      if (left <= 0 || ended) throw new Error(`waited for ${String(pattern)}:\n${this.said}`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#heard = resolve
        timer = setTimeout(resolve, left)
      })
      clearTimeout(timer)
    }
  }

  /** SIGHUP, and what the program says of it. */
  async reload(): Promise<string> {
    const from = this.said.length
    this.child.kill('SIGHUP')
    return this.hear(/^.*"msg":"reload.*$/m, PATIENCE_MS, from)
  }

  /** SIGTERM; the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const closed = once(this.child, 'close')
      this.child.kill(signal)
      await closed
    }
    return this.child.exitCode
  }

  /** A request to the API with a key, as JSON. */
  async call(
    path: string,
    key: string,
    body?: unknown,
    more: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const response = await fetch(`${this.api}${path}`, {
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...more },
      ...(body === undefined
        ? {}
        : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }

  /** Approves the version of a policy at that address, in the edition that it is in. */
  async approve(
    at: string,
    key: string,
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const { body } = await this.call(at, key)
    return this.call(`${at}/approve`, key, {}, { 'if-match': `"${String(body['edition'])}"` })
  }

  /** What the ledger holds, oldest first. */
  async export(table = 'decisions'): Promise<Record<string, unknown>[]> {
    const text = await this.place.done(['ledger', 'export', '--table', table])
    return linesOf(text)
  }
}

export function linesOf(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** Asks until the answer holds: for what becomes true a moment after it was caused. */
export async function eventually<T>(
  ask: () => Promise<T>,
  holds: (value: T) => boolean,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const value = await ask()
    if (holds(value)) return value
    if (Date.now() > deadline) throw new Error(`it never held: ${JSON.stringify(value)}`)
    await new Promise((resolve) => {
      setTimeout(resolve, 50)
    })
  }
}

/** The environment without settings that a developer may have set. */
function plainEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || /^(?:CORDON_|https?_proxy$|no_proxy$|FORCE_COLOR$)/i.test(name)
        ? []
        : [[name, value]],
    ),
  )
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}

/** A data folder with nothing but the migrated database, kept for as long as migrations and database stay the same. */
async function emptyStore(): Promise<string> {
  const migrations = join(ROOT, 'migrations')
  const hash = createHash('sha256')
  for (const name of readdirSync(migrations).toSorted())
    hash.update(readFileSync(join(migrations, name)))
  hash.update(readFileSync(join(ROOT, 'node_modules/@electric-sql/pglite/package.json')))
  const kept = join(ROOT, '.cache/test-store', hash.digest('hex').slice(0, 16))
  if (existsSync(kept)) return kept
  const made = mkdtempSync(join(tmpdir(), 'cordon-store-'))
  const store = await openStore({
    databaseUrl: '',
    dataDir: made,
    migrationsDir: migrations,
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing, fatal: nothing } as never,
  })
  await store.close()
  mkdirSync(join(kept, '..'), { recursive: true })
  const beside = `${kept}.${process.pid}`
  cpSync(made, beside, { recursive: true })
  rmSync(made, { recursive: true, force: true })
  try {
    renameSync(beside, kept)
  } catch {
    // Another test file was quicker.
    rmSync(beside, { recursive: true, force: true })
  }
  return kept
}

function nothing(): void {
  // What the store says while it is made is of no interest.
}
