// Which bytes may stand where (RFC 9110 section 5.6.2, RFC 9112 sections 3 and 4): one table, one bit a use.

export const TOKEN = 1
export const VALUE = 2
export const TARGET = 4
export const DIGIT = 8
export const HOST = 16
/** Inside a quoted string, the quote and the backslash excepted. */
export const QUOTED = 32
/** What user information adds to a host. */
export const USER = 64

const CLASSES = classes()

export function is(code: number, use: number): boolean {
  return ((CLASSES[code] ?? 0) & use) !== 0
}

/** Whether every character of a text may stand in a use; an empty text may not. */
export function isAll(text: string, use: number): boolean {
  for (let index = 0; index < text.length; index++) {
    if (((CLASSES[text.charCodeAt(index)] ?? 0) & use) === 0) return false
  }
  return text.length > 0
}

/** The index of the first character from `at` that may not stand in a use. */
export function endOf(text: string, at: number, use: number): number {
  let index = at
  while (index < text.length && ((CLASSES[text.charCodeAt(index)] ?? 0) & use) !== 0) index += 1
  return index
}

export const CR = 13
export const LF = 10

function classes(): Uint8Array {
  const table = new Uint8Array(256)
  const mark = (use: number, codes: Iterable<number>): void => {
    for (const code of codes) table[code] = (table[code] ?? 0) | use
  }
  const range = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, index) => from + index)
  const codes = (text: string): number[] => Array.from(text, (char) => char.charCodeAt(0))
  const alphanumeric = [...range(0x30, 0x39), ...range(0x41, 0x5a), ...range(0x61, 0x7a)]

  mark(TOKEN, [...alphanumeric, ...codes("!#$%&'*+-.^_`|~")])
  mark(VALUE, [9, ...range(0x20, 0x7e), ...range(0x80, 0xff)])
  mark(TARGET, range(0x21, 0x7e))
  mark(DIGIT, range(0x30, 0x39))
  mark(HOST, [...alphanumeric, ...codes("-._~!$&'()*+;=%:[]")])
  mark(USER, codes('@'))
  mark(QUOTED, [9, ...range(0x20, 0x7e), ...range(0x80, 0xff)])
  table[0x22] = (table[0x22] ?? 0) & ~QUOTED
  table[0x5c] = (table[0x5c] ?? 0) & ~QUOTED
  return table
}
