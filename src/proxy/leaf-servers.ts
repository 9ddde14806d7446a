// TLS servers, one for each host and protocol that is spoken: node:tls needs a server to serve a socket
// that was accepted elsewhere (a TLSSocket made by hand does not carry HTTP/2).

import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { CordonError } from '../base/errors.ts'
import type { Issuer, Leaf } from '../tls/issuer.ts'
import type { Protocol } from './origin-tls.ts'

type Issuing = Pick<Issuer, 'mayIssue' | 'issue'>

export interface LeafOptions {
  readonly issuer: () => Issuing | undefined
  /** 48 bytes, the same in all workers, so that any of them resumes a session. */
  readonly ticketKeys: () => Buffer
  readonly now: () => number
}

/** What becomes of a handshake. */
export interface Served {
  secured(socket: TLSSocket): void
  failed(error: NodeJS.ErrnoException): void
}

interface Entry {
  readonly server: Server
  readonly until: number
}

const MOST = 1000
/** A leaf is replaced before a client could think that it has expired. */
const MARGIN_MS = 86_400_000

export class LeafServers {
  readonly #options: LeafOptions
  readonly #entries = new LRUCache<string, Entry>({ max: MOST })
  /** By the socket that was handed over. */
  readonly #open = new WeakMap<object, Served>()

  constructor(options: LeafOptions) {
    this.#options = options
  }

  /** Serves TLS on a socket whose first bytes are back in it; false where no leaf may be issued for the name. */
  serve(socket: Socket, name: string, protocol: Protocol | undefined, served: Served): boolean {
    const server = this.prepare(name, protocol)
    if (server === undefined) return false
    this.#open.set(socket, served)
    server.emit('connection', socket)
    return true
  }

  /** The server for a name, kept from before or made now. */
  prepare(name: string, protocol: Protocol | undefined): Server | undefined {
    const key = `${protocol ?? ''} ${name}`
    const known = this.#entries.get(key)
    if (known !== undefined && known.until >= this.#options.now()) return known.server
    const entry = this.#create(name, protocol)
    if (entry !== undefined) this.#entries.set(key, entry)
    return entry?.server
  }

  /** The authority or the ticket keys have changed: new handshakes use the new ones. */
  clear(): void {
    this.#entries.clear()
  }

  #create(name: string, protocol: Protocol | undefined): Entry | undefined {
    const issuer = this.#options.issuer()
    if (issuer === undefined || !issuer.mayIssue(name)) return undefined
    const leaf = issued(issuer, name)
    if (leaf === undefined) return undefined
    const { cert, key, notAfter } = leaf
    const server = createServer({
      cert,
      key,
      // No client is asked for a certificate: without this, Node loads its list of authorities.
      ca: [],
      ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
      ticketKeys: this.#options.ticketKeys(),
      minVersion: 'TLSv1.2',
      allowHalfOpen: true,
    })
    server.on('secureConnection', (socket) => this.#take(socket)?.secured(socket))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      this.#take(socket)?.failed(error)
    })
    return { server, until: notAfter - MARGIN_MS }
  }

  #take(socket: TLSSocket): Served | undefined {
    const { _parent: parent } = socket as TLSSocket & { readonly _parent?: object }
    if (parent === undefined) return undefined
    const served = this.#open.get(parent)
    this.#open.delete(parent)
    return served
  }
}

/** Undefined where it cannot be done, such as by an authority that has expired. */
function issued(issuer: Issuing, name: string): Leaf | undefined {
  try {
    return issuer.issue(name)
  } catch (fault) {
    if (fault instanceof CordonError) return undefined
    throw fault
  }
}
