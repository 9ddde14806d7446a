// How do Go and OPA write a value as text: quoted strings, and the form that %v and print show?

import { isArray, RegoDecimal, RegoObject, RegoSet, type RegoValue } from '../value.ts'

const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u
const ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': String.raw`\a`,
  '\b': String.raw`\b`,
  '\f': String.raw`\f`,
  '\n': String.raw`\n`,
  '\r': String.raw`\r`,
  '\t': String.raw`\t`,
  '\v': String.raw`\v`,
}

/** Go's strconv.Quote; with `asciiOnly` QuoteToASCII. */
export function quote(text: string, asciiOnly = false): string {
  return `"${Array.from(text)
    .map((character) => escape(character, '"', asciiOnly))
    .join('')}"`
}

/** Go's strconv.QuoteRune. */
export function quoteRune(character: string, asciiOnly = false): string {
  return `'${escape(character, "'", asciiOnly)}'`
}

/** Go's strconv.CanBackquote. */
export function canBackquote(text: string): boolean {
  return Array.from(text).every((character) => {
    const code = character.codePointAt(0) ?? 0
    return code === 9 || (code >= 0x20 && character !== '`' && code !== 0x7f && code !== 0xfe_ff)
  })
}

/** OPA's text of a value: strings of collections in quotes, `set()` for the empty set. */
export function valueText(value: RegoValue): string {
  if (typeof value === 'string') return quote(value)
  if (value instanceof RegoDecimal) return value.text
  if (value instanceof RegoSet)
    return value.items.length === 0 ? 'set()' : `{${value.items.map(valueText).join(', ')}}`
  if (value instanceof RegoObject)
    return `{${value.entries.map(([key, item]) => `${valueText(key)}: ${valueText(item)}`).join(', ')}}`
  if (value !== null && isArray(value)) return `[${value.map(valueText).join(', ')}]`
  return String(value)
}

function escape(character: string, delimiter: string, asciiOnly: boolean): string {
  if (character === delimiter || character === '\\') return `\\${character}`
  const code = character.codePointAt(0) ?? 0
  if (code < 0x7f && code >= 0x20) return character
  if (!asciiOnly && code >= 0x7f && PRINTABLE.test(character)) return character
  const short = ESCAPES[character]
  if (short !== undefined) return short
  if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`
  // A lone surrogate is no character: Go sees U+FFFD.
  if (code >= 0xd8_00 && code <= 0xdf_ff) return asciiOnly ? String.raw`\ufffd` : '\ufffd'
  return code < 0x1_00_00 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`
}

function hex(code: number, width: number): string {
  return code.toString(16).padStart(width, '0')
}
