// What does the text of a GraphQL schema say?

import { fail } from '../operands.ts'
import type {
  ArgumentDefinition,
  Comment,
  Definition,
  DirectiveDefinition,
  EnumValueDefinition,
  FieldDefinition,
  SchemaDefinition,
  SchemaDocument,
} from './ast.ts'
import { readOperationType } from './query.ts'
import { Reader } from './reader.ts'
import type { Work } from './work.ts'

interface Description {
  readonly text: string
  readonly comment: Comment
}

const KINDS: ReadonlyMap<string, string> = new Map([
  ['scalar', 'SCALAR'],
  ['type', 'OBJECT'],
  ['interface', 'INTERFACE'],
  ['union', 'UNION'],
  ['enum', 'ENUM'],
  ['input', 'INPUT_OBJECT'],
])
const LOCATIONS = new Set(
  (
    'QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION FRAGMENT_SPREAD INLINE_FRAGMENT VARIABLE_DEFINITION ' +
    'SCHEMA SCALAR OBJECT FIELD_DEFINITION ARGUMENT_DEFINITION INTERFACE UNION ENUM ENUM_VALUE INPUT_OBJECT ' +
    'INPUT_FIELD_DEFINITION'
  ).split(' '),
)
const NO_DESCRIPTION: Description = { text: '', comment: null }

export function parseSchema(text: string, work: Work, builtIn = false): SchemaDocument {
  const reader = new Reader(text, work)
  const doc = {
    Schema: [] as SchemaDefinition[],
    SchemaExtension: [] as SchemaDefinition[],
    Directives: [] as DirectiveDefinition[],
    Definitions: [] as Definition[],
    Extensions: [] as Definition[],
  }
  while (!reader.isNext('eof')) {
    const description = readDescription(reader)
    const { kind, value } = reader.peek()
    if (kind !== 'name') fail('a definition is expected')
    if (value === 'schema') doc.Schema.push(readSchema(reader, description))
    else if (value === 'directive') doc.Directives.push(readDirective(reader, description))
    else if (value === 'extend') {
      if (description.text !== '') fail('an extension has no description')
      const comment = reader.keyword('extend')
      if (reader.peek().value === 'schema')
        doc.SchemaExtension.push(readSchemaExtension(reader, comment))
      else doc.Extensions.push(readExtension(reader, comment, builtIn))
    } else doc.Definitions.push(readDefinition(reader, description, builtIn))
  }
  return { ...doc, Comment: reader.comment() }
}

function readDescription(reader: Reader): Description {
  if (!reader.isNext('string') && !reader.isNext('block')) return NO_DESCRIPTION
  const comment = reader.comment()
  return { text: reader.next().value, comment }
}

function described(
  { text, comment }: Description,
  after: Comment,
): Pick<Definition, 'Description' | 'BeforeDescriptionComment' | 'AfterDescriptionComment'> {
  return { Description: text, BeforeDescriptionComment: comment, AfterDescriptionComment: after }
}

function readSchema(reader: Reader, description: Description): SchemaDefinition {
  return readRoots(reader, described(description, reader.keyword('schema')))
}

function readSchemaExtension(reader: Reader, comment: Comment): SchemaDefinition {
  reader.keyword('schema')
  const schema = readRoots(reader, described(NO_DESCRIPTION, comment))
  if (schema.Directives.length + schema.OperationTypes.length === 0) fail('an empty extension')
  return schema
}

function readRoots(
  reader: Reader,
  head: Pick<
    SchemaDefinition,
    'Description' | 'BeforeDescriptionComment' | 'AfterDescriptionComment'
  >,
): SchemaDefinition {
  const directives = reader.directives(true)
  const { items, comment } = reader.some('{', '}', () => {
    const before = reader.comment()
    const operation = readOperationType(reader)
    reader.expect(':')
    return { Operation: operation, Type: reader.name(), Comment: before }
  })
  return { ...head, Directives: directives, OperationTypes: items, EndOfDefinitionComment: comment }
}

function readDefinition(reader: Reader, description: Description, builtIn: boolean): Definition {
  const comment = reader.comment()
  const kind = KINDS.get(reader.name()) ?? fail('no definition')
  return readBody(reader, kind, described(description, comment), builtIn, false)
}

function readExtension(reader: Reader, comment: Comment, builtIn: boolean): Definition {
  // Only the text of the token counts until it is taken as a keyword.
  const kind = KINDS.get(reader.name()) ?? fail('no extension')
  const head = described(NO_DESCRIPTION, comment)
  const extension = readBody(reader, kind, head, builtIn, true)
  const { Directives, Interfaces, Fields, Types, EnumValues } = extension
  const parts = [Directives, Interfaces, Fields, Types, EnumValues]
  return parts.some((part) => part.length > 0) ? extension : fail('an empty extension')
}

function readBody(
  reader: Reader,
  kind: string,
  head: ReturnType<typeof described>,
  builtIn: boolean,
  extension: boolean,
): Definition {
  const name = reader.name()
  // gqlparser reads `implements` in the extension of an object, not of an interface.
  const implementing = kind === 'OBJECT' || (kind === 'INTERFACE' && !extension)
  const interfaces = implementing ? readInterfaces(reader) : []
  const directives = reader.directives(!(extension && kind === 'INPUT_OBJECT'))
  const fields = readFields(reader, kind)
  const values = kind === 'ENUM' ? reader.some('{', '}', () => readEnumValue(reader)) : NOTHING
  return {
    ...head,
    Kind: kind,
    Name: name,
    Directives: directives,
    Interfaces: interfaces,
    Fields: fields.items,
    Types: kind === 'UNION' && reader.skip('=') ? reader.separated('|', () => reader.name()) : [],
    EnumValues: values.items,
    BuiltIn: builtIn,
    EndOfDefinitionComment: fields.comment ?? values.comment,
  }
}

const NOTHING = { items: [], comment: null }

function readInterfaces(reader: Reader): string[] {
  if (reader.peek().value !== 'implements') return []
  reader.next()
  return reader.separated('&', () => reader.name())
}

function readFields(reader: Reader, kind: string): { items: FieldDefinition[]; comment: Comment } {
  if (kind === 'INPUT_OBJECT')
    return reader.some('{', '}', () => ({ ...readInput(reader), Arguments: [] }))
  if (kind === 'OBJECT' || kind === 'INTERFACE')
    return reader.some('{', '}', () => readField(reader))
  return NOTHING
}

/** The description of a member; an empty one leaves no trace. */
function readHead(reader: Reader): ReturnType<typeof described> {
  const description = readDescription(reader)
  return described(description.text === '' ? NO_DESCRIPTION : description, reader.comment())
}

function readField(reader: Reader): FieldDefinition {
  const head = readHead(reader)
  const name = reader.name()
  const args = reader.some('(', ')', () => readInput(reader)).items
  reader.expect(':')
  return {
    ...head,
    Name: name,
    Arguments: args,
    DefaultValue: null,
    Type: reader.type(),
    Directives: reader.directives(true),
  }
}

function readInput(reader: Reader): ArgumentDefinition {
  const head = readHead(reader)
  const name = reader.name()
  reader.expect(':')
  return {
    ...head,
    Name: name,
    Type: reader.type(),
    DefaultValue: reader.skip('=') ? reader.value(true) : null,
    Directives: reader.directives(true),
  }
}

function readEnumValue(reader: Reader): EnumValueDefinition {
  return { ...readHead(reader), Name: reader.name(), Directives: reader.directives(true) }
}

function readDirective(reader: Reader, description: Description): DirectiveDefinition {
  const head = described(description, reader.keyword('directive'))
  reader.expect('@')
  const name = reader.name()
  const args = reader.some('(', ')', () => readInput(reader)).items
  const repeatable = reader.isNext('name') && reader.peek().value === 'repeatable'
  if (repeatable) reader.next()
  reader.keyword('on')
  return {
    ...head,
    Name: name,
    Arguments: args,
    IsRepeatable: repeatable,
    Locations: reader.separated('|', () => {
      const location = reader.name()
      return LOCATIONS.has(location) ? location : fail('no location of a directive')
    }),
  }
}
