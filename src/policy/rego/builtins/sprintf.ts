// sprintf with the verbs of Go's fmt package, on the values that OPA hands to it.
//
// OPA passes integers as int (or big.Int beyond 64 bits), other numbers as float64, strings as string, and
// everything else as its Rego text, which is a string for %s and %v.

import { isNumber, RegoObject, RegoSet, type RegoValue } from '../value.ts'
import { list, text } from './arguments.ts'
import { BuiltinLimit } from './registry.ts'

const MAX_OUTPUT = 1024 * 1024
const MAX_WIDTH = 10_000
const DIRECTIVE = /%([+\-# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(?:\[(\d+)\])?([\s\S])?/gu

export function sprintf(format?: RegoValue, args?: RegoValue): string {
  const values = list(args)
  let next = 0
  let reordered = false
  const out = text(format).replaceAll(
    DIRECTIVE,
    (
      whole,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      index: string | undefined,
      verb: string | undefined,
    ) => {
      if (verb === undefined) return '%!(NOVERB)'
      if (verb === '%') return '%'
      const spec: Spec = {
        minus: flags.includes('-'),
        plus: flags.includes('+'),
        sharp: flags.includes('#'),
        space: flags.includes(' '),
        zero: flags.includes('0') && !flags.includes('-'),
        width: sizeOf(width, () => values[next++]),
        precision:
          precision === undefined ? undefined : (sizeOf(precision, () => values[next++]) ?? 0),
      }
      if (index !== undefined) {
        reordered = true
        next = Number(index) - 1
        if (next < 0 || next >= values.length) return `%!${verb}(BADINDEX)`
      }
      if (next >= values.length) return `%!${verb}(MISSING)`
      const value = values[next++]
      return value === undefined ? whole : formatOne(verb, spec, value)
    },
  )
  const extra =
    reordered || next >= values.length
      ? ''
      : `%!(EXTRA ${values
          .slice(next)
          .map((value) => `${typeName(value)}=${plain(value)}`)
          .join(', ')})`
  if (out.length + extra.length > MAX_OUTPUT) throw new BuiltinLimit('sprintf: result too long')
  return out + extra
}

interface Spec {
  readonly minus: boolean
  readonly plus: boolean
  readonly sharp: boolean
  readonly space: boolean
  readonly zero: boolean
  readonly width: number | undefined
  readonly precision: number | undefined
}

function formatOne(verb: string, spec: Spec, value: RegoValue): string {
  if (verb === 'T') return pad(typeName(value), spec)
  if (typeof value === 'boolean') return formatText(verb, spec, value ? 'true' : 'false', value)
  if (isNumber(value))
    return Number.isInteger(value) || typeof value === 'bigint'
      ? formatInteger(verb, spec, BigInt(value), value)
      : formatFloat(verb, spec, Number(value))
  return formatText(verb, spec, plain(value), value)
}

function formatText(verb: string, spec: Spec, value: string, original: RegoValue): string {
  const cut = spec.precision === undefined ? value : [...value].slice(0, spec.precision).join('')
  switch (verb) {
    case 'v':
    case 's':
      return pad(spec.sharp && verb === 'v' ? JSON.stringify(cut) : cut, spec)
    case 'q':
      return pad(quote(cut), spec)
    case 'x':
    case 'X': {
      const hex = Buffer.from(cut).toString('hex')
      return pad(verb === 'X' ? hex.toUpperCase() : hex, spec)
    }
    default:
      return `%!${verb}(${typeName(original)}=${value})`
  }
}

function formatInteger(verb: string, spec: Spec, value: bigint, original: RegoValue): string {
  const radix = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 }[verb]
  if (radix === undefined) {
    if (verb === 'c') return pad(codePoint(value), spec)
    if (verb === 'q') return pad(`'${codePoint(value)}'`, spec)
    if (verb === 'U') return pad(`U+${value.toString(16).toUpperCase().padStart(4, '0')}`, spec)
    return `%!${verb}(${typeName(original)}=${value.toString()})`
  }
  const negative = value < 0n
  let digits = (negative ? -value : value).toString(radix)
  if (verb === 'X') digits = digits.toUpperCase()
  if (spec.precision !== undefined)
    digits = digits.padStart(Math.min(spec.precision, MAX_WIDTH), '0')
  const prefix = spec.sharp
    ? ({ b: '0b', o: '0', x: '0x', X: '0X' }[verb] ?? '')
    : verb === 'O'
      ? '0o'
      : ''
  return padNumber(signOf(negative, spec) + prefix, digits, spec, spec.precision === undefined)
}

function formatFloat(verb: string, spec: Spec, value: number): string {
  const magnitude = Math.abs(value)
  const negative = value < 0 || Object.is(value, -0)
  let digits: string
  switch (verb) {
    case 'f':
    case 'F':
      digits = fixed(magnitude, spec.precision ?? 6)
      break
    case 'e':
    case 'E':
      digits = exponent(magnitude.toExponential(Math.min(spec.precision ?? 6, 100)))
      break
    case 'v':
    case 'g':
    case 'G':
      digits = general(
        magnitude,
        spec.precision,
        verb === 'v' ? 21 : spec.precision === undefined ? 21 : spec.precision,
      )
      break
    default:
      return `%!${verb}(float64=${general(value, undefined, 21)})`
  }
  if (verb === 'E' || verb === 'G') digits = digits.toUpperCase()
  return padNumber(signOf(negative, spec), digits, spec, true)
}

/** Go's %g: the shortest form, or `precision` significant digits; exponents of at least two digits. */
function general(value: number, precision: number | undefined, threshold: number): string {
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : value < 0 ? '-Inf' : 'NaN'
  if (value === 0) return '0'
  const [, power = '0'] =
    /e([+-]\d+)$/.exec(
      precision === undefined
        ? value.toExponential()
        : value.toExponential(Math.max(0, Math.min(precision, 100) - 1)),
    ) ?? []
  const exponentOf = Number(power)
  if (
    exponentOf < -4 ||
    exponentOf >=
      Math.max(threshold, precision === undefined ? threshold : precision === 0 ? 1 : precision)
  ) {
    const text =
      precision === undefined
        ? value.toExponential()
        : trimZeros(value.toExponential(Math.max(0, Math.min(precision, 100) - 1)))
    return exponent(text)
  }
  if (precision === undefined) return expand(value)
  return trimZeros(value.toPrecision(Math.max(1, Math.min(precision, 100))))
}

/** Plain digits for numbers that JavaScript would write with an exponent. */
function expand(value: number): string {
  const short = String(value)
  return short.includes('e') ? value.toFixed(20).replace(/0+$/, '') : short
}

function trimZeros(text: string): string {
  const [mantissa = '', power] = text.split('e')
  const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
  return power === undefined ? short : `${short}e${power}`
}

function fixed(value: number, precision: number): string {
  return value < 1e21
    ? value.toFixed(Math.min(precision, 100))
    : `${BigInt(value).toString()}${precision > 0 ? `.${'0'.repeat(Math.min(precision, 100))}` : ''}`
}

function exponent(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2')
}

function signOf(negative: boolean, { plus, space }: Spec): string {
  if (negative) return '-'
  return plus ? '+' : space ? ' ' : ''
}

function padNumber(prefix: string, digits: string, spec: Spec, zeros: boolean): string {
  const whole = prefix + digits
  if (spec.zero && zeros && spec.width !== undefined)
    return prefix + digits.padStart(spec.width - prefix.length, '0')
  return pad(whole, { ...spec, zero: false })
}

function pad(value: string, { width, minus, zero }: Spec): string {
  const missing = (width ?? 0) - [...value].length
  if (missing <= 0) return value
  return minus ? value + ' '.repeat(missing) : (zero ? '0' : ' ').repeat(missing) + value
}

function sizeOf(given: string | undefined, take: () => RegoValue | undefined): number | undefined {
  if (given === undefined || given === '') return undefined
  const size = given === '*' ? Number(take()) : Number(given)
  if (!(size <= MAX_WIDTH)) throw new BuiltinLimit('sprintf: width too large')
  return size
}

function codePoint(value: bigint): string {
  return value >= 0n && value <= 0x10_ffffn ? String.fromCodePoint(Number(value)) : '\uFFFD'
}

/** Go's strconv.Quote. */
function quote(value: string): string {
  let out = '"'
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0
    const short = {
      '"': '\\"',
      '\\': '\\\\',
      '\n': '\\n',
      '\r': '\\r',
      '\t': '\\t',
      '\u0007': '\\a',
      '\b': '\\b',
      '\f': '\\f',
      '\v': '\\v',
    }[character]
    if (short !== undefined) out += short
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, '0')}`
    else out += character
  }
  return `${out}"`
}

function typeName(value: RegoValue): string {
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint')
    return value >= -(2n ** 63n) && value < 2n ** 63n ? 'int' : '*big.Int'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64'
  return 'string'
}

/** Strings as they are, everything else as Rego writes it. */
function plain(value: RegoValue): string {
  return typeof value === 'string' ? value : rego(value)
}

/** Rego's own text: `{"a": 1}`, `[1, 2]`, `{1, 2}`, `set()`. */
export function rego(value: RegoValue): string {
  if (value === null) return 'null'
  if (isNumber(value))
    return typeof value === 'number' && !Number.isInteger(value)
      ? general(value, undefined, 21)
      : String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'boolean') return String(value)
  if (value instanceof RegoSet)
    return value.items.length === 0 ? 'set()' : `{${value.items.map(rego).join(', ')}}`
  if (value instanceof RegoObject)
    return `{${value.entries.map(([key, item]) => `${rego(key)}: ${rego(item)}`).join(', ')}}`
  return `[${value.map(rego).join(', ')}]`
}
