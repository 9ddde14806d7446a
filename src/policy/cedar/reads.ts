// Which parts of the input document a Cedar statement can read, from its JSON form.

import { isObject } from '../metadata.ts'

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
