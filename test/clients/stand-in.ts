// The AI services of the run: one TLS server for all their hosts, HTTP/2 and HTTP/1.1 by ALPN, and WebSockets.
// It keeps what reached it, and sends each event only when the client has told of the one before.

import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { realtimeFrames, replyTo } from './answers.ts'
import type { Pki } from './pki.ts'

const PATIENCE_MS = 5000

export interface Reached {
  readonly method: string
  readonly host: string
  readonly path: string
  readonly http: 'h1' | 'h2' | 'ws'
  readonly text: string
}

/** Events that the client has told of. One that is held for its successor never comes, and is noticed. */
export class Pace {
  #told = 0
  #wake: (() => void) | undefined
  held = false

  told(): void {
    this.#told++
    this.#wake?.()
  }

  async reaches(count: number): Promise<void> {
    if (this.held) return
    const deadline = AbortSignal.timeout(PATIENCE_MS)
    const expired = new Promise<void>((resolve) => {
      deadline.addEventListener('abort', () => resolve())
    })
    while (this.#told < count && !deadline.aborted) {
      await Promise.race([
        expired,
        new Promise<void>((resolve) => {
          this.#wake = resolve
        }),
      ])
    }
    this.held ||= this.#told < count
  }
}

export class StandIn {
  readonly reached: Reached[] = []
  pace = new Pace()
  readonly #server
  readonly #sockets = new WebSocketServer({ noServer: true })

  constructor({ cert, key }: Pki) {
    this.#server = createSecureServer({ cert, key, allowHTTP1: true })
    this.#server.on('request', (request, response) => {
      this.#answer(request, response).catch(() => response.stream?.destroy())
    })
    this.#server.on('upgrade', (request: Http2ServerRequest, socket: Duplex, head: Buffer) => {
      this.#sockets.handleUpgrade(request as never, socket, head, (peer) => {
        this.#talk(peer, String(request.headers['host']), request.url)
      })
    })
    // A client that trusts another authority breaks the handshake: that is its answer.
    this.#server.on('tlsClientError', () => undefined)
    this.#server.on('sessionError', () => undefined)
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve)
    })
    return this
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    for (const peer of this.#sockets.clients) peer.terminate()
  }

  async #answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString('utf8')
    const { method } = request
    const path = request.url.replace(/\?.*/s, '')
    const http = request.httpVersionMajor === 2 ? 'h2' : 'h1'
    const host = String(request.headers[':authority'] ?? request.headers['host'])
    if (path !== '/favicon.ico') this.reached.push({ method, host, path, http, text })
    const reply = replyTo(method, path, text)
    if (reply === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ error: { message: 'there is no such page' } }))
      return
    }
    response.writeHead(200, { 'content-type': reply.type, 'cache-control': 'no-cache' })
    if (typeof reply.body === 'string') {
      response.end(reply.body)
      return
    }
    let sent = 0
    for (const { bytes, told } of reply.body) {
      response.write(bytes)
      if (told) await this.pace.reaches(++sent)
    }
    response.end()
  }

  #talk(peer: WebSocket, host: string, url: string): void {
    const path = url.replace(/\?.*/s, '')
    peer.on('message', (data: Buffer) => {
      this.reached.push({ method: 'WS', host, path, http: 'ws', text: data.toString('utf8') })
      void this.#reply(peer)
    })
    peer.on('error', () => undefined)
  }

  async #reply(peer: WebSocket): Promise<void> {
    let sent = 0
    for (const frame of realtimeFrames()) {
      peer.send(frame)
      await this.pace.reaches(++sent)
    }
  }
}
