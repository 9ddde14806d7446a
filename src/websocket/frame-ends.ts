// Where frames end in bytes that pass unread (RFC 6455 section 5.2): only there a frame of our own may be put in.

/** First two bytes, length, mask. */
const MAX_HEAD = 14

export class FrameEnds {
  readonly #head = Buffer.alloc(MAX_HEAD)
  #headBytes = 0
  /** Of the payload that is being passed. */
  #left = 0

  /** Nothing is open: before the first frame, and behind each. */
  get isBetween(): boolean {
    return this.#headBytes === 0 && this.#left === 0
  }

  passed(bytes: Buffer): void {
    this.#walk(bytes, false)
  }

  /** How many of the bytes that come next still belong to what is open; undefined where it does not end in them. */
  placeIn(bytes: Buffer): number | undefined {
    return this.#walk(bytes, true)
  }

  #walk(bytes: Buffer, stops: boolean): number | undefined {
    let at = 0
    while (at < bytes.length) {
      if (stops && this.isBetween) return at
      if (this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at)
        this.#left -= taken
        at += taken
      } else {
        this.#head[this.#headBytes++] = bytes[at++] ?? 0
        if (this.#headBytes >= 2 && this.#headBytes === this.#headLength()) {
          this.#left = this.#payloadLength()
          this.#headBytes = 0
        }
      }
    }
    return stops && this.isBetween ? at : undefined
  }

  #headLength(): number {
    const second = this.#head[1] ?? 0
    const length = second & 0x7f
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4)
  }

  #payloadLength(): number {
    const length = (this.#head[1] ?? 0) & 0x7f
    if (length === 126) return this.#head.readUInt16BE(2)
    return length === 127 ? Number(this.#head.readBigUInt64BE(2)) : length
  }
}
