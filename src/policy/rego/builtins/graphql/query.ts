// What does the text of a GraphQL query say?

import { fail } from '../operands.ts'
import type {
  Field,
  FragmentDefinition,
  OperationDefinition,
  QueryDocument,
  Selection,
  VariableDefinition,
} from './ast.ts'
import { Reader } from './reader.ts'
import type { Work } from './work.ts'

const OPERATIONS = new Set(['query', 'mutation', 'subscription'])

export function parseQuery(text: string, work: Work): QueryDocument {
  const reader = new Reader(text, work)
  const operations: OperationDefinition[] = []
  const fragments: FragmentDefinition[] = []
  while (!reader.isNext('eof')) {
    const { kind, value } = reader.peek()
    if (kind === '{' || (kind === 'name' && OPERATIONS.has(value)))
      operations.push(readOperation(reader))
    else fragments.push(readFragment(reader))
  }
  return { Operations: operations, Fragments: fragments }
}

/** Only the text of the token counts, so that `"query"` is one too. */
export function readOperationType(reader: Reader): string {
  const { value } = reader.next()
  return OPERATIONS.has(value) ? value : fail('no kind of operation')
}

function readOperation(reader: Reader): OperationDefinition {
  if (reader.isNext('{'))
    return {
      Operation: 'query',
      Name: '',
      VariableDefinitions: [],
      Directives: [],
      SelectionSet: readSelections(reader),
      // gqlparser loses it.
      Comment: null,
    }
  return {
    Comment: reader.comment(),
    Operation: readOperationType(reader),
    Name: reader.isNext('name') ? reader.name() : '',
    VariableDefinitions: readVariables(reader),
    Directives: reader.directives(false),
    SelectionSet: readSelections(reader),
  }
}

function readFragment(reader: Reader): FragmentDefinition {
  const comment = reader.keyword('fragment')
  const name = readFragmentName(reader)
  const variables = readVariables(reader)
  reader.keyword('on')
  return {
    Comment: comment,
    Name: name,
    VariableDefinition: variables,
    TypeCondition: reader.name(),
    Directives: reader.directives(false),
    SelectionSet: readSelections(reader),
  }
}

function readFragmentName(reader: Reader): string {
  return reader.peek().value === 'on' ? fail('a fragment is not called on') : reader.name()
}

function readVariables(reader: Reader): VariableDefinition[] {
  return reader.some('(', ')', () => {
    const comment = reader.comment()
    const variable = reader.variable()
    reader.expect(':')
    return {
      Comment: comment,
      Variable: variable,
      Type: reader.type(),
      DefaultValue: reader.skip('=') ? reader.value(true) : null,
      Directives: reader.directives(false),
      Used: false as const,
    }
  }).items
}

function readSelections(reader: Reader): Selection[] {
  return reader.isNext('{')
    ? reader.some('{', '}', () => readSelection(reader)).items
    : fail('a selection is expected')
}

function readSelection(reader: Reader): Selection {
  if (!reader.isNext('...')) return readField(reader)
  const comment = reader.comment()
  reader.next()
  const { kind, value } = reader.peek()
  if (kind === 'name' && value !== 'on')
    return {
      Comment: comment,
      Name: readFragmentName(reader),
      Directives: reader.directives(false),
    }
  if (value === 'on') reader.next()
  return {
    Comment: comment,
    TypeCondition: value === 'on' ? reader.name() : '',
    Directives: reader.directives(false),
    SelectionSet: readSelections(reader),
  }
}

function readField(reader: Reader): Field {
  const comment = reader.comment()
  const alias = reader.name()
  return {
    Comment: comment,
    Alias: alias,
    Name: reader.skip(':') ? reader.name() : alias,
    Arguments: reader.arguments(false),
    Directives: reader.directives(false),
    SelectionSet: reader.isNext('{') ? readSelections(reader) : [],
  }
}
