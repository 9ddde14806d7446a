// JSON as it stands in a body: each value with its place, nothing lost and nothing normalised.
//
// JSON.parse tells what a text means, not where it stands: a redacted body must keep the spelling of its
// numbers, the order of its keys and its white space. This reader is linear, goes 128 levels deep, makes a
// bounded number of nodes, notices keys that stand twice, and gives what it has read where a text ends early.

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'literal'

/** Why a text is not, or not wholly, JSON. */
export type JsonProblem = 'syntax' | 'incomplete' | 'depth' | 'too_many'

export class JsonNode {
  readonly kind: JsonKind
  /** The key it stands under, unescaped; undefined in arrays and at the top. */
  readonly key: string | undefined
  /** Place of the value, quotes included; of a string cut off, the end of what can be read. */
  start: number
  end: number
  /** Of strings the text, unescaped; of numbers and literals their spelling. */
  value = ''
  /** Of strings: holds escapes, so that places in `value` are not places in the body. */
  escaped = false
  /** Numbers and literals inside arrays are left out unless they are long: token ids and vectors. */
  items: JsonNode[] = NONE

  constructor(kind: JsonKind, key: string | undefined, start: number) {
    this.kind = kind
    this.key = key
    this.start = start
    this.end = start
  }
}

const NONE: JsonNode[] = []
const MAX_DEPTH = 128
const MAX_NODES = 250_000
/** Shorter numbers in arrays mean nothing to a detector. */
const LONG_NUMBER = 8

export interface JsonReading {
  readonly root: JsonNode | undefined
  /** Where reading ended. */
  readonly end: number
  readonly problem: JsonProblem | undefined
  /** An object has a key twice: readers differ in which of them counts. */
  readonly repeats: boolean
}

/** Reads one JSON text, white space around it allowed. */
export function readJson(text: string): JsonReading {
  const reader = new Reader(text, 0)
  return reader.whole()
}

/** The member of an object; of keys that stand twice the last, as most readers take it. */
export function member(node: JsonNode | undefined, key: string): JsonNode | undefined {
  if (node?.kind !== 'object') return undefined
  const items = node.items
  for (let index = items.length - 1; index >= 0; index--)
    if (items[index]?.key === key) return items[index]
  return undefined
}

function stringOf(node: JsonNode | undefined): string | undefined {
  return node?.kind === 'string' ? node.value : undefined
}

export function memberString(node: JsonNode | undefined, key: string): string | undefined {
  return stringOf(member(node, key))
}

class Reader {
  readonly #text: string
  #at: number
  #nodes = 0
  #problem: JsonProblem | undefined
  #repeats = false

  constructor(text: string, at: number) {
    this.#text = text
    this.#at = at
  }

  whole(): JsonReading {
    if (this.#text.charCodeAt(this.#at) === 0xfeff) this.#at += 1
    const reading = this.one()
    if (reading.problem !== undefined) return reading
    this.#skipBlank()
    return this.#at === this.#text.length
      ? reading
      : { ...reading, problem: 'syntax', end: this.#at }
  }

  one(): JsonReading {
    this.#skipBlank()
    const root = this.#value(undefined, 0, false)
    return { root, end: this.#at, problem: this.#problem, repeats: this.#repeats }
  }

  #fail(problem: JsonProblem): undefined {
    this.#problem ??= problem
    return undefined
  }

  /** The fault of a text that ends here is that it ends. */
  #unexpected(): undefined {
    return this.#fail(this.#at >= this.#text.length ? 'incomplete' : 'syntax')
  }

  #skipBlank(): void {
    const text = this.#text
    for (;;) {
      const code = text.charCodeAt(this.#at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#at += 1
    }
  }

  #node(kind: JsonKind, key: string | undefined): JsonNode {
    this.#nodes += 1
    if (this.#nodes > MAX_NODES) this.#fail('too_many')
    return new JsonNode(kind, key, this.#at)
  }

  #value(key: string | undefined, depth: number, inArray: boolean): JsonNode | undefined {
    switch (this.#text.charCodeAt(this.#at)) {
      case 34:
        return this.#string(key)
      case 123:
        return this.#object(key, depth + 1)
      case 91:
        return this.#array(key, depth + 1)
      case 116:
        return this.#literal(key, 'true', inArray)
      case 102:
        return this.#literal(key, 'false', inArray)
      case 110:
        return this.#literal(key, 'null', inArray)
      default:
        return this.#number(key, inArray)
    }
  }

  #object(key: string | undefined, depth: number): JsonNode {
    const node = this.#node('object', key)
    node.items = []
    if (depth > MAX_DEPTH) this.#fail('depth')
    this.#at += 1
    this.#skipBlank()
    if (this.#text.charCodeAt(this.#at) === 125) this.#at += 1
    else while (this.#problem === undefined && this.#member(node, depth)) this.#skipBlank()
    node.end = this.#at
    if (repeatsKey(node.items)) this.#repeats = true
    return node
  }

  /** Reads `"key": value` and what follows; false after the closing bracket. */
  #member(node: JsonNode, depth: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== 34) {
      this.#unexpected()
      return false
    }
    const keyStart = this.#at
    const escaped = this.#skipString()
    if (escaped === undefined) return false
    const key = unquoted(this.#text, keyStart, this.#at, escaped)
    this.#skipBlank()
    if (this.#text.charCodeAt(this.#at) !== 58) {
      this.#unexpected()
      return false
    }
    this.#at += 1
    this.#skipBlank()
    const value = this.#value(key, depth, false)
    if (value !== undefined) node.items.push(value)
    if (this.#problem !== undefined) return false
    return this.#goesOn(125)
  }

  #array(key: string | undefined, depth: number): JsonNode {
    const node = this.#node('array', key)
    node.items = []
    if (depth > MAX_DEPTH) this.#fail('depth')
    this.#at += 1
    this.#skipBlank()
    if (this.#text.charCodeAt(this.#at) === 93) this.#at += 1
    else while (this.#problem === undefined && this.#element(node, depth)) this.#skipBlank()
    node.end = this.#at
    return node
  }

  #element(node: JsonNode, depth: number): boolean {
    const value = this.#value(undefined, depth, true)
    if (value !== undefined) node.items.push(value)
    if (this.#problem !== undefined) return false
    return this.#goesOn(93)
  }

  #goesOn(closing: number): boolean {
    this.#skipBlank()
    const code = this.#text.charCodeAt(this.#at)
    if (code !== closing && code !== 44) {
      this.#unexpected()
      return false
    }
    this.#at += 1
    return code === 44
  }

  #string(key: string | undefined): JsonNode {
    const node = this.#node('string', key)
    const escaped = this.#skipString()
    node.end = this.#at
    if (escaped === undefined) {
      // Cut off: what stands before the cut, or before the escape that the cut went through.
      node.value = partOf(this.#text, node.start, this.#at)
      node.escaped = true
      return node
    }
    node.escaped = escaped
    node.value = unquoted(this.#text, node.start, this.#at, escaped)
    return node
  }

  /** Moves behind a string; true where it holds escapes, undefined where it has no end. */
  #skipString(): boolean | undefined {
    const text = this.#text
    const size = text.length
    let at = this.#at + 1
    let escaped = false
    for (;;) {
      PLAIN.lastIndex = at
      PLAIN.test(text)
      at = PLAIN.lastIndex
      const code = text.charCodeAt(at)
      if (code === 34) {
        this.#at = at + 1
        return escaped
      }
      if (code !== 92) break
      escaped = true
      const length = escapeAt(text, at)
      if (length === 0) break
      at += length
    }
    this.#at = at
    const isCut =
      at >= size || (text.charCodeAt(at) === 92 && CUT_ESCAPE.test(text.slice(at, at + 6)))
    return this.#fail(isCut ? 'incomplete' : 'syntax')
  }

  #literal(key: string | undefined, word: string, inArray: boolean): JsonNode | undefined {
    const text = this.#text
    if (!text.startsWith(word, this.#at)) {
      const rest = text.slice(this.#at, this.#at + word.length)
      const isCut = this.#at + rest.length >= text.length && word.startsWith(rest)
      return this.#fail(isCut ? 'incomplete' : 'syntax')
    }
    const node = inArray ? undefined : this.#node('literal', key)
    this.#at += word.length
    if (node !== undefined) {
      node.value = word
      node.end = this.#at
    }
    return node
  }

  #number(key: string | undefined, inArray: boolean): JsonNode | undefined {
    const text = this.#text
    const start = this.#at
    let at = start
    if (text.charCodeAt(at) === 45) at += 1
    const whole = digitsFrom(text, at)
    const isPadded = text.charCodeAt(at) === 48 && whole > at + 1
    if (whole === at || isPadded) {
      this.#at = whole === at ? at : at + 1
      return this.#unexpected()
    }
    at = whole
    if (text.charCodeAt(at) === 46) {
      const end = digitsFrom(text, at + 1)
      this.#at = end
      if (end === at + 1) return this.#unexpected()
      at = end
    }
    if (text.charCodeAt(at) === 101 || text.charCodeAt(at) === 69) {
      const sign = text.charCodeAt(at + 1)
      const from = sign === 43 || sign === 45 ? at + 2 : at + 1
      const end = digitsFrom(text, from)
      this.#at = end
      if (end === from) return this.#unexpected()
      at = end
    }
    this.#at = start
    if (inArray && at - start < LONG_NUMBER) {
      this.#at = at
      return undefined
    }
    const node = this.#node('number', key)
    this.#at = at
    node.end = at
    node.value = text.slice(start, at)
    return node
  }
}

/** What a string holds as it stands; matched by compiled code, several times as fast as a loop. */
// oxlint-disable-next-line no-control-regex -- control characters are what JSON forbids
const PLAIN = /[^"\\\u0000-\u001F]*/y
const CUT_ESCAPE = /^\\(?:u[0-9A-Fa-f]{0,3})?$/

/** How long the escape at a backslash is; 0 where it is none. */
export function escapeAt(text: string, at: number): number {
  switch (text.charCodeAt(at + 1)) {
    case 34:
    case 92:
    case 47:
    case 98:
    case 102:
    case 110:
    case 114:
    case 116:
      return 2
    case 117:
      return isHex(text, at + 2) &&
        isHex(text, at + 3) &&
        isHex(text, at + 4) &&
        isHex(text, at + 5)
        ? 6
        : 0
    default:
      return 0
  }
}

function isHex(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  const lower = code | 32
  return (code >= 48 && code <= 57) || (lower >= 97 && lower <= 102)
}

function digitsFrom(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (!(code >= 48 && code <= 57)) return at
    at += 1
  }
}

function unquoted(text: string, start: number, end: number, escaped: boolean): string {
  return escaped ? String(JSON.parse(text.slice(start, end))) : text.slice(start + 1, end - 1)
}

/** The text of a string that has no end. */
function partOf(text: string, start: number, end: number): string {
  return String(JSON.parse(`${text.slice(start, end)}"`))
}

const FEW = 8

function repeatsKey(items: readonly JsonNode[]): boolean {
  if (items.length > FEW) return new Set(items.map(({ key }) => key)).size < items.length
  for (let one = 1; one < items.length; one++)
    for (let other = 0; other < one; other++) if (items[one]?.key === items[other]?.key) return true
  return false
}
