// JSON in which integers keep their exact value: beyond 2^53 they become bigint, and come back as digits.

import { CordonError } from './errors.ts'

declare global {
  interface JSON {
    /** ECMAScript JSON.parse source text access. */
    rawJSON(text: string): unknown
  }
}

const LONG_NUMBER = /\d{16}/
const INTEGER = /^-?\d+$/
const MAX_DEPTH = 128

/** Parses JSON text; throws SyntaxError as JSON.parse does, CordonError INPUT_INVALID beyond 128 levels. */
export function parseExact(text: string): unknown {
  if (exceedsDepth(text, MAX_DEPTH)) {
    throw new CordonError('INPUT_INVALID', `nested deeper than ${MAX_DEPTH} levels`)
  }
  return LONG_NUMBER.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text)
}

/** The JSON text of a value that may hold bigints. */
export function stringifyExact(value: unknown): string {
  // A replacer is called for every key, which costs ten times the rest: only where there is a bigint.
  try {
    return JSON.stringify(value)
  } catch (error) {
    if (error instanceof TypeError) return JSON.stringify(value, exactDigits)
    throw error
  }
}

function exactInteger(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context?.source
  return source !== undefined && INTEGER.test(source) ? BigInt(source) : value
}

function exactDigits(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? JSON.rawJSON(value.toString()) : value
}

/** JSON.parse takes a million levels, in seconds, and what follows does not: brackets outside strings are counted first. */
export function exceedsDepth(text: string, most: number): boolean {
  if (text.length <= most) return false
  let depth = 0
  let quoted = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (quoted) {
      if (code === 0x5c) index += 1
      else if (code === 0x22) quoted = false
    } else if (code === 0x22) quoted = true
    else if (code === 0x7b || code === 0x5b) {
      depth += 1
      if (depth > most) return true
    } else if (code === 0x7d || code === 0x5d) depth -= 1
  }
  return false
}
