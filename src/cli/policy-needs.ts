// What a policy needs of the inside of a TLS connection, as far as it can be told without asking it.

import type { PolicyMetadata } from '../model/policy.ts'
import { readCedar } from '../policy/cedar/read.ts'
import { readFolder } from '../policy/folder.ts'

/** What a tunnel that stays shut does not show. */
const INSIDE = ['content', 'resource.path', 'resource.method', 'resource.model']
const SEEN_OUTSIDE = new Set(['access_ai_service', 'access_site'])
/** Obligations that change or stop what is inside. */
const PERFORMED_INSIDE = new Set(['redact', 'inspect', 'restrict_tenant', 'cut_stream'])

/** What it reads, in words; empty: nothing, or everything (then nobody can tell), or it is not about the proxy. */
export function readsInside({ reads, scope }: PolicyMetadata): readonly string[] {
  if (!isOfProxy(scope.sources)) return []
  const parts = INSIDE.filter((part) =>
    reads.some((path) => path === part || path.startsWith(`${part}.`)),
  )
  const actions = scope.actions ?? []
  const onlyInside = actions.length > 0 && !actions.some((action) => SEEN_OUTSIDE.has(action))
  return onlyInside ? [...parts, `the action ${actions.join(' or ')}`] : parts
}

/** Obligations of each policy that only an open connection can perform; by id, for Rego by file. */
export function obligationsInside(dirs: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  for (const { rego, cedar } of dirs.map(readFolder)) {
    for (const { path, text } of rego) {
      const code = text.replaceAll(/^\s*#.*$/gm, '')
      const types = [...code.matchAll(/"type"\s*:\s*"(\w+)"/g)].map(([, type = '']) => type)
      keep(found, path, types)
    }
    for (const file of cedar)
      for (const { metadata, outcome } of readCedar(file).policies)
        keep(
          found,
          metadata.id,
          outcome.obligations.map(({ type }) => type),
        )
  }
  return found
}

export function isOfProxy(sources: readonly string[] | undefined): boolean {
  return sources === undefined || sources.length === 0 || sources.includes('proxy')
}

function keep(found: Map<string, readonly string[]>, key: string, types: readonly string[]): void {
  const inside = [...new Set(types)].filter((type) => PERFORMED_INSIDE.has(type))
  if (inside.length > 0) found.set(key, inside)
}
