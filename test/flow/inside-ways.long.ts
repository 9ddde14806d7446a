// Which hosts are opened and which are not, the ways to an origin, and what a reload or a new authority changes.

import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcp,
  type Socket,
} from 'node:net'
import { join } from 'node:path'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import t from 'tap'
import { Issuer } from '../../src/tls/issuer.ts'
import { AiOrigin } from '../support/ai-origin.ts'
import { keyWith } from '../support/company.ts'
import { cordon as command, eventually, Place } from '../support/cordon.ts'
import {
  HOSTS,
  type InsideSettings,
  makeAuthority,
  SELECTED,
  settingsFor,
  writeCompany,
} from '../support/inside-company.ts'
import { secured } from '../support/inside-rig.ts'
import { dial, Peer } from '../support/peers.ts'
import { basic, curl } from '../support/through-proxy.ts'
import { anAuthority } from '../support/tls-origin.ts'

const QUESTION = JSON.stringify({ model: 'a-model', messages: [{ role: 'user', content: 'hi' }] })
const ANSWER = 'Hello from the stand-in'
const LATER = [...SELECTED, 'late']

const origin = await new AiOrigin(Object.values(HOSTS)).listen()
const place = await new Place().withStore()
writeCompany(place, origin)
const closed = await mutualOrigin()
const settings = (more: InsideSettings = {}): ReturnType<typeof settingsFor> => {
  const made = settingsFor(origin, { services: LATER, intercept: closed.intercept, ...more })
  const { proxy } = made as { proxy: { resolve: object } }
  const resolve = { ...proxy.resolve, [`${HOSTS.claude}:443`]: `127.0.0.1:${closed.port}` }
  return { ...made, proxy: { ...proxy, workers: 2, resolve, ...more.proxy } }
}
// The authority is made before somebody adds a service.
place.configure(settings({ services: SELECTED }))
const authority = await makeAuthority(place)
place.configure(settings())
const cordon = await place.start()
const key = await keyWith(place, 'decisions:read')
const rig = { port: cordon.proxyPort, ca: authority.root }

t.teardown(async () => {
  await cordon.stop()
  origin.close()
  closed.close()
  place.remove()
})

t.test('what is selected is opened, all else keeps the certificate of its origin', async (t) => {
  t.equal(await vouchedBy(HOSTS.chat), 'Cordon')
  t.equal(await vouchedBy(HOSTS.peeked), 'Cordon', 'a policy obliges to inspect')
  t.equal(await vouchedBy(HOSTS.unknown), 'Origins')
  for (const [host, reason] of [
    [HOSTS.apart, 'not_selected'],
    [HOSTS.pinned, 'pinned'],
    [HOSTS.never, 'never'],
    [HOSTS.late, 'outside_authority'],
  ] as const) {
    t.equal(await vouchedBy(host), 'Origins', host)
    const [row] = await ended((each) => hostOf(each) === host)
    t.match(row, { decision: 'ALLOW', visibility: 'sni', visibility_reason: reason })
  }
  t.match(cordon.said, /"level":"warn".*late\.test.*cordon ca rotate/)
  const { out } = await ask('--include', url(HOSTS.demanded))
  const refused = await dial(cordon.proxyPort)
  refused.say(`CONNECT ${HOSTS.demanded}:443 HTTP/1.1\r\nHost: ${HOSTS.demanded}:443\r\n\r\n`)
  t.match(await refused.hear('"}}'), /^HTTP\/1\.1 403 .*inspect is required/s)
  refused.socket.destroy()
  t.notMatch(out, ANSWER)
})

t.test(
  'a certificate of the gateway, and an authority of its own, for one destination',
  async (t) => {
    t.equal((await ask('--json', '{}', url(HOSTS.claude, '/v1/messages'))).out, 'known as gateway')
  },
)

t.test('a review refuses in the words of the service, and names itself', async (t) => {
  for (const version of ['--http1.1', '--http2']) {
    const { out } = await ask('--include', version, '--json', QUESTION, url(HOSTS.asked))
    t.match(out, /^HTTP\/\S+ 403/)
    t.match(out, /x-cordon-review-id: [-0-9a-f]{36}/i)
    t.match(out, /"type":"policy_violation"/)
  }
})

t.test('a session resumes at any worker', async (t) => {
  const first = await secured(rig, {}, `${HOSTS.chat}:443`)
  const [session] = (await once(first, 'session')) as [Buffer]
  first.destroy()
  for (let n = 0; n < 4; n++) {
    const next = await secured(rig, { session }, `${HOSTS.chat}:443`)
    t.equal(next.isSessionReused(), true)
    next.destroy()
  }
})

t.test("Cordon's own pages are never forwarded", async (t) => {
  const before = origin.received.length
  for (const where of [cordon.proxy, `https://${HOSTS.chat}/.well-known/cordon`]) {
    const page = async (name: string): Promise<string> =>
      (
        await (where.startsWith('https')
          ? ask(`${where}/${name}`)
          : curl('--noproxy', '*', `${where}/${name}`))
      ).out
    t.match(await page('proxy.pac'), /FindProxyForURL[^]*PROXY 127\.0\.0\.1:\d+/)
    t.equal(await page('ca.pem'), authority.root)
    t.match(await page('setup'), /<html/i)
    t.notMatch(await page('nothing'), ANSWER)
  }
  t.equal(origin.received.length, before)
})

t.test('cordon doctor finds the way well', async (t) => {
  const { code, out, err } = await command(
    ['doctor', '--json', '--proxy', cordon.proxy, '--url', url(HOSTS.chat)],
    { cwd: place.dir, env: { NODE_EXTRA_CA_CERTS: authority.file } },
  )
  t.equal(code, 0, out + err)
  const { checks } = JSON.parse(out) as { checks: { check: string; state: string }[] }
  for (const check of ['http/2', 'http/1.1', 'event stream', 'websocket'])
    t.equal(checks.find((each) => each.check === check)?.state, 'ok', check)
})

t.test('through a parent proxy with its credentials', async (t) => {
  const heard: string[] = []
  const parent = createTcp((socket) => void above(socket, heard))
  parent.listen(0, '127.0.0.1')
  await once(parent, 'listening')
  const { port } = parent.address() as AddressInfo
  await reconfigure({ proxy: { upstream: `http://us:ours@127.0.0.1:${port}` } })
  for (const version of ['--http1.1', '--http2'])
    t.match((await ask(version, '--json', QUESTION, url(HOSTS.chat))).out, ANSWER)
  parent.close()
  for (const head of heard) {
    t.match(head, `CONNECT ${HOSTS.chat}:443 HTTP/1.1\r\n`)
    t.match(head, `Proxy-Authorization: ${basic('us:ours')}\r\n`)
  }
  t.ok(heard.length > 0)
})

t.test('"unknown" finds AI where nobody has heard of it', async (t) => {
  await reconfigure({ services: [...LATER, 'unknown'] })
  t.equal(await vouchedBy(HOSTS.unknown), 'Cordon')
  for (const path of ['/v1/chat/completions', '/v1/chat/completions'])
    t.match((await ask('--json', QUESTION, url(HOSTS.unknown, path))).out, ANSWER)
  t.equal((await ask(url(HOSTS.unknown, '/page'))).out, 'GET 0')
  const { body } = await eventually(
    () => cordon.call('/v1/shadow-ai', key),
    ({ body: { items } }) => (items as { requests: number }[])[0]?.requests === 2,
  )
  const [found] = body['items'] as Record<string, unknown>[]
  t.match(found, { host: HOSTS.unknown, people: 1, formats: ['openai-chat'] })
  t.ok(Number(found?.['bytes_in']) >= 2 * QUESTION.length)
  t.ok(String(found?.['first_seen']) < String(found?.['last_seen']))
  const [row] = await ended((each) => hostOf(each) === HOSTS.unknown)
  t.match(row, { resource: { ai: true, known: false, category: 'unknown_ai' } })
})

t.test('a new authority takes over while a stream is open', async (t) => {
  origin.gate.allow(1)
  const stream = speaking(await secured(rig, {}, `${HOSTS.chat}:443`))
  await stream.hear('"content":"Hello"')
  const former = await issuing(HOSTS.chat)
  place.configure(settings())
  await place.done(['ca', 'rotate'], { env: authority.env })
  t.match(await cordon.reload(), '"reloaded"')
  t.not(await issuing(HOSTS.chat), former)
  t.equal(await vouchedBy(HOSTS.late), 'Cordon', 'the new one may speak for it')
  origin.gate.allow(Infinity)
  t.match(await stream.hear('[DONE]'), 'stand-in')
  stream.socket.destroy()
  const { body } = await cordon.call('/v1/coverage', key)
  t.ok((body['items'] as { name: string | null }[]).some(({ name }) => name === 'pinned'))
})

t.test('services come and go with a reload; what is open stays open', async (t) => {
  const open = speaking(await secured(rig, {}, `${HOSTS.chat}:443`))
  await open.hear('[DONE]')
  place.write(
    'signatures/more.yaml',
    'vendor: Test\nservices: [{id: newest, name: Newest, domains: [newest.test], protocol: openai}]\n',
  )
  await reconfigure({ services: LATER.filter((name) => name !== 'open-chat') })
  t.equal(await vouchedBy(HOSTS.chat), 'Origins')
  t.equal(await vouchedBy(HOSTS.late), 'Cordon')
  t.match((await curl('--noproxy', '*', `${cordon.proxy}/proxy-ai.pac`)).out, 'newest.test')
  askFor(open)
  await open.hear('[DONE]')
  open.socket.destroy()
})

t.test(
  'interception ends and begins again; SIGTERM waits for what is being answered',
  async (t) => {
    origin.gate.allow(1)
    await reconfigure({})
    const stream = speaking(await secured(rig, {}, `${HOSTS.chat}:443`))
    await stream.hear('"content":"Hello"')
    await reconfigure({ intercept: { enabled: false } })
    t.equal(await vouchedBy(HOSTS.chat), 'Origins')
    await reconfigure({})
    t.equal(await vouchedBy(HOSTS.chat), 'Cordon')
    const stopped = cordon.stop()
    await cordon.hear(/draining/)
    origin.gate.allow(Infinity)
    t.match(await stream.hear('[DONE]'), 'stand-in')
    t.equal(await stopped, 0)
  },
)

/** Whose certificate a client is shown; the root alone says it. */
async function vouchedBy(host: string): Promise<string> {
  const socket = await secured(rig, trustsBoth(), `${host}:443`)
  const chain = socket.getPeerCertificate(true)
  socket.destroy()
  let last = chain
  while (last.issuerCertificate !== undefined && last.issuerCertificate !== last)
    last = last.issuerCertificate
  return new X509Certificate(authority.root).fingerprint256 === last.fingerprint256
    ? 'Cordon'
    : 'Origins'
}

/** The certificate that signed the one that a client is shown. */
async function issuing(host: string): Promise<string> {
  const socket = await secured(rig, {}, `${host}:443`)
  const { issuerCertificate } = socket.getPeerCertificate(true)
  socket.destroy()
  return issuerCertificate.fingerprint256
}

function trustsBoth(): ConnectionOptions {
  return { ca: [authority.root, origin.root] }
}

/** A stream that has been asked for. */
function speaking(socket: TLSSocket): Peer {
  return askFor(new Peer(socket))
}

function askFor(peer: Peer): Peer {
  const body = QUESTION.replace('{', '{"stream":true,')
  peer.say(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${HOSTS.chat}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  return peer
}

function url(host: string, path = '/v1/chat/completions'): string {
  return `https://${host}${path}`
}

function ask(...args: string[]): ReturnType<typeof curl> {
  return curl(
    '--suppress-connect-headers',
    '--proxy',
    cordon.proxy,
    '--cacert',
    authority.file,
    ...args,
  )
}

function hostOf({ resource }: Record<string, unknown>): unknown {
  return (resource as { host?: string }).host
}

async function ended(
  holds: (row: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>[]> {
  return eventually(
    async () => {
      const { body } = await cordon.call('/v1/decisions?limit=200', key)
      const rows = body['items'] as Record<string, unknown>[]
      return rows.filter((row) => row['status'] !== null && holds(row))
    },
    ({ length }) => length > 0,
  )
}

async function reconfigure(more: InsideSettings): Promise<void> {
  place.configure(settings(more))
  const said = await cordon.reload()
  if (!said.includes('"reloaded"')) throw new Error(said)
}

/** A parent that brings every tunnel to the stand-in. */
async function above(socket: Socket, heard: string[]): Promise<void> {
  const peer = new Peer(socket)
  heard.push(await peer.hear('\r\n\r\n'))
  socket.removeAllListeners('data')
  const onward = connectTcp(origin.port, '127.0.0.1')
  onward.on('error', () => socket.destroy())
  socket.write('HTTP/1.1 200 OK\r\n\r\n')
  socket.pipe(onward).pipe(socket)
}

/** An origin of an authority that nobody else trusts, which asks who its client is. */
async function mutualOrigin(): Promise<{
  readonly port: number
  readonly intercept: object
  close(): void
}> {
  const own = anAuthority('Partner')
  const file = (name: string): string => join(place.dir, name)
  const subject = ['-subj', '/CN=gateway', '-days', '2', '-nodes']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  const files = ['-keyout', file('gateway.key'), '-out', file('gateway.pem')]
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...files], { stdio: 'ignore' })
  place.write('partner.pem', own.rootCert)
  const { cert, key: leafKey } = new Issuer(own).issue(HOSTS.claude)
  const server = createServer(
    { cert, key: leafKey, requestCert: true, ca: readFileSync(file('gateway.pem')) },
    (request, response) => {
      const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject
      response.end(`known as ${String(CN)}`)
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    intercept: {
      origins: [{ host: HOSTS.claude, ca: 'partner.pem', cert: 'gateway.pem', key: 'gateway.key' }],
    },
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
