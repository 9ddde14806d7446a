// Is a schema valid? By the rules of gqlparser, which OPA uses: it knows fewer than the specification
// (no root is needed, default values are not looked at).

import { fail } from '../operands.ts'
import {
  type ArgumentDefinition,
  type Definition,
  type Directive,
  type DirectiveDefinition,
  type FieldDefinition,
  nameOf,
  type TypeRef,
  VALUE,
} from './ast.ts'
import type { Schema } from './model.ts'

const OUTPUT = new Set(['SCALAR', 'OBJECT', 'INTERFACE', 'UNION', 'ENUM'])
const INPUT = new Set(['SCALAR', 'ENUM', 'INPUT_OBJECT'])

export function isInput(type: Definition): boolean {
  return INPUT.has(type.Kind)
}

export function checkSchema(schema: Schema): void {
  for (const type of schema.types.values()) checkType(schema, type)
  checkCircularInputs(schema)
  for (const directive of schema.directives.values()) {
    checkName(directive.Name)
    checkArguments(schema, directive.Arguments, directive)
  }
}

function checkType(schema: Schema, type: Definition): void {
  const fields = type.Kind === 'INPUT_OBJECT' ? 'INPUT_FIELD_DEFINITION' : 'FIELD_DEFINITION'
  for (const field of type.Fields) {
    schema.work.step()
    checkName(field.Name)
    typeOf(schema, field.Type)
    checkArguments(schema, field.Arguments)
    checkDirectives(schema, field.Directives, fields, { single: true })
  }
  for (const member of type.Types)
    if (schema.types.get(member)?.Kind !== 'OBJECT') fail(`${member} is no object`)
  const fieldsByName = byName(schema, type.Fields)
  const interfaces = new Set(type.Interfaces)
  for (const name of type.Interfaces) checkImplements(schema, fieldsByName, interfaces, name)
  checkBody(schema, type)
  unique(type.Fields.map((field) => field.Name))
  unique(type.EnumValues.map((value) => value.Name))
  unique(type.Types)
  if (!type.BuiltIn) checkName(type.Name)
  // These come from the definition and its extensions, so that one may be there twice.
  checkDirectives(schema, type.Directives, type.Kind, { single: false })
}

function checkBody(schema: Schema, type: Definition): void {
  switch (type.Kind) {
    case 'OBJECT':
    case 'INTERFACE':
      checkFields(schema, type, OUTPUT)
      break
    case 'INPUT_OBJECT':
      checkFields(schema, type, INPUT)
      break
    case 'ENUM':
      if (type.EnumValues.length === 0) fail('an enum without values')
      for (const value of type.EnumValues) {
        if (['true', 'false', 'null'].includes(value.Name)) fail(`${value.Name} in an enum`)
        checkDirectives(schema, value.Directives, 'ENUM_VALUE', { single: true })
      }
      break
    default:
  }
}

function checkFields(schema: Schema, type: Definition, kinds: ReadonlySet<string>): void {
  if (type.Fields.length === 0) fail('a type without fields')
  for (const field of type.Fields)
    if (!kinds.has(typeOf(schema, field.Type).Kind)) fail(`${field.Name} has no such type`)
}

function checkArguments(
  schema: Schema,
  args: readonly ArgumentDefinition[],
  within?: DirectiveDefinition,
): void {
  for (const arg of args) {
    schema.work.step()
    checkName(arg.Name)
    if (!isInput(typeOf(schema, arg.Type))) fail(`${arg.Name} is no input`)
    checkDirectives(schema, arg.Directives, 'ARGUMENT_DEFINITION', { single: true, within })
  }
}

interface Place {
  /** Whether they stand at one place of the document. */
  readonly single: boolean
  /** The directive whose definition they are in. */
  readonly within?: DirectiveDefinition | undefined
}

export function checkDirectives(
  schema: Schema,
  directives: readonly Directive[],
  location: string,
  { single, within }: Place,
): void {
  const seen = new Set<string>()
  for (const { Name, Arguments } of directives) {
    checkName(Name)
    if (Name === within?.Name) fail(`@${Name} refers to itself`)
    const definition = schema.directives.get(Name) ?? fail(`no directive @${Name}`)
    if (single && seen.has(Name) && !definition.IsRepeatable) fail(`@${Name} is there twice`)
    seen.add(Name)
    if (!schema.work.setOf(definition.Locations).has(location)) fail(`@${Name} on ${location}`)
    const known = byName(schema, definition.Arguments)
    const args = byName(schema, Arguments)
    for (const name of args.keys()) if (!known.has(name)) fail('unknown argument')
    for (const wanted of definition.Arguments) {
      if (!wanted.Type.NonNull || wanted.DefaultValue !== null) continue
      const given = args.get(wanted.Name)
      if (given === undefined || given.Value.Kind === VALUE.null) fail('an argument is missing')
    }
  }
}

function checkImplements(
  schema: Schema,
  fields: ReadonlyMap<string, FieldDefinition>,
  interfaces: ReadonlySet<string>,
  name: string,
): void {
  const wanted = schema.types.get(name)
  if (wanted?.Kind !== 'INTERFACE') return fail(`${name} is no interface`)
  for (const required of wanted.Fields) {
    schema.work.step()
    const found = fields.get(required.Name) ?? fail(`${required.Name} is missing`)
    if (!isCovariant(schema, required.Type, found.Type)) fail(`${required.Name} has another type`)
    checkSameArguments(schema, required, found)
  }
  for (const transitive of wanted.Interfaces) {
    schema.work.step()
    if (!interfaces.has(transitive)) fail(`${transitive} is implemented too`)
  }
}

function checkSameArguments(
  schema: Schema,
  required: FieldDefinition,
  found: FieldDefinition,
): void {
  const args = byName(schema, found.Arguments)
  for (const { Name, Type } of required.Arguments) {
    schema.work.step()
    const given = args.get(Name) ?? fail(`${Name} is missing`)
    if (!isCompatible(Type, given.Type)) fail(`${Name} has another type`)
  }
  const known = byName(schema, required.Arguments)
  for (const { Name, Type, DefaultValue } of found.Arguments)
    if (!known.has(Name) && Type.NonNull && DefaultValue === null) fail(`${Name} is required`)
}

function isCovariant(schema: Schema, required: TypeRef, actual: TypeRef): boolean {
  if (required.NonNull && !actual.NonNull) return false
  if (required.NamedType !== '')
    return (
      required.NamedType === actual.NamedType ||
      (schema.possible.get(required.NamedType) ?? []).some(({ Name }) => {
        schema.work.step()
        return Name === actual.NamedType
      })
    )
  if (required.Elem === null || actual.Elem === null) return false
  return isCovariant(schema, required.Elem, actual.Elem)
}

/** Whether a value of the first type can stand where the second is expected. */
export function isCompatible(type: TypeRef, other: TypeRef): boolean {
  if (type.NamedType !== other.NamedType) return false
  if (type.Elem !== null && (other.Elem === null || !isCompatible(type.Elem, other.Elem)))
    return false
  return other.NonNull ? type.NonNull : true
}

/** An input that needs itself can never be given. */
function checkCircularInputs(schema: Schema): void {
  const visited = new Set<string>()
  const path = new Set<string>()
  const visit = (type: Definition): void => {
    if (visited.has(type.Name)) return
    visited.add(type.Name)
    path.add(type.Name)
    for (const field of type.Fields) {
      if (!field.Type.NonNull) continue
      const next = schema.types.get(field.Type.NamedType)
      if (next?.Kind !== 'INPUT_OBJECT') continue
      if (path.has(next.Name)) fail(`${next.Name} needs itself`)
      schema.work.within(() => {
        visit(next)
      })
    }
    path.delete(type.Name)
  }
  for (const type of schema.types.values()) if (type.Kind === 'INPUT_OBJECT') visit(type)
}

function typeOf(schema: Schema, type: TypeRef): Definition {
  return schema.types.get(nameOf(type)) ?? fail(`no type ${nameOf(type)}`)
}

function checkName(name: string): void {
  if (name.startsWith('__')) fail('names with __ are reserved')
}

function unique(names: readonly string[]): void {
  if (new Set(names).size !== names.length) fail('a name is there twice')
}

/** Of several with one name the first counts. */
export function byName<T extends { readonly Name: string }>(
  schema: Pick<Schema, 'work'>,
  items: readonly T[],
): Map<string, T> {
  for (const _ of items) schema.work.step()
  return new Map(items.toReversed().map((item) => [item.Name, item]))
}
