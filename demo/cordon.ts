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
  readonly dir: string
  /** Runs a command beside it and gives what it printed. */
  cordon(...args: string[]): Promise<string>
  stop(): Promise<void>
}

/** Starts with these settings over free ports; resolves when it is ready. */
export async function startCordon(
  settings: Readonly<Record<string, unknown>>,
): Promise<RunningCordon> {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-'))
  const { proxy, ...rest } = settings
  const config = {
    data_dir: join(dir, 'data'),
    api: { listen: '127.0.0.1:0' },
    observe: { listen: '127.0.0.1:0' },
    ...rest,
    proxy: { listen: '127.0.0.1:0', ...(proxy as object | undefined) },
  }
  const file = join(dir, 'cordon.yaml')
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config))
  const child = spawn(process.execPath, [MAIN, 'start', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  try {
    const addresses = await ready(child)
    return {
      ...addresses,
      dir,
      cordon: async (...args) =>
        (await promisify(execFile)(process.execPath, [MAIN, ...args, '--config', file])).stdout,
      stop: async () => {
        await end(child)
        rmSync(dir, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await end(child)
    rmSync(dir, { recursive: true, force: true })
    throw error
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
