// How does Go's big.Float calculate? Binary, with a mantissa of 64 bits (or another number), to the
// nearest, halves to even; written with as few digits as tell a number from its neighbours.

import { BuiltinLimit, fail } from './operands.ts'

export interface BigFloat {
  readonly negative: boolean
  /** Zero, or exactly `bits` bits long. */
  readonly mantissa: bigint
  readonly exponent: number
  readonly bits: number
}

const BITS = 64
const MAX_EXPONENT = 20_000
const DECIMAL = /^(-?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/

interface Fraction {
  readonly numerator: bigint
  readonly denominator: bigint
}

export function parseFloatText(text: string, bits = BITS): BigFloat {
  const { numerator, denominator } = fractionOf(text)
  return nearest(numerator, denominator, bits)
}

/** The integer that a text is, `3.0` and `1e2` too; undefined where it is none. */
export function integerOf(text: string): bigint | undefined {
  if (/^-?\d+$/.test(text)) return BigInt(text)
  const { numerator, denominator } = fractionOf(text)
  return numerator % denominator === 0n ? numerator / denominator : undefined
}

function fractionOf(text: string): Fraction {
  const [, sign = '', whole = '', decimals = '', exponent = '0'] =
    DECIMAL.exec(text) ?? fail('no number')
  const power = Number(exponent) - decimals.length
  if (Math.abs(power) > MAX_EXPONENT) throw new BuiltinLimit('memory limit: a number is too large')
  const digits = BigInt(`${sign}${whole}${decimals}` || '0')
  return power >= 0
    ? { numerator: digits * 10n ** BigInt(power), denominator: 1n }
    : { numerator: digits, denominator: 10n ** BigInt(-power) }
}

export function add(a: BigFloat, b: BigFloat, bits = BITS): BigFloat {
  const exponent = Math.min(a.exponent, b.exponent)
  const sum = shifted(a, exponent) + shifted(b, exponent)
  return scaled(sum, exponent, bits)
}

export function multiply(a: BigFloat, b: BigFloat, bits = BITS): BigFloat {
  const product = signed(a) * signed(b)
  return scaled(product, a.exponent + b.exponent, bits)
}

export function divide(a: BigFloat, b: BigFloat, bits = BITS): BigFloat {
  const exponent = a.exponent - b.exponent
  const shift = BigInt(Math.abs(exponent))
  const divisor = signed(b)
  return exponent >= 0
    ? nearest(signed(a) << shift, divisor, bits)
    : nearest(signed(a), divisor << shift, bits)
}

export function negated(value: BigFloat): BigFloat {
  return { ...value, negative: !value.negative && value.mantissa !== 0n }
}

/** Towards zero. */
export function truncated({ negative, mantissa, exponent }: BigFloat): bigint {
  const size = exponent >= 0 ? mantissa << BigInt(exponent) : mantissa >> BigInt(-exponent)
  return negative ? -size : size
}

export function isInteger({ mantissa, exponent }: BigFloat): boolean {
  return exponent >= 0 || mantissa % (1n << BigInt(-exponent)) === 0n
}

/** Whole numbers in full, others as Go's %g. */
export function floatText(value: BigFloat): string {
  if (value.mantissa === 0n) return '0'
  const sign = value.negative ? '-' : ''
  const { digits, point } = shortest(value)
  if (isInteger(value)) return `${sign}${digits.padEnd(point, '0')}`
  const exponent = point - 1
  if (exponent < -4 || exponent >= 21) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : ''
    return `${sign}${digits[0] ?? ''}${rest}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

/** Digits d1d2... of 0.d1d2... times ten to `point`. */
function shortest({ mantissa, exponent }: BigFloat): { digits: string; point: number } {
  // The number and the middles between it and its neighbours, as integers over one denominator.
  const up = BigInt(Math.max(exponent - 2, 0))
  const denominator = 1n << BigInt(Math.max(2 - exponent, 0))
  const center = (mantissa << 2n) << up
  const upper = center + (2n << up)
  const lower = center - (2n << up)
  const inclusive = mantissa % 2n === 0n
  let point = (center / denominator).toString().length
  if (center < denominator) {
    point = 0
    for (let scale = 10n; center * scale < denominator; scale *= 10n) point -= 1
  }
  for (let count = 1; ; count++) {
    const power = count - point
    const scale = 10n ** BigInt(Math.abs(power))
    const [top, bottom] = power >= 0 ? [scale, denominator] : [1n, denominator * scale]
    const down = (center * top) / bottom
    const rest = center * top - down * bottom
    if (rest === 0n) return digitsOf(down, count, point)
    const above = (value: bigint): boolean =>
      inclusive ? value * bottom >= lower * top : value * bottom > lower * top
    const below = (value: bigint): boolean =>
      inclusive ? value * bottom <= upper * top : value * bottom < upper * top
    const [okDown, okUp] = [above(down) && down > 0n, below(down + 1n)]
    if (okDown && okUp) return digitsOf(rest * 2n > bottom ? down + 1n : down, count, point)
    if (okDown) return digitsOf(down, count, point)
    if (okUp) return digitsOf(down + 1n, count, point)
  }
}

function digitsOf(value: bigint, count: number, point: number): { digits: string; point: number } {
  const text = value.toString()
  return { digits: text.replace(/0+$/, ''), point: point + text.length - count }
}

function signed({ negative, mantissa }: BigFloat): bigint {
  return negative ? -mantissa : mantissa
}

function shifted(value: BigFloat, exponent: number): bigint {
  const distance = value.exponent - exponent
  if (distance > MAX_EXPONENT * 4) throw new BuiltinLimit('memory limit: a number is too large')
  return signed(value) << BigInt(distance)
}

function scaled(integer: bigint, exponent: number, bits: number): BigFloat {
  const rounded = nearest(integer, 1n, bits)
  return rounded.mantissa === 0n ? rounded : { ...rounded, exponent: rounded.exponent + exponent }
}

function nearest(numerator: bigint, denominator: bigint, bits: number): BigFloat {
  const negative = numerator < 0n !== denominator < 0n && numerator !== 0n
  const [top, bottom] = [absolute(numerator), absolute(denominator)]
  if (top === 0n) return { negative: false, mantissa: 0n, exponent: 0, bits }
  let exponent = lengthOf(top) - lengthOf(bottom) - bits
  let mantissa = quotient(top, bottom, exponent)
  if (lengthOf(mantissa) < bits) {
    exponent -= 1
    mantissa = quotient(top, bottom, exponent)
  }
  if (lengthOf(mantissa) > bits) {
    // Rounding made it a power of two, or the first guess was one bit too long.
    exponent += 1
    mantissa = quotient(top, bottom, exponent)
  }
  return { negative, mantissa, exponent, bits }
}

/** top / bottom / 2^exponent, rounded half to even. */
function quotient(top: bigint, bottom: bigint, exponent: number): bigint {
  const [a, b] =
    exponent >= 0 ? [top, bottom << BigInt(exponent)] : [top << BigInt(-exponent), bottom]
  const whole = a / b
  const twice = (a - whole * b) * 2n
  return twice > b || (twice === b && whole % 2n === 1n) ? whole + 1n : whole
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value
}

function lengthOf(value: bigint): number {
  const hex = value.toString(16)
  return hex.length * 4 - (Math.clz32(Number.parseInt(hex[0] ?? '0', 16)) - 28)
}
