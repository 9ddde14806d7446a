// Merkle trees over the records of a writer: RFC 9162, section 2.1. Pure.
//
// A tree is kept as its frontier: the roots of the perfect subtrees that its leaves fill, largest first, one for
// every bit that is set in its size. At most 53 hashes say everything that appending and proving growth need.

import { createHash, hash as digest } from 'node:crypto'

export const HASH_BYTES = 32
const LEAF_PREFIX = Buffer.from([0])
/** 0x01, left, right. What is hashed at once, with the digest as latin1, costs a third of a Hash and its Buffer. */
const NODE = Buffer.alloc(1 + 2 * HASH_BYTES, 1)

/** The hashes in a run of them, whatever is left over at its end. */
export function hashesIn(run: Buffer): Buffer[] {
  return Array.from({ length: Math.floor(run.length / HASH_BYTES) }, (_, index) =>
    run.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  )
}

/** Hash of a leaf: SHA-256(0x00 || data). */
export function leafHash(data: Uint8Array): Buffer {
  return createHash('sha256').update(LEAF_PREFIX).update(data).digest()
}

/** Hash of an inner node: SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES)
    throw new RangeError(`a node is the hash of two hashes of ${HASH_BYTES} bytes`)
  NODE.set(left, 1)
  NODE.set(right, 1 + HASH_BYTES)
  return Buffer.from(digest('sha256', NODE, 'binary'), 'latin1')
}

/** Root of the tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Buffer {
  return createHash('sha256').digest()
}

/** A tree that grows at its end. */
export class Tree {
  #size: number
  readonly #frontier: Buffer[]

  /** An empty tree, or one that goes on from a frontier; throws RangeError where the two do not fit. */
  constructor(size = 0, frontier: readonly Uint8Array[] = []) {
    if (!Number.isSafeInteger(size) || size < 0)
      throw new RangeError('the size of a tree is a whole number')
    if (
      frontier.length !== subtreesOf(size) ||
      frontier.some(({ length }) => length !== HASH_BYTES)
    )
      throw new RangeError(`a tree of ${size} leaves has a frontier of ${subtreesOf(size)} hashes`)
    this.#size = size
    this.#frontier = frontier.map((hash) => Buffer.from(hash))
  }

  get size(): number {
    return this.#size
  }

  /** Roots of the perfect subtrees, largest first. */
  get frontier(): readonly Buffer[] {
    return [...this.#frontier]
  }

  append(leaf: Buffer): void {
    let node = leaf
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2))
      node = nodeHash(this.#frontier.pop() ?? leaf, node)
    this.#frontier.push(node)
    this.#size += 1
  }

  root(): Buffer {
    const [last, ...left] = this.#frontier.toReversed()
    if (last === undefined) return emptyRoot()
    return left.reduce((right, node) => nodeHash(node, right), last)
  }
}

/** How many bits are set: one perfect subtree each. */
function subtreesOf(size: number): number {
  let count = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2
  return count
}

/** Root of the tree over leaves `from` (inclusive) to `to`. */
export function rootOf(leaves: readonly Buffer[], from = 0, to = leaves.length): Buffer {
  const tree = new Tree()
  for (let index = from; index < to; index++) tree.append(leafAt(leaves, index))
  return tree.root()
}

/** PATH(index, leaves): what proves that a leaf is in the tree over all of them. RFC 9162, section 2.1.3.1. */
export function inclusionProof(leaves: readonly Buffer[], index: number): Buffer[] {
  if (!Number.isSafeInteger(index) || index < 0 || index >= leaves.length)
    throw new RangeError('there is no such leaf')
  return path(leaves, index, 0, leaves.length)
}

function path(leaves: readonly Buffer[], index: number, from: number, to: number): Buffer[] {
  if (to - from <= 1) return []
  const middle = from + split(to - from)
  return index < middle
    ? [...path(leaves, index, from, middle), rootOf(leaves, middle, to)]
    : [...path(leaves, index, middle, to), rootOf(leaves, from, middle)]
}

/** PROOF(old, leaves): what proves that the tree over all leaves begins with that of size `old`. Section 2.1.4.1. */
export function consistencyProof(leaves: readonly Buffer[], old: number): Buffer[] {
  if (!Number.isSafeInteger(old) || old < 0 || old > leaves.length)
    throw new RangeError('the older tree is not larger than the newer one')
  return old === 0 ? [] : growth(leaves, old, 0, leaves.length, true)
}

function growth(
  leaves: readonly Buffer[],
  old: number,
  from: number,
  to: number,
  isWhole: boolean,
): Buffer[] {
  const size = to - from
  if (old === size) return isWhole ? [] : [rootOf(leaves, from, to)]
  const left = split(size)
  const middle = from + left
  return old <= left
    ? [...growth(leaves, old, from, middle, isWhole), rootOf(leaves, middle, to)]
    : [...growth(leaves, old - left, middle, to, false), rootOf(leaves, from, middle)]
}

/** The largest power of two below a size. */
function split(size: number): number {
  let power = 1
  while (power * 2 < size) power *= 2
  return power
}

/** Whether a proof shows that a leaf stands at `index` of the tree with that root. Section 2.1.3.2. */
export function verifyInclusion(
  leaf: Buffer,
  index: number,
  size: number,
  proof: readonly Buffer[],
  root: Uint8Array,
): boolean {
  if (!isIndex(index) || !isIndex(size) || index >= size) return false
  if ([leaf, ...proof].some(({ length }) => length !== HASH_BYTES)) return false
  let at = index
  let last = size - 1
  let hash = leaf
  for (const sibling of proof) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash)
      if (at % 2 === 0) {
        while (at % 2 === 0 && at !== 0) {
          at = Math.floor(at / 2)
          last = Math.floor(last / 2)
        }
      }
    } else {
      hash = nodeHash(hash, sibling)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && hash.equals(root)
}

/** Whether a proof shows that the newer tree begins with the older one. Section 2.1.4.2. */
export function verifyConsistency(
  old: { readonly size: number; readonly root: Buffer },
  newer: { readonly size: number; readonly root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (!isIndex(old.size) || !isIndex(newer.size) || old.size > newer.size) return false
  if (proof.some(({ length }) => length !== HASH_BYTES)) return false
  // Every tree begins with the empty one, so there is nothing to show but that it is the empty one.
  if (old.size === 0 && !old.root.equals(emptyRoot())) return false
  if (old.size === newer.size) return proof.length === 0 && old.root.equals(newer.root)
  if (old.size === 0) return proof.length === 0
  if (old.root.length !== HASH_BYTES) return false
  const nodes = isPowerOfTwo(old.size) ? [old.root, ...proof] : [...proof]
  let at = old.size - 1
  let last = newer.size - 1
  while (at % 2 === 1) {
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  const [first, ...rest] = nodes
  if (first === undefined) return false
  let oldRoot = first
  let newRoot = first
  for (const node of rest) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      oldRoot = nodeHash(node, oldRoot)
      newRoot = nodeHash(node, newRoot)
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2)
        last = Math.floor(last / 2)
      }
    } else {
      newRoot = nodeHash(newRoot, node)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && oldRoot.equals(old.root) && newRoot.equals(newer.root)
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isPowerOfTwo(size: number): boolean {
  let power = 1
  while (power < size) power *= 2
  return power === size
}

function leafAt(leaves: readonly Buffer[], index: number): Buffer {
  const leaf = leaves[index]
  if (leaf === undefined) throw new RangeError('there is no such leaf')
  return leaf
}
