// The parts of a body that waits, however small the pieces are that it comes in.
//
// A piece is a slice of what a socket read: a byte of its own may keep 64 KiB alive, and costs an object of a
// hundred bytes. Small pieces are copied together, so that what is held is what is counted.

/** Pieces from here on are kept as they came. */
const LARGE_BYTES = 8192
const BLOCK_BYTES = 16_384

export class HeldParts {
  readonly list: Buffer[] = []
  /** Content bytes. */
  size = 0
  /** Bytes of memory. */
  taken = 0
  #block: Buffer | undefined
  #used = 0

  /** How much memory a piece needs that is added next. */
  growth({ length }: Buffer): number {
    if (this.#isKept(length)) return length
    return this.#fits(length) ? 0 : BLOCK_BYTES
  }

  add(piece: Buffer): void {
    this.taken += this.growth(piece)
    this.size += piece.length
    if (this.#isKept(piece.length)) {
      this.#block = undefined
      this.list.push(piece)
      return
    }
    const open = this.#fits(piece.length) ? this.#block : undefined
    const block = open ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    const at = open === undefined ? 0 : this.#used
    piece.copy(block, at)
    this.#block = block
    this.#used = at + piece.length
    if (open !== undefined) this.list.pop()
    this.list.push(block.subarray(0, this.#used))
  }

  clear(): void {
    this.list.length = 0
    this.size = 0
    this.taken = 0
    this.#block = undefined
  }

  /** The first one is often all there is. */
  #isKept(length: number): boolean {
    return length >= LARGE_BYTES || this.list.length === 0
  }

  #fits(length: number): boolean {
    return this.#block !== undefined && this.#used + length <= BLOCK_BYTES
  }
}
