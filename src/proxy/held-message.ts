// One message of a WebSocket client that has not passed: its bytes as they came, and as they read.

import { wholeCharacters } from '../websocket/utf8.ts'

export interface ClientMessage {
  /** Undefined: binary, which nobody understands. */
  readonly text: string | undefined
  /** What is held of it. */
  readonly bytes: number
  /** Whether more of it follows, unsearched. */
  readonly truncated: boolean
}

export class Held {
  readonly isText: boolean
  readonly raw = new Gathered()
  readonly #clear = new Gathered()
  /** Of its payload. */
  bytes = 0
  truncated = false
  /** What it took of the memory. */
  cost = 0

  constructor(isText: boolean) {
    this.isText = isText
  }

  costOf(raw: Buffer, payload: Buffer | undefined): number {
    const clear = payload === undefined || !this.isText ? 0 : this.#clear.growth(payload.length)
    return this.raw.growth(raw.length) + clear
  }

  add(raw: Buffer, payload: Buffer | undefined): void {
    this.raw.append(raw)
    if (payload === undefined) return
    this.bytes += payload.length
    if (this.isText) this.#clear.append(payload)
  }

  /** What a judge sees; the text is made here and nowhere kept. */
  message(): ClientMessage {
    const { bytes, truncated } = this
    if (!this.isText) return { text: undefined, bytes, truncated }
    const clear = this.#clear.bytes
    const text = clear.toString('utf8', 0, truncated ? wholeCharacters(clear) : clear.length)
    return { text, bytes, truncated }
  }
}

/** Bytes in one piece, however small the pieces are that they come in. */
class Gathered {
  #room = Buffer.alloc(0)
  length = 0

  /** What it would have to grow by to take so many more bytes. */
  growth(more: number): number {
    const needed = this.length + more
    if (needed <= this.#room.length) return 0
    return Math.max(needed, 2 * this.length) - this.#room.length
  }

  append(piece: Buffer): void {
    const growth = this.growth(piece.length)
    if (growth > 0) {
      const room = Buffer.allocUnsafe(this.#room.length + growth)
      this.#room.copy(room, 0, 0, this.length)
      this.#room = room
    }
    piece.copy(this.#room, this.length)
    this.length += piece.length
  }

  get bytes(): Buffer {
    return this.#room.subarray(0, this.length)
  }
}
