// Arguments of built-ins: of the right type, or the call fails.

import { isArray, isNumber, RegoObject, RegoSet, type RegoValue } from '../value.ts'

export class WrongArgument extends Error {}

export function text(value: RegoValue | undefined): string {
  if (typeof value !== 'string') throw new WrongArgument('string')
  return value
}

export function number(value: RegoValue | undefined): number | bigint {
  if (value === undefined || !isNumber(value)) throw new WrongArgument('number')
  return value
}

export function integer(value: RegoValue | undefined): bigint {
  const found = number(value)
  if (typeof found === 'bigint') return found
  if (!Number.isInteger(found)) throw new WrongArgument('integer')
  return BigInt(found)
}

export function list(value: RegoValue | undefined): readonly RegoValue[] {
  if (value === undefined || !isArray(value)) throw new WrongArgument('array')
  return value
}

export function listOrSet(value: RegoValue | undefined): readonly RegoValue[] {
  return value instanceof RegoSet ? value.items : list(value)
}

export function object(value: RegoValue | undefined): RegoObject {
  if (!(value instanceof RegoObject)) throw new WrongArgument('object')
  return value
}

/** A number as Rego prints it: small integers as numbers, others exact. */
export function fit(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value
}
