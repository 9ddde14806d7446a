// How does OPA show a GraphQL document? As an object without nulls and without empty parts.

import { isArray, RegoObject, type RegoValue } from '../../value.ts'
import type { QueryDocument, SchemaDocument } from './ast.ts'

type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain }

export function answerOf(document: QueryDocument | SchemaDocument): RegoValue {
  return prune(document as unknown as Plain) ?? new RegoObject([])
}

function prune(value: Plain): RegoValue | undefined {
  if (value === null) return undefined
  if (typeof value !== 'object') return value
  if (isList(value)) {
    const items = value.map(prune).filter((item) => item !== undefined)
    return items.length === 0 ? undefined : items
  }
  const entries: (readonly [string, RegoValue])[] = []
  for (const [key, item] of Object.entries(value)) {
    const kept = prune(item)
    if (kept !== undefined) entries.push([key, kept])
  }
  return entries.length === 0 ? undefined : new RegoObject(entries)
}

function isList(value: Plain): value is readonly Plain[] {
  return isArray(value as RegoValue)
}
