// What do graphql.* answer?
//
// OPA's parser and validator is gqlparser, which departs from the specification and from other libraries
// in many places (it keeps comments, knows fewer rules for schemas, others for values); so it is followed
// here rule by rule.

import { RegoObject, type RegoValue } from '../value.ts'
import { answerOf } from './graphql/answer.ts'
import type { QueryDocument, SchemaDocument } from './graphql/ast.ts'
import { decodeQuery, decodeSchema } from './graphql/decode.ts'
import { parseQuery } from './graphql/query.ts'
import { buildSchema } from './graphql/schema.ts'
import { parseSchema } from './graphql/sdl.ts'
import { checkQuery } from './graphql/validate.ts'
import { Work } from './graphql/work.ts'
import { BuiltinFailure, type BuiltinTable, fail, objectOf, textAt, valueAt } from './operands.ts'

export const GRAPHQL_BUILTINS: BuiltinTable = {
  'graphql.is_valid': (operands) =>
    holds(() => verified(valueAt(operands, 0), valueAt(operands, 1))),
  'graphql.schema_is_valid': (operands) =>
    holds(() => {
      const work = new Work()
      buildSchema(schemaOf(valueAt(operands, 0), work), work)
    }),
  'graphql.parse_query': (operands) => answerOf(parseQuery(textAt(operands, 0), new Work())),
  'graphql.parse_schema': (operands) => answerOf(parseSchema(textAt(operands, 0), new Work())),
  'graphql.parse': (operands) => verified(valueAt(operands, 0), valueAt(operands, 1)).map(answerOf),
  'graphql.parse_and_verify': (operands) =>
    attempt(() => [
      true,
      ...verified(valueAt(operands, 0), valueAt(operands, 1)).map(answerOf),
    ]) ?? [false, objectOf({}), objectOf({})],
}

/** The query and the schema, when the one is valid for the other. */
function verified(query: RegoValue, schema: RegoValue): [QueryDocument, SchemaDocument] {
  const work = new Work()
  const queryDocument = queryOf(query, work)
  const schemaDocument = schemaOf(schema, work)
  checkQuery(buildSchema(schemaDocument, work), queryDocument)
  return [queryDocument, schemaDocument]
}

function queryOf(value: RegoValue, work: Work): QueryDocument {
  if (typeof value === 'string') return parseQuery(value, work)
  return value instanceof RegoObject ? decodeQuery(value, work) : fail('no GraphQL document')
}

function schemaOf(value: RegoValue, work: Work): SchemaDocument {
  if (typeof value === 'string') return parseSchema(value, work)
  return value instanceof RegoObject ? decodeSchema(value, work) : fail('no GraphQL document')
}

function holds(check: () => unknown): boolean {
  return (
    attempt(() => {
      check()
      return true
    }) ?? false
  )
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof BuiltinFailure) return undefined
    throw error
  }
}
