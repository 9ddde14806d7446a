// An input document as it lies in the memory of a shard, written by the host: no JSON in between.
//
// The layout is that of OPA (wasm/src/value.h, and malloc.c for what stands before each value). It begins where
// most shards have room, so that what was written once is copied into each that a request touches.
// Numbers are their digits, as OPA's own parser has them: what it compares with a fraction is wrong for a
// large integer in the other form.

import { isObject } from '../metadata.ts'
import type { ReadTree } from '../projection.ts'

/** Where the input begins in memory: beyond the constants and the data documents of most shards. */
export const INPUT_START = 384 * 1024
/** What takes more is handed over as JSON. */
const MOST_BYTES = 4 * 1024 * 1024

/** Bytes for the memory from the start on, valid until another image is written. */
export interface Placed {
  readonly bytes: Uint8Array
  /** Address of the document. */
  readonly root: number
}

/** What of a document is read. */
export class InputImage {
  readonly #document: unknown
  readonly #reads: ReadTree
  readonly #json: () => string
  #start = 0
  #placed: Placed | undefined

  /** `json`: the same as JSON. */
  constructor(document: unknown, reads: ReadTree, json: () => string) {
    this.#document = document
    this.#reads = reads
    this.#json = json
  }

  /** Undefined: it is too large for that. */
  at(start: number): Placed | undefined {
    if (this.#start !== start || this.#placed?.bytes !== WRITER.last) {
      this.#start = start
      this.#placed = WRITER.write(this.#document, this.#reads, start)
    }
    return this.#placed
  }

  json(): string {
    return this.#json()
  }
}

const TYPE = { null: 1, boolean: 2, array: 5, object: 6 }
/** Types with what their second byte says: what the text of a string lies in may be freed; which form a number has. */
const STRING = 4 | (1 << 8)
const INTEGER = 3 | (1 << 8)
const DIGITS = 3 | (2 << 8)
const SIZE = { null: 1, boolean: 2, string: 12, number: 24, array: 16, object: 16, member: 12 }
/** Of a block of memory: its size, and two addresses that are 0 while it is in use. */
const HEAD = 12
const FEWEST_BUCKETS = 8
const LOAD = 0.7
const FNV_START = 0x811c_9dc5 | 0
const FNV = 0x0100_0193

class TooLarge extends Error {}

/** Writes one image after the other into the same memory. Offsets count from its beginning. */
class Writer {
  #memory = Buffer.alloc(64 * 1024)
  #words = wordsOf(this.#memory)
  #at = 0
  #start = 0
  last: Uint8Array | undefined

  write(document: unknown, reads: ReadTree, start: number): Placed | undefined {
    this.#at = 0
    this.#start = start
    try {
      const root = this.#part(document, reads) || this.#object(0)
      this.last = this.#memory.subarray(0, this.#at)
      return { bytes: this.last, root: start + root }
    } catch (error) {
      this.last = undefined
      if (error instanceof TooLarge) return undefined
      throw error
    }
  }

  /** What the tree reaches of a value; 0: nothing. */
  #part(value: unknown, { whole, members }: ReadTree): number {
    if (whole) return this.#value(value)
    if (!isObject(value)) return 0
    const object = this.#object(members.length)
    for (const { name, below } of members)
      if (Object.hasOwn(value, name)) this.#member(object, name, this.#part(value[name], below))
    return object
  }

  /** The offset of the value; 0 for what JSON has no value for. */
  #value(value: unknown): number {
    switch (typeof value) {
      case 'string':
        return this.#string(value)
      case 'number':
        return Number.isFinite(value) ? this.#digits(String(value)) : this.#null()
      case 'bigint':
        return this.#digits(value.toString())
      case 'boolean': {
        const boolean = this.#block(SIZE.boolean)
        this.#set(boolean, TYPE.boolean | (value ? 1 << 8 : 0))
        return boolean
      }
      case 'object':
        if (value === null) return this.#null()
        return Array.isArray(value) ? this.#array(value) : this.#members(value)
      default:
        return 0
    }
  }

  #null(): number {
    const offset = this.#block(SIZE.null)
    this.#set(offset, TYPE.null)
    return offset
  }

  /** The place of an item: OPA's arrays hold it beside each. */
  #index(index: number): number {
    const offset = this.#block(SIZE.number)
    this.#set(offset, INTEGER)
    this.#set(offset + 8, index)
    this.#set(offset + 12, 0)
    return offset
  }

  #digits(text: string): number {
    const digits = this.#text(text)
    const length = this.#textEnd - digits
    const offset = this.#block(SIZE.number)
    this.#set(offset, DIGITS)
    this.#set(offset + 8, this.#start + digits)
    this.#set(offset + 12, length)
    this.#set(offset + 16, 1)
    return offset
  }

  #string(value: string): number {
    const text = this.#text(value)
    const length = this.#textEnd - text
    const offset = this.#block(SIZE.string)
    this.#set(offset, STRING)
    this.#set(offset + 4, length)
    this.#set(offset + 8, this.#start + text)
    return offset
  }

  #array(items: readonly unknown[]): number {
    const offset = this.#block(SIZE.array)
    const { length } = items
    const elements = length === 0 ? 0 : this.#block(8 * length)
    this.#set(offset, TYPE.array)
    this.#set(offset + 4, elements === 0 ? 0 : this.#start + elements)
    this.#set(offset + 8, length)
    this.#set(offset + 12, length)
    for (let index = 0; index < length; index++) {
      const item = this.#value(items[index]) || this.#null()
      this.#set(elements + 8 * index, this.#start + this.#index(index))
      this.#set(elements + 8 * index + 4, this.#start + item)
    }
    return offset
  }

  #members(value: object): number {
    const object = this.#object(Object.keys(value).length)
    for (const name in value)
      this.#member(object, name, this.#value((value as Record<string, unknown>)[name]))
    return object
  }

  /** An empty object with room for some members. */
  #object(members: number): number {
    let count = FEWEST_BUCKETS
    while (members > count * LOAD) count *= 2
    const offset = this.#block(SIZE.object)
    const buckets = this.#block(4 * count)
    this.#set(offset, TYPE.object)
    this.#set(offset + 4, this.#start + buckets)
    this.#set(offset + 8, count)
    this.#set(offset + 12, 0)
    this.#words.fill(0, buckets >> 2, (buckets >> 2) + count)
    return offset
  }

  /** `value` 0: there is no such member. */
  #member(object: number, name: string, value: number): void {
    if (value === 0) return
    const key = this.#string(name)
    const text = this.#get(key + 8) - this.#start
    const hash = this.#hash(text, this.#get(key + 4))
    const buckets = this.#get(object + 4) - this.#start
    const bucket = buckets + 4 * (hash % this.#get(object + 8))
    const member = this.#block(SIZE.member)
    this.#set(member, this.#start + key)
    this.#set(member + 4, this.#start + value)
    this.#set(member + 8, this.#get(bucket))
    this.#set(bucket, this.#start + member)
    this.#set(object + 12, this.#get(object + 12) + 1)
  }

  #hash(at: number, length: number): number {
    let hash = FNV_START
    for (let index = at; index < at + length; index++)
      hash = Math.imul(hash, FNV) ^ (this.#memory[index] ?? 0)
    return hash >>> 0
  }

  /** Where the text ends that was written last. */
  #textEnd = 0

  /** The text as UTF-8; half a surrogate pair becomes U+FFFD. */
  #text(text: string): number {
    const { length } = text
    const offset = this.#block(length)
    const memory = this.#memory
    this.#textEnd = offset + length
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code > 0x7f) return this.#longText(text, offset)
      memory[offset + index] = code
    }
    return offset
  }

  #longText(text: string, instead: number): number {
    this.#at = instead - HEAD
    const size = Buffer.byteLength(text)
    const offset = this.#block(size)
    this.#memory.write(text, offset)
    this.#textEnd = offset + size
    return offset
  }

  /** Room as OPA's allocator gives it: in few sizes, which it relies on when something is freed. */
  #block(size: number): number {
    const room = size <= 4 ? 4 : size <= 8 ? 8 : size <= 16 ? 16 : size <= 64 ? 64 : (size + 7) & ~7
    const offset = this.#at + HEAD
    this.#at = offset + room
    if (this.#at > this.#memory.length) this.#grow()
    const words = this.#words
    words[(offset - HEAD) >> 2] = room
    words[(offset - 8) >> 2] = 0
    words[(offset - 4) >> 2] = 0
    return offset
  }

  #grow(): void {
    if (this.#at > MOST_BYTES) throw new TooLarge()
    const larger = Buffer.alloc(2 * this.#at)
    larger.set(this.#memory)
    this.#memory = larger
    this.#words = wordsOf(larger)
  }

  #get(offset: number): number {
    return this.#words[offset >> 2] ?? 0
  }

  #set(offset: number, value: number): void {
    this.#words[offset >> 2] = value
  }
}

function wordsOf(memory: Buffer): Int32Array {
  return new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2)
}

const WRITER = new Writer()
