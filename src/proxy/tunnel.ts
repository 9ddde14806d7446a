// Bytes both ways between two sockets, unread: CONNECT tunnels and connections that changed protocol.
//
// Each direction has its own end (half-close) and its own back-pressure: a writer that is full pauses
// the reader before it. By hand, because pipe and pipeline cost more processor time and memory.

import type { Socket } from 'node:net'
import type { Deadlines, Expiring } from './deadlines.ts'

/** Reads the first bytes of a client until it is known whether they may pass. */
export type Vet = (chunk: Buffer) => 'more' | 'pass' | 'refuse'

export interface TunnelEnds {
  readonly client: Socket
  readonly origin: Socket
  /** Bytes that were read before the tunnel began, to be sent first. */
  readonly fromClient: Buffer
  readonly fromOrigin: Buffer
  /** Looks at the client's first bytes before they pass. */
  readonly vet?: Vet
}

export interface TunnelTotals {
  readonly bytesIn: number
  readonly bytesOut: number
}

export class Tunnel implements Expiring {
  readonly #ends: TunnelEnds
  readonly #deadlines: Deadlines
  readonly #idleMs: number
  readonly #ended: (totals: TunnelTotals) => void
  #bytesIn = 0
  #bytesOut = 0
  #open = true
  expiresAt: number

  /** `ended` is called once after `start`, when both sockets are closed or one has failed. */
  constructor(
    ends: TunnelEnds,
    deadlines: Deadlines,
    idleMs: number,
    ended: (totals: TunnelTotals) => void,
  ) {
    this.#ends = ends
    this.#deadlines = deadlines
    this.#idleMs = idleMs
    this.#ended = ended
    this.expiresAt = deadlines.now + idleMs
  }

  /** Takes both sockets over. */
  start(): void {
    this.#deadlines.add(this)
    const { client, origin, fromClient, fromOrigin, vet } = this.#ends
    this.#splice(client, origin, (bytes) => (this.#bytesIn += bytes), vet)
    this.#splice(origin, client, (bytes) => (this.#bytesOut += bytes))
    if (fromClient.length > 0) client.emit('data', fromClient)
    if (fromOrigin.length > 0) origin.emit('data', fromOrigin)
    if (!origin.writableNeedDrain) client.resume()
    if (!client.writableNeedDrain) origin.resume()
  }

  expire(): void {
    this.destroy()
  }

  /** Ends the tunnel at once. */
  destroy(): void {
    this.#ends.client.destroy()
    this.#ends.origin.destroy()
    this.#finish()
  }

  #splice(from: Socket, to: Socket, count: (bytes: number) => void, vet?: Vet): void {
    let asked = vet
    const waiting: Buffer[] = []
    from.on('data', (chunk: Buffer) => {
      this.expiresAt = this.#deadlines.now + this.#idleMs
      count(chunk.length)
      let passing = chunk
      if (asked !== undefined) {
        const answer = asked(chunk)
        waiting.push(chunk)
        if (answer === 'more') return
        if (answer === 'refuse') {
          this.destroy()
          return
        }
        asked = undefined
        passing = Buffer.concat(waiting.splice(0))
      }
      if (!to.write(passing)) from.pause()
    })
    to.on('drain', () => from.resume())
    from.on('end', () => to.end())
    from.on('error', () => this.destroy())
    from.on('close', () => {
      // Both ended in order: what `to` has not flushed yet still goes out.
      if (from.readableEnded && from.writableFinished) {
        if (to.closed) this.#finish()
      } else this.destroy()
    })
    // The end may have come before anybody listened.
    if (from.readableEnded) to.end()
    if (from.destroyed) this.destroy()
  }

  #finish(): void {
    if (!this.#open) return
    this.#open = false
    this.#deadlines.delete(this)
    this.#ended({ bytesIn: this.#bytesIn, bytesOut: this.#bytesOut })
  }
}
