// The functions that Go templates come with.

import { fail } from './operands.ts'
import { type Argument, formatted } from './sprintf.ts'
import { goText, isList, isTrue, NumberText, type Value } from './template-values.ts'

type TemplateFunction = (values: readonly Value[]) => Value

export const TEMPLATE_FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  call: () => fail('no function value'),
  eq: (values) => equal(values),
  ge: ordered((order) => order >= 0),
  gt: ordered((order) => order > 0),
  le: ordered((order) => order <= 0),
  lt: ordered((order) => order < 0),
  ne: (values) => (values.length === 2 ? !equal(values) : fail('two arguments are expected')),
  html: (values) => printed(values).replaceAll(/["'&<>\0]/g, (found) => HTML[found] ?? found),
  index: indexed,
  js: (values) => printed(values).replaceAll(/[\\'"<>&=\p{Cc}]|[\u2028\u2029]/gu, jsEscape),
  len: ([value, ...more]) => (more.length > 0 ? fail('one argument is expected') : lengthOf(value)),
  not: ([value, ...more]) => (more.length > 0 ? fail('one argument is expected') : !isTrue(value)),
  print: printed,
  printf,
  println: (values) => `${values.map(goText).join(' ')}\n`,
  slice,
  urlquery: (values) => queryEscape(printed(values)),
}

const HTML: Readonly<Record<string, string>> = {
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '\0': '\ufffd',
}

function jsEscape(character: string): string {
  if (character === '\\' || character === "'" || character === '"') return `\\${character}`
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
}

function queryEscape(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')
}

/** Go's Sprint: a space between two operands of which none is a string. */
function printed(values: readonly Value[]): string {
  let out = ''
  for (const [index, value] of values.entries()) {
    const previous = values[index - 1]
    if (index > 0 && typeof value !== 'string' && typeof previous !== 'string') out += ' '
    out += goText(value)
  }
  return out
}

function printf([format, ...values]: readonly Value[]): Value {
  if (typeof format !== 'string') return fail('a format is expected')
  return formatted(format, values.map(argumentOf))
}

function argumentOf(value: Value): Argument {
  if (value === undefined || value === null) return { type: 'nil' }
  switch (typeof value) {
    case 'bigint':
      return { type: 'int64', value }
    case 'number':
      return { type: 'float64', value }
    case 'boolean':
      return { type: 'bool', value }
    default:
      return { type: 'string', value: goText(value) }
  }
}

function lengthOf(value: Value): bigint {
  if (typeof value === 'string') return BigInt(Buffer.byteLength(value))
  if (value instanceof NumberText) return BigInt(value.text.length)
  if (isList(value)) return BigInt(value.length)
  return value instanceof Map ? BigInt(value.size) : fail('no length')
}

function indexed([value, ...keys]: readonly Value[]): Value {
  let found: Value = value
  for (const key of keys) {
    if (isList(found)) {
      if (typeof key !== 'bigint' || key < 0n || key >= BigInt(found.length))
        return fail('no index')
      found = found[Number(key)]
    } else if (found instanceof Map) {
      const name = typeof key === 'string' ? key : fail('no key')
      found = (found as ReadonlyMap<string, Value>).get(name)
    } else if (typeof found === 'string') {
      const byte = typeof key === 'bigint' ? Buffer.from(found)[Number(key)] : undefined
      found = byte === undefined ? fail('no index') : BigInt(byte)
    } else return fail('nothing to index')
  }
  return found
}

function slice([value, ...bounds]: readonly Value[]): Value {
  if (typeof value !== 'string' && !isList(value)) return fail('nothing to slice')
  const whole = typeof value === 'string' ? Buffer.from(value) : value
  const [from = 0, to = whole.length] = bounds.map((bound) =>
    typeof bound === 'bigint' && bound >= 0n && bound <= BigInt(whole.length)
      ? Number(bound)
      : fail('no bound'),
  )
  if (from > to) return fail('no bounds')
  return typeof value === 'string'
    ? Buffer.from(value).subarray(from, to).toString()
    : value.slice(from, to)
}

type Basic = readonly [
  kind: 'bool' | 'int' | 'float' | 'text',
  value: boolean | bigint | number | string,
]

function basic(value: Value): Basic {
  if (value instanceof NumberText) return ['text', value.text]
  switch (typeof value) {
    case 'boolean':
      return ['bool', value]
    case 'bigint':
      return ['int', value]
    case 'number':
      return ['float', value]
    case 'string':
      return ['text', value]
    default:
      return fail('nothing to compare')
  }
}

/** Whether the first equals any other. */
function equal([first, ...others]: readonly Value[]): boolean {
  if (others.length === 0) return fail('an argument is missing')
  return others.some((other) => {
    const [nothing, also] = [first ?? null, other ?? null].map((value) => value === null)
    if (nothing === true || also === true) return nothing === also
    const [[kind, value], [otherKind, otherValue]] = [basic(first), basic(other)]
    return kind === otherKind ? value === otherValue : fail('different kinds')
  })
}

function ordered(holds: (order: number) => boolean): TemplateFunction {
  return ([first, second, ...more]) => {
    if (more.length > 0) return fail('two arguments are expected')
    const [[kind, value], [otherKind, otherValue]] = [basic(first), basic(second)]
    if (kind !== otherKind || kind === 'bool') return fail('different kinds')
    if (typeof value === 'string' && typeof otherValue === 'string')
      return holds(Buffer.compare(Buffer.from(value), Buffer.from(otherValue)))
    return holds(value < otherValue ? -1 : value > otherValue ? 1 : 0)
  }
}
