// What does an idle intercepted connection hold, and does memory stay flat while 1,000 streams and a 1 GB upload pass?
//
// Each contender is started anew. One JSON line each. --quick and --only=cordon as in intercept.ts.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { argsOf, type Ask, Driver } from './support/driver.ts'
import { idle, treeRssKb } from './support/processes.ts'
import { chatOf } from './support/prose.ts'
import { PORTS, SITE_HOST } from './support/servers.ts'
import { startTlsBench, type TlsBench, type TlsContender } from './support/tls-contenders.ts'
import { CHAT_PATH, GET_PATH, LENGTHS, STREAM_HOST } from './support/tls-origins.ts'

interface Held {
  readonly events: number
  readonly broken: number
  readonly seconds: number
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
})
const SOME = values.quick ? 100 : 1000
const MORE = values.quick ? 200 : 2000
const STREAMS = values.quick ? 100 : 1000
const UPLOAD = values.quick ? 50e6 : 1e9
/** Every stream has an event a second, for longer than the upload takes. */
const STREAMED = { stream: true, max_tokens: 600, seed: 1000 }
const SETTLE_MS = values.quick ? 2000 : 5000
const DRAIN_MS = 20_000
const SAMPLE_MS = 50
const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
// Squid started by root works as another user.
chmodSync(dir, 0o755)
const ask = { mode: 'request', connections: 1, seconds: 1 } as const

try {
  for (const name of values.only?.split(',') ?? ['squid', 'mitmproxy', 'cordon']) {
    const own = join(dir, name)
    mkdirSync(own)
    const bench = await startTlsBench(own, [name])
    try {
      const contender = bench?.contenders[0]
      if (bench === undefined || contender === undefined) continue
      const line = {
        bench: 'intercept-memory',
        contender: name,
        ...(await idleConnections(bench, contender)),
        ...(await streamsAndUpload(bench, contender, own)),
      }
      process.stdout.write(`${JSON.stringify(line)}\n`)
    } finally {
      await bench?.stop()
    }
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}

/**
 * By the difference between many and more, so that what a first connection costs once is not counted; to a host
 * whose requests are not recorded, because what the store does with records would be.
 */
async function idleConnections(
  bench: TlsBench,
  contender: TlsContender,
): Promise<Record<string, number>> {
  const get = { ...ask, host: SITE_HOST, path: GET_PATH, length: LENGTHS.get }
  const driver = await hold(bench, contender, PORTS.tlsOrigin, get)
  const pid = contender.server?.pid ?? 0
  const resident = async (open: number): Promise<number> => {
    await driver.tell(`open ${open}`)
    await idle(pid, DRAIN_MS)
    await wait(SETTLE_MS / 2)
    return treeRssKb(pid)
  }
  const some = await resident(SOME)
  const more = await resident(MORE)
  await driver.close()
  await idle(pid, DRAIN_MS)
  return { connections: SOME + MORE, idle_kb: Math.round((more - some) / (MORE / 10)) / 10 }
}

async function streamsAndUpload(
  bench: TlsBench,
  contender: TlsContender,
  own: string,
): Promise<Record<string, number>> {
  const bodyFile = join(own, 'stream.json')
  writeFileSync(bodyFile, JSON.stringify({ ...chatOf(2048), ...STREAMED }))
  const driver = await hold(bench, contender, PORTS.streamOrigin, {
    ...ask,
    host: STREAM_HOST,
    method: 'POST',
    path: CHAT_PATH,
    bodyFile,
  })
  const pid = contender.server?.pid ?? 0
  const before = treeRssKb(pid)
  await driver.tell(`streams ${STREAMS}`)
  await wait(SETTLE_MS)
  const streaming = treeRssKb(pid)
  const first = await peakWhile(pid, () => driver.tell(`upload ${UPLOAD / 10}`))
  await wait(SETTLE_MS)
  const second = await peakWhile(pid, () => driver.tell(`upload ${UPLOAD}`))
  await wait(SETTLE_MS)
  const { events, broken } = JSON.parse(await driver.tell('count')) as Held
  const after = treeRssKb(pid)
  await driver.close()
  if (broken > 0) throw new Error(`${contender.name}: ${broken} streams ended early`)
  const mb = (kb: number): number => Math.round(kb / 102.4) / 10
  return {
    streams: STREAMS,
    events,
    before_mb: mb(before),
    streaming_mb: mb(streaming),
    upload_bytes: UPLOAD,
    upload_s: Math.round((JSON.parse(second.answer) as Held).seconds * 10) / 10,
    tenth_peak_mb: mb(first.peak),
    peak_mb: mb(second.peak),
    after_mb: mb(after),
  }
}

async function peakWhile(
  pid: number,
  work: () => Promise<string>,
): Promise<{ readonly peak: number; readonly answer: string }> {
  let peak = treeRssKb(pid)
  const sampler = setInterval(() => {
    peak = Math.max(peak, treeRssKb(pid))
  }, SAMPLE_MS)
  try {
    const answer = await work()
    return { answer, peak }
  } finally {
    clearInterval(sampler)
  }
}

function hold(
  bench: TlsBench,
  contender: TlsContender,
  originPort: number,
  asked: Ask,
): Promise<Driver> {
  return Driver.start(bench.driver, 'hold', argsOf(contender.way(originPort), asked, 1))
}
