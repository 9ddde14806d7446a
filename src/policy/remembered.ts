// What was found out about something, for as long as there is room: known again by a list of plain values.
//
// A list is found by its hash and compared value by value, so that two lists are never taken for one another;
// the hash looks at some characters of a text only, because who makes it collide gains nothing but work.
// Two generations: what is asked for again moves to the young one, and the old one goes as a whole.

/** Symbols mark where something that is not plain begins. */
export type Fact = string | number | bigint | boolean | symbol | null | undefined

/** A text that is part of a longer one keeps that in memory, from this length on. */
const OWN_LENGTH = 13
/** Characters that the hash looks at, at the beginning and at the end of a text: what tells names and addresses apart. */
const LOOKED_AT = 16
const FNV = 0x0100_0193
const FNV_START = 0x811c_9dc5 | 0

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)

/** One list after the other; what it takes is not freed between them. */
export class Facts {
  readonly #list: Fact[] = []
  #length = 0
  #hash = FNV_START

  get hash(): number {
    return this.#hash
  }

  clear(): void {
    this.#length = 0
    this.#hash = FNV_START
  }

  add(fact: Fact): void {
    this.#list[this.#length++] = fact
    let hash = this.#hash
    if (typeof fact === 'string') {
      const { length } = fact
      hash = Math.imul(hash ^ length, FNV)
      for (let at = 0; at < length; at++) {
        if (at === LOOKED_AT && length > 2 * LOOKED_AT) at = length - LOOKED_AT
        hash = Math.imul(hash ^ fact.charCodeAt(at), FNV)
      }
    } else if (typeof fact === 'number') {
      // Zero has two signs and is one number.
      double[0] = fact + 0
      hash = Math.imul(Math.imul(hash ^ (halves[0] ?? 0), FNV) ^ (halves[1] ?? 0), FNV)
    } else hash = Math.imul(hash ^ (fact === true ? 1 : fact === false ? 2 : 3), FNV)
    this.#hash = hash
  }

  /** Of a member, which seldom tells lists apart: the hash does without it. */
  addName(name: string): void {
    this.#list[this.#length++] = name
  }

  /** Texts are in memory of their own. */
  copy(): Fact[] {
    const copy = this.#list.slice(0, this.#length)
    for (let at = 0; at < copy.length; at++) {
      const fact = copy[at]
      if (typeof fact === 'string' && fact.length >= OWN_LENGTH) copy[at] = ` ${fact}`.slice(1)
    }
    return copy
  }

  equals(other: readonly Fact[]): boolean {
    if (other.length !== this.#length) return false
    for (let at = 0; at < other.length; at++) if (other[at] !== this.#list[at]) return false
    return true
  }

  /** Bytes, roughly. */
  size(): number {
    let size = 8 * this.#length
    for (let at = 0; at < this.#length; at++) {
      const fact = this.#list[at]
      if (typeof fact === 'string') size += 16 + 2 * fact.length
      else if (typeof fact === 'bigint') size += 16 + fact.toString().length
    }
    return size
  }
}

interface Entry<V> {
  readonly facts: readonly Fact[]
  readonly value: V
  readonly bytes: number
}

/** A longer list is not remembered. */
const MOST_BYTES = 64 * 1024
const ENTRY_BYTES = 200

export class Remembered<V> {
  readonly #most: number
  #young = new Map<number, Entry<V>>()
  #old: ReadonlyMap<number, Entry<V>> = new Map()
  #youngBytes = 0

  /** `bytes`: what lists and values take together, roughly. */
  constructor(bytes: number) {
    this.#most = bytes / 2
  }

  get(facts: Facts): V | undefined {
    const young = this.#young.get(facts.hash)
    if (young !== undefined && facts.equals(young.facts)) return young.value
    const old = this.#old.get(facts.hash)
    if (old === undefined || !facts.equals(old.facts)) return undefined
    this.#put(facts.hash, old)
    return old.value
  }

  /** `bytes`: of the value. */
  set(facts: Facts, value: V, bytes: number): void {
    const size = facts.size()
    if (size > MOST_BYTES) return
    this.#put(facts.hash, { facts: facts.copy(), value, bytes: ENTRY_BYTES + size + bytes })
  }

  #put(hash: number, entry: Entry<V>): void {
    this.#youngBytes += entry.bytes - (this.#young.get(hash)?.bytes ?? 0)
    this.#young.set(hash, entry)
    if (this.#youngBytes <= this.#most) return
    this.#old = this.#young
    this.#young = new Map()
    this.#youngBytes = 0
  }
}
