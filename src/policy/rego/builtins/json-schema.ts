// Does a document match a JSON schema? The verdict is a draft's own; the words of the errors are not OPA's.

import { Ajv, type ErrorObject } from 'ajv'
import formats from 'ajv-formats'
import { isArray, RegoObject, type RegoValue } from '../value.ts'
import { readJson, writeJson } from './json-text.ts'
import { fail, objectOf, type Operands, valueAt } from './operands.ts'

const MAX_SCHEMA = 256 * 1024

export function matchSchema(operands: Operands): RegoValue {
  const document = documentOf(valueAt(operands, 0)) ?? fail('no JSON document')
  const schema = documentOf(valueAt(operands, 1)) ?? fail('no JSON schema')
  const validate = compile(schema) ?? fail('no valid JSON schema')
  if (validate(JSON.parse(document))) return [true, []]
  return [false, (validate.errors ?? []).map(problem)]
}

export function verifySchema(operands: Operands): RegoValue {
  const schema = documentOf(valueAt(operands, 0))
  if (schema === undefined) return [false, 'jsonschema: invalid JSON string']
  return compile(schema) === undefined ? [false, 'jsonschema: invalid schema'] : [true, null]
}

function documentOf(value: RegoValue): string | undefined {
  if (typeof value === 'string') return readJson(value) === undefined ? undefined : value
  if (value instanceof RegoObject || (value !== null && isArray(value))) return writeJson(value)
  return undefined
}

/** Nothing is fetched: a reference outside the schema makes it invalid. */
function compile(schema: string): ReturnType<Ajv['compile']> | undefined {
  if (schema.length > MAX_SCHEMA) return fail('the schema is too long')
  const parsed = JSON.parse(schema) as unknown
  if (parsed === null || (typeof parsed !== 'object' && typeof parsed !== 'boolean'))
    return undefined
  const { $schema: _draft, ...rest } = parsed as Record<string, unknown>
  try {
    const ajv = new Ajv({ strict: false, allErrors: true, logger: false, addUsedSchema: false })
    formats.default(ajv)
    return ajv.compile(rest)
  } catch {
    return undefined
  }
}

function problem({ instancePath, keyword, message = '', params }: ErrorObject): RegoValue {
  const missing = (params as { missingProperty?: string }).missingProperty
  const field =
    missing ?? (instancePath === '' ? '(root)' : instancePath.slice(1).replaceAll('/', '.'))
  return objectOf({ error: `${field}: ${message}`, type: keyword, field, desc: message })
}
