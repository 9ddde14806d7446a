// A reading of a text that knows, for each of its places, the place in the original that it came from.

export interface View {
  readonly text: string
  /** Where, in the original, the character at a place begins and ends (UTF-16 units). */
  readonly start: (index: number) => number
  readonly end: (index: number) => number
}

/** Parts of a view: kept ones run along with the original, replaced ones stand as a whole for what they replaced. */
export class ViewBuilder {
  readonly #original: string
  readonly #texts: string[] = []
  /** Triples: place in the view, place in the original, end in the original of a replaced part or -1. */
  readonly #parts: number[] = []
  #size = 0
  #changed = false

  constructor(original: string) {
    this.#original = original
  }

  keep(from: number, to: number): void {
    if (from >= to) return
    this.#push(from, -1, this.#original.slice(from, to))
  }

  replace(from: number, to: number, text: string): void {
    this.#changed = true
    this.#push(from, to, text)
  }

  /** How long the view is so far. */
  get size(): number {
    return this.#size
  }

  #push(from: number, to: number, text: string): void {
    this.#texts.push(text)
    this.#parts.push(this.#size, from, to)
    this.#size += text.length
  }

  view(): View {
    if (!this.#changed) return { text: this.#original, start: same, end: same }
    const parts = this.#parts
    return {
      text: this.#texts.join(''),
      start: (index) => placeOf(parts, index, false),
      end: (index) => placeOf(parts, index - 1, true),
    }
  }
}

function same(index: number): number {
  return index
}

function placeOf(parts: readonly number[], index: number, after: boolean): number {
  let low = 0
  let high = parts.length / 3 - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((parts[middle * 3] ?? 0) <= index) low = middle
    else high = middle - 1
  }
  const [from = 0, origin = 0, end = -1] = parts.slice(low * 3, low * 3 + 3)
  if (end === -1) return origin + index - from + (after ? 1 : 0)
  return after ? end : origin
}
