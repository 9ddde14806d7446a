// Bytes both ways between two sockets, unread: CONNECT tunnels and connections that changed protocol.
//
// Each direction has its own end (half-close) and its own back-pressure: a writer that is full pauses
// the reader before it. By hand, because pipe and pipeline cost more processor time and memory.

import type { Socket } from 'node:net'
import type { FrameEnds } from '../websocket/frame-ends.ts'
import { closeFrame } from '../websocket/write.ts'
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
  /** Both speak WebSocket: what the origin says comes in frames. */
  readonly frames?: FrameEnds
  /** Told the bytes of both sides so far. */
  readonly passed?: (bytes: number) => void
}

/** For a frame to end, and for a client to read what follows it. */
const LAST_WORD_MS = 2000

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
  /** A close frame that waits for the end of a frame of which the client has a part. */
  #lastWord: Buffer | undefined
  #said = false
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
    this.#splice(client, origin, (bytes) => this.#count(bytes, 0), vet)
    this.#splice(origin, client, (bytes) => this.#count(0, bytes), undefined, this.#follow())
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

  /** Ends it; a client that speaks WebSocket is told between two frames, where such a place comes soon. */
  refuse(code: number, reason: string): void {
    const { frames, client } = this.#ends
    if (frames === undefined || !this.#open) {
      this.destroy()
      return
    }
    this.#lastWord ??= closeFrame(code, reason, false)
    if (frames.isBetween) this.#sayLast(client, this.#lastWord)
    else setTimeout(() => this.destroy(), LAST_WORD_MS).unref()
  }

  #count(bytesIn: number, bytesOut: number): void {
    this.#bytesIn += bytesIn
    this.#bytesOut += bytesOut
    this.#ends.passed?.(this.#bytesIn + this.#bytesOut)
  }

  #sayLast(client: Socket, word: Buffer): void {
    this.#said = true
    this.#bytesOut += word.length
    client.end(word)
    // What the client answers is forgotten; a reset would take our word away from it.
    client.resume()
    setTimeout(() => client.destroy(), LAST_WORD_MS).unref()
    this.#ends.origin.destroy()
    this.#finish()
  }

  /** Follows the frames to the client, and ends the tunnel behind one of them where that is asked for. */
  #follow(): ((chunk: Buffer) => Buffer | undefined) | undefined {
    const { frames, client } = this.#ends
    if (frames === undefined) return undefined
    return (chunk) => {
      if (this.#lastWord === undefined) {
        frames.passed(chunk)
        return chunk
      }
      const place = frames.placeIn(chunk)
      if (place === undefined) return chunk
      client.write(chunk.subarray(0, place))
      this.#sayLast(client, this.#lastWord)
      return undefined
    }
  }

  #splice(
    from: Socket,
    to: Socket,
    count: (bytes: number) => void,
    vet?: Vet,
    follow?: (chunk: Buffer) => Buffer | undefined,
  ): void {
    let asked = vet
    const waiting: Buffer[] = []
    from.on('data', (chunk: Buffer) => {
      if (this.#said) return
      this.expiresAt = this.#deadlines.now + this.#idleMs
      count(chunk.length)
      let passing: Buffer | undefined = chunk
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
      if (follow !== undefined) passing = follow(passing)
      if (passing !== undefined && !to.write(passing)) from.pause()
    })
    to.on('drain', () => from.resume())
    from.on('end', () => to.end())
    from.on('error', () => this.destroy())
    from.on('close', () => {
      if (this.#said) return
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
