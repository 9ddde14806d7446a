// How long is an answer, in tokens, before its service tells? Counts the text in it while it passes.
//
// Text of an answer stands as a JSON string under few keys, whatever the format; what is under other keys is not
// text that a model wrote. A string is looked for as bytes and its length taken, four bytes a token: a word of English, a
// character of Chinese. It is an estimate; what the service counts takes its place once it is told.
//
// Formats whose events are called by their type (`response.output_text.delta`) say the same text several times: in pieces,
// then as a whole. There only pieces count, and no sound.

const KEYS = [
  'content',
  'text',
  'delta',
  'partial_json',
  'thinking',
  'arguments',
  'response',
  'reasoning_content',
]
const LONGEST = Math.max(...KEYS.map((key) => key.length))
/** Formats with types of events: a word with dots that stands before the rest of its event. */
const TYPED = new Set(['openai-responses', 'openai-realtime'])
const TYPE_KEY = ['type']
const LONGEST_TYPE = 128
/** White space and quotes around a key that is cut. */
const BLANKS = 8
/** White space without an end is no value. */
const MOST_KEPT = 1024
const BYTES_A_TOKEN = 4

const QUOTE = 34
const BACKSLASH = 92
const COLON = 58

/** outside: no text is open. text: in a string that counts. */
type Place = 'outside' | 'text'

export class OutputScan {
  readonly #isTyped: boolean
  /** The event that passes is a piece of text. */
  #counts = true
  #place: Place = 'outside'
  /** The character before was a backslash that escapes. */
  #escaped = false
  #bytes = 0
  /** The end of what has passed: a key may be cut. */
  #rest: Buffer = Buffer.alloc(0)

  /** `format`: of the request. */
  constructor(format: string) {
    this.#isTyped = TYPED.has(format)
  }

  /** Of text so far. */
  get tokens(): number {
    return Math.ceil(this.#bytes / BYTES_A_TOKEN)
  }

  push(part: Buffer): void {
    let at = 0
    let bytes = part
    if (this.#place === 'outside' && this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, part])
      this.#rest = Buffer.alloc(0)
    }
    while (at < bytes.length)
      at = this.#place === 'text' ? this.#text(bytes, at) : this.#look(bytes, at)
  }

  /** To the end of a string, counting it. */
  #text(bytes: Buffer, from: number): number {
    let at = from
    for (; at < bytes.length; at++) {
      if (this.#escaped) {
        // An escape is a character, whatever its length.
        this.#escaped = false
        this.#bytes += 1
      } else if (bytes[at] === BACKSLASH) this.#escaped = true
      else if (bytes[at] === QUOTE) {
        this.#place = 'outside'
        return at + 1
      } else this.#bytes += 1
    }
    return at
  }

  /** To the beginning of the next string that counts, or to the end. */
  #look(bytes: Buffer, from: number): number {
    let at = from
    for (;;) {
      const colon = bytes.indexOf(COLON, at)
      if (colon === -1) break
      let value = colon + 1
      while (isBlank(bytes[value])) value += 1
      if (value >= bytes.length) return this.#keep(bytes, from, colon)
      if (bytes[value] === QUOTE) {
        if (this.#counts && isKey(bytes, colon, KEYS)) {
          this.#place = 'text'
          return value + 1
        }
        if (this.#isTyped && isKey(bytes, colon, TYPE_KEY)) {
          const end = bytes.indexOf(QUOTE, value + 1)
          if (end === -1 && bytes.length - value <= LONGEST_TYPE)
            return this.#keep(bytes, from, colon)
          this.#type(bytes.toString('latin1', value + 1, end === -1 ? value + 1 : end))
        }
      }
      at = value
    }
    return this.#keep(bytes, from, bytes.length)
  }

  /** Types inside an event, such as those of its items, have no dots. */
  #type(type: string): void {
    if (!type.includes('.')) return
    this.#counts =
      type.endsWith('.delta') && !type.includes('audio.delta') && !type.startsWith('conversation.')
  }

  /** What may be the beginning of a key and its value, behind what was counted. */
  #keep(bytes: Buffer, from: number, until: number): number {
    const start = Math.max(from, until - LONGEST - BLANKS)
    if (bytes.length - start < MOST_KEPT) this.#rest = Buffer.from(bytes.subarray(start))
    return bytes.length
  }
}

/** Whether one of the keys ends before the colon; a quote behind a backslash is one inside another string. */
function isKey(bytes: Buffer, colon: number, keys: readonly string[]): boolean {
  let end = colon - 1
  while (end >= 0 && isBlank(bytes[end])) end -= 1
  if (bytes[end] !== QUOTE || bytes[end - 1] === BACKSLASH) return false
  return keys.some((key) => {
    const start = end - key.length
    return start >= 1 && bytes[start - 1] === QUOTE && bytes.toString('latin1', start, end) === key
  })
}

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 9 || byte === 10 || byte === 13
}
