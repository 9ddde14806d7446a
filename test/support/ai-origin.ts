// AI services as the tests of the whole program meet them: one TLS server for many hosts, HTTP/2 and HTTP/1.1,
// WebSockets; event by event where the test sets the pace.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { Issuer } from '../../src/tls/issuer.ts'
import { replyTo } from '../clients/answers.ts'
import { type Answering, type Received, TlsOrigin } from './tls-origin.ts'

/** Lets events of answers through one by one. */
class Gate {
  #allowed = Infinity
  readonly #waiting = new Set<() => void>()

  /** So many events of the next answer, and no more until told. */
  allow(count: number): void {
    this.#allowed = count
    for (const wake of this.#waiting) wake()
  }

  /** False: whoever waited has gone, and nothing was taken. */
  async pass(isGone: () => boolean): Promise<boolean> {
    while (this.#allowed < 1 && !isGone()) {
      let wake = (): void => undefined
      await new Promise<void>((resolve) => {
        wake = resolve
        this.#waiting.add(wake)
      })
      this.#waiting.delete(wake)
    }
    if (isGone()) return false
    this.#allowed -= 1
    return true
  }
}

export class AiOrigin {
  readonly gate = new Gate()
  /** Texts of WebSocket messages. */
  readonly messages: string[] = []
  /** Answers whose reader went away before they ended. */
  abandoned = 0
  readonly #tls: TlsOrigin
  readonly #sockets = new WebSocketServer({ noServer: true })
  #onAbandoned: (() => void) | undefined

  constructor(hosts: readonly string[]) {
    this.#tls = new TlsOrigin(hosts[0] ?? '', this.#answering)
    const issuer = new Issuer(this.#tls.authority)
    const { server } = this.#tls
    for (const host of hosts) {
      const { cert, key } = issuer.issue(host)
      server.addContext(host, { cert, key })
    }
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#sockets.handleUpgrade(request, socket, head, (peer) => this.#echo(peer))
    })
    server.on('tlsClientError', () => undefined)
  }

  async listen(): Promise<this> {
    await this.#tls.listen()
    return this
  }

  get port(): number {
    return this.#tls.port
  }

  /** PEM of the root that vouches for all hosts. */
  get root(): string {
    return this.#tls.authority.rootCert
  }

  get server(): TlsOrigin['server'] {
    return this.#tls.server
  }

  get received(): readonly Received[] {
    return this.#tls.received
  }

  get last(): Received | undefined {
    return this.#tls.received.at(-1)
  }

  /** The next answer that its reader leaves. */
  async untilAbandoned(count: number): Promise<void> {
    while (this.abandoned < count)
      await new Promise<void>((resolve) => {
        this.#onAbandoned = resolve
      })
  }

  close(): void {
    this.#tls.close()
    for (const peer of this.#sockets.clients) peer.terminate()
  }

  readonly #answering: Answering = (request, response, body) => {
    let whole = false
    let isGone = false
    response.on('close', () => {
      if (whole) return
      isGone = true
      this.abandoned += 1
      this.#onAbandoned?.()
    })
    const path = (request.url ?? '').replace(/\?.*/s, '')
    const reply = replyTo(request.method ?? '', path, jsonOf(body, request.headers))
    if (reply === undefined) {
      whole = true
      response.statusCode = 200
      response.setHeader('content-type', 'text/plain')
      response.end(`${request.method ?? ''} ${body.length}`)
      return
    }
    response.statusCode = 200
    response.setHeader('content-type', reply.type)
    if (typeof reply.body === 'string') {
      whole = true
      response.end(reply.body)
      return
    }
    const events = reply.body
    const send = async (): Promise<void> => {
      for (const { bytes } of events) {
        if (!(await this.gate.pass(() => isGone))) return
        // One type for both versions of the protocol.
        ;(response as { write(text: string): boolean }).write(bytes)
      }
      whole = true
      response.end()
    }
    void send()
  }

  #echo(peer: WebSocket): void {
    peer.on('message', (data: Buffer) => {
      this.messages.push(data.toString('utf8'))
      peer.send(data.toString('utf8'))
    })
    peer.on('error', () => undefined)
  }
}

/** Nothing where it is no JSON: what a service answers to that is not of interest. */
function jsonOf(body: Buffer, headers: Received['headers']): string {
  const type = String(headers['content-type'] ?? '')
  if (headers['content-encoding'] !== undefined || !type.startsWith('application/json')) return '{}'
  return body.toString('utf8')
}

/** What comes out of an event emitter once, for what has no promise of its own. */
export async function message(socket: WebSocket): Promise<string> {
  const [data] = (await once(socket, 'message')) as [Buffer]
  return data.toString('utf8')
}
