// Which functions that OPA compiles into the wasm are answered by the host instead?
//
// A few differ from OPA itself (a network that does not hold an IPv4-mapped address, a `replace` that
// never ends, sets in the order of their hashes). Their code, found by its name in the name section, is
// replaced by a call of the imported `opa_builtinN` with an id beyond those that OPA gives out. The walk over
// sets and objects of more than one member asks the host too.

import {
  Cursor,
  functionNames,
  importedFunctions,
  joined,
  section,
  SECTION,
  sectionsOf,
  u32,
  withItems,
  Writer,
} from './wasm-binary.ts'

/** Above every id of the compiler; bit 20 would be the sign of a number of three LEB128 bytes. */
const FIRST_ID = 0x0f_00_00

interface Redirection {
  readonly native: string
  readonly builtin: string
  readonly operands: 1 | 2 | 3 | 4
}

const REDIRECTIONS: readonly Redirection[] = [
  { native: 'opa_cidr_contains', builtin: 'net.cidr_contains', operands: 2 },
  { native: 'opa_cidr_intersects', builtin: 'net.cidr_intersects', operands: 2 },
  { native: 'opa_strings_replace', builtin: 'replace', operands: 3 },
  { native: 'opa_strings_concat', builtin: 'concat', operands: 2 },
  { native: 'opa_strings_indexof', builtin: 'indexof', operands: 2 },
  { native: 'opa_strings_format_int', builtin: 'format_int', operands: 2 },
  { native: 'opa_json_marshal', builtin: 'json.marshal', operands: 1 },
  { native: 'opa_json_unmarshal', builtin: 'json.unmarshal', operands: 1 },
  { native: 'opa_json_is_valid', builtin: 'json.is_valid', operands: 1 },
  { native: 'opa_base64_decode', builtin: 'base64.decode', operands: 1 },
  { native: 'opa_base64_url_decode', builtin: 'base64url.decode', operands: 1 },
  { native: 'opa_base64_is_valid', builtin: 'base64.is_valid', operands: 1 },
  { native: 'opa_to_number', builtin: 'to_number', operands: 1 },
  { native: 'opa_arith_plus', builtin: 'plus', operands: 2 },
  { native: 'opa_arith_minus', builtin: 'minus', operands: 2 },
  { native: 'opa_arith_multiply', builtin: 'mul', operands: 2 },
  { native: 'opa_arith_divide', builtin: 'div', operands: 2 },
  { native: 'opa_arith_abs', builtin: 'abs', operands: 1 },
  { native: 'opa_arith_ceil', builtin: 'ceil', operands: 1 },
  { native: 'opa_arith_floor', builtin: 'floor', operands: 1 },
  { native: 'opa_arith_round', builtin: 'round', operands: 1 },
  { native: 'opa_agg_sum', builtin: 'sum', operands: 1 },
  { native: 'opa_agg_product', builtin: 'product', operands: 1 },
  { native: 'builtin_json_filter', builtin: 'json.filter', operands: 2 },
  { native: 'builtin_json_remove', builtin: 'json.remove', operands: 2 },
  { native: 'builtin_object_union_n', builtin: 'object.union_n', operands: 1 },
  { native: 'opa_regex_match', builtin: 'regex.match', operands: 2 },
  { native: 'opa_regex_is_valid', builtin: 'regex.is_valid', operands: 1 },
  {
    native: 'opa_regex_find_all_string_submatch',
    builtin: 'regex.find_all_string_submatch_n',
    operands: 3,
  },
]

/** The id of the walk. */
export const NEXT_MEMBER_ID = FIRST_ID + REDIRECTIONS.length

/** The built-ins behind the ids that redirected functions call. */
export const REDIRECTED: ReadonlyMap<number, string> = new Map(
  REDIRECTIONS.map(({ builtin }, index) => [FIRST_ID + index, builtin]),
)

/** The module with those functions replaced that it has; `exports`: items of its section that it gets besides. */
export function redirect(
  wasm: Uint8Array,
  exports: readonly (readonly number[])[] = [],
): Uint8Array {
  const sections = [...sectionsOf(wasm)]
  const imports = importedFunctions(sections)
  const names = functionNames(sections)
  const bodies = new Map<number, readonly number[]>()
  for (const [offset, { native, operands }] of REDIRECTIONS.entries()) {
    const index = names.get(native)
    const target = imports.indexOf(`opa_builtin${operands}`)
    if (index === undefined || target === -1) continue
    bodies.set(index - imports.length, callOf(target, FIRST_ID + offset, operands))
  }
  const walk = names.get('opa_value_iter')
  const target = imports.indexOf('opa_builtin2')
  const prefixes = new Map<number, readonly number[]>()
  if (walk !== undefined && target !== -1)
    prefixes.set(walk - imports.length, walkPrefix(target, NEXT_MEMBER_ID))
  if (bodies.size === 0 && prefixes.size === 0 && exports.length === 0) return wasm
  return joined(
    wasm,
    sections.map(({ id, body }) => {
      if (id === SECTION.code) return section(id, replaced(body, bodies, prefixes))
      return section(id, id === SECTION.export ? withItems(body, exports) : body)
    }),
  )
}

/** No locals; the id, no context, the operands; the call is the result. */
function callOf(target: number, id: number, operands: number): readonly number[] {
  const code = [0, 0x41, ...u32(id), 0x41, 0]
  for (let operand = 0; operand < operands; operand++) code.push(0x20, operand)
  return [...code, 0x10, ...u32(target), 0x0b]
}

/**
 * if (node != 0 && (node->type | 1) == 7 && node->len > 1) return opa_builtin2(id, 0, node, previous)
 *
 * Objects are of type 6, sets of type 7; both have their length at offset 12.
 */
function walkPrefix(target: number, id: number): readonly number[] {
  const isCollection = [0x20, 0, 0x2d, 0, 0, 0x41, 1, 0x72, 0x41, 7, 0x46, 0x04, 0x40]
  const isLong = [0x20, 0, 0x28, 2, 12, 0x41, 1, 0x4b, 0x04, 0x40]
  const ask = [0x41, ...u32(id), 0x41, 0, 0x20, 0, 0x20, 1, 0x10, ...u32(target), 0x0f]
  return [0x20, 0, 0x04, 0x40, ...isCollection, ...isLong, ...ask, 0x0b, 0x0b, 0x0b]
}

/** A function's code with instructions before its first one, after its locals. */
function prefixed(code: Uint8Array, prefix: readonly number[]): Uint8Array {
  const cursor = new Cursor(code)
  cursor.skipLocals()
  return Uint8Array.of(...code.subarray(0, cursor.at), ...prefix, ...code.subarray(cursor.at))
}

function replaced(
  body: Uint8Array,
  bodies: ReadonlyMap<number, readonly number[]>,
  prefixes: ReadonlyMap<number, readonly number[]>,
): Uint8Array {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  const out = new Writer(body.length)
  out.u32(count)
  for (let index = 0; index < count; index++) {
    const size = cursor.u32()
    const own = body.subarray(cursor.at, cursor.at + size)
    const prefix = prefixes.get(index)
    const code = bodies.get(index) ?? (prefix === undefined ? own : prefixed(own, prefix))
    out.u32(code.length)
    out.bytes(code)
    cursor.at += size
  }
  return out.done()
}
