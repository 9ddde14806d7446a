// The scope that the head of a Cedar statement already implies, for the scope index.
//
// A false head means that the statement is not satisfied, and heads cannot err: leaving such statements out
// changes nothing. The scope may be wider than the head (`users` matches names too), never narrower.

import type { Scope, ScopeKey } from '../../model/policy.ts'
import { isObject } from '../metadata.ts'
import { entityKey } from './entities.ts'

const KEYS: Readonly<Record<string, ScopeKey>> = {
  'Cordon::User': 'users',
  'Cordon::Group': 'groups',
  'Cordon::Department': 'departments',
  'Cordon::Role': 'roles',
  'Cordon::Service': 'services',
  'Cordon::Category': 'categories',
  'Cordon::Vendor': 'vendors',
}

/** `statement` is its JSON form. */
export function impliedScope(statement: {
  readonly principal: unknown
  readonly action: unknown
  readonly resource: unknown
}): Scope {
  const scope: Partial<Record<ScopeKey, readonly string[]>> = {}
  for (const head of [statement.principal, statement.resource]) {
    const entity = entityOf(head)
    const key = entity === undefined ? undefined : KEYS[entity.type]
    if (key !== undefined && entity !== undefined) scope[key] = [entity.id]
  }
  const actions = actionsOf(statement.action)
  return actions.length === 0 ? scope : { ...scope, actions }
}

/** Every entity that stands anywhere in a statement: `in` can be true of no other. */
export function namedEntities(node: unknown): readonly string[] {
  if (Array.isArray(node)) return node.flatMap(namedEntities)
  if (!isObject(node)) return []
  const uid = uidOf(node)
  const own = uid === undefined ? [] : [entityKey(uid.type, uid.id)]
  return [...own, ...Object.values(node).flatMap(namedEntities)]
}

/** The entity of `== e`, `in e` and `is T in e`. */
function entityOf(head: unknown): { type: string; id: string } | undefined {
  if (!isObject(head)) return undefined
  const inner = head['op'] === 'is' ? head['in'] : head
  return isObject(inner) ? uidOf(inner['entity']) : undefined
}

function actionsOf(head: unknown): readonly string[] {
  if (!isObject(head)) return []
  const entities: readonly unknown[] = Array.isArray(head['entities'])
    ? (head['entities'] as unknown[])
    : [head['entity']]
  return entities.flatMap((entity) => uidOf(entity)?.id ?? [])
}

function uidOf(value: unknown): { type: string; id: string } | undefined {
  const uid = isObject(value) ? (value['__entity'] ?? value) : undefined
  if (!isObject(uid)) return undefined
  const { type, id } = uid
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined
}
