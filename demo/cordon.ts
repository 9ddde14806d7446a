// A Cordon of its own: temporary folder, free ports, the real command line.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const MAIN = join(import.meta.dirname, '../src/main.ts')
const READY_MS = 120_000

export interface RunningCordon {
  readonly proxy: string
  readonly api: string
  readonly metrics: string
  /** What it said on stderr so far. */
  log(): string
  /** Runs a command beside it and gives what it printed. */
  cordon(...args: string[]): Promise<string>
  stop(): Promise<void>
}

/** A folder with a configuration and an interception authority; nothing runs yet. */
export class CordonFolder {
  readonly dir = mkdtempSync(join(tmpdir(), 'cordon-'))
  readonly #config = join(this.dir, 'cordon.yaml')

  /** Writes a file into the folder and gives its path. */
  file(name: string, text: string): string {
    const path = join(this.dir, name)
    writeFileSync(path, text)
    return path
  }

  configure(settings: Readonly<Record<string, unknown>>): void {
    const { proxy, ...rest } = settings
    // JSON is YAML.
    this.file(
      'cordon.yaml',
      JSON.stringify({
        data_dir: join(this.dir, 'data'),
        api: { listen: '127.0.0.1:0' },
        observe: { listen: '127.0.0.1:0' },
        ...rest,
        proxy: { listen: '127.0.0.1:0', ...(proxy as object | undefined) },
      }),
    )
  }

  readonly cordon = async (...args: string[]): Promise<string> => {
    const command = [MAIN, ...args, '--config', this.#config]
    return (await promisify(execFile)(process.execPath, command)).stdout
  }

  /** Resolves when it is ready. */
  async start(): Promise<RunningCordon> {
    const child = spawn(process.execPath, [MAIN, 'start', '--config', this.#config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    child.stderr?.on('data', (part: Buffer) => {
      log += part.toString('utf8')
    })
    const stop = (): Promise<void> => end(child)
    try {
      return { ...(await ready(child)), log: () => log, cordon: this.cordon, stop }
    } catch (error) {
      await end(child)
      throw error
    }
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

function ready(child: ChildProcess): Promise<{ proxy: string; api: string; metrics: string }> {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(() => reject(new Error(`not ready in time:\n${text}`)), READY_MS)
    child.once('exit', () => reject(new Error(`ended before it was ready:\n${text}`)))
    child.stderr?.on('data', (part: Buffer) => {
      text += part.toString('utf8')
      const [, proxy, api, metrics] =
        /cordon ready: proxy (\S+), api (\S+), metrics (\S+)/.exec(text) ?? []
      if (proxy === undefined || api === undefined || metrics === undefined) return
      clearTimeout(timer)
      resolve({ proxy, api, metrics })
    })
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await new Promise((resolve) => {
    child.once('exit', resolve)
  })
}
