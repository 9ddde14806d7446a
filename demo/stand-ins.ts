// Stand-ins for AI services on this machine, in the open and over TLS (HTTP/2, HTTP/1.1, WebSockets). They
// greet whoever asks, and keep what reached them.

import { createServer, type IncomingMessage } from 'node:http'
import { createSecureServer, type Http2ServerRequest } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { answerTo, type Asked, realtimeFrames } from './answers.ts'
import type { StandInAuthority } from './authority.ts'

export interface Reached {
  readonly host: string
  readonly protocol: string
  readonly body: string
}

type Request = IncomingMessage | Http2ServerRequest
/** What both kinds of responses can do; as a union their overloads cannot be called. */
interface Response {
  writeHead(status: number, fields: Readonly<Record<string, string>>): unknown
  write(part: string): boolean
  end(): unknown
}

export class StandIns {
  readonly reached: Reached[] = []
  readonly #open = createServer((request, response) => {
    void this.#answer(request, response)
  })
  readonly #secure
  readonly #sockets = new WebSocketServer({ noServer: true })

  constructor(authority: StandInAuthority) {
    this.#secure = createSecureServer({
      allowHTTP1: true,
      SNICallback: (host, done) => done(null, authority.contextFor(host)),
    })
    this.#secure.on('request', (request, response) => {
      void this.#answer(request, response)
    })
    this.#secure.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#sockets.handleUpgrade(request, socket, head, (peer) => this.#talk(peer, request))
    })
    this.#secure.on('sessionError', () => undefined)
    this.#secure.on('tlsClientError', () => undefined)
  }

  async listen(): Promise<this> {
    for (const server of [this.#open, this.#secure])
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve)
      })
    return this
  }

  /** Of the one in the open, and of the one over TLS. */
  get ports(): readonly [number, number] {
    return [portOf(this.#open.address()), portOf(this.#secure.address())]
  }

  close(): void {
    for (const peer of this.#sockets.clients) peer.terminate()
    this.#open.closeAllConnections()
    this.#open.close()
    this.#secure.close()
  }

  async #answer(request: Request, response: Response): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Buffer.concat(parts).toString('utf8')
    this.reached.push({ host: hostOf(request), protocol: `HTTP/${request.httpVersion}`, body })
    const asked = body === '' ? {} : (JSON.parse(body) as Asked)
    const answer = answerTo(request.url ?? '', asked)
    const streams = Array.isArray(answer)
    response.writeHead(200, {
      'content-type': streams ? 'text/event-stream' : 'application/json',
      'cache-control': 'no-cache',
    })
    for (const part of streams ? answer : [answer]) {
      response.write(part)
      if (streams) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    response.end()
  }

  #talk(peer: WebSocket, request: IncomingMessage): void {
    peer.on('error', () => undefined)
    peer.on('message', (data: Buffer) => {
      this.reached.push({ host: hostOf(request), protocol: 'WebSocket', body: data.toString() })
      for (const frame of realtimeFrames()) peer.send(frame)
    })
  }
}

function hostOf({ headers }: Request): string {
  return String(headers[':authority'] ?? headers.host)
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0
}
