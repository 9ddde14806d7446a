// An origin over TLS with a certificate of a test authority, and an authority for the proxy beside it.

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer, type Http2SecureServer } from 'node:http2'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { createIssuing, createRoot } from '../../src/tls/create.ts'
import { type Authority, Issuer } from '../../src/tls/issuer.ts'

/** A root and an issuing certificate, as `cordon ca init` makes them. */
export function anAuthority(owner: string, domains?: readonly string[]): Authority {
  const root = createRoot(owner, Date.now())
  const issuing = createIssuing(
    { certificate: new X509Certificate(root.certificate), key: root.key },
    owner,
    domains,
    Date.now(),
  )
  return {
    rootCert: root.certificate,
    chain: issuing.certificate,
    key: issuing.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

export type Answering = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  body: Buffer,
) => void

export interface Received {
  readonly version: string
  readonly method: string
  readonly url: string
  readonly host: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** HTTP/2 and HTTP/1.1 by ALPN; remembers what reached it. */
export class TlsOrigin {
  readonly authority: Authority
  readonly received: Received[] = []
  connections = 0
  readonly sessions = new Set<{ destroy(): void }>()
  readonly #server: Http2SecureServer | Server
  port = 0

  constructor(
    host: string,
    answering: Answering = echo,
    options: {
      /** HTTP/1.1 only. */
      readonly plain?: boolean
      readonly authority?: Authority
    } = {},
  ) {
    this.authority = options.authority ?? anAuthority('Origins')
    const { cert, key } = new Issuer(this.authority).issue(host)
    this.#server =
      options.plain === true
        ? createServer({ cert, key, ALPNProtocols: ['http/1.1'] })
        : createSecureServer({ cert, key, allowHTTP1: true })
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      this.connections += 1
      this.sessions.add(socket)
      socket.on('error', () => undefined)
    })
    this.#server.on('sessionError', () => undefined)
    const take = (
      request: IncomingMessage | Http2ServerRequest,
      response: ServerResponse | Http2ServerResponse,
    ): void => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('error', () => undefined)
      request.on('end', () => {
        const body = Buffer.concat(parts)
        this.received.push({
          version: request.httpVersion,
          method: request.method ?? '',
          url: request.url ?? '',
          host: request.headers.host ?? ('authority' in request ? request.authority : ''),
          headers: request.headers,
          body,
        })
        answering(request, response, body)
      })
    }
    this.#server.on('request', take)
  }

  get server(): Http2SecureServer | Server {
    return this.#server
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  close(): void {
    for (const session of this.sessions) session.destroy()
    this.#server.close()
  }
}

const echo: Answering = (request, response, body) => {
  response.setHeader('content-type', 'text/plain')
  response.end(`${request.httpVersion} ${request.method ?? ''} ${request.url ?? ''} ${body.length}`)
}
