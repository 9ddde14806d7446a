// What does sprintf print? Go's fmt.Sprintf over the argument types that OPA hands it: int64, float64,
// *big.Int and string (every other value arrives as its text).

import { RegoDecimal, type RegoValue } from '../value.ts'
import { formatFloat } from './floats.ts'
import { type Operands, arrayAt, boundedText, BuiltinLimit, MAX_TEXT, textAt } from './operands.ts'
import { canBackquote, quote, quoteRune, valueText } from './quote.ts'

export type Argument =
  | { readonly type: 'nil' }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'int64' | '*big.Int'; readonly value: bigint }
  | { readonly type: 'float64'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }

interface Flags {
  minus: boolean
  plus: boolean
  sharp: boolean
  space: boolean
  zero: boolean
  sharpV: boolean
  width: number | undefined
  precision: number | undefined
}

const DIGITS = { b: 2, o: 8, O: 8, d: 10, v: 10, x: 16, X: 16 } as const
/** Go refuses widths, precisions and argument numbers beyond this. */
const MAX_NUMBER = 1_000_000
const MAX_CODE_POINT = 0x10_ff_ff

export function sprintf(operands: Operands): RegoValue {
  return formatted(textAt(operands, 0), arrayAt(operands, 1).map(argumentOf))
}

export function formatted(format: string, values: readonly Argument[]): string {
  return new Printer(format, values).print()
}

class Printer {
  readonly #format: string
  readonly #arguments: readonly Argument[]
  #at = 0
  #next = 0
  #reordered = false
  #goodIndex = true
  #flags = noFlags()

  constructor(format: string, values: readonly Argument[]) {
    this.#format = format
    this.#arguments = values
  }

  print(): string {
    const out: string[] = []
    let length = 0
    while (this.#at < this.#format.length) {
      const percent = this.#format.indexOf('%', this.#at)
      const end = percent === -1 ? this.#format.length : percent
      out.push(this.#format.slice(this.#at, end))
      this.#at = end
      if (percent === -1) break
      this.#at += 1
      out.push(this.#directive())
      length += out.at(-1)?.length ?? 0
      if (length > MAX_TEXT) throw new BuiltinLimit('memory limit: sprintf made too long a string')
    }
    if (!this.#reordered && this.#next < this.#arguments.length) {
      const rest = this.#arguments
        .slice(this.#next)
        .map((argument) => `${argument.type}=${printArgument(argument, 'v', noFlags())}`)
      out.push(`%!(EXTRA ${rest.join(', ')})`)
    }
    return boundedText(out.join(''))
  }

  #directive(): string {
    const flags = noFlags()
    this.#flags = flags
    this.#goodIndex = true
    this.#readFlags()
    let problem = ''
    let afterIndex = this.#readIndex()
    if (this.#format[this.#at] === '*') {
      this.#at += 1
      const width = this.#numberArgument()
      if (width === undefined) problem += '%!(BADWIDTH)'
      else if (width < 0) {
        flags.minus = true
        flags.width = -width
      } else flags.width = width
      afterIndex = false
    } else {
      const width = this.#number()
      flags.width = width
      if (afterIndex && width !== undefined) this.#goodIndex = false
    }
    if (this.#format[this.#at] === '.') {
      this.#at += 1
      if (afterIndex) this.#goodIndex = false
      afterIndex = this.#readIndex()
      if (this.#format[this.#at] === '*') {
        this.#at += 1
        const precision = this.#numberArgument()
        if (precision === undefined) problem += '%!(BADPREC)'
        else if (precision >= 0) flags.precision = precision
        else {
          flags.precision = undefined
          problem += '%!(BADPREC)'
        }
        afterIndex = false
      } else flags.precision = this.#number() ?? 0
    }
    if (!afterIndex) this.#readIndex()
    return problem + this.#verb()
  }

  #verb(): string {
    const code = this.#format.codePointAt(this.#at)
    if (code === undefined) return '%!(NOVERB)'
    const verb = String.fromCodePoint(code)
    this.#at += verb.length
    if (verb === '%') return '%'
    if (!this.#goodIndex) return `%!${verb}(BADINDEX)`
    const argument = this.#arguments[this.#next]
    if (argument === undefined) return `%!${verb}(MISSING)`
    this.#next += 1
    if (verb === 'v' || verb === 'w') {
      this.#flags.sharpV = this.#flags.sharp
      this.#flags.sharp = false
      this.#flags.plus = false
    }
    return printArgument(argument, verb, this.#flags)
  }

  #readFlags(): void {
    for (; ; this.#at += 1) {
      switch (this.#format[this.#at]) {
        case '#':
          this.#flags.sharp = true
          break
        case '0':
          this.#flags.zero = true
          break
        case '+':
          this.#flags.plus = true
          break
        case '-':
          this.#flags.minus = true
          break
        case ' ':
          this.#flags.space = true
          break
        default:
          return
      }
    }
  }

  /** `[n]`: the argument that comes next. */
  #readIndex(): boolean {
    if (this.#format[this.#at] !== '[') return false
    this.#reordered = true
    const close = this.#format.indexOf(']', this.#at)
    if (close === -1 || this.#format.length - this.#at < 3) {
      this.#goodIndex = false
      this.#at += 1
      return false
    }
    const inside = this.#format.slice(this.#at + 1, close)
    this.#at = close + 1
    const index = /^\d{1,7}$/.test(inside) ? Number(inside) : undefined
    if (index === undefined || index > MAX_NUMBER) {
      this.#goodIndex = false
      return false
    }
    if (index < 1 || index > this.#arguments.length) this.#goodIndex = false
    else this.#next = index - 1
    return true
  }

  #number(): number | undefined {
    const start = this.#at
    while (/^\d$/.test(this.#format[this.#at] ?? '')) this.#at += 1
    if (this.#at === start) return undefined
    const number = Number(this.#format.slice(start, this.#at))
    if (number <= MAX_NUMBER) return number
    this.#at = this.#format.length
    return undefined
  }

  #numberArgument(): number | undefined {
    const argument = this.#arguments[this.#next]
    if (argument === undefined) return undefined
    this.#next += 1
    if (argument.type !== 'int64') return undefined
    const number = Number(argument.value)
    return Math.abs(number) <= MAX_NUMBER ? number : undefined
  }
}

function printArgument(argument: Argument, verb: string, flags: Flags): string {
  if (argument.type === 'nil') {
    if (verb === 'T' || verb === 'v') return pad('<nil>', flags)
    return `%!${verb}(<nil>)`
  }
  if (verb === 'T') return pad(cut(argument.type, flags), flags)
  switch (argument.type) {
    case 'string':
      return printText(argument, verb, flags)
    case 'float64':
      return printFloat(argument, verb, flags)
    case 'bool':
      return verb === 't' || verb === 'v'
        ? pad(String(argument.value), flags)
        : badVerb(argument, verb, flags)
    default:
      return printInteger(argument, verb, flags)
  }
}

function badVerb(argument: Argument, verb: string, flags: Flags): string {
  return `%!${verb}(${argument.type}=${printArgument(argument, 'v', flags)})`
}

function printText(argument: Argument & { type: 'string' }, verb: string, flags: Flags): string {
  const { value } = argument
  switch (verb) {
    case 'v':
      return flags.sharpV ? printQuoted(value, flags) : pad(cut(value, flags), flags)
    case 's':
      return pad(cut(value, flags), flags)
    case 'q':
      return printQuoted(value, flags)
    case 'x':
    case 'X':
      return pad(hexOf(value, verb, flags), flags)
    default:
      return badVerb(argument, verb, flags)
  }
}

function printQuoted(value: string, flags: Flags): string {
  const text = cut(value, flags)
  return flags.sharp && canBackquote(text)
    ? pad(`\`${text}\``, flags)
    : pad(quote(text, flags.plus), flags)
}

function hexOf(value: string, verb: string, flags: Flags): string {
  const bytes = Buffer.from(value)
  const shown = flags.precision === undefined ? bytes : bytes.subarray(0, flags.precision)
  if (shown.length === 0) return ''
  const pairs = [...shown].map((byte) => byte.toString(16).padStart(2, '0'))
  const prefix = flags.sharp ? '0x' : ''
  const text = flags.space ? pairs.map((pair) => prefix + pair).join(' ') : prefix + pairs.join('')
  return verb === 'X' ? text.toUpperCase() : text
}

function printInteger(
  argument: Argument & { type: 'int64' | '*big.Int' },
  verb: string,
  flags: Flags,
): string {
  const { type, value } = argument
  if (type === '*big.Int') {
    if (verb !== 's' && !Object.hasOwn(DIGITS, verb)) return `%!${verb}(big.Int=${value})`
    return integerText(value, verb === 's' ? 'd' : verb, flags)
  }
  if (Object.hasOwn(DIGITS, verb)) return integerText(value, verb, flags)
  const code = value >= 0n && value <= MAX_CODE_POINT ? Number(value) : 0xff_fd
  switch (verb) {
    case 'c':
      return pad(characterOf(code), flags)
    case 'q':
      return pad(quoteRune(characterOf(code), flags.plus), flags)
    case 'U':
      return unicodeText(value, flags)
    default:
      return badVerb(argument, verb, flags)
  }
}

function integerText(value: bigint, verb: string, flags: Flags): string {
  const base = DIGITS[verb as keyof typeof DIGITS]
  const negative = value < 0n
  let digits = (negative ? -value : value).toString(base)
  if (verb === 'X') digits = digits.toUpperCase()
  const signed = negative || flags.plus || flags.space
  if (flags.precision !== undefined) {
    if (flags.precision === 0 && value === 0n) return ' '.repeat(flags.width ?? 0)
    digits = digits.padStart(flags.precision, '0')
  } else if (flags.zero && !flags.minus && flags.width !== undefined) {
    digits = digits.padStart(flags.width - (signed ? 1 : 0), '0')
  }
  const sign = negative ? '-' : flags.plus ? '+' : flags.space ? ' ' : ''
  return pad(`${sign}${basePrefix(verb, digits, flags)}${digits}`, { ...flags, zero: false })
}

function basePrefix(verb: string, digits: string, flags: Flags): string {
  if (verb === 'O') return '0o'
  if (!flags.sharp) return ''
  switch (verb) {
    case 'b':
      return '0b'
    case 'o':
      return digits.startsWith('0') ? '' : '0'
    case 'x':
      return '0x'
    case 'X':
      return '0X'
    default:
      return ''
  }
}

function unicodeText(value: bigint, flags: Flags): string {
  const unsigned = BigInt.asUintN(64, value)
  const digits = unsigned
    .toString(16)
    .toUpperCase()
    .padStart(Math.max(4, flags.precision ?? 4), '0')
  const shown =
    flags.sharp && unsigned <= MAX_CODE_POINT ? ` '${characterOf(Number(unsigned))}'` : ''
  return pad(`U+${digits}${shown}`, { ...flags, zero: false })
}

function printFloat(argument: Argument & { type: 'float64' }, verb: string, flags: Flags): string {
  const known = verb === 'v' ? 'g' : verb === 'F' ? 'f' : verb
  if (!'beEfgGxX'.includes(known)) return badVerb(argument, verb, flags)
  const precision = flags.precision ?? ('eEf'.includes(known) ? 6 : undefined)
  let text = formatFloat(argument.value, known, precision)
  if (flags.sharp && !'bxX'.includes(known)) text = withPoint(text, known, flags.precision)
  const negative = text.startsWith('-')
  const digits = negative || text.startsWith('+') ? text.slice(1) : text
  const sign = negative ? '-' : flags.plus ? '+' : flags.space ? ' ' : ''
  const width = flags.width ?? 0
  if (sign !== '' && flags.zero && !flags.minus && width > digits.length + 1)
    return `${sign}${digits.padStart(width - 1, '0')}`
  return pad(sign + digits, flags)
}

/** The flag `#`: always a decimal point, and for %g the zeros after it. */
function withPoint(text: string, verb: string, precision: number | undefined): string {
  const [mantissa = '', exponent] = text.split(/(?=[eE])/)
  const wanted = verb === 'g' || verb === 'G' ? (precision ?? 6) : 0
  const pointed = mantissa.includes('.') ? mantissa : `${mantissa}.`
  const significant = pointed.replace(/^[-+]?0*\.?0*/, '').replace('.', '').length
  return `${pointed}${'0'.repeat(Math.max(0, wanted - significant))}${exponent ?? ''}`
}

/** Precision of a text: that many characters. */
function cut(text: string, { precision }: Flags): string {
  return precision === undefined || text.length <= precision
    ? text
    : Array.from(text).slice(0, precision).join('')
}

function pad(text: string, { width, minus, zero }: Flags): string {
  if (width === undefined || text.length - width > text.length) return text
  const missing = width - Array.from(text).length
  if (missing <= 0) return text
  return minus ? text + ' '.repeat(missing) : (zero ? '0' : ' ').repeat(missing) + text
}

function characterOf(code: number): string {
  return code >= 0xd8_00 && code <= 0xdf_ff ? '\ufffd' : String.fromCodePoint(code)
}

function noFlags(): Flags {
  return {
    minus: false,
    plus: false,
    sharp: false,
    space: false,
    zero: false,
    sharpV: false,
    width: undefined,
    precision: undefined,
  }
}

function argumentOf(value: RegoValue): Argument {
  if (typeof value === 'string') return { type: 'string', value }
  // As in OPA, a number with a point or an exponent is a float, whatever its value.
  if (value instanceof RegoDecimal)
    return Number.isFinite(value.value)
      ? { type: 'float64', value: value.value }
      : { type: 'string', value: value.text }
  if (typeof value === 'number')
    return Number.isSafeInteger(value)
      ? { type: 'int64', value: BigInt(value) }
      : { type: 'float64', value }
  if (typeof value === 'bigint')
    return { type: BigInt.asIntN(64, value) === value ? 'int64' : '*big.Int', value }
  return { type: 'string', value: valueText(value) }
}
