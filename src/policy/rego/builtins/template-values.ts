// The values that a Go template handles, and how Go prints them.

import { formatFloat } from './floats.ts'
import { fail } from './operands.ts'

/** Go's json.Number: a text of its own type. */
export class NumberText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** undefined: no value at all, as a key that a map does not have. bigint and number: constants. */
export type Value =
  | undefined
  | null
  | boolean
  | string
  | bigint
  | number
  | NumberText
  | readonly Value[]
  | ReadonlyMap<string, Value>

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

export function isTrue(value: Value): boolean {
  if (value instanceof NumberText) return value.text !== ''
  if (isList(value)) return value.length > 0
  if (value instanceof Map) return value.size > 0
  return Boolean(value)
}

export function fieldOf(value: Value, name: string): Value {
  if (value === undefined) return undefined
  return value instanceof Map ? (value.get(name) as Value) : fail('no field there')
}

/** What an action prints. */
export function shown(value: Value): string {
  return value === undefined || value === null ? '<no value>' : goText(value)
}

/** Go's %v. */
export function goText(value: Value): string {
  if (value === undefined || value === null) return '<nil>'
  if (value instanceof NumberText) return value.text
  if (isList(value)) return `[${value.map(goText).join(' ')}]`
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<string, Value>)].toSorted(([a], [b]) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    )
    return `map[${entries.map(([key, item]) => `${key}:${goText(item)}`).join(' ')}]`
  }
  if (typeof value === 'number') return formatFloat(value, 'g', undefined)
  if (typeof value === 'string') return value
  return typeof value === 'bigint' || typeof value === 'boolean' ? value.toString() : ''
}
