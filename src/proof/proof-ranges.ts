// Proofs without all leaves in memory: which subtrees a proof is made of, and their roots out of one pass. Pure.
//
// Every subtree of a proof is either perfect, or the ragged rest at the right end of the tree (RFC 9162, section 2.1).
// So a pass may begin behind any frontier: what lies before it is in it already.

import { HASH_BYTES, nodeHash } from './tree.ts'

/** Leaves `from` (inclusive) to `to`. */
export interface LeafRange {
  readonly from: number
  readonly to: number
}

/** The subtrees of an inclusion proof, in its order. */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  const ranges: LeafRange[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + splitOf(to - from)
    if (index < middle) {
      ranges.push({ from: middle, to })
      to = middle
    } else {
      ranges.push({ from, to: middle })
      from = middle
    }
  }
  return ranges.toReversed()
}

/** The subtrees of a consistency proof, in its order. */
export function consistencyRanges(old: number, size: number): LeafRange[] {
  if (old === 0 || old === size) return []
  const ranges: LeafRange[] = []
  let [from, to] = [0, size]
  while (old !== to) {
    const middle = from + splitOf(to - from)
    if (old <= middle) {
      ranges.push({ from: middle, to })
      to = middle
    } else {
      ranges.push({ from, to: middle })
      from = middle
    }
  }
  return [...(from === 0 ? [] : [{ from, to }]), ...ranges.toReversed()]
}

/** The largest power of two below a size. */
function splitOf(size: number): number {
  let power = 1
  while (power * 2 < size) power *= 2
  return power
}

/** Takes leaves in order and keeps the roots of the subtrees that are wanted. */
export class RangeRoots {
  readonly #wanted: ReadonlySet<string>
  readonly #found = new Map<string, Buffer>()
  /** Perfect subtrees, largest first, side by side. */
  readonly #subtrees: { readonly from: number; readonly to: number; readonly hash: Buffer }[] = []
  #size: number

  /** Throws RangeError where the frontier is not that of a tree of the size. */
  constructor(
    wanted: readonly LeafRange[],
    start: { readonly size: number; readonly frontier: readonly Buffer[] } = {
      size: 0,
      frontier: [],
    },
  ) {
    this.#wanted = new Set(wanted.map(keyOf))
    this.#size = start.size
    let from = 0
    for (const hash of start.frontier) {
      let length = 1
      while (from + length * 2 <= start.size) length *= 2
      this.#put({ from, to: from + length, hash })
      from += length
    }
    if (from !== start.size || start.frontier.some(({ length }) => length !== HASH_BYTES))
      throw new RangeError('the frontier is not that of a tree of this size')
  }

  append(leaf: Buffer): void {
    let subtree = { from: this.#size, to: this.#size + 1, hash: leaf }
    this.#size += 1
    for (;;) {
      const left = this.#subtrees.at(-1)
      if (left === undefined || left.to - left.from !== subtree.to - subtree.from) break
      this.#keep(subtree)
      this.#subtrees.pop()
      subtree = { from: left.from, to: subtree.to, hash: nodeHash(left.hash, subtree.hash) }
    }
    this.#put(subtree)
  }

  get size(): number {
    return this.#size
  }

  root(): Buffer | undefined {
    return this.#fold(0)
  }

  /** Undefined where a subtree lies before what was seen, and is not whole in the frontier. */
  rootsOf(ranges: readonly LeafRange[]): Buffer[] | undefined {
    const roots = ranges.map((range) =>
      range.to === this.#size
        ? (this.#found.get(keyOf(range)) ?? this.#fold(range.from))
        : this.#found.get(keyOf(range)),
    )
    return roots.every((root) => root !== undefined) ? roots : undefined
  }

  #put(subtree: { readonly from: number; readonly to: number; readonly hash: Buffer }): void {
    this.#keep(subtree)
    this.#subtrees.push(subtree)
  }

  #keep({ from, to, hash }: { from: number; to: number; hash: Buffer }): void {
    if (this.#wanted.size === 0) return
    const key = keyOf({ from, to })
    if (this.#wanted.has(key)) this.#found.set(key, hash)
  }

  /** The root over the leaves from a place to the end, where perfect subtrees begin there. */
  #fold(from: number): Buffer | undefined {
    const parts = this.#subtrees.filter((subtree) => subtree.from >= from)
    if (parts[0]?.from !== from) return undefined
    const [last, ...left] = parts.toReversed()
    return left.reduce((right, { hash }) => nodeHash(hash, right), last?.hash ?? Buffer.alloc(0))
  }
}

function keyOf({ from, to }: LeafRange): string {
  return `${from}-${to}`
}
