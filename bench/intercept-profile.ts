// Where does a worker spend its time on what it sees inside TLS?
//
// Writes bench/raw/intercept-profile.txt, apart from the figures: profiling slows what it looks at.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ask, prepareDriver } from './support/driver.ts'
import { profiled, withProfiler } from './support/profiles.ts'
import { chatOf } from './support/prose.ts'
import { AI_HOST, PORTS } from './support/servers.ts'
import { startTlsBench } from './support/tls-contenders.ts'
import { CHAT_PATH, FRESH_DOMAIN, FRESH_HOSTS, GET_PATH } from './support/tls-origins.ts'

const SECONDS = 3
const dir = mkdtempSync(join(tmpdir(), 'cordon-bench-'))
const profiles = join(dir, 'profiles')
mkdirSync(profiles)
const bodyFile = join(dir, 'chat.json')
writeFileSync(bodyFile, JSON.stringify(chatOf(2048)))
let used = 0
const hosts = (): { from: number; to: number } => ({ from: used, to: (used += FRESH_HOSTS / 2) })
const get = { host: AI_HOST, path: GET_PATH, seconds: SECONDS }
const post = { ...get, method: 'POST', path: CHAT_PATH, bodyFile } as const
const fresh = { ...get, host: `%d.${FRESH_DOMAIN}`, fresh: hosts }
const LOADS: readonly (readonly [string, Ask])[] = [
  ['intercepted GET, 64 connections', { mode: 'request', ...get, connections: 64 }],
  ['intercepted chat POST of 2 KB, 64 connections', { mode: 'request', ...post, connections: 64 }],
  ['new intercepted connections, 8 at a time', { mode: 'connect', ...get, connections: 8 }],
  ['the same, hosts never seen before, 4 at a time', { mode: 'connect', ...fresh, connections: 4 }],
]

const bench = await withProfiler(profiles, () => startTlsBench(dir, ['cordon']))
try {
  const contender = bench?.contenders[0]
  if (bench !== undefined && contender?.server !== undefined) {
    const { server, way } = contender
    const texts = [
      `Self time by function, recording on, ${SECONDS} s (node:inspector, 0.5 ms; share of busy time).`,
    ]
    for (const [title, ask] of LOADS) {
      const prepare = prepareDriver(bench.driver, way(PORTS.tlsOrigin), ask)
      const load = async (): Promise<{ readonly requests: number }> => {
        const driver = await prepare()
        try {
          return await driver.run()
        } finally {
          await driver.close()
        }
      }
      texts.push(`${title}: ${await profiled(server, profiles, load, ['worker', 'primary'])}`)
    }
    writeFileSync(join(import.meta.dirname, 'raw/intercept-profile.txt'), `${texts.join('\n\n')}\n`)
  }
} finally {
  await bench?.stop()
  rmSync(dir, { recursive: true, force: true })
}
