// Which of a writer's records have been seen: a bit each.

export class Bits {
  readonly #bytes: Buffer
  readonly size: number

  /** For numbers 1 to `size`. */
  constructor(size: number) {
    this.size = size
    this.#bytes = Buffer.alloc(Math.ceil((size + 1) / 8))
  }

  has(number: number): boolean {
    return ((this.#bytes[Math.floor(number / 8)] ?? 0) & (1 << (number & 7))) !== 0
  }

  add(number: number): void {
    const at = Math.floor(number / 8)
    this.#bytes[at] = (this.#bytes[at] ?? 0) | (1 << (number & 7))
  }

  remove(number: number): void {
    const at = Math.floor(number / 8)
    this.#bytes[at] = (this.#bytes[at] ?? 0) & ~(1 << (number & 7))
  }

  /** Numbers that are set, or that are not. */
  *numbers(set: boolean): Generator<number> {
    for (let number = 1; number <= this.size; number++) if (this.has(number) === set) yield number
  }
}
