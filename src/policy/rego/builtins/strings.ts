// What do the built-ins over strings answer that OPA's wasm leaves to its host?

import {
  BuiltinLimit,
  boundedText,
  boundedCount,
  type Builtin,
  type BuiltinTable,
  fail,
  integerAt,
  numberAt,
  MAX_TEXT,
  type Operands,
  textAt,
  textsOf,
  valueAt,
} from './operands.ts'
import { sprintf } from './sprintf.ts'

export const STRING_BUILTINS: BuiltinTable = {
  sprintf,
  indexof_n: indexOfAll,
  'strings.any_prefix_match': anyAffix((text, affix) => text.startsWith(affix)),
  'strings.any_suffix_match': anyAffix((text, affix) => text.endsWith(affix)),
  'strings.count': count,
  'strings.split_n': splitN,
  replace: (operands) =>
    boundedText(replaceAll(textAt(operands, 0), textAt(operands, 1), textAt(operands, 2))),
  concat: (operands) => boundedText(textsOf(valueAt(operands, 1)).join(textAt(operands, 0))),
  indexof: indexOf,
  format_int: formatInteger,
  'glob.quote_meta': (operands) => textAt(operands, 0).replaceAll(/[*?\\[\]{}]/g, String.raw`\$&`),
}

/** In characters, -1 where it is not. */
function indexOf(operands: Operands): number {
  const text = textAt(operands, 0)
  const search = textAt(operands, 1)
  if (search === '') fail('the search text is empty')
  const at = text.indexOf(search)
  return at === -1 ? -1 : lengthOf(text.slice(0, at))
}

/** Fractions are cut off. */
function formatInteger(operands: Operands): string {
  const number = numberAt(operands, 0)
  const base = Number(numberAt(operands, 1))
  if (![2, 8, 10, 16].includes(base)) fail('the base must be 2, 8, 10 or 16')
  const integer = typeof number === 'number' ? BigInt(Math.trunc(number)) : number
  return integer.toString(base)
}

/** Positions in characters, also overlapping ones. */
function indexOfAll(operands: Operands): number[] {
  const text = textAt(operands, 0)
  const search = textAt(operands, 1)
  if (search === '') fail('the search text is empty')
  const places: number[] = []
  let characters = 0
  let from = 0
  for (let at = text.indexOf(search); at !== -1; at = text.indexOf(search, at + 1)) {
    characters += lengthOf(text.slice(from, at))
    from = at
    places.push(characters)
    boundedCount(places.length)
  }
  return places
}

function anyAffix(matches: (text: string, affix: string) => boolean): Builtin {
  return (operands) => {
    const texts = textOrTexts(operands, 0)
    const affixes = textOrTexts(operands, 1)
    return texts.some((text) => affixes.some((affix) => matches(text, affix)))
  }
}

function textOrTexts(operands: Operands, index: number): readonly string[] {
  const value = valueAt(operands, index)
  return typeof value === 'string' ? [value] : textsOf(value)
}

/** Without overlaps; the empty text stands before each character and at the end. */
function count(operands: Operands): number {
  const text = textAt(operands, 0)
  const search = textAt(operands, 1)
  return search === '' ? lengthOf(text) + 1 : text.split(search).length - 1
}

/** The first pieces, that many; with a negative number the last ones. */
function splitN(operands: Operands): string[] {
  const text = textAt(operands, 0)
  const delimiter = textAt(operands, 1)
  const limit = integerAt(operands, 2)
  if (limit === 0n) return []
  const pieces = delimiter === '' ? Array.from(text) : text.split(delimiter)
  boundedCount(pieces.length)
  const wanted = Number(limit)
  return wanted < 0 ? pieces.slice(wanted) : pieces.slice(0, wanted)
}

/** Go's Replacer: an empty old text stands before each byte and at the end; half a character is U+FFFD. */
function replaceAll(text: string, old: string, replacement: string): string {
  const pieces = old === '' ? ['', ...bytesOf(text), ''] : text.split(old)
  if (old === '' && text === '') return replacement
  if (old === '' && replacement === '') return text
  const length = text.length + (pieces.length - 1) * replacement.length
  if (length > MAX_TEXT) throw new BuiltinLimit('memory limit: replace made too long a string')
  return pieces.join(replacement)
}

function bytesOf(text: string): readonly string[] {
  return Array.from(Buffer.from(text), (byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : '\ufffd',
  )
}

function lengthOf(text: string): number {
  let length = 0
  for (const _ of text) length += 1
  return length
}
