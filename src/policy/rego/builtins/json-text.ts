// How does Go write and read JSON? Keys sorted, `<>&` escaped, numbers exact.

import { isArray, RegoDecimal, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import { boundedText, fail } from './operands.ts'
import { valueText } from './quote.ts'

const MAX_DEPTH = 1000
/** OPA reads no number beyond. */
const MAX_EXPONENT = 30_102

export interface Indentation {
  readonly prefix: string
  readonly indent: string
}

/** Go's json.Marshal of what OPA makes of a value; with `layout` json.MarshalIndent. */
export function writeJson(value: RegoValue, layout?: Indentation): string {
  return boundedText(write(value, layout, layout === undefined ? '' : `\n${layout.prefix}`, 0))
}

function write(
  value: RegoValue,
  layout: Indentation | undefined,
  newline: string,
  depth: number,
): string {
  if (depth > MAX_DEPTH) fail('the value nests too deep')
  if (value === null) return 'null'
  if (typeof value === 'string') return writeText(value)
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return String(value)
  if (value instanceof RegoDecimal) return value.text
  const inner = layout === undefined ? '' : newline + layout.indent
  const members = value instanceof RegoSet ? value.items : isArray(value) ? value : undefined
  if (members !== undefined) {
    if (members.length === 0) return '[]'
    return `[${members.map((member) => inner + write(member, layout, inner, depth + 1)).join(',')}${newline}]`
  }
  if (!(value instanceof RegoObject)) return 'null'
  if (value.entries.length === 0) return '{}'
  const fields = value.entries
    .map(([key, item]) => [typeof key === 'string' ? key : keyText(key), item] as const)
    .toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const colon = layout === undefined ? ':' : ': '
  return `{${fields.map(([key, item]) => `${inner}${writeText(key)}${colon}${write(item, layout, inner, depth + 1)}`).join(',')}${newline}}`
}

/** A key that is no string becomes its JSON text. */
function keyText(key: RegoValue): string {
  return key !== null && typeof key === 'object' ? write(key, undefined, '', 0) : valueText(key)
}

function writeText(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll(/[<>&\u2028\u2029\u007f]/g, (character) =>
    character === '\u007f'
      ? character
      : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
}

/** JSON text with exact integers; undefined where it is none. `exactly`: other numbers keep their digits too. */
export function readJson(text: string, exactly = false): RegoValue | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text, (_key: string, value: unknown, context?: { source?: string }) => {
      const source = context?.source
      if (typeof value !== 'number' || source === undefined) return value
      if (/^-?\d+$/.test(source)) return Number.isSafeInteger(value) ? value : BigInt(source)
      return exactly && String(value) !== source ? new RegoDecimal(source) : value
    })
  } catch {
    return undefined
  }
  return fromParsed(parsed, 0)
}

function exponentOf({ text }: RegoDecimal): number {
  return Math.abs(Number(/[eE]([+-]?\d+)$/.exec(text)?.[1] ?? 0))
}

function fromParsed(value: unknown, depth: number): RegoValue {
  if (depth > MAX_DEPTH) return fail('the text nests too deep')
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value.toWellFormed()
  // Go's text of a number has no end, a float has.
  if (typeof value === 'number' && !Number.isFinite(value)) return fail('too large a number')
  if (value instanceof RegoDecimal)
    return exponentOf(value) > MAX_EXPONENT ? fail('too large a number') : value
  if (Array.isArray(value)) return value.map((item) => fromParsed(item, depth + 1))
  if (typeof value === 'object')
    return new RegoObject(
      Object.entries(value).map(([key, item]) => [key.toWellFormed(), fromParsed(item, depth + 1)]),
    )
  return value as RegoValue
}
