// The built-in functions that OPA's wasm leaves to its host, with OPA's results.
//
// A call that fails in OPA is undefined here (OPA's default mode). Nothing reads a clock, a file or the
// network. What neither the wasm nor this registry has is unknown to the compiler, so that a policy that
// uses it is refused with its place.

import type { RegoValue } from '../value.ts'
import type { HostBuiltins } from '../wasm.ts'
import { CODECS } from './codecs.ts'
import { CRYPTO } from './crypto.ts'
import { DOCUMENTS } from './documents.ts'
import { NETWORK } from './network.ts'
import { createRegexBuiltins } from './regex.ts'
import { sprintf } from './sprintf.ts'
import { STRINGS } from './strings.ts'
import { TIME } from './time.ts'
import { UNITS } from './units.ts'

/** Returns undefined or throws for arguments that OPA refuses. */
export type Builtin = (...args: RegoValue[]) => RegoValue | undefined

/** Compiled into the wasm by OPA itself (internal/compiler/wasm). */
const NATIVE = new Set(
  'abs all and any array.concat array.flatten array.reverse array.slice assign base64.decode base64.encode base64.is_valid base64url.decode base64url.encode bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor ceil concat contains count div endswith eq equal floor format_int glob.match graph.reachable gt gte indexof internal.member_2 internal.member_3 internal.template_string intersection is_array is_boolean is_null is_number is_object is_set is_string json.filter json.marshal json.remove json.unmarshal lower lt lte max min minus mul neq net.cidr_contains net.cidr_intersects net.cidr_overlap numbers.range object.filter object.get object.keys object.remove object.union object.union_n or plus product re_match regex.find_all_string_submatch_n regex.is_valid regex.match rem replace round set_diff sort split startswith strings.replace_n strings.reverse substring sum to_number trim trim_left trim_prefix trim_right trim_space trim_suffix type_name union upper walk cast_array cast_boolean cast_null cast_object cast_set cast_string'.split(
    ' ',
  ),
)

export function createHostBuiltins(): HostBuiltins {
  const functions = new Map<string, Builtin>(
    Object.entries({
      ...CODECS,
      ...CRYPTO,
      ...DOCUMENTS,
      ...NETWORK,
      ...STRINGS,
      ...TIME,
      ...UNITS,
      ...createRegexBuiltins(),
      sprintf,
      // Output goes nowhere; both hold.
      print: () => true,
      'internal.print': () => true,
      trace: () => true,
    }),
  )
  return {
    has: (name) => functions.has(name) || NATIVE.has(name),
    call: (name, args) => {
      try {
        return functions.get(name)?.(...args)
      } catch (error) {
        if (error instanceof BuiltinLimit) throw error
        return undefined
      }
    },
  }
}

/** A result beyond what a policy may make: the policy errs, whatever it would have said. */
export class BuiltinLimit extends Error {
  override readonly name = 'BuiltinLimit'
}
