// TLS inside a CONNECT, served in the origin's place: from the client's hello to the last request.
//
// States: hello -> contact (the origin is asked first) -> handshake -> serving (HTTP/1.1 or HTTP/2) -> over.
// CONNECT's host, the name that TLS asks for and the Host of each request must be one.

import type { TLSSocket } from 'node:tls'
import type { VisibilityReason } from '../model/record.ts'
import { type ClientHello, HelloReader } from '../tls/client-hello.ts'
import {
  ClientConnection,
  type ClientParts,
  type ConnectionOwner,
  type CountedConnection,
} from './client-connection.ts'
import { ClientSession } from './client-session.ts'
import type { Expiring } from './deadlines.ts'
import type { LeafServers, Served } from './leaf-servers.ts'
import type { OriginContacts } from './origin-contacts.ts'
import type { Protocol } from './origin-tls.ts'
import type { Inside, InterceptedTunnel } from './ports.ts'

export interface InterceptedParts {
  readonly client: ClientParts
  readonly leaves: LeafServers
  readonly contacts: OriginContacts
}

export interface InterceptedOwner {
  readonly draining: boolean
  over(connection: Intercepted): void
}

/** From the 200 of CONNECT to the end of the handshake, the origin's included. */
const HANDSHAKE_MS = 30_000
/** RFC 8446 section 6: fatal unrecognized_name, as a record of TLS 1.2. */
const UNRECOGNIZED_NAME = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70])
const PROTOCOLS: ReadonlySet<string> = new Set(['h2', 'http/1.1'])

export class Intercepted implements Served, Expiring {
  readonly #parts: InterceptedParts
  readonly #owner: InterceptedOwner
  readonly #tunnel: InterceptedTunnel
  readonly #hello = new HelloReader()
  #serving: CountedConnection | undefined
  #ja4 = ''
  /** What the client was shown a certificate for. */
  #name = ''
  #heardAll = false
  #decided = false
  #handshaking = false
  #over = false
  expiresAt: number

  constructor(parts: InterceptedParts, owner: InterceptedOwner, tunnel: InterceptedTunnel) {
    this.#parts = parts
    this.#owner = owner
    this.#tunnel = tunnel
    const { deadlines } = parts.client
    this.expiresAt = deadlines.now + HANDSHAKE_MS
    deadlines.add(this)
    const { socket, head } = tunnel
    socket.on('data', this.#read)
    socket.on('end', this.#gone)
    socket.on('error', this.#gone)
    socket.on('close', this.#gone)
    if (head.length > 0) this.#read(head)
    // A hello that came with the CONNECT waits for the origin, and what follows it waits for TLS.
    if (!this.#over && !this.#heardAll) socket.resume()
  }

  /** It may end in its first moment. */
  get isOver(): boolean {
    return this.#over
  }

  drain(): void {
    if (this.#serving === undefined) this.destroy()
    else this.#serving.drain()
  }

  destroy(): void {
    this.#serving?.destroy()
    this.#tunnel.socket.destroy()
  }

  expire(): void {
    this.#fail('failed', 'timeout', this.#handshaking ? 'handshake_failed' : 'aborted')
  }

  secured(socket: TLSSocket): void {
    if (this.#over) {
      socket.destroy()
      return
    }
    if (this.#name !== this.#tunnel.inside.destination.host) {
      // With the outer name the client has its answer; who goes on under it is no such client.
      socket.destroySoon()
      this.#fail('refused', 'ech', 'ech')
      return
    }
    const { client } = this.#parts
    client.deadlines.delete(this)
    this.#count('intercepted', 'none')
    const { inside, via } = this.#tunnel
    const decided = (): void => {
      this.#decided = true
    }
    const served: Inside = { ...inside, tls: { ja4: this.#ja4, via, decided } }
    const owner = new InsideOwner(this.#owner, () => this.#end('aborted'))
    this.#serving =
      socket.alpnProtocol === 'h2'
        ? new ClientSession(socket, client, owner, served)
        : new ClientConnection(socket, client, owner, served)
  }

  failed({ code }: NodeJS.ErrnoException): void {
    // The alerts by which a client says that it does not take our certificate.
    const untrusted =
      /ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_EXPIRED)/.test(
        code ?? '',
      )
    this.#fail('failed', untrusted ? 'untrusted' : 'handshake', 'handshake_failed')
  }

  readonly #read = (chunk: Buffer): void => {
    switch (this.#hello.push(chunk)) {
      case 'more':
        break
      case 'hello':
        this.#heard(this.#hello.hello)
        break
      case 'not_tls':
        this.#fail('refused', 'not_tls', 'not_tls')
        break
      default:
        this.#fail('refused', 'malformed_hello', 'not_tls')
    }
  }

  readonly #gone = (): void => {
    if (this.#handshaking) {
      // The reason, where there is one, comes from the TLS server.
      setImmediate(() => this.#fail('failed', 'client_closed', 'handshake_failed'))
    } else this.#fail('failed', 'client_closed', 'aborted')
  }

  #heard(hello: ClientHello): void {
    const { socket, inside, via } = this.#tunnel
    const { destination } = inside
    this.#heardAll = true
    socket.pause()
    socket.off('data', this.#read)
    this.#ja4 = hello.ja4
    const { serverName } = hello
    // With Encrypted Client Hello this is the outer name: a client that is shown a certificate for it,
    // and no new keys, tries again without (RFC 9849 section 6.1.6). No request passes under it.
    if (serverName !== undefined && serverName !== destination.host && !hello.encrypted) {
      socket.end(UNRECOGNIZED_NAME)
      this.#fail('refused', 'other_name', 'other_name')
      return
    }
    const offered = hello.alpn.filter((name): name is Protocol => PROTOCOLS.has(name))
    const way = {
      destination,
      authority: inside.authority,
      parent: via,
      tunnelled: true,
      protocols: undefined,
    }
    const ask: readonly Protocol[] = offered.length === 0 ? ['http/1.1'] : offered
    this.#parts.contacts.ask(way, ask, (protocol) => {
      if (this.#over) return
      // An origin that cannot be had is told of in the answer to the first request.
      const spoken = protocol ?? (ask.includes('http/1.1') ? 'http/1.1' : 'h2')
      this.#handshake(serverName ?? destination.host, offered.includes(spoken) ? spoken : undefined)
    })
  }

  #handshake(name: string, protocol: Protocol | undefined): void {
    const { socket } = this.#tunnel
    this.#handshaking = true
    this.#name = name
    socket.off('end', this.#gone)
    socket.unshift(this.#hello.bytes)
    if (!this.#parts.leaves.serve(socket, name, protocol, this)) {
      socket.end(UNRECOGNIZED_NAME)
      const encrypted = name !== this.#tunnel.inside.destination.host
      this.#fail(
        'refused',
        encrypted ? 'ech' : 'outside_authority',
        encrypted ? 'ech' : 'outside_authority',
      )
    }
  }

  #fail(outcome: 'failed' | 'refused', reason: string, unseen: VisibilityReason): void {
    if (this.#over) return
    if (this.#serving === undefined) this.#count(outcome, reason)
    this.#end(this.#serving === undefined ? unseen : 'aborted')
    this.#tunnel.socket.destroySoon()
  }

  #end(unseen: VisibilityReason): void {
    if (this.#over) return
    this.#over = true
    this.#parts.client.deadlines.delete(this)
    this.#owner.over(this)
    this.#tunnel.ended(this.#decided ? undefined : unseen)
  }

  #count(outcome: string, reason: string): void {
    this.#parts.client.metrics.interceptions.inc({ outcome, reason })
  }
}

/** What a served connection needs to know of the proxy. */
class InsideOwner implements ConnectionOwner {
  readonly #owner: InterceptedOwner
  readonly #ended: () => void

  constructor(owner: InterceptedOwner, ended: () => void) {
    this.#owner = owner
    this.#ended = ended
  }

  get draining(): boolean {
    return this.#owner.draining
  }

  closed(): void {
    this.#ended()
  }
}

/** Whether the name that a client asks for in bytes that pass unread may pass there. */
export function vetHello(
  socketName: string,
  selected: (name: string) => boolean,
  refused: (reason: string) => void,
): (chunk: Buffer) => 'more' | 'pass' | 'refuse' {
  const reader = new HelloReader()
  return (chunk) => {
    const read = reader.push(chunk)
    if (read === 'more') return 'more'
    if (read === 'not_tls') return 'pass'
    if (read !== 'hello') {
      // Some server may find a name in what nobody here can read.
      refused('malformed_hello')
      return 'refuse'
    }
    const { serverName } = reader.hello
    if (serverName === undefined || serverName === socketName || !selected(serverName))
      return 'pass'
    refused('other_name')
    return 'refuse'
  }
}
