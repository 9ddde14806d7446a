// Which built-ins can a policy call, and what do those answer that OPA's wasm leaves to its host?
//
// All are functions of their operands alone: no clock, no input or output, no chance.

import type { HostBuiltins } from '../wasm.ts'
import { ARITHMETIC_BUILTINS } from './arithmetic.ts'
import { AWS_BUILTINS } from './aws-sign.ts'
import { CIDR_BUILTINS } from './cidr.ts'
import { COLLECTION_BUILTINS } from './collections.ts'
import { CRYPTO_BUILTINS } from './crypto.ts'
import { DOCUMENT_BUILTINS } from './documents.ts'
import { ENCODING_BUILTINS } from './encoding.ts'
import { GLOB_BUILTINS } from './globs-intersect.ts'
import { GRAPHQL_BUILTINS } from './graphql.ts'
import { PATH_BUILTINS } from './json-paths.ts'
import { JWT_SIGN_BUILTINS } from './jwt-sign.ts'
import { JWT_BUILTINS } from './jwt.ts'
import { NATIVE } from './native.ts'
import { BuiltinFailure, type Builtin, type BuiltinTable } from './operands.ts'
import { KEY_BUILTINS } from './private-keys.ts'
import { regexBuiltins } from './regex.ts'
import { STRING_BUILTINS } from './strings.ts'
import { TEMPLATE_BUILTINS } from './template-run.ts'
import { timeBuiltins } from './time.ts'
import { UNIT_BUILTINS } from './units.ts'
import { VERSION_BUILTINS } from './versions.ts'
import { X509_BUILTINS } from './x509.ts'

const CLOCK = 'it reads the clock'

/** Deterministic built-ins of OPA that Cordon does not have: a policy that uses one is refused. */
const UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ['crypto.x509.parse_and_verify_certificates', CLOCK],
  ['crypto.x509.parse_and_verify_certificates_with_options', CLOCK],
  ['internal.test_case', 'it belongs to test runs'],
  ['rego.parse_module', 'the compiler of Rego is not there when a policy runs'],
])

/** The language itself: OPA compiles these away before there is wasm. */
const COMPILED_AWAY = ['assign', 'eq', 'rego.metadata.chain', 'rego.metadata.rule']

/** What these make of a number depends on how it is written. */
const WRITES_NUMBERS: ReadonlySet<string> = new Set([
  'io.jwt.encode_sign',
  'json.filter',
  'json.marshal',
  'json.marshal_with_options',
  'json.patch',
  'json.remove',
  'object.union_n',
  'providers.aws.sign_req',
  'sprintf',
  'strings.render_template',
])

export interface RegoBuiltins extends HostBuiltins {
  /** Whether a policy may call it: here or in the wasm itself. */
  has(name: string): boolean
  exact(name: string): boolean
  /** Why a policy may not call it, where that is known. */
  refusal(name: string): string | undefined
}

export function createHostBuiltins(): RegoBuiltins {
  const host = new Map<string, Builtin>(Object.entries(tables()))
  const supported = new Set([...host.keys(), ...NATIVE, ...COMPILED_AWAY])
  return {
    has: (name) => supported.has(name),
    exact: (name) => Object.hasOwn(ARITHMETIC_BUILTINS, name) || WRITES_NUMBERS.has(name),
    refusal: (name) => UNSUPPORTED.get(name),
    call: (name, operands) => {
      try {
        return host.get(name)?.(operands)
      } catch (error) {
        // As in OPA's default mode: the value of a failed call is undefined.
        if (error instanceof BuiltinFailure) return undefined
        throw error
      }
    },
  }
}

function tables(): BuiltinTable {
  return {
    ...ARITHMETIC_BUILTINS,
    ...AWS_BUILTINS,
    ...CIDR_BUILTINS,
    ...COLLECTION_BUILTINS,
    ...CRYPTO_BUILTINS,
    ...DOCUMENT_BUILTINS,
    ...ENCODING_BUILTINS,
    ...GLOB_BUILTINS,
    ...GRAPHQL_BUILTINS,
    ...JWT_BUILTINS,
    ...JWT_SIGN_BUILTINS,
    ...KEY_BUILTINS,
    ...PATH_BUILTINS,
    ...STRING_BUILTINS,
    ...TEMPLATE_BUILTINS,
    ...UNIT_BUILTINS,
    ...VERSION_BUILTINS,
    ...X509_BUILTINS,
    ...regexBuiltins(),
    ...timeBuiltins(),
    // Nothing is printed where a decision is made.
    print: () => true,
    'internal.print': () => true,
    trace: () => true,
  }
}
