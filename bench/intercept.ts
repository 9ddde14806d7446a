// What does looking inside TLS cost beside Squid's ssl-bump, mitmproxy and a direct connection?
//
// Cordon runs as shipped, with interception of the hosts asked for: default policies (two of them read content),
// recording on. One JSON line a round; what the driver printed goes to bench/raw.
// --quick: a short look while the machine is busy. --only=squid,cordon and --scenarios=tls-get: a part of it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Ask, prepareDriver } from './support/driver.ts'
import { chatOf } from './support/prose.ts'
import { compare } from './support/rounds.ts'
import { AI_HOST, PORTS, SITE_HOST } from './support/servers.ts'
import { startTlsBench, type TlsBench } from './support/tls-contenders.ts'
import {
  CHAT_PATH,
  FRESH_DOMAIN,
  FRESH_HOSTS,
  GET_PATH,
  LENGTHS,
  STREAM_HOST,
} from './support/tls-origins.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    scenarios: { type: 'string' },
    'squid-workers': { type: 'string' },
  },
})
const ROUNDS = values.quick ? 1 : 5
const SECONDS = values.quick ? 0.3 : 1
/** Events come every 20 ms. */
const EVENTS = values.quick ? 25 : 100
const EVERY_MS = 20
/** No round meets more fresh hosts than this, nor does the warm-up. */
const FRESH_A_ROUND = 300
const rawDir = values.quick ? tmpdir() : join(import.meta.dirname, 'raw')
const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))

let bench: TlsBench | undefined
try {
  const workers = values['squid-workers']
  bench = await startTlsBench(
    dir,
    values.only?.split(','),
    workers === undefined ? undefined : Number(workers),
  )
  if (bench !== undefined) await run(bench)
} finally {
  await bench?.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function run({ driver, contenders, tlsOrigin, streamOrigin }: TlsBench): Promise<void> {
  for (const [scenario, ask] of scenarios()) {
    if (values.scenarios !== undefined && !values.scenarios.split(',').includes(scenario)) continue
    const isStream = ask.mode === 'stream'
    const port = isStream ? PORTS.streamOrigin : PORTS.tlsOrigin
    // Without names of their own nobody would be a fresh host to the origin itself.
    const some = contenders.filter(({ name }) => scenario !== 'tls-fresh' || name !== 'direct')
    await compare(
      'intercept',
      scenario,
      some.map(({ name, server, way }) => ({
        name,
        server,
        load: prepareDriver(driver, way(port), scenario === 'tls-fresh' ? withHosts(ask) : ask),
      })),
      {
        rounds: ROUNDS,
        origin: isStream ? streamOrigin : tlsOrigin,
        dir,
        rawDir,
        print: (round) => process.stdout.write(`${JSON.stringify(round)}\n`),
        isQuick: values.quick,
      },
    )
  }
}

function scenarios(): readonly (readonly [string, Ask])[] {
  const chat = join(dir, 'chat.json')
  writeFileSync(chat, JSON.stringify(chatOf(2048)))
  const stream = join(dir, 'stream.json')
  const asked = { ...chatOf(2048), stream: true, max_tokens: EVENTS, seed: EVERY_MS }
  writeFileSync(stream, JSON.stringify(asked))
  const get = { path: GET_PATH, length: LENGTHS.get, seconds: SECONDS }
  const post = { method: 'POST', path: CHAT_PATH, seconds: SECONDS } as const
  const chats = { ...post, bodyFile: chat, length: LENGTHS.chat }
  return [
    ['tls-get', { mode: 'request', host: AI_HOST, ...get, connections: 64 }],
    ['tls-site-get', { mode: 'request', host: SITE_HOST, ...get, connections: 64 }],
    ['tls-post', { mode: 'request', host: AI_HOST, ...chats, connections: 64 }],
    ['tls-connect', { mode: 'connect', host: AI_HOST, ...get, connections: 8 }],
    ['tls-resume', { mode: 'connect', host: AI_HOST, ...get, connections: 8, isResuming: true }],
    ['tls-fresh', { mode: 'connect', host: `%d.${FRESH_DOMAIN}`, ...get, connections: 4 }],
    ['tls-sse', { mode: 'stream', host: STREAM_HOST, ...post, bodyFile: stream, connections: 50 }],
  ]
}

/** Every contender meets each name once. */
function withHosts(ask: Ask): Ask {
  let from = 0
  return {
    ...ask,
    fresh: () => {
      if (from + FRESH_A_ROUND > FRESH_HOSTS) throw new Error('every fresh host was asked for')
      return { from, to: from + FRESH_A_ROUND }
    },
    onUsed: (hosts) => {
      from += hosts
    },
  }
}
