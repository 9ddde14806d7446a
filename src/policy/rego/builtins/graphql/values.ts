// Does a value suit the place where a query gives it? By gqlparser's rules, which have their own idea of
// some cases: `{}` suits any scalar, and an integer need only fit 64 bits.

import { fail } from '../operands.ts'
import {
  type ChildValue,
  type Definition,
  type FieldDefinition,
  nameOf,
  type TypeRef,
  VALUE,
  type Value,
  type VariableDefinition,
} from './ast.ts'
import type { Schema } from './model.ts'
import { isCompatible } from './schema-check.ts'

export interface Expected {
  readonly schema: Schema
  /** Of the operation; undefined in a fragment that is looked at by itself. */
  readonly variables: ReadonlyMap<string, VariableDefinition> | undefined
  readonly used: Set<string>
  member(parent: Definition, name: string): FieldDefinition | undefined
}

const BUILT_IN = new Set(['Int', 'Float', 'String', 'Boolean', 'ID'])
const MAX_INT64 = (1n << 63n) - 1n
/** The scalars that take each kind of literal. */
const TAKERS: ReadonlyMap<number, readonly string[]> = new Map([
  [VALUE.int, ['Int', 'Float', 'ID']],
  [VALUE.float, ['Float']],
  [VALUE.string, ['String', 'ID']],
  [VALUE.block, ['String', 'ID']],
  [VALUE.boolean, ['Boolean']],
])

export function checkValue(
  value: Value,
  type: TypeRef | undefined,
  defaulted: boolean,
  expected: Expected,
): void {
  const { schema } = expected
  schema.work.step()
  if (value.Kind === VALUE.variable) checkVariable(value, type, defaulted, expected)
  schema.work.within(() => {
    checkChildren(value, type, expected)
  })
  const definition = type && schema.types.get(nameOf(type))
  if (type !== undefined && definition !== undefined) checkType(value, type, definition, expected)
}

function checkVariable(
  { Raw }: Value,
  type: TypeRef | undefined,
  defaulted: boolean,
  { variables, used }: Expected,
): void {
  if (variables === undefined) return
  const variable = variables.get(Raw) ?? fail(`$${Raw} is not defined`)
  used.add(Raw)
  if (type === undefined) return
  const optional =
    defaulted || (variable.DefaultValue !== null && variable.DefaultValue.Kind !== VALUE.null)
  const wanted = optional ? { ...type, NonNull: false } : type
  if (!isCompatible(variable.Type, wanted)) fail(`$${Raw} has another type`)
}

function checkChildren(value: Value, type: TypeRef | undefined, expected: Expected): void {
  const { schema } = expected
  const definition = type && schema.types.get(nameOf(type))
  if (value.Kind === VALUE.list)
    for (const child of value.Children)
      checkValue(child.Value, type?.Elem ?? undefined, false, expected)
  if (value.Kind !== VALUE.object) return
  for (const { Name, Value: child } of value.Children) {
    const field = definition && expected.member(definition, Name)
    const preset = field?.DefaultValue ?? null
    checkValue(child, field?.Type, preset !== null && preset.Kind !== VALUE.null, expected)
  }
  if (new Set(value.Children.map(({ Name }) => Name)).size !== value.Children.length)
    fail('a member is there twice')
}

function checkType(value: Value, type: TypeRef, definition: Definition, expected: Expected): void {
  const { Kind, Raw } = value
  if (Kind === VALUE.null) {
    if (type.NonNull) fail('null is not expected')
    return
  }
  if (Kind === VALUE.object) checkOneOfVariables(value, definition, expected)
  if (definition.Kind === 'SCALAR' && !BUILT_IN.has(definition.Name)) return
  checkNumbers(value, expected, true)
  if (Kind === VALUE.variable) return
  if (Kind === VALUE.list && type.Elem === null) fail('no list is expected')
  if (Kind === VALUE.enum && !expected.schema.work.setOf(definition.EnumValues).has(Raw))
    fail(`${Raw} is not expected`)
  if (Kind === VALUE.enum && definition.Kind !== 'ENUM') fail('no enum is expected')
  if (TAKERS.get(Kind)?.includes(definition.Name) === false) fail('another type is expected')
  if (Kind === VALUE.object) checkMembers(value, definition, expected)
}

function checkMembers({ Children }: Value, definition: Definition, expected: Expected): void {
  const given = new Map(Children.map((child): [string, ChildValue] => [child.Name, child]))
  for (const { Name, Type, DefaultValue } of definition.Fields) {
    expected.schema.work.step()
    if (Type.NonNull && DefaultValue === null && !given.has(Name)) fail(`${Name} is missing`)
  }
  for (const name of given.keys())
    if (expected.member(definition, name) === undefined) fail(`no member ${name}`)
  if (
    isOneOf(definition, expected) &&
    (Children.length !== 1 || Children[0]?.Value.Kind === VALUE.null)
  )
    fail('exactly one member is expected')
}

function checkOneOfVariables(value: Value, definition: Definition, expected: Expected): void {
  if (!isOneOf(definition, expected)) return
  for (const { Value: child } of value.Children)
    if (child.Kind === VALUE.variable && expected.variables?.get(child.Raw)?.Type.NonNull === false)
      fail(`$${child.Raw} may be null`)
}

function isOneOf({ Directives }: Definition, { schema }: Expected): boolean {
  return schema.work.setOf(Directives).has('oneOf')
}

/** Numbers fit 64 bits at any depth, in the defaults of variables too. */
function checkNumbers(value: Value, expected: Expected, followed: boolean): void {
  const { Kind, Raw } = value
  expected.schema.work.step()
  if (Kind === VALUE.int && !fits(Raw)) fail(`${Raw} is too large`)
  if (Kind === VALUE.float && !Number.isFinite(Number(Raw))) fail(`${Raw} is too large`)
  if (Kind === VALUE.variable && followed) {
    const preset = expected.variables?.get(Raw)?.DefaultValue ?? null
    if (preset !== null) checkNumbers(preset, expected, false)
  }
  for (const child of value.Children) checkNumbers(child.Value, expected, followed)
}

function fits(digits: string): boolean {
  if (!/^-?0*\d{1,19}$/.test(digits)) return false
  const number = BigInt(digits)
  return number <= MAX_INT64 && number >= -MAX_INT64 - 1n
}
