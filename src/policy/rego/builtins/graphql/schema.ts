// Which types, directives and roots does a schema give, together with those of GraphQL itself?

import { fail } from '../operands.ts'
import type { Definition, DirectiveDefinition, SchemaDefinition, SchemaDocument } from './ast.ts'
import type { Schema } from './model.ts'
import { checkDirectives, checkSchema } from './schema-check.ts'
import { parseSchema } from './sdl.ts'
import type { Work } from './work.ts'

/** What gqlparser puts before every schema, without its descriptions. */
const PRELUDE = `
scalar Int scalar Float scalar String scalar Boolean scalar ID
directive @defer(if: Boolean = true, label: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @include(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @deprecated(reason: String = "No longer supported")
  on FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE
directive @specifiedBy(url: String!) on SCALAR
directive @oneOf on INPUT_OBJECT
type __Schema {
  description: String types: [__Type!]! queryType: __Type! mutationType: __Type
  subscriptionType: __Type directives: [__Directive!]!
}
type __Type {
  kind: __TypeKind! name: String description: String specifiedByURL: String
  fields(includeDeprecated: Boolean = false): [__Field!]
  interfaces: [__Type!] possibleTypes: [__Type!]
  enumValues(includeDeprecated: Boolean = false): [__EnumValue!]
  inputFields(includeDeprecated: Boolean = false): [__InputValue!]
  ofType: __Type isOneOf: Boolean
}
enum __TypeKind { SCALAR OBJECT INTERFACE UNION ENUM INPUT_OBJECT LIST NON_NULL }
type __Field {
  name: String! description: String args(includeDeprecated: Boolean = false): [__InputValue!]!
  type: __Type! isDeprecated: Boolean! deprecationReason: String
}
type __InputValue {
  name: String! description: String type: __Type! defaultValue: String
  isDeprecated: Boolean! deprecationReason: String
}
type __EnumValue {
  name: String! description: String isDeprecated: Boolean! deprecationReason: String
}
type __Directive {
  name: String! description: String isRepeatable: Boolean! locations: [__DirectiveLocation!]!
  args(includeDeprecated: Boolean = false): [__InputValue!]!
}
enum __DirectiveLocation {
  QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION FRAGMENT_SPREAD INLINE_FRAGMENT
  VARIABLE_DEFINITION SCHEMA SCALAR OBJECT FIELD_DEFINITION ARGUMENT_DEFINITION INTERFACE UNION
  ENUM ENUM_VALUE INPUT_OBJECT INPUT_FIELD_DEFINITION
}
`
/** Added to the root of queries once the schema is found valid. */
const INTROSPECTION = 'type Query { __schema: __Schema! __type(name: String!): __Type }'

const REDEFINABLE = new Set(['include', 'skip', 'deprecated', 'specifiedBy', 'defer', 'oneOf'])
const ROOTS = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' }

/** Fails for a schema that is not valid. */
export function buildSchema(doc: SchemaDocument, work: Work): Schema {
  const prelude = parseSchema(PRELUDE, work, true)
  const types = typesOf([...prelude.Definitions, ...doc.Definitions], doc.Extensions)
  const schema = {
    types,
    directives: directivesOf([...prelude.Directives, ...doc.Directives]),
    possible: possibleTypes(types),
    roots: new Map<string, Definition>(),
    work,
  }
  if (doc.Schema.length > 1) fail('more than one schema')
  for (const part of [...doc.Schema, ...doc.SchemaExtension]) addRoots(schema, part)
  checkSchema(schema)
  if (doc.Schema.length === 0)
    for (const [operation, name] of Object.entries(ROOTS)) {
      const type = types.get(name)
      if (type !== undefined && !schema.roots.has(operation)) schema.roots.set(operation, type)
    }
  return withIntrospection(schema)
}

function typesOf(
  definitions: readonly Definition[],
  extensions: readonly Definition[],
): Map<string, Definition> {
  const types = new Map<string, Definition>()
  for (const definition of definitions) {
    if (types.has(definition.Name)) fail(`${definition.Name} is declared twice`)
    types.set(definition.Name, definition)
  }
  const parts = new Map<string, Definition[]>()
  for (const extension of extensions) {
    const { Name, Kind } = extension
    const base = types.get(Name) ?? empty(extension)
    if (base.Kind !== Kind) fail(`${Name} is extended as another kind`)
    types.set(Name, base)
    const known = parts.get(Name)
    if (known === undefined) parts.set(Name, [base, extension])
    else known.push(extension)
  }
  for (const [name, [base, ...more]] of parts)
    if (base !== undefined) types.set(name, merged(base, more))
  return types
}

/** gqlparser takes an extension of nothing for a type. */
function empty({ Kind, Name }: Definition): Definition {
  return {
    Kind,
    Name,
    Description: '',
    Directives: [],
    Interfaces: [],
    Fields: [],
    Types: [],
    EnumValues: [],
    BuiltIn: false,
    BeforeDescriptionComment: null,
    AfterDescriptionComment: null,
    EndOfDefinitionComment: null,
  }
}

function merged(base: Definition, more: readonly Definition[]): Definition {
  const parts = [base, ...more]
  return {
    ...base,
    Directives: parts.flatMap((part) => part.Directives),
    Interfaces: parts.flatMap((part) => part.Interfaces),
    Fields: parts.flatMap((part) => part.Fields),
    Types: parts.flatMap((part) => part.Types),
    EnumValues: parts.flatMap((part) => part.EnumValues),
  }
}

function directivesOf(
  definitions: readonly DirectiveDefinition[],
): Map<string, DirectiveDefinition> {
  const directives = new Map<string, DirectiveDefinition>()
  for (const directive of definitions) {
    const { Name } = directive
    if (directives.has(Name) && !REDEFINABLE.has(Name)) fail(`@${Name} is declared twice`)
    directives.set(Name, directive)
  }
  return directives
}

function possibleTypes(types: ReadonlyMap<string, Definition>): Map<string, Definition[]> {
  const possible = new Map<string, Definition[]>()
  const add = (name: string, type: Definition | undefined): void => {
    if (type === undefined) return
    const known = possible.get(name)
    if (known === undefined) possible.set(name, [type])
    else known.push(type)
  }
  for (const type of types.values()) {
    if (type.Kind === 'UNION') for (const member of type.Types) add(type.Name, types.get(member))
    if (['INPUT_OBJECT', 'OBJECT', 'INTERFACE'].includes(type.Kind))
      for (const name of type.Interfaces) add(name, type)
    if (type.Kind === 'INPUT_OBJECT' || type.Kind === 'OBJECT') add(type.Name, type)
  }
  return possible
}

function addRoots(
  schema: Schema & { readonly roots: Map<string, Definition> },
  part: SchemaDefinition,
): void {
  for (const { Operation, Type } of part.OperationTypes)
    schema.roots.set(Operation, schema.types.get(Type) ?? fail(`no type ${Type}`))
  checkDirectives(schema, part.Directives, 'SCHEMA', { single: true })
}

function withIntrospection(schema: Schema): Schema {
  const query = schema.roots.get('query')
  if (query === undefined) return schema
  const [fields] = parseSchema(INTROSPECTION, schema.work).Definitions
  const extended = { ...query, Fields: [...query.Fields, ...(fields?.Fields ?? [])] }
  const replace = (type: Definition): Definition => (type === query ? extended : type)
  const replaceAll = (map: ReadonlyMap<string, Definition>): ReadonlyMap<string, Definition> =>
    new Map([...map].map(([name, type]) => [name, replace(type)]))
  return {
    ...schema,
    types: replaceAll(schema.types),
    possible: new Map([...schema.possible].map(([name, list]) => [name, list.map(replace)])),
    roots: replaceAll(schema.roots),
  }
}
