// What policies can read of an input: as a document of its own, and as a list of facts that tells inputs apart.
//
// Both go by the read-set alone. A value that lies under no path of it cannot be seen by the policies, so
// an input without it gives the same answer.

import { isObject } from './metadata.ts'
import type { Fact, Facts } from './remembered.ts'

/** Paths as a tree: a member leads to what is read below it, `whole` to all of it. */
export interface ReadTree {
  readonly members: readonly ReadMember[]
  readonly whole: boolean
}

interface ReadMember {
  readonly name: string
  /** Whether every object has a member of that name, its own or not. */
  readonly isInherited: boolean
  readonly below: ReadTree
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
  return grown(root)
}

function grown({ parts, whole }: Growing): ReadTree {
  return {
    whole,
    members: [...parts].map(([name, below]) => ({
      name,
      isInherited: name in NOTHING,
      below: grown(below),
    })),
  }
}

/** The member itself; undefined where there is none. */
function memberOf(
  value: Readonly<Record<string, unknown>>,
  { name, isInherited }: ReadMember,
): unknown {
  return isInherited && !Object.hasOwn(value, name) ? undefined : value[name]
}

/** The input with what the tree reaches and nothing else; undefined where nothing of it is there. */
export function project(value: unknown, tree: ReadTree): unknown {
  if (tree.whole) return value
  if (!isObject(value)) return undefined
  const out: Record<string, unknown> = {}
  for (const member of tree.members) {
    const { name } = member
    const inner = project(memberOf(value, member), member.below)
    if (inner === undefined) continue
    if (name === '__proto__')
      Object.defineProperty(out, name, { value: inner, enumerable: true, configurable: true })
    else out[name] = inner
  }
  return out
}

/**
 * Adds facts that are equal for two inputs only if what the tree reaches is equal in both. An absent value
 * differs from every other one. Each value ends by itself, so that no two of them can be taken for another.
 */
export function addFacts(value: unknown, tree: ReadTree, facts: Facts): void {
  if (tree.whole) {
    addWhole(value, facts)
    return
  }
  // What has no members has none of those that are read, as an object without them.
  const members = isObject(value) ? value : NOTHING
  for (const member of tree.members) addFacts(memberOf(members, member), member.below, facts)
}

const NOTHING: Readonly<Record<string, unknown>> = {}
const LIST = Symbol('list')
const MEMBERS = Symbol('members')
const END = Symbol('end')

function addWhole(value: unknown, facts: Facts): void {
  if (typeof value !== 'object' || value === null) {
    facts.add(value as Fact)
  } else if (Array.isArray(value)) {
    facts.add(LIST)
    facts.add(value.length)
    for (const item of value as readonly unknown[]) addWhole(item, facts)
  } else {
    facts.add(MEMBERS)
    // Twice as fast as by a list of the names.
    for (const name in value) {
      facts.addName(name)
      addWhole((value as Record<string, unknown>)[name], facts)
    }
    facts.add(END)
  }
}
