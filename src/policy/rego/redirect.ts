// Which functions that OPA compiles into the wasm are answered by the host instead?
//
// A few differ from OPA itself (a network that does not hold an IPv4-mapped address, a `replace` that
// never ends, sets in the order of their hashes). Their code, found by its name in the name section, is
// replaced by a call of the imported `opa_builtinN` with an id beyond those that OPA gives out.

import { Cursor, joined, section, SECTION, type Section, sectionsOf, u32 } from './wasm-binary.ts'

/** Above every id of the compiler; bit 20 would be the sign of a number of three LEB128 bytes. */
const FIRST_ID = 0x0f_00_00
const FUNCTION_NAMES = 1

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

/** The built-ins behind the ids that redirected functions call. */
export const REDIRECTED: ReadonlyMap<number, string> = new Map(
  REDIRECTIONS.map(({ builtin }, index) => [FIRST_ID + index, builtin]),
)

/** The module with those functions replaced that it has. */
export function redirect(wasm: Uint8Array): Uint8Array {
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
  if (bodies.size === 0) return wasm
  return joined(
    wasm,
    sections.map(({ id, body }) =>
      section(id, id === SECTION.code ? replaced(body, bodies) : body),
    ),
  )
}

/** No locals; the id, no context, the operands; the call is the result. */
function callOf(target: number, id: number, operands: number): readonly number[] {
  const code = [0, 0x41, ...u32(id), 0x41, 0]
  for (let operand = 0; operand < operands; operand++) code.push(0x20, operand)
  return [...code, 0x10, ...u32(target), 0x0b]
}

function replaced(body: Uint8Array, bodies: ReadonlyMap<number, readonly number[]>): number[] {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  const out = [...u32(count)]
  for (let index = 0; index < count; index++) {
    const size = cursor.u32()
    const code = bodies.get(index) ?? body.subarray(cursor.at, cursor.at + size)
    out.push(...u32(code.length))
    for (const byte of code) out.push(byte)
    cursor.at += size
  }
  return out
}

/** Names of the imported functions, in their order: they have the first indexes. */
function importedFunctions(sections: readonly Section[]): readonly string[] {
  const body = sections.find(({ id }) => id === SECTION.import)?.body
  if (body === undefined) return []
  const cursor = new Cursor(body)
  const names: string[] = []
  for (let count = cursor.u32(); count > 0; count--) {
    cursor.skipName()
    const name = cursor.name()
    if (cursor.importKind() === 'function') names.push(name)
  }
  return names
}

function functionNames(sections: readonly Section[]): ReadonlyMap<string, number> {
  const names = new Map<string, number>()
  for (const { id, body } of sections) {
    if (id !== SECTION.custom) continue
    const cursor = new Cursor(body)
    if (cursor.name() !== 'name') continue
    while (cursor.at < body.length) {
      const kind = cursor.byte()
      const end = cursor.u32() + cursor.at
      if (kind === FUNCTION_NAMES) {
        for (let count = cursor.u32(); count > 0; count--) {
          const index = cursor.u32()
          names.set(cursor.name(), index)
        }
      }
      cursor.at = end
    }
  }
  return names
}
