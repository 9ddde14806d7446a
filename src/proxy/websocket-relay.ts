// Two sockets that speak WebSocket to each other, with every message of the client judged.
//
// The origin's frames pass at once, as they are; the client's go through ClientMessages. Where the relay has
// to end it says so to both, in a close frame each, and only between two frames: one that has passed in part
// is completed first. States: open -> closing (only close frames count, for a bounded time) -> over.

import type { Duplex } from 'node:stream'
import { FrameReader } from '../websocket/frames.ts'
import { CONTINUATION } from '../websocket/opcodes.ts'
import { closeFrame } from '../websocket/write.ts'
import { ClientMessages, type Judging, type MessagesOwner } from './client-messages.ts'
import type { Deadlines, Expiring } from './deadlines.ts'
import type { TunnelTotals } from './tunnel.ts'

export interface WebSocketEnds {
  readonly client: Duplex
  readonly origin: Duplex
  /** Bytes that were read after the handshake, before the relay began. */
  readonly fromClient: Buffer
  readonly fromOrigin: Buffer
}

export interface WebSocketOptions extends Judging {
  readonly deadlines: Deadlines
  readonly idleMs: number
  /** Bytes of both sides so far, heads of frames included. */
  onBytes?(bytes: number): void
  /** The text of the origin's messages, in pieces as it passes. */
  onServerText?(piece: Buffer): void
  onServerTextEnd?(): void
  /** Called once, when both sockets are closed or one has failed: whatever a judge waits for may be given up. */
  ended(totals: WebSocketTotals): void
}

export interface WebSocketTotals extends TunnelTotals {
  readonly messagesIn: number
  readonly messagesOut: number
  /** Messages that were dropped. */
  readonly refused: number
  /** Of the first close frame, from whichever side; undefined: there was none. */
  readonly closeCode: number | undefined
}

/** For the peers to answer a close frame that was passed on, and one of our own. */
const PASSED_CLOSE_MS = 30_000
const OWN_CLOSE_MS = 5000

const GOING_AWAY = 1001
const ORIGIN_BROKE = 1011
const RESTART = 1012

export class WebSocketRelay implements Expiring, MessagesOwner {
  readonly #client: Duplex
  readonly #origin: Duplex
  readonly #ends: WebSocketEnds
  readonly #options: WebSocketOptions
  readonly #messages: ClientMessages
  readonly #fromOrigin = new FrameReader(false)
  #bytesIn = 0
  #bytesOut = 0
  #messagesOut = 0
  #closeCode: number | undefined
  /** Whether a close frame has gone to that side: nothing may follow it. */
  #clientTold = false
  #originTold = false
  /** A close frame that waits for the end of a frame of which the client has a part. */
  #lastWord: Buffer | undefined
  #closing = false
  #over = false
  expiresAt: number

  /** Takes both sockets over when it starts. */
  constructor(ends: WebSocketEnds, options: WebSocketOptions) {
    this.#ends = ends
    this.#client = ends.client
    this.#origin = ends.origin
    this.#options = options
    this.#messages = new ClientMessages(this, options)
    this.expiresAt = options.deadlines.now + options.idleMs
  }

  start(): void {
    const { fromClient, fromOrigin } = this.#ends
    const client = this.#client
    const origin = this.#origin
    this.#options.deadlines.add(this)
    this.#listen(client, origin)
    this.#listen(origin, client)
    client.on('data', (chunk: Buffer) => this.#clientSaid(chunk))
    origin.on('data', (chunk: Buffer) => this.#originSaid(chunk))
    client.on('end', () => this.#clientFinished())
    origin.on('end', () => this.#originFinished())
    client.on('drain', () => origin.resume())
    origin.on('drain', () => this.flow())
    if (fromOrigin.length > 0) this.#originSaid(fromOrigin)
    if (fromClient.length > 0) this.#clientSaid(fromClient)
    // An end may have come before anybody listened.
    if (origin.readableEnded) this.#originFinished()
    if (client.readableEnded) this.#clientFinished()
    if (client.destroyed || origin.destroyed) this.#abort()
    if (!client.writableNeedDrain) origin.resume()
    this.flow()
  }

  expire(): void {
    if (this.#closing) this.#abort()
    else this.#close(GOING_AWAY, 'nothing came for too long')
  }

  /** Says that the service restarts, as far as that goes without waiting, and ends. */
  destroy(): void {
    this.#close(RESTART, 'the proxy restarts')
    this.#abort()
  }

  toOrigin(bytes: Buffer): void {
    if (!this.#originTold && this.#origin.writable) this.#origin.write(bytes)
  }

  refuse(code: number, reason: string): void {
    this.#close(code, reason)
  }

  clientFailed(code: number, reason: string): void {
    this.#close(code, reason)
    // What it answers could not be read.
    if (this.#lastWord === undefined) this.#client.end()
  }

  clientClosed(code: number): void {
    if (!this.#closing) {
      this.#originTold = true
      this.#closePassed(code)
    } else if (this.#lastWord === undefined) this.#client.end()
  }

  clientEnded(): void {
    this.#origin.end()
  }

  flow(): void {
    if (!this.#closing && (this.#messages.full || this.#origin.writableNeedDrain))
      this.#client.pause()
    else this.#client.resume()
  }

  #clientSaid(chunk: Buffer): void {
    this.#touch()
    this.#bytesIn += chunk.length
    this.#options.onBytes?.(this.#bytesIn + this.#bytesOut)
    // One write for what came in one read.
    this.#origin.cork()
    this.#messages.push(chunk)
    this.#origin.uncork()
    this.flow()
  }

  #clientFinished(): void {
    if (this.#closing) this.#client.end()
    else if (this.#origin.readableEnded) this.#bothFinished()
    else this.#messages.end()
  }

  #originFinished(): void {
    this.#client.end()
    if (this.#client.readableEnded) this.#bothFinished()
  }

  /** Nobody is left for whom a judgement would matter. */
  #bothFinished(): void {
    this.#messages.stop()
    this.#origin.end()
  }

  #originSaid(chunk: Buffer): void {
    this.#touch()
    this.#bytesOut += chunk.length
    this.#options.onBytes?.(this.#bytesIn + this.#bytesOut)
    const reader = this.#fromOrigin
    reader.push(chunk)
    for (;;) {
      const event = reader.next()
      if (event === 'more' || event === 'failed') break
      this.#originEvent(event)
    }
    this.#toClient(reader.passed)
    reader.release()
    const { failure } = reader
    if (failure !== undefined) {
      this.#close(ORIGIN_BROKE, `the origin: ${failure.reason}`, failure.code, failure.reason)
      this.#origin.end()
    } else if (reader.closed) {
      if (this.#closing) this.#origin.end()
      else {
        this.#clientTold = true
        this.#closePassed(reader.closeCode)
      }
    }
  }

  #originEvent(event: 'frame' | 'payload' | 'end' | 'control'): void {
    const { opcode, text, clear, fin, passed } = this.#fromOrigin
    if (event === 'frame') {
      if (opcode !== CONTINUATION) this.#messagesOut += 1
    } else if (event === 'payload') {
      if (text) this.#options.onServerText?.(clear)
    } else if (event === 'end') {
      if (text && fin) this.#options.onServerTextEnd?.()
      if (this.#lastWord === undefined) return
      this.#toClient(passed)
      this.#tellClient(this.#lastWord)
    }
  }

  #toClient(bytes: Buffer): void {
    if (this.#clientTold || bytes.length === 0 || !this.#client.writable) return
    if (!this.#client.write(bytes)) this.#origin.pause()
  }

  /** One side's close frame has gone to the other: the rest has to happen soon. */
  #closePassed(code: number): void {
    if (this.#closeCode !== undefined) return
    this.#closeCode = code
    this.expiresAt = this.#options.deadlines.now + PASSED_CLOSE_MS
  }

  /** Ends it in order: what was held is forgotten, both are told, and have a moment to answer. */
  #close(code: number, reason: string, originCode = GOING_AWAY, originReason = ''): void {
    if (this.#closing || this.#over) return
    this.#closing = true
    this.#closeCode ??= code
    this.expiresAt = this.#options.deadlines.now + OWN_CLOSE_MS
    if (this.#messages.midFrame) this.#origin.end()
    else this.toOrigin(closeFrame(originCode, originReason, true))
    this.#originTold = true
    const word = closeFrame(code, reason, false)
    if (!this.#fromOrigin.midFrame) this.#tellClient(word)
    // A frame that will never be whole.
    else if (this.#fromOrigin.closed) this.#client.end()
    else this.#lastWord = word
    this.#messages.stop()
    this.flow()
  }

  #tellClient(word: Buffer): void {
    this.#lastWord = undefined
    this.#toClient(word)
    this.#clientTold = true
    if (this.#messages.hasClosed || this.#messages.hasFailed) this.#client.end()
  }

  #touch(): void {
    if (this.#closeCode === undefined)
      this.expiresAt = this.#options.deadlines.now + this.#options.idleMs
  }

  #listen(from: Duplex, to: Duplex): void {
    from.on('error', () => {
      if (!this.#closing) this.#abort()
    })
    from.on('close', () => {
      if (to.closed) this.#finish()
      else if (this.#closing) {
        to.end()
        to.resume()
      } else if (!from.readableEnded || !from.writableFinished) this.#abort()
    })
  }

  #abort(): void {
    this.#client.destroy()
    this.#origin.destroy()
    this.#finish()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#closing = true
    this.#options.deadlines.delete(this)
    this.#messages.stop()
    this.#options.ended({
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      messagesIn: this.#messages.count,
      messagesOut: this.#messagesOut,
      refused: this.#messages.refused,
      closeCode: this.#closeCode,
    })
  }
}
