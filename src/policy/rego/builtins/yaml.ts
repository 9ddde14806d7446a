// What do the yaml built-ins answer? YAML as OPA's Go library reads and writes it.
//
// `yes` and dates are text, the last of two equal keys counts, numbers are those of YAML 1.1 without
// base 60. What JSON does not have (infinity, keys that are collections) fails.

import { parseAllDocuments, parseDocument, type ScalarTag, visit, Scalar } from 'yaml'
import { RegoObject, type RegoValue } from '../value.ts'
import { formatFloat } from './floats.ts'
import { writeJson } from './json-text.ts'
import { boundedText, fail, toNumber } from './operands.ts'

const MAX_YAML = 1024 * 1024
const MAX_ALIASES = 100
const MAX_DEPTH = 1000
const STANDARD = 'tag:yaml.org,2002:'
const KEPT = new Set(['map', 'seq', 'str', 'null', 'merge'].map((name) => STANDARD + name))

const NULL = /^(?:~|null|Null|NULL)?$/
const BOOLEAN = /^(?:true|True|TRUE|false|False|FALSE)$/
const INTEGER = /^[-+]?(?:0b_*[01][01_]*|0o_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|\d[\d_]*)$/
const FLOAT = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/
const NO_NUMBER = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/
const DATE = /^\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]|[ \t]+)\d{1,2}:\d{2}:\d{2}.*)?$/
const BASE_60 = /^[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/
const OLD_BOOLEAN = /^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)$/
/** What Go's writer escapes: control characters, and all beyond the basic plane. */
const SPECIAL = /[^\n\u{20}-\u{7e}\u{85}\u{a0}-\u{d7ff}\u{e000}-\u{fefe}\u{ff00}-\u{fffd}]/u
/** What Go's reader takes for no text. */
const NO_CHARACTER =
  /[^\t\n\r\u{20}-\u{7e}\u{85}\u{a0}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u
const SURROGATE = /\\u[dD][89a-fA-F][0-9a-fA-F]{2}/
const INDICATOR =
  /^(?:[#,[\]{}&*!|>'"%@`]|[-?:](?:\s|$)|---|\.\.\.)|: | #|:$|^ | $|[\u0085\u2028\u2029]/

const TAGS: readonly ScalarTag[] = [
  {
    tag: `${STANDARD}bool`,
    default: true,
    test: BOOLEAN,
    resolve: (text) => text.toLowerCase() === 'true',
  },
  { tag: `${STANDARD}int`, default: true, test: INTEGER, resolve: integerOf },
  { tag: `${STANDARD}float`, default: true, test: FLOAT, resolve: floatOf },
  { tag: `${STANDARD}float`, default: true, test: NO_NUMBER, resolve: () => Number.NaN },
  {
    tag: `${STANDARD}binary`,
    default: false,
    resolve: (text) => Buffer.from(text, 'base64').toString(),
  },
]

export function readYaml(text: string): RegoValue | undefined {
  if (text.length > MAX_YAML) return fail('the text is too long')
  if (NO_CHARACTER.test(text)) return undefined
  try {
    const document = parseDocument(text, {
      version: '1.1',
      merge: true,
      uniqueKeys: false,
      logLevel: 'silent',
      customTags: (tags) => [
        ...tags.filter((tag) => typeof tag !== 'string' && KEPT.has(tag.tag)),
        ...TAGS,
      ],
    })
    // Of several documents the first counts.
    if (document.errors.some(({ code }) => code !== 'MULTIPLE_DOCS')) return undefined
    if (hasSurrogate(document, text)) return undefined
    if (!text.endsWith('\n')) endWithoutBreak(document, text.length)
    return fromYaml(document.toJS({ maxAliasCount: MAX_ALIASES, mapAsMap: true }), 0)
  } catch {
    return undefined
  }
}

/** Whether all of a text is YAML, also what follows the document that counts. */
export function isYaml(text: string): boolean {
  if (readYaml(text) === undefined) return false
  if (!/^---/m.test(text)) return true
  const documents = parseAllDocuments(text, { version: '1.1', logLevel: 'silent' })
  return [...documents].every(({ errors }) => errors.every(({ code }) => code === 'DUPLICATE_KEY'))
}

/** Half a surrogate pair is no character, not even beside its other half. */
function hasSurrogate(document: Parameters<typeof visit>[0], text: string): boolean {
  let found = false
  visit(document, {
    Scalar: (_key, node) => {
      const source = text.slice(node.range?.[0], node.range?.[1])
      if (node.type === Scalar.QUOTE_DOUBLE && SURROGATE.test(source)) found = true
    },
  })
  return found
}

/** A block text that ends with the file has no line break that the file has not. */
function endWithoutBreak(document: Parameters<typeof visit>[0], end: number): void {
  visit(document, {
    Scalar: (_key, node) => {
      const isBlock = node.type === Scalar.BLOCK_LITERAL || node.type === Scalar.BLOCK_FOLDED
      if (!isBlock || (node.range?.[1] ?? 0) < end || typeof node.value !== 'string') return
      node.value = node.value.replace(/\n$/, '')
    },
  })
}

function fromYaml(value: unknown, depth: number): RegoValue {
  if (depth > MAX_DEPTH) return fail('the text nests too deep')
  if (value === null || value === undefined) return null
  if (typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : fail('no number of JSON')
  if (typeof value === 'bigint') return toNumber(value)
  if (Array.isArray(value)) return value.map((item) => fromYaml(item, depth + 1))
  if (value instanceof Map)
    return new RegoObject(
      [...value].map(([key, item]) => [keyOf(key), fromYaml(item, depth + 1)] as const),
    )
  return fail('a value that JSON does not have')
}

function keyOf(key: unknown): string {
  switch (typeof key) {
    case 'string':
      return key
    case 'boolean':
    case 'number':
    case 'bigint':
      return key.toString()
    default:
      return fail('a key that is no text')
  }
}

function integerOf(text: string): bigint | number {
  const negative = text.startsWith('-')
  const digits = text.replace(/^[-+]/, '').replaceAll('_', '')
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits
  const size = BigInt(octal)
  const integer = negative ? -size : size
  const fits = BigInt.asIntN(64, integer) === integer || BigInt.asUintN(64, integer) === integer
  return fits ? integer : Number(integer)
}

function floatOf(text: string): number | string {
  const number = Number(text)
  return Number.isFinite(number) ? number : text
}

/** Through JSON, as OPA does: sets become lists and keys texts. */
export function writeYaml(value: RegoValue): string {
  const json = writeJson(value)
  if (NO_CHARACTER.test(json)) fail('a character that YAML does not have')
  return boundedText(block(JSON.parse(json, exactly), 0, '').replace(/^\n/, ''))
}

function exactly(_key: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source
  if (typeof value !== 'number' || source === undefined) return value
  if (!/^-?\d+$/.test(source) || Number.isSafeInteger(value)) return value
  const integer = BigInt(source)
  // Go reads integers of 64 bits, with or without a sign; beyond them are floats.
  const fits = BigInt.asIntN(64, integer) === integer || BigInt.asUintN(64, integer) === integer
  return fits ? integer : value
}

/** A value after what leads to it (`key:` or `-`), with the line break that ends it. */
function block(value: unknown, indent: number, lead: string): string {
  const margin = ' '.repeat(indent)
  const space = lead === '' ? '' : ' '
  if (Array.isArray(value)) {
    if (value.length === 0) return `${lead}${space}[]\n`
    const items = value.map((item) => `${margin}${inline(item, indent)}`).join('')
    return `${lead}\n${items}`
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    if (entries.length === 0) return `${lead}${space}{}\n`
    return `${lead}\n${entries
      .toSorted(([a], [b]) => naturally(a, b))
      .map(([key, item]) => `${margin}${entry(key, item, indent)}`)
      .join('')}`
  }
  return `${lead}${space}${scalar(value, lead === '' ? 2 : indent)}\n`
}

/** An element of a list: a collection starts on the line of its dash. */
function inline(item: unknown, indent: number): string {
  const text = block(item, indent + 2, '-')
  return text.startsWith('-\n') ? `- ${text.slice(2).trimStart()}` : text
}

function entry(key: string, item: unknown, indent: number): string {
  const name = scalar(key, indent + 2)
  return name.includes('\n')
    ? `? ${name}\n${' '.repeat(indent)}${block(item, indent + 2, ':')}`
    : block(item, indent + 2, `${name}:`)
}

function scalar(value: unknown, indent: number): string {
  if (typeof value === 'number')
    return Number.isSafeInteger(value)
      ? BigInt(value).toString()
      : formatFloat(value, 'g', undefined)
  if (typeof value !== 'string') return String(value)
  if (value.includes('\n') && !SPECIAL.test(value) && !/ \n| $|^ +\n/.test(value))
    return literal(value, indent)
  if (SPECIAL.test(value) || value.includes('\n') || readsAsOther(value)) return doubleQuoted(value)
  return INDICATOR.test(value) ? `'${value.replaceAll("'", "''")}'` : value
}

function readsAsOther(text: string): boolean {
  return [NULL, BOOLEAN, INTEGER, FLOAT, NO_NUMBER, DATE, BASE_60, OLD_BOOLEAN].some((pattern) =>
    pattern.test(text),
  )
}

function literal(text: string, indent: number): string {
  const hint = /^[ \n]/.test(text) ? '2' : ''
  const kept = /^\n$|\n\n$/.test(text)
  const chomp = text.endsWith('\n') ? (kept ? '+' : '') : '-'
  const lines = text.replace(/\n$/, '').split('\n')
  const margin = ' '.repeat(indent)
  return [`|${hint}${chomp}`, ...lines.map((line) => (line === '' ? '' : margin + line))].join('\n')
}

const SHORT: Readonly<Record<string, string>> = {
  '\0': String.raw`\0`,
  '\u0007': String.raw`\a`,
  '\b': String.raw`\b`,
  '\t': String.raw`\t`,
  '\n': String.raw`\n`,
  '\v': String.raw`\v`,
  '\f': String.raw`\f`,
  '\r': String.raw`\r`,
  '\u001b': String.raw`\e`,
  '"': String.raw`\"`,
  '\\': String.raw`\\`,
}

function doubleQuoted(text: string): string {
  const escaped = Array.from(text, (character) => {
    const short = SHORT[character]
    if (short !== undefined) return short
    if (!SPECIAL.test(character)) return character
    const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase()
    if (hex.length <= 2) return `\\x${hex.padStart(2, '0')}`
    return hex.length <= 4 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
  })
  return `"${escaped.join('')}"`
}

/** Runs of digits count as numbers, and letters come after all else. */
function naturally(a: string, b: string): number {
  const [left, right] = [pieces(a), pieces(b)]
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const [x = '', y = ''] = [left[index], right[index]]
    if (x === y) continue
    if (/^\d/.test(x) && /^\d/.test(y)) {
      const order = BigInt(x) - BigInt(y)
      if (order !== 0n) return order < 0n ? -1 : 1
      return x.length - y.length
    }
    const letters = Number(/^\p{L}/u.test(x)) - Number(/^\p{L}/u.test(y))
    return letters === 0 ? (x < y ? -1 : 1) : letters
  }
  return left.length - right.length
}

function pieces(text: string): readonly string[] {
  return text.match(/\d+|[^\d]/gu) ?? []
}
