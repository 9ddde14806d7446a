// What a Rego module defines and what it can read, from the syntax tree that OPA gives.
//
// The read-set is sound: a dynamic key widens to its prefix, `input` alone means all of it, and what
// referenced packages read counts too.

import { isObject } from '../metadata.ts'

/** Rules that make a package a policy. */
const CONVENTION_RULES = ['decision', 'deny', 'review', 'allow', 'obligations'] as const
const EVALUATED_RULES: readonly string[] = [...CONVENTION_RULES, 'reason']

export interface ModuleFacts {
  /** `a.b.c`; parts that are no names stay as they are. */
  readonly packagePath: readonly string[]
  /** Convention rules and `reason`, as far as they exist. */
  readonly rules: readonly string[]
  /** First names of all rules and functions. */
  readonly defines: readonly string[]
  readonly reads: ReadonlySet<string>
  /** Prefixes of `data` that it refers to, parts joined with `/`. */
  readonly refers: ReadonlySet<string>
}

const READS_ALL = ''

export function factsOf(module: unknown): ModuleFacts {
  if (!isObject(module)) throw new Error('no Rego module')
  const packagePath = pathOf((module['package'] as Record<string, unknown>)['path']).slice(1)
  const rules = new Set<string>()
  const defines = new Set<string>()
  for (const rule of listOf(module['rules'])) {
    const head = (rule as Record<string, unknown>)['head'] as Record<string, unknown>
    const [name] = pathOf(head['ref'])
    if (name !== undefined) defines.add(name)
    if (name !== undefined && EVALUATED_RULES.includes(name) && head['args'] === undefined)
      rules.add(name)
  }
  const reads = new Set<string>()
  const refers = new Set<string>()
  walk(module['imports'], reads, refers)
  walk(module['rules'], reads, refers)
  return {
    packagePath,
    rules: EVALUATED_RULES.filter((rule) => rules.has(rule)),
    defines: [...defines],
    reads,
    refers,
  }
}

/** The paths of the input that any of these modules can read; `['']`: all of it. */
export function readsOf(modules: readonly ModuleFacts[]): readonly string[] {
  const reads = new Set<string>()
  for (const facts of modules) for (const path of facts.reads) reads.add(path)
  if (reads.has(READS_ALL)) return [READS_ALL]
  // A path below another one adds nothing.
  return [...reads].filter((path) => !isBelow(path, reads)).toSorted()
}

function isBelow(path: string, others: ReadonlySet<string>): boolean {
  for (let at = path.indexOf('.'); at !== -1; at = path.indexOf('.', at + 1))
    if (others.has(path.slice(0, at))) return true
  return false
}

function walk(node: unknown, reads: Set<string>, refers: Set<string>): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, reads, refers)
    return
  }
  if (!isObject(node)) return
  if (node['type'] === 'ref' && Array.isArray(node['value'])) {
    const [head, ...rest] = node['value'] as unknown[]
    const ground = pathOf(node['value'])
    if (isVar(head, 'input')) reads.add(inputPath(ground.slice(1)))
    else if (isVar(head, 'data')) refers.add(ground.slice(1).join('/'))
    else walk(head, reads, refers)
    walk(rest, reads, refers)
    return
  }
  if (isVar(node, 'input')) reads.add(READS_ALL)
  if (isVar(node, 'data')) refers.add('')
  for (const value of Object.values(node)) walk(value, reads, refers)
}

/** The ground beginning of a reference; a part that holds a dot would be ambiguous, so it widens too. */
function inputPath(parts: readonly string[]): string {
  const plain = parts.findIndex((part) => part.includes('.') || part === '')
  return (plain === -1 ? parts : parts.slice(0, plain)).join('.')
}

function pathOf(ref: unknown): string[] {
  const path: string[] = []
  for (const [index, term] of listOf(ref).entries()) {
    const { type, value } = term as { type?: unknown; value?: unknown }
    if (typeof value !== 'string' || (type !== 'string' && !(type === 'var' && index === 0))) break
    path.push(value)
  }
  return path
}

function isVar(term: unknown, name: string): boolean {
  return isObject(term) && term['type'] === 'var' && term['value'] === name
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}
