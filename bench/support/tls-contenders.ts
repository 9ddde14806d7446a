// Everything that stands side by side in the benches of interception, started; what is not installed is named.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  findMitmdump,
  interceptingConfig,
  makeCordonAuthority,
  startMitmproxy,
  startSquidBump,
} from './bumps.ts'
import { otherAiDomains } from './denied-domains.ts'
import { buildDriver, type Way } from './driver.ts'
import type { Server } from './processes.ts'
import { AI_HOST, PORTS, startCordon, versionOf } from './servers.ts'
import {
  makeAuthority,
  makeCertificates,
  startStreamOrigin,
  startTlsOrigin,
  STREAM_HOST,
} from './tls-origins.ts'

export interface TlsContender {
  readonly name: string
  readonly server: Server | undefined
  /** The way to this origin. */
  readonly way: (originPort: number) => Way
}

export interface TlsBench {
  readonly driver: string
  readonly tlsOrigin: Server
  readonly streamOrigin: Server
  readonly contenders: readonly TlsContender[]
  stop(): Promise<void>
}

/** `only`: these contenders instead of all. More processes of Squid cost more here and give no more: it gets one. */
export async function startTlsBench(
  dir: string,
  only?: readonly string[],
  squidWorkers = 1,
): Promise<TlsBench | undefined> {
  for (const [command, arg] of [
    ['go', 'version'],
    ['openssl', 'version'],
    ['nginx', '-v'],
  ] as const)
    if (versionOf(command, [arg]) === undefined) return skip(`${command} is not installed`)
  const driver = buildDriver()
  const certificates = makeCertificates(dir)
  const running: Server[] = []
  const start = async (server: Promise<Server>): Promise<Server> => {
    const it = await server
    running.push(it)
    return it
  }
  const stop = async (): Promise<void> => {
    for (const server of running.toReversed()) await server.stop()
  }
  const isWanted = (name: string): boolean => only === undefined || only.includes(name)
  try {
    const tlsOrigin = await start(startTlsOrigin(dir, certificates))
    const streamOrigin = await start(startStreamOrigin(driver, certificates))
    const contenders: TlsContender[] = []
    const folder = join(dir, 'bump-authority')
    mkdirSync(folder)
    const authority = { cert: join(folder, 'ca.pem'), key: join(folder, 'ca.key') }
    makeAuthority(authority.cert, authority.key, 'Bumps of the bench')
    const bumped =
      (proxyPort: number) =>
      (originPort: number): Way => ({ proxyPort, originPort, ca: authority.cert })
    if (isWanted('direct'))
      contenders.push({
        name: 'direct',
        server: undefined,
        way: (originPort) => ({ originPort, ca: certificates.ca }),
      })
    const config = interceptingConfig(dir, certificates)
    if (isWanted('squid'))
      if (versionOf('squid', ['-v']) === undefined) skip('squid is not installed')
      else {
        const denied = otherAiDomains(config, dir, [AI_HOST, STREAM_HOST])
        const server = startSquidBump(dir, certificates, authority, denied, squidWorkers)
        contenders.push({
          name: 'squid',
          server: await start(server),
          way: bumped(PORTS.squidBump),
        })
      }
    if (isWanted('mitmproxy')) {
      const program = findMitmdump()
      if (program === undefined) skip('mitmdump is neither in the cache nor on the path')
      else
        contenders.push({
          name: 'mitmproxy',
          server: await start(startMitmproxy(program, dir, certificates, authority)),
          way: bumped(PORTS.mitmproxy),
        })
    }
    if (isWanted('cordon')) {
      const ca = makeCordonAuthority(dir, config)
      contenders.push({
        name: 'cordon',
        server: await start(startCordon(config)),
        way: () => ({ proxyPort: PORTS.cordon, ca }),
      })
    }
    return { driver, tlsOrigin, streamOrigin, contenders, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function skip(reason: string): undefined {
  process.stderr.write(`skipped: ${reason}\n`)
  return undefined
}
