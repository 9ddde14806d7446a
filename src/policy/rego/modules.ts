// Which modules does a policy need, which parts of the input and of the data can it read?

import type { SourceFile } from '../folder.ts'
import { isObject } from '../metadata.ts'
import { type ModuleFacts, readsOf } from './syntax.ts'

export interface Module {
  readonly file: SourceFile
  readonly facts: ModuleFacts
}

/** Modules by the parts of their package paths. */
interface Node {
  readonly modules: Module[]
  readonly below: Map<string, Node>
}

/** All modules of a folder, and who can use whose rules: by a reference, or because both are one package. */
export class ModuleGraph {
  readonly #root: Node = { modules: [], below: new Map() }
  readonly #uses = new Map<Module, readonly Module[]>()

  constructor(modules: readonly Module[]) {
    for (const module of modules) this.#nodeOf(pathOf(module)).modules.push(module)
  }

  /** The modules that these can use, directly or not, themselves included. */
  needed(start: readonly Module[]): readonly Module[] {
    const seen = new Set(start)
    for (const module of seen) for (const other of this.#usedBy(module)) seen.add(other)
    return [...seen]
  }

  /**
   * Where anything that OPA's compiler finds at a module comes from, the module included: those that it can use, those
   * whose rules and packages may have one name, and those whose annotations hold for packages below; of these the same.
   */
  seen(module: Module): readonly Module[] {
    const seen = new Set([module])
    for (const each of seen) {
      for (const other of this.#usedBy(each)) seen.add(other)
      this.#collectNear(each, seen)
    }
    return [...seen]
  }

  /** The paths of the input that a module can read; `['']`: all of it. */
  reads(module: Module): readonly string[] {
    return readsOf(this.needed([module]).map(({ facts }) => facts))
  }

  #usedBy(module: Module): readonly Module[] {
    const known = this.#uses.get(module)
    if (known !== undefined) return known
    const found = new Set<Module>(this.#nodeOf(pathOf(module)).modules)
    this.#collectAbove(module, found, (above, part) => above.facts.defines.includes(part))
    for (const reference of module.facts.refers) this.#collect(reference, found)
    const uses = [...found]
    this.#uses.set(module, uses)
    return uses
  }

  /** A reference may mean a rule of a package on its way, or anything below its end. */
  #collect(reference: string, into: Set<Module>): void {
    let node: Node | undefined = this.#root
    for (const part of reference === '' ? [] : reference.split('/')) {
      for (const module of node.modules) into.add(module)
      node = node.below.get(part)
      if (node === undefined) return
    }
    collectBelow(node, into)
  }

  /** Of packages above; `part`: the next one of the module's path. A rule `b.deny` of `a` is one of the package `a.b`. */
  #collectAbove(
    module: Module,
    into: Set<Module>,
    isWanted: (above: Module, part: string) => boolean,
  ): void {
    let node = this.#root
    for (const part of pathOf(module).split('/')) {
      for (const above of node.modules) if (isWanted(above, part)) into.add(above)
      node = node.below.get(part) ?? EMPTY
    }
  }

  /** A rule of a package may have the name of a package below it, or of its rules. */
  #collectNear(module: Module, into: Set<Module>): void {
    this.#collectAbove(module, into, ({ file }) => file.text.includes('METADATA'))
    const node = this.#nodeOf(pathOf(module))
    for (const name of module.facts.defines) collectBelow(node.below.get(name) ?? EMPTY, into)
  }

  #nodeOf(path: string): Node {
    let node = this.#root
    for (const part of path.split('/')) {
      let next = node.below.get(part)
      if (next === undefined) {
        next = { modules: [], below: new Map() }
        node.below.set(part, next)
      }
      node = next
    }
    return node
  }
}

const EMPTY: Node = { modules: [], below: new Map() }

function collectBelow({ modules, below }: Node, into: Set<Module>): void {
  for (const module of modules) into.add(module)
  for (const node of below.values()) collectBelow(node, into)
}

function pathOf({ facts: { packagePath } }: Module): string {
  return packagePath.join('/')
}

/** The prefixes of `data` that modules refer to, each once; one below another adds nothing. */
export function dataOf(modules: readonly Module[]): readonly string[] {
  const all = new Set(modules.flatMap(({ facts }) => [...facts.refers]))
  if (all.has('')) return ['']
  return [...all].filter((path) => !prefixes(path).some((prefix) => all.has(prefix))).toSorted()
}

/** The proper prefixes of a path. */
function prefixes(path: string): readonly string[] {
  const found: string[] = []
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1))
    found.push(path.slice(0, at))
  return found
}

/** What of the data documents lies at these prefixes: nothing else can be read by who refers to them. */
export function dataAt(data: unknown, paths: readonly string[]): unknown {
  if (paths.includes('') || !isObject(data)) return data
  const below = new Map<string, string[]>()
  for (const path of paths) {
    // A key may hold a slash itself: every way to read the path counts.
    for (const key of [...prefixes(path), path]) {
      if (!Object.hasOwn(data, key)) continue
      const rest = path.slice(key.length + 1)
      const known = below.get(key)
      if (known === undefined) below.set(key, [rest])
      else known.push(rest)
    }
  }
  const out: Record<string, unknown> = {}
  for (const [key, rests] of below) {
    // Not an assignment: a key may be called __proto__.
    Object.defineProperty(out, key, {
      value: dataAt(data[key], rests),
      enumerable: true,
      configurable: true,
    })
  }
  return out
}
