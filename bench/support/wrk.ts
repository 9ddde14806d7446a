// Drives a server with wrk in a closed loop and reads its figures; an answer other than 2xx is an error.

import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface Load {
  readonly url: string
  readonly method: 'GET' | 'POST'
  /** The request target; in absolute form through a proxy. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly connections: number
  readonly seconds: number
}

export interface Driven {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly bytesPerAnswer: number
  /** What the driver printed. */
  readonly text: string
  /** CPU of a driver that has not ended yet; one that has is counted as an ended child. */
  readonly driverUs?: number
  /** Figures that only some drivers have. */
  readonly more?: Readonly<Record<string, number>>
}

const run = promisify(execFile)

export async function drive(load: Load, dir: string): Promise<Driven> {
  const script = join(dir, 'load.lua')
  writeFileSync(script, luaOf(load))
  const { stdout: text } = await run('wrk', [
    '-t1',
    `-c${load.connections}`,
    `-d${load.seconds}s`,
    '--latency',
    '-s',
    script,
    load.url,
  ])
  const line = text.split('\n').find((each) => each.startsWith('figures ')) ?? ''
  const [requests = 0, us = 0, bytes = 0, p50 = 0, p99 = 0, status = 0, socket = 0] = line
    .split(' ')
    .slice(1)
    .map(Number)
  if (requests === 0 || status > 0 || socket > 0)
    throw new Error(`${load.method} ${load.target}: not every answer was good\n${text}`)
  return {
    requests,
    seconds: us / 1e6,
    p50Ms: p50 / 1000,
    p99Ms: p99 / 1000,
    bytesPerAnswer: Math.round(bytes / requests),
    text: text.replace(line, '').trimEnd(),
  }
}

function luaOf({ method, target, headers, body }: Load): string {
  return [
    `wrk.method = ${JSON.stringify(method)}`,
    `wrk.path = ${JSON.stringify(target)}`,
    ...Object.entries(headers).map(
      ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
    ),
    ...(body === undefined ? [] : [`wrk.body = [==[${body}]==]`]),
    'done = function(s, l, r)',
    '  local e = s.errors',
    '  io.write(string.format("figures %d %d %d %d %d %d %d\\n", s.requests, s.duration, s.bytes,',
    '    l:percentile(50), l:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))',
    'end',
    '',
  ].join('\n')
}
