// A real Redis for one test file: port and process of its own, nothing on disk. It can be paused and killed.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { freePort } from './postgres.ts'

export interface TestRedis {
  readonly url: string
  /** Answers nothing, although connections stay open. */
  pause(): void
  resume(): void
  kill(): Promise<void>
  /** On the same port, empty. */
  start(): Promise<void>
}

/** Why there is none; false where there is one. */
export function noRedis(): string | false {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return 'Redis is not installed (redis-server is not found)'
  }
}

export async function startRedis(): Promise<TestRedis> {
  const port = await freePort()
  let server = await run(port)
  return {
    url: `redis://127.0.0.1:${port}`,
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    kill: () => ended(server),
    start: async () => {
      server = await run(port)
    },
  }
}

async function run(port: number): Promise<ChildProcess> {
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  for await (const line of createInterface({ input: server.stdout })) {
    if (!line.includes('Ready to accept connections')) continue
    server.stdout.resume()
    return server
  }
  throw new Error('Redis does not start')
}

async function ended(server: ChildProcess): Promise<void> {
  server.kill('SIGKILL')
  if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
}
