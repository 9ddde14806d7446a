// How do built-ins read their operands, and what may they produce?
//
// An operand of the wrong type fails the call (its value is undefined, as in OPA's default mode); a
// result beyond a bound is an error of the policy, so that it never silently allows.

import { isArray, isNumber, RegoObject, RegoSet, type RegoValue } from '../value.ts'

export type Operands = readonly RegoValue[]
export type Builtin = (operands: Operands) => RegoValue | undefined
export type BuiltinTable = Readonly<Record<string, Builtin>>

/** Characters of one text that a built-in makes. */
export const MAX_TEXT = 4 * 1024 * 1024
/** Elements of one collection that a built-in makes. */
export const MAX_ITEMS = 100_000

/** The call has no value. */
export class BuiltinFailure extends Error {
  override readonly name = 'BuiltinFailure'
}

/** The call went beyond a bound: the policy errs. */
export class BuiltinLimit extends Error {
  override readonly name = 'BuiltinLimit'
}

export function fail(why: string): never {
  throw new BuiltinFailure(why)
}

export function boundedText(text: string): string {
  if (text.length > MAX_TEXT)
    throw new BuiltinLimit('memory limit: a built-in made too long a string')
  return text
}

export function boundedCount(count: number | bigint): void {
  if (count > MAX_ITEMS)
    throw new BuiltinLimit('memory limit: a built-in made too large a collection')
}

export function textAt(operands: Operands, index: number): string {
  const value = operands[index]
  return typeof value === 'string' ? value : fail(`operand ${index + 1} must be a string`)
}

export function arrayAt(operands: Operands, index: number): readonly RegoValue[] {
  const value = operands[index] ?? null
  return isArray(value) ? value : fail(`operand ${index + 1} must be an array`)
}

export function objectAt(operands: Operands, index: number): RegoObject {
  const value = operands[index]
  return value instanceof RegoObject ? value : fail(`operand ${index + 1} must be an object`)
}

export function valueAt(operands: Operands, index: number): RegoValue {
  const value = operands[index]
  return value === undefined ? fail(`operand ${index + 1} is missing`) : value
}

export function numberAt(operands: Operands, index: number): number | bigint {
  const value = operands[index] ?? null
  return isNumber(value) ? value : fail(`operand ${index + 1} must be a number`)
}

/** An integer of 64 bits. */
export function integerAt(operands: Operands, index: number): bigint {
  const value = numberAt(operands, index)
  if (typeof value === 'number' && !Number.isInteger(value))
    fail(`operand ${index + 1} must be an integer`)
  const integer = BigInt(value)
  return BigInt.asIntN(64, integer) === integer
    ? integer
    : fail(`operand ${index + 1} is beyond 64 bits`)
}

/** The members of an array or a set. */
export function membersOf(value: RegoValue): readonly RegoValue[] {
  if (value instanceof RegoSet) return value.items
  return isArray(value) ? value : fail('an array or a set is expected')
}

export function textsOf(value: RegoValue): readonly string[] {
  return membersOf(value).map((member) =>
    typeof member === 'string' ? member : fail('a string is expected'),
  )
}

/** A number as Rego holds it: integers beyond 2^53 stay exact. */
export function toNumber(integer: bigint): number | bigint {
  const number = Number(integer)
  return Number.isSafeInteger(number) ? number : integer
}

export function objectOf(fields: Readonly<Record<string, RegoValue>>): RegoObject {
  return new RegoObject(Object.entries(fields))
}
