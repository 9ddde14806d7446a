// What do the arithmetic built-ins answer? Integers of any size are exact, all else goes through Go's
// big.Float. (OPA's wasm calculates in decimals and loses integers that it divides.)

import { compare, decode, RegoDecimal, RegoSet, type RegoValue } from '../value.ts'
import {
  add,
  type BigFloat,
  divide,
  floatText,
  integerOf,
  isInteger,
  multiply,
  negated,
  parseFloatText,
  truncated,
} from './big-float.ts'
import {
  type Builtin,
  type BuiltinTable,
  BuiltinLimit,
  fail,
  membersOf,
  type Operands,
  toNumber,
  valueAt,
} from './operands.ts'

const MAX_INTEGER_BITS = 131_072n
/** Go's big.NewFloat has the bits of a float64. */
const PRODUCT_BITS = 53

export const ARITHMETIC_BUILTINS: BuiltinTable = {
  plus: binary((a, b) => a + b, add),
  minus: (operands) => difference(operands) ?? MINUS(operands),
  mul: binary((a, b) => a * b, multiply),
  div: quotient,
  abs: unary((x) => (x.negative ? negated(x) : x)),
  ceil: unary((x) => (truncated(x) < 0n || isInteger(x) ? truncated(x) : truncated(x) + 1n)),
  floor: unary((x) => (truncated(x) >= 0n || isInteger(x) ? truncated(x) : truncated(x) - 1n)),
  round: unary((x) => truncated(add(x, x.negative ? negated(HALF) : HALF))),
  to_number: (operands) => toNumberOf(valueAt(operands, 0)),
  sum: (operands) => sum(membersOf(valueAt(operands, 0)).map(digitsOf)),
  product: (operands) => product(membersOf(valueAt(operands, 0)).map(digitsOf)),
}

/** What Go's ParseFloat reads, without the names of what is no number. */
const PARSED = /^[+-]?(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d+)?$/

function toNumberOf(value: RegoValue): RegoValue {
  if (value === null) return 0
  if (typeof value === 'boolean') return Number(value)
  if (typeof value !== 'string') return decode(digitsOf(value), true)
  const text = value.replaceAll('_', '')
  if (!PARSED.test(value) || !Number.isFinite(Number(text))) fail('no number')
  return decode(text.replace(/^\+/, ''), true)
}

const HALF = parseFloatText('0.5')
const MINUS = binary(
  (a, b) => a - b,
  (a, b) => add(a, negated(b)),
)

function binary(
  exact: (a: bigint, b: bigint) => bigint,
  float: (a: BigFloat, b: BigFloat) => BigFloat,
): Builtin {
  return (operands) => {
    const [a, b] = [digitsAt(operands, 0), digitsAt(operands, 1)]
    const [x, y] = [integerOf(a), integerOf(b)]
    return x !== undefined && y !== undefined
      ? bounded(exact(x, y))
      : numberOf(float(parseFloatText(a), parseFloatText(b)))
  }
}

function unary(operation: (x: BigFloat) => BigFloat | bigint): Builtin {
  return (operands) => {
    const result = operation(parseFloatText(digitsAt(operands, 0)))
    return typeof result === 'bigint' ? bounded(result) : numberOf(result)
  }
}

function quotient(operands: Operands): RegoValue {
  const [a, b] = [digitsAt(operands, 0), digitsAt(operands, 1)]
  const divisor = parseFloatText(b)
  if (divisor.mantissa === 0n) return fail('divide by zero')
  return numberOf(divide(parseFloatText(a), divisor))
}

function difference(operands: Operands): RegoValue | undefined {
  const [a, b] = operands
  if (!(a instanceof RegoSet) || !(b instanceof RegoSet)) return undefined
  return new RegoSet(a.items.filter((item) => !b.items.some((other) => compare(item, other) === 0)))
}

function sum(digits: readonly string[]): RegoValue {
  const integers = integersOf(digits)
  if (integers !== undefined) return bounded(integers.reduce((a, b) => a + b, 0n))
  return numberOf(digits.map((text) => parseFloatText(text)).reduce((a, b) => add(a, b)))
}

function product(digits: readonly string[]): RegoValue {
  const integers = integersOf(digits)
  if (integers !== undefined) return toNumber(integers.reduce((a, b) => BigInt(bounded(a * b)), 1n))
  const one = parseFloatText('1', PRODUCT_BITS)
  return numberOf(
    digits.map((text) => parseFloatText(text)).reduce((a, b) => multiply(a, b, PRODUCT_BITS), one),
  )
}

function integersOf(digits: readonly string[]): readonly bigint[] | undefined {
  const integers: bigint[] = []
  for (const text of digits) {
    const integer = integerOf(text)
    if (integer === undefined) return undefined
    integers.push(integer)
  }
  return integers
}

function bounded(integer: bigint): number | bigint {
  const size = integer < 0n ? -integer : integer
  if (size >> MAX_INTEGER_BITS !== 0n) throw new BuiltinLimit('memory limit: a number is too large')
  return toNumber(integer)
}

function numberOf(value: BigFloat): RegoValue {
  return decode(floatText(value), true)
}

function digitsAt(operands: Operands, index: number): string {
  return digitsOf(valueAt(operands, index))
}

/** A number as its author, or the last calculation, wrote it. */
function digitsOf(value: RegoValue): string {
  if (value instanceof RegoDecimal) return value.text
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'number') return fail('a number is expected')
  return String(value)
}
