// Both ends of the wire, byte by byte: a client that says and expects, an origin that is told what to do.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

const PATIENCE_MS = 4000

/** A connection whose received bytes are looked at as text. */
export class Peer {
  readonly socket: Socket
  /** What was received and not yet taken, in latin1. */
  received = ''
  ended = false
  closed = false
  #changed: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1')
      this.#changed?.()
    })
    socket.on('end', () => {
      this.ended = true
      this.#changed?.()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      this.#changed?.()
    })
  }

  say(text: string): void {
    this.socket.write(text, 'latin1')
  }

  /** Takes everything up to and including the text. */
  async hear(text: string): Promise<string> {
    await this.until(() => this.received.includes(text), `to hear ${JSON.stringify(text)}`)
    const end = this.received.indexOf(text) + text.length
    const heard = this.received.slice(0, end)
    this.received = this.received.slice(end)
    return heard
  }

  /** Everything until the other side ends. */
  async hearAll(): Promise<string> {
    await this.until(() => this.ended || this.closed, 'the end')
    return this.received
  }

  async untilClosed(): Promise<void> {
    await this.until(() => this.closed, 'the connection to close')
  }

  async untilEnded(): Promise<void> {
    await this.until(() => this.ended || this.closed, 'the connection to end')
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS
    while (!holds()) {
      const left = deadline - Date.now()
      if (left <= 0)
        throw new Error(`waited for ${what}, got ${JSON.stringify(this.received.slice(0, 400))}`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#changed = resolve
        timer = setTimeout(resolve, left)
      })
      clearTimeout(timer)
    }
  }
}

export async function dial(port: number): Promise<Peer> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  await once(socket, 'connect')
  return new Peer(socket)
}

/** An origin that hands over each connection it accepts. */
export class Origin {
  readonly #server: Server
  readonly #accepted: Peer[] = []
  readonly #waiting: ((peer: Peer) => void)[] = []
  readonly #all: Peer[] = []
  port = 0

  constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const peer = new Peer(socket)
      this.#all.push(peer)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#accepted.push(peer)
      else waiting(peer)
    })
  }

  get connections(): number {
    return this.#all.length
  }

  /** The connection accepted last. */
  get latest(): Peer | undefined {
    return this.#all.at(-1)
  }

  /** Everything that came on any connection and was not taken. */
  get heard(): string {
    return this.#all.map(({ received }) => received).join('')
  }

  get authority(): string {
    return `127.0.0.1:${this.port}`
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  /** The next connection. */
  accept(): Promise<Peer> {
    const peer = this.#accepted.shift()
    if (peer !== undefined) return Promise.resolve(peer)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error('no connection came to the origin')),
        PATIENCE_MS,
      )
      this.#waiting.push((found) => {
        clearTimeout(timer)
        resolve(found)
      })
    })
  }

  close(): void {
    this.#server.close()
    for (const peer of this.#all) peer.socket.destroy()
  }
}
