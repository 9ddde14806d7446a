// Bytes that have arrived and are not yet read: usually one chunk, read to its end at once.

const NOTHING = Buffer.alloc(0)

export class Input {
  #waiting: Buffer[] = []
  #waitingBytes = 0
  chunk: Buffer = NOTHING
  at = 0

  push(chunk: Buffer): void {
    if (this.at === this.chunk.length) {
      this.chunk = chunk
      this.at = 0
    } else {
      this.#waiting.push(chunk)
      this.#waitingBytes += chunk.length
    }
  }

  /** Whether there is a byte at `at`; moves on to the next chunk, and keeps no chunk that was read. */
  get ready(): boolean {
    if (this.at < this.chunk.length) return true
    const next = this.#waiting.shift()
    this.at = 0
    if (next === undefined) {
      this.chunk = NOTHING
      return false
    }
    this.#waitingBytes -= next.length
    this.chunk = next
    return true
  }

  /** Bytes that nobody has read. */
  get length(): number {
    return this.chunk.length - this.at + this.#waitingBytes
  }

  /** Takes all that is left: for a connection that stops being HTTP. */
  rest(): Buffer {
    const rest = [this.chunk.subarray(this.at), ...this.#waiting]
    this.chunk = NOTHING
    this.at = 0
    this.#waiting = []
    this.#waitingBytes = 0
    return rest.length === 1 ? (rest[0] ?? NOTHING) : Buffer.concat(rest)
  }
}
