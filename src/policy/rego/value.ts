// Rego values outside the wasm: JSON, plus sets, objects with any keys, and integers of any size.
//
// The text form is that of OPA's wasm runtime (`opa_value_dump`, `opa_value_parse`): JSON with sets
// as `{1, 2}` and the empty set as `set()`.

import { stringifyExact } from '../../base/exact-json.ts'

export type RegoValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly RegoValue[]
  | RegoSet
  | RegoObject
  | RegoDecimal

/** A number whose digits JavaScript would write otherwise: `1.0`, `1e2`, more digits than a double holds. */
export class RegoDecimal {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  get value(): number {
    return Number(this.text)
  }
}

/** A set without duplicates, in OPA's order. */
export class RegoSet {
  readonly items: readonly RegoValue[]

  constructor(items: Iterable<RegoValue>) {
    const sorted = [...items].toSorted(compare)
    this.items = sorted.filter(
      (item, index) => index === 0 || compare(item, sorted[index - 1] ?? null) !== 0,
    )
  }
}

/** An object in OPA's key order; keys are any values. */
export class RegoObject {
  readonly entries: readonly (readonly [RegoValue, RegoValue])[]

  constructor(entries: Iterable<readonly [RegoValue, RegoValue]>) {
    this.entries = [...entries].toSorted((a, b) => compare(a[0], b[0]))
  }

  get(key: string): RegoValue | undefined {
    return this.entries.find(([name]) => name === key)?.[1]
  }
}

export function isArray(value: RegoValue): value is readonly RegoValue[] {
  return Array.isArray(value)
}

export function isNumber(value: RegoValue): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

/** null < booleans < numbers < strings < arrays < objects < sets, as OPA sorts. */
export function compare(a: RegoValue, b: RegoValue): number {
  if (a instanceof RegoDecimal) return compare(a.value, b)
  if (b instanceof RegoDecimal) return compare(a, b.value)
  const kind = rank(a) - rank(b)
  if (kind !== 0) return kind
  if (a === b) return 0
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0
  if (isArray(a) && isArray(b)) return compareLists(a, b)
  if (a instanceof RegoSet && b instanceof RegoSet) return compareLists(a.items, b.items)
  if (a instanceof RegoObject && b instanceof RegoObject)
    return compareLists(a.entries.flat(), b.entries.flat())
  return Number(a) - Number(b)
}

function compareLists(a: readonly RegoValue[], b: readonly RegoValue[]): number {
  const shorter = Math.min(a.length, b.length)
  for (let index = 0; index < shorter; index++) {
    const order = compare(a[index] ?? null, b[index] ?? null)
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** By UTF-8 bytes, which is by code point; JavaScript's `<` goes by UTF-16 units. */
function compareText(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length)
  for (let index = 0; index < shorter; index++) {
    const [one, other] = [a.charCodeAt(index), b.charCodeAt(index)]
    // Those are the same in both orders.
    if (one !== other && one < SURROGATES && other < SURROGATES) return one - other
    if (one !== other) return Buffer.compare(Buffer.from(a), Buffer.from(b))
  }
  return a.length - b.length
}

/** From the first of them on the two orders differ. */
const SURROGATES = 0xd800

function rank(value: RegoValue): number {
  if (value === null) return 0
  switch (typeof value) {
    case 'boolean':
      return 1
    case 'number':
    case 'bigint':
      return 2
    case 'string':
      return 3
    default:
      return value instanceof RegoSet ? 6 : value instanceof RegoObject ? 5 : 4
  }
}

/** The text that `opa_value_parse` reads. */
export function encode(value: RegoValue): string {
  if (value === null) return 'null'
  switch (typeof value) {
    case 'bigint':
      return value.toString()
    case 'number':
      if (!Number.isFinite(value)) return value > 0 ? '1e999' : '-1e999'
      // The shortest digits of a large double are not its value.
      return Number.isInteger(value) && !Number.isSafeInteger(value)
        ? BigInt(value).toString()
        : JSON.stringify(value)
    case 'boolean':
    case 'string':
      return JSON.stringify(value)
    default:
  }
  if (value instanceof RegoDecimal) return value.text
  if (value instanceof RegoSet)
    return value.items.length === 0 ? 'set()' : `{${value.items.map(encode).join(',')}}`
  if (value instanceof RegoObject)
    return `{${value.entries.map(([key, item]) => `${encode(key)}:${encode(item)}`).join(',')}}`
  return `[${value.map(encode).join(',')}]`
}

/** Reads the text of `opa_value_dump`; `exactly`: numbers keep their digits. */
export function decode(text: string, exactly = false): RegoValue {
  const reader = new Reader(text, exactly)
  return reader.value()
}

const NUMBER = /-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
const STRING = /"(?:[^"\\]|\\.)*"/y

class Reader {
  readonly #text: string
  readonly #exactly: boolean
  #at = 0

  constructor(text: string, exactly: boolean) {
    this.#text = text
    this.#exactly = exactly
  }

  value(): RegoValue {
    this.#space()
    switch (this.#text[this.#at]) {
      case '[': {
        this.#at += 1
        return this.#list(']')
      }
      case '{':
        this.#at += 1
        return this.#braces()
      case '"':
        return JSON.parse(this.#token(STRING)) as string
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      case 's':
        return this.#word('set()', new RegoSet([]))
      default: {
        const digits = this.#token(NUMBER)
        const number = Number(digits)
        if (/^-?\d+$/.test(digits)) return Number.isSafeInteger(number) ? number : BigInt(digits)
        return this.#exactly && (String(number) !== digits || Number.isInteger(number))
          ? new RegoDecimal(digits)
          : number
      }
    }
  }

  #braces(): RegoValue {
    if (this.#skip('}')) return new RegoObject([])
    const first = this.value()
    if (!this.#skip(':'))
      return new RegoSet([first, ...(this.#skip(',') ? this.#list('}') : this.#close('}'))])
    const entries: [RegoValue, RegoValue][] = [[first, this.value()]]
    while (this.#skip(',')) {
      const key = this.value()
      if (!this.#skip(':')) throw new Error('a colon was expected in a Rego value')
      entries.push([key, this.value()])
    }
    this.#close('}')
    return new RegoObject(entries)
  }

  #list(end: string): RegoValue[] {
    const items: RegoValue[] = []
    if (this.#skip(end)) return items
    do items.push(this.value())
    while (this.#skip(','))
    this.#close(end)
    return items
  }

  #close(end: string): RegoValue[] {
    if (!this.#skip(end)) throw new Error(`"${end}" was expected in a Rego value`)
    return []
  }

  #skip(character: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  #space(): void {
    while (this.#text.charCodeAt(this.#at) <= 0x20) this.#at += 1
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at))
      throw new Error(`"${word}" was expected in a Rego value`)
    this.#at += word.length
    return value
  }

  #token(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const [found] = pattern.exec(this.#text) ?? []
    if (found === undefined) throw new Error('a Rego value is malformed')
    this.#at += found.length
    return found
  }
}

/** A plain JSON value as Rego sees it. */
export function fromJson(value: unknown): RegoValue {
  if (value === null || value === undefined) return null
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value === 'object')
    return new RegoObject(Object.entries(value).map(([key, item]) => [key, fromJson(item)]))
  return value as RegoValue
}

/** As OPA does, a key that is no text becomes its JSON. */
function keyText(key: RegoValue): string {
  return key !== null && typeof key === 'object' ? stringifyExact(toJson(key)) : encode(key)
}

/** What `json.marshal` would write, parsed: sets become arrays, keys become texts. */
export function toJson(value: RegoValue): unknown {
  if (value instanceof RegoDecimal) return value.value
  if (value instanceof RegoSet) return value.items.map(toJson)
  if (value instanceof RegoObject) {
    return Object.fromEntries(
      value.entries.map(([key, item]) => [
        typeof key === 'string' ? key : keyText(key),
        toJson(item),
      ]),
    )
  }
  return isArray(value) ? value.map(toJson) : value
}
