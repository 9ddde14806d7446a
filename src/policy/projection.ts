// What policies can read of an input: as a document of its own, and as a text that tells inputs apart.
//
// Both go by the read-set alone. A value that lies under no path of it cannot be seen by the policies, so
// an input without it gives the same answer.

import { stringifyExact } from '../base/exact-json.ts'
import { isObject } from './metadata.ts'

/** Paths as a tree: a part leads to what is read below it, `whole` to all of it. */
export interface ReadTree {
  readonly parts: ReadonlyMap<string, ReadTree>
  readonly whole: boolean
}

interface Growing {
  readonly parts: Map<string, Growing>
  whole: boolean
}

/** The tree of dotted paths; a path below another one adds nothing, the empty path is everything. */
export function readTree(paths: Iterable<string>): ReadTree {
  const root: Growing = { parts: new Map(), whole: false }
  for (const path of paths) {
    let node = root
    for (const part of path === '' ? [] : path.split('.')) {
      if (node.whole) break
      let below = node.parts.get(part)
      if (below === undefined) {
        below = { parts: new Map(), whole: false }
        node.parts.set(part, below)
      }
      node = below
    }
    node.whole = true
    node.parts.clear()
  }
  return root
}

/** The input with what the tree reaches and nothing else; undefined where nothing of it is there. */
export function project(value: unknown, tree: ReadTree): unknown {
  if (tree.whole) return value
  if (!isObject(value)) return undefined
  const out: Record<string, unknown> = {}
  for (const [part, below] of tree.parts) {
    if (!Object.hasOwn(value, part)) continue
    const inner = project(value[part], below)
    if (inner === undefined) continue
    if (part === '__proto__')
      Object.defineProperty(out, part, { value: inner, enumerable: true, configurable: true })
    else out[part] = inner
  }
  return out
}

/**
 * A text that is equal for two inputs only if what the tree reaches is equal in both. An absent value
 * differs from every other one. Each part ends by itself, so that no two of them can be taken for another.
 */
export function fingerprint(value: unknown, tree: ReadTree): string {
  if (tree.whole) return leaf(value)
  // What has no members has none of those that are read, as an object without them.
  const members = isObject(value) ? value : NOTHING
  let text = ''
  for (const [part, below] of tree.parts)
    text += fingerprint(Object.hasOwn(members, part) ? members[part] : undefined, below)
  return text
}

const NOTHING: Readonly<Record<string, unknown>> = {}

function leaf(value: unknown): string {
  switch (typeof value) {
    case 'undefined':
      return '\u0000'
    case 'string':
      return `\u0001${value.length}:${value}`
    case 'object':
      return `\u0002${stringifyExact(value)}`
    default:
      return `\u0003${String(value)}`
  }
}
