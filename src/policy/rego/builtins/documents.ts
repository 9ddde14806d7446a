// What do the built-ins over JSON and YAML documents answer?

import type { RegoValue } from '../value.ts'
import { patch } from './json-patch.ts'
import { matchSchema, verifySchema } from './json-schema.ts'
import { readJson, writeJson } from './json-text.ts'
import {
  boundedText,
  type BuiltinTable,
  fail,
  objectAt,
  type Operands,
  textAt,
  valueAt,
} from './operands.ts'
import { isYaml, readYaml, writeYaml } from './yaml.ts'

export const DOCUMENT_BUILTINS: BuiltinTable = {
  'json.marshal': (operands) => boundedText(writeJson(valueAt(operands, 0))),
  'json.unmarshal': (operands) => present(readJson(textAt(operands, 0), true)),
  'json.is_valid': ([text]) => typeof text === 'string' && readJson(text, true) !== undefined,
  'json.marshal_with_options': marshalWithOptions,
  'json.patch': patch,
  'json.match_schema': matchSchema,
  'json.verify_schema': verifySchema,
  'yaml.marshal': (operands) => writeYaml(valueAt(operands, 0)),
  'yaml.unmarshal': (operands) => {
    const value = readYaml(textAt(operands, 0))
    return value === undefined ? fail('no YAML') : value
  },
  'yaml.is_valid': ([text]) => typeof text === 'string' && isYaml(text),
}

function marshalWithOptions(operands: Operands): RegoValue {
  const value = valueAt(operands, 0)
  let [prefix, indent] = ['', '\t']
  let implied = false
  let pretty: boolean | undefined
  for (const [name, option] of objectAt(operands, 1).entries) {
    switch (name) {
      case 'prefix':
      case 'indent':
        if (typeof option !== 'string') return fail('a string is expected')
        if (name === 'prefix') prefix = option
        else indent = option
        implied = true
        break
      case 'pretty':
        if (typeof option !== 'boolean') return fail('a boolean is expected')
        pretty = option
        break
      default:
        return fail('an unknown option')
    }
  }
  return (pretty ?? implied)
    ? boundedText(prefix + writeJson(value, { prefix, indent }))
    : writeJson(value)
}

function present(value: RegoValue | undefined): RegoValue {
  return value === undefined ? fail('no JSON') : value
}
