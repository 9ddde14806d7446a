// Which parts of the input document a Cedar statement can read, and what it looks for in lists, from its JSON form.

import { isObject } from '../metadata.ts'
import type { ListLooks } from './entities.ts'

const PARTS: Readonly<Record<string, string>> = {
  principal: 'user',
  resource: 'resource',
  context: 'context',
  action: 'action',
}

/** What `in` looks at: the entity's own id and those of its parents. */
const IDENTITY: Readonly<Record<string, readonly string[]>> = {
  principal: ['user.id', 'user.groups', 'user.roles', 'user.department'],
  resource: ['resource.id', 'resource.category', 'resource.vendor'],
  action: ['action'],
  context: [''],
}

/** Sound: an attribute chain counts from its variable as far as it is literal; a bare variable counts whole. */
export function readsOfCedar(statement: unknown): readonly string[] {
  const reads = new Set<string>()
  if (!isObject(statement)) return ['']
  for (const [variable, part] of [
    ['principal', 'user'],
    ['resource', 'resource'],
    ['action', 'action'],
  ] as const) {
    const head = statement[variable]
    if (!isObject(head) || head['op'] === 'All') continue
    for (const path of headReads(variable, part, head)) reads.add(path)
  }
  walk(statement['conditions'], reads)
  return [...reads].toSorted()
}

/** `in` looks at the parents, `==` at the id, `is` at nothing of the input. */
function headReads(variable: string, part: string, head: Record<string, unknown>): string[] {
  if (variable === 'action') return ['action']
  if (head['op'] === 'is' && head['in'] === undefined) return []
  if (head['op'] === '==') return [`${part}.id`]
  return [...(IDENTITY[variable] ?? [''])]
}

function walk(node: unknown, reads: Set<string>): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, reads)
    return
  }
  if (!isObject(node)) return
  const path = chain(node)
  if (path !== undefined) {
    reads.add(inputPath(path))
    return
  }
  for (const test of [node['=='], node['!=']]) {
    if (!isObject(test)) continue
    for (const side of [test['left'], test['right']]) {
      const compared = entityVariable(side)
      if (compared === undefined) walk(side, reads)
      else reads.add(compared === 'action' ? 'action' : `${PARTS[compared]}.id`)
    }
    return
  }
  for (const test of [node['in'], node['is']]) {
    if (!isObject(test) || !isObject(test['left'])) continue
    const variable = test['left']['Var']
    for (const name of IDENTITY[String(variable)] ?? []) reads.add(name)
    if (typeof variable !== 'string') walk(test['left'], reads)
    walk([test['right'], test['in']], reads)
    return
  }
  for (const value of Object.values(node)) walk(value, reads)
}

/** A variable that stands for an entity: what is compared is who it is. */
function entityVariable(node: unknown): 'principal' | 'resource' | 'action' | undefined {
  const variable = isObject(node) ? node['Var'] : undefined
  return variable === 'principal' || variable === 'resource' || variable === 'action'
    ? variable
    : undefined
}

/** Sound: whatever is not a search for texts that stand in the statement, or a test with `has`, counts as a look at all. */
export function listLooksOf(statement: unknown): ListLooks {
  const sought = new Map<string, string[]>()
  const whole = new Set<string>()
  const look = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const item of node) look(item)
      return
    }
    if (!isObject(node)) return
    const search = searchOf(node)
    if (search !== undefined) {
      sought.set(search.path, [...(sought.get(search.path) ?? []), ...search.texts])
      return
    }
    const path = chain(node)
    if (path === undefined) {
      const compared = node['=='] ?? node['!='] ?? node['in'] ?? node['is']
      for (const value of Object.values(isObject(compared) ? compared : node))
        if (compared === undefined || entityVariable(value) === undefined) look(value)
    } else if (node['has'] === undefined) whole.add(inputPath(path))
  }
  look(isObject(statement) ? statement['conditions'] : statement)
  return { sought, whole: [...whole] }
}

/** `list.contains("a")`, `list.containsAny(["a", "b"])`, `list.containsAll(["a", "b"])`. */
function searchOf(
  node: Record<string, unknown>,
): { readonly path: string; readonly texts: readonly string[] } | undefined {
  const one = node['contains']
  const search = one ?? node['containsAny'] ?? node['containsAll']
  if (!isObject(search) || !isObject(search['left']) || !isObject(search['right'])) return undefined
  const list = chain(search['left'])
  if (list === undefined || search['left']['.'] === undefined) return undefined
  const values: unknown = one === undefined ? search['right']['Set'] : [search['right']]
  if (!Array.isArray(values)) return undefined
  const texts = (values as unknown[]).map((value) => (isObject(value) ? value['Value'] : undefined))
  return texts.every((text) => typeof text === 'string')
    ? { path: inputPath(list), texts }
    : undefined
}

/** `context.content.bytes` as its parts, for attribute reads and `has` tests alike. */
export function chain(node: Record<string, unknown>): string[] | undefined {
  const variable = node['Var']
  if (typeof variable === 'string') return [variable]
  const access = node['.'] ?? node['has']
  if (!isObject(access) || !isObject(access['left'])) return undefined
  // `has a.b.c` is one node whose attribute is a list.
  const { attr } = access
  const attributes: readonly unknown[] = Array.isArray(attr) ? (attr as unknown[]) : [attr]
  const left = chain(access['left'])
  return left === undefined ? undefined : [...left, ...attributes.map(String)]
}

/** Content hangs under the context in Cedar, beside it in the input document. */
export function inputPath([variable = '', ...rest]: readonly string[]): string {
  if (variable === 'context' && rest[0] === 'content') return rest.join('.')
  if (variable === 'context' && rest.length === 0) return ''
  return [PARTS[variable] ?? '', ...rest].join('.')
}
