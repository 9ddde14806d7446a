// Which parts of the input document a Cedar statement can read, from its JSON form.

import { isObject } from '../metadata.ts'

const PARTS: Readonly<Record<string, string>> = {
  principal: 'user',
  resource: 'resource',
  context: 'context',
  action: 'action',
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
  return variable === 'principal'
    ? ['user.id', 'user.groups', 'user.roles', 'user.department']
    : ['resource.id', 'resource.category', 'resource.vendor']
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
  if (node['in'] !== undefined || node['is'] !== undefined) {
    for (const name of [
      'user.id',
      'user.groups',
      'user.roles',
      'user.department',
      'resource.id',
      'resource.category',
      'resource.vendor',
      'action',
    ])
      reads.add(name)
  }
  for (const value of Object.values(node)) walk(value, reads)
}

/** `context.content.bytes` as its parts, for attribute reads and `has` tests alike. */
function chain(node: Record<string, unknown>): string[] | undefined {
  const variable = node['Var']
  if (typeof variable === 'string') return [variable]
  const access = node['.'] ?? node['has']
  if (!isObject(access) || typeof access['attr'] !== 'string' || !isObject(access['left']))
    return undefined
  const left = chain(access['left'])
  return left === undefined ? undefined : [...left, access['attr']]
}

/** Content hangs under the context in Cedar, beside it in the input document. */
function inputPath([variable = '', ...rest]: readonly string[]): string {
  if (variable === 'context' && rest[0] === 'content') return rest.join('.')
  if (variable === 'context' && rest.length === 0) return ''
  return [PARTS[variable] ?? '', ...rest].join('.')
}
