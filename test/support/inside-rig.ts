// The inside of an intercepted tunnel, byte by byte: a client that says what it likes over TLS, and an origin
// over TLS that is told what to do.

import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import {
  connect as connectTls,
  type ConnectionOptions,
  createServer,
  createSecureContext,
  type Server,
  type TlsOptions,
  type TLSSocket,
} from 'node:tls'
import type { Deadlines } from '../../src/proxy/deadlines.ts'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { Interception } from '../../src/signatures/interception.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { Peer } from './peers.ts'
import { type Rig, startRig } from './proxy-rig.ts'
import { anAuthority } from './tls-origin.ts'

export const HOST = 'api.openai.example'
const NAMES = '*.openai.example'

/** An origin that hands over each connection whose handshake has ended. */
export class SecureOrigin {
  readonly authority = anAuthority('Origins')
  readonly #server: Server
  readonly #accepted: Peer[] = []
  readonly #waiting: ((peer: Peer) => void)[] = []
  readonly all: Peer[] = []
  /** Connections whose handshake failed. */
  failed = 0
  /** TCP connections. */
  dialled = 0
  readonly #raw = new Set<Socket>()
  port = 0
  /** Takes connections in place of `accept`. */
  onSocket: ((socket: TLSSocket) => void) | undefined

  constructor(options: TlsOptions = {}, host = HOST) {
    const { cert, key } = new Issuer(this.authority).issue(host)
    this.#server = createServer({ cert, key, ALPNProtocols: ['http/1.1'], ...options })
    this.#server.on('connection', (socket: Socket) => {
      this.dialled += 1
      this.#raw.add(socket)
      socket.on('close', () => this.#raw.delete(socket))
    })
    this.#server.on('tlsClientError', () => (this.failed += 1))
    this.#server.on('secureConnection', (socket) => {
      if (this.onSocket !== undefined) {
        this.onSocket(socket)
        return
      }
      const peer = new Peer(socket)
      this.all.push(peer)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#accepted.push(peer)
      else waiting(peer)
    })
  }

  get server(): Server {
    return this.#server
  }

  /** Everything that came on any connection and was not taken. */
  get heard(): string {
    return this.all.map(({ received }) => received).join('')
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  accept(): Promise<Peer> {
    const peer = this.#accepted.shift()
    if (peer !== undefined) return Promise.resolve(peer)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(): void {
    this.#server.close()
    this.drop()
  }

  /** Ends every connection. */
  drop(): void {
    for (const socket of this.#raw) socket.destroy()
  }
}

export interface InsideRig extends Rig {
  /** PEM that a client of the proxy trusts. */
  readonly ca: string
}

type Parts = Parameters<typeof startRig>[0]

/** A proxy that opens TLS to every name below `openai.example`; all of them are the origin's port. */
export async function startInside(
  t: { teardown(end: () => Promise<void>): void },
  origin: { readonly port: number; readonly authority: { readonly rootCert: string } },
  parts: Parts & { readonly deadlines?: Deadlines } = {},
  options: Parameters<typeof startRig>[1] = {},
): Promise<InsideRig> {
  const authority = anAuthority('Proxy', ['openai.example'])
  const context = createSecureContext({ ca: origin.authority.rootCert })
  const rig = await startRig(
    {
      wording: { parseTarget, refusalOf, closeReason: webSocketReason },
      trust: { contextFor: () => context },
      router: {
        check: () => undefined,
        route: () => ({ address: '127.0.0.1', port: origin.port, family: 4 }),
      },
      interception: {
        selection: new Interception({ services: [NAMES], never: [] }, new Catalogue([]), []),
        issuer: new Issuer(authority),
        ticketKeys: Buffer.alloc(48, 7),
      },
      ...parts,
    },
    options,
  )
  t.teardown(() => rig.close())
  return { ...rig, ca: authority.rootCert }
}

/** A socket on which a CONNECT has been answered with 200. */
export async function tunnelTo(port: number, authority = `${HOST}:443`): Promise<Socket> {
  const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const peer = new Peer(socket)
  peer.say(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
  const head = await peer.hear('\r\n\r\n')
  if (!head.startsWith('HTTP/1.1 200')) throw new Error(head)
  socket.removeAllListeners('data')
  return socket
}

/** TLS inside a tunnel, up to the end of the handshake. */
export async function secured(
  rig: { readonly port: number; readonly ca: string },
  options: ConnectionOptions = {},
  authority = `${HOST}:443`,
): Promise<TLSSocket> {
  const socket = await tunnelTo(rig.port, authority)
  const tls = connectTls({
    socket,
    ca: rig.ca,
    servername: authority.slice(0, authority.lastIndexOf(':')),
    ALPNProtocols: ['http/1.1'],
    ...options,
  })
  tls.on('error', () => undefined)
  await once(tls, 'secureConnect')
  return tls
}

/** HTTP/1.1 inside a tunnel. */
export async function inside(...parameters: Parameters<typeof secured>): Promise<Peer> {
  return new Peer(await secured(...parameters))
}
