// When is a Cedar statement satisfied? From its JSON form, as far as simple tests of single fields tell it.

import { createRequire } from 'node:module'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import { chain, inputPath } from '../cedar/reads.ts'
import { isObject } from '../metadata.ts'
import {
  ALWAYS,
  anyMember,
  both,
  type Condition,
  either,
  negated,
  NEVER,
  oneOf,
  OPAQUE,
  type Scalar,
  test,
} from './condition.ts'

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof CedarWasm

type Node = Readonly<Record<string, unknown>>

/** `statement`: its text. `body`: the statement without its annotations, in one spelling. */
export function cedarCondition(statement: string): {
  readonly condition: Condition
  readonly body: string
} {
  const parsed = cedar.policyToJson(statement)
  if (parsed.type === 'failure') return { condition: OPAQUE, body: statement }
  const { annotations: _, ...body } = parsed.json
  return { condition: conditionOfPolicy(body), body: JSON.stringify(body) }
}

function conditionOfPolicy({
  principal,
  action,
  resource,
  conditions,
}: Pick<CedarWasm.PolicyJson, 'principal' | 'action' | 'resource' | 'conditions'>): Condition {
  return both(
    headCondition('principal', principal),
    headCondition('action', action),
    headCondition('resource', resource),
    ...conditions.map(({ kind, body }) => {
      const condition = conditionOf(body)
      return kind === 'when' ? condition : negated(condition)
    }),
  )
}

function headCondition(variable: string, head: unknown): Condition {
  if (!isObject(head) || head['op'] === 'All') return ALWAYS
  if (head['op'] === 'is')
    return isObject(head['in']) ? within(variable, entitiesOf(head['in'])) : ALWAYS
  return head['op'] === '=='
    ? identity(variable, head['entity'])
    : within(variable, entitiesOf(head))
}

function entitiesOf(head: Node): readonly unknown[] {
  return Array.isArray(head['entities']) ? (head['entities'] as unknown[]) : [head['entity']]
}

const IDS: Readonly<Record<string, string>> = {
  principal: 'user.id',
  resource: 'resource.id',
  action: 'action',
}
const UNKNOWN = 'unknown'

/** `principal == Cordon::User::"u-1"`; without an id it is `unknown`. */
function identity(variable: string, entity: unknown): Condition {
  const uid = uidOf(entity)
  const path = IDS[variable]
  if (uid === undefined || path === undefined) return OPAQUE
  const named = oneOf(path, uid.id)
  return uid.id === UNKNOWN ? either(named, test(path, { is: 'present' }, false)) : named
}

/** `in`: the entity itself, or a parent of it. */
function within(variable: string, entities: readonly unknown[]): Condition {
  return either(
    ...entities.map((entity): Condition => {
      const uid = uidOf(entity)
      switch (uid?.type) {
        case 'Cordon::Group':
          return anyMember('user.groups', uid.id)
        case 'Cordon::Role':
          return anyMember('user.roles', uid.id)
        case 'Cordon::Department':
          return either(
            anyMember('user.department.path', uid.id),
            oneOf('user.department.name', uid.id),
          )
        case 'Cordon::Category':
          return oneOf('resource.category', uid.id)
        case 'Cordon::Vendor':
          return oneOf('resource.vendor', uid.id)
        case undefined:
          return OPAQUE
        default:
          return identity(variable, entity)
      }
    }),
  )
}

function conditionOf(node: unknown): Condition {
  if (!isObject(node)) return OPAQUE
  const [[operator, operands] = ['', undefined]] = Object.entries(node)
  if (operator === 'Value') {
    if (operands === true) return ALWAYS
    return operands === false ? NEVER : OPAQUE
  }
  const path = pathOf(node)
  // `has` and a read are one chain each; a read that stands alone is a flag.
  if (path !== undefined)
    return operator === 'has' ? test(path, { is: 'present' }) : oneOf(path, true)
  if (!isObject(operands)) return OPAQUE
  const { left, right, arg } = operands
  switch (operator) {
    case '&&':
      return both(conditionOf(left), conditionOf(right))
    case '||':
      return either(conditionOf(left), conditionOf(right))
    case '!':
      return negated(conditionOf(arg))
    case 'if-then-else': {
      const asked = conditionOf(operands['if'])
      return either(
        both(asked, conditionOf(operands['then'])),
        both(negated(asked), conditionOf(operands['else'])),
      )
    }
    case '==':
      return equality(left, right)
    case '!=':
      return unequal(left, right)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return comparison(operator, left, right)
    case 'in':
      return membership(left, right)
    case 'is':
      return typeTest(operands)
    case 'contains':
      return contains(left, right)
    case 'containsAny':
      return containsSome(left, right)
    case 'containsAll':
      return containsAll(left, right)
    case 'like':
      return like(operands)
    default:
      return OPAQUE
  }
}

/** The field of a chain of reads that begins with a variable; never a variable alone. */
function pathOf(node: unknown): string | undefined {
  if (!isObject(node)) return undefined
  const parts = chain(node)
  return parts === undefined || parts.length < 2 ? undefined : inputPath(parts)
}

function variableOf(node: unknown): string | undefined {
  const name = isObject(node) ? node['Var'] : undefined
  return typeof name === 'string' ? name : undefined
}

function scalarOf(node: unknown): Scalar | undefined {
  const value = isObject(node) ? node['Value'] : undefined
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : undefined
}

/** The texts and numbers of a set that is written out. */
function setOf(node: unknown): readonly Scalar[] | undefined {
  const items = isObject(node) ? node['Set'] : undefined
  const written = isObject(node) ? node['Value'] : undefined
  if (Array.isArray(written) && written.every((item) => typeof item !== 'object'))
    return written as Scalar[]
  if (!Array.isArray(items)) return undefined
  const scalars = (items as unknown[]).map(scalarOf)
  return scalars.includes(undefined) ? undefined : (scalars as Scalar[])
}

function equality(left: unknown, right: unknown): Condition {
  const [read, written] = pathOf(left) === undefined ? [right, left] : [left, right]
  const path = pathOf(read)
  const value = scalarOf(written)
  if (path !== undefined && value !== undefined) return oneOf(path, value)
  for (const [side, other] of [
    [left, right],
    [right, left],
  ] as const) {
    const variable = variableOf(side)
    const entity = isObject(other) ? other['Value'] : undefined
    if (variable !== undefined && uidOf(entity) !== undefined) return identity(variable, entity)
  }
  return OPAQUE
}

/** What is read is there: Cedar refuses a read that is not guarded. */
function unequal(left: unknown, right: unknown): Condition {
  const equal = equality(left, right)
  const path = pathOf(left) ?? pathOf(right)
  return path === undefined ? negated(equal) : both(test(path, { is: 'present' }), negated(equal))
}

const MIRRORED = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' } as const

function comparison(is: keyof typeof MIRRORED, left: unknown, right: unknown): Condition {
  const path = pathOf(left)
  const value = scalarOf(right)
  if (path !== undefined && typeof value === 'number') return test(path, { is, value })
  const other = pathOf(right)
  const bound = scalarOf(left)
  return other !== undefined && typeof bound === 'number'
    ? test(other, { is: MIRRORED[is], value: bound })
    : OPAQUE
}

function membership(left: unknown, right: unknown): Condition {
  const variable = variableOf(left)
  if (variable === undefined || !isObject(right)) return OPAQUE
  const set: unknown = right['Set']
  const members: readonly unknown[] = Array.isArray(set) ? (set as unknown[]) : [right]
  return within(
    variable,
    members.map((member) => (isObject(member) ? member['Value'] : undefined)),
  )
}

function typeTest({ left, in: inside }: Node): Condition {
  // There is one type of principal and one of resource.
  return inside === undefined ? ALWAYS : membership(left, inside)
}

function contains(left: unknown, right: unknown): Condition {
  const path = pathOf(left)
  const value = scalarOf(right)
  if (path !== undefined && value !== undefined) return anyMember(path, value)
  const set = setOf(left)
  const read = pathOf(right)
  return set !== undefined && read !== undefined ? oneOf(read, ...set) : OPAQUE
}

function containsSome(left: unknown, right: unknown): Condition {
  const path = pathOf(left) ?? pathOf(right)
  const set = setOf(right) ?? setOf(left)
  return path !== undefined && set !== undefined ? anyMember(path, ...set) : OPAQUE
}

function containsAll(left: unknown, right: unknown): Condition {
  const path = pathOf(left)
  const set = setOf(right)
  return path !== undefined && set !== undefined
    ? both(test(path, { is: 'present' }), ...set.map((value) => anyMember(path, value)))
    : OPAQUE
}

function like({ left, pattern }: Node): Condition {
  const path = pathOf(left)
  if (path === undefined || !Array.isArray(pattern)) return OPAQUE
  const parts = (pattern as unknown[]).map((part) => {
    const literal = isObject(part) ? part['Literal'] : undefined
    return typeof literal === 'string' ? literal : null
  })
  return test(path, { is: 'like', pattern: parts })
}

function uidOf(value: unknown): { readonly type: string; readonly id: string } | undefined {
  const uid = isObject(value) ? (value['__entity'] ?? value) : undefined
  if (!isObject(uid)) return undefined
  const { type, id } = uid
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined
}
