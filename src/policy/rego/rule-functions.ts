// Where do the functions lie that give the rules of a shard's policies, and how does the host call them?
//
// OPA's entrypoints cost more than most rules do: `eval` runs past every entrypoint of its module, and wraps
// the value in an object in a set. The function of a rule gives the value itself, or 0 where it is undefined.
// Such functions stand in the table of the module, because dynamic references go by it. Here the table is
// exported, and the function that `eval` begins with.
//
// A package of ours has a rule for each rule of the shard's policies that is equal to it, under a name that
// is known; where its code does nothing but call one function of a policy, that is the one to call.

import {
  Cursor,
  functionNames,
  importedFunctions,
  SECTION,
  type Section,
  sectionsOf,
  u32,
} from './wasm-binary.ts'

/** The package of those rules. */
export const ANSWERS = 'cordon_answers'
/** Of the names that OPA's compiler gives to their functions. */
const PREFIX = `g0.data.${ANSWERS}.`
/** What the function of a rule calls beside what its body says. */
const AROUND_A_CALL = [
  'opa_memoize_get',
  'opa_memoize_insert',
  'opa_value_compare',
  'opa_runtime_error',
]
const FUNCTION_KIND = 0
const TABLE_KIND = 1
const CALL = 0x10
const CALL_INDIRECT = 0x11
const I32_CONST = 0x41
const END = 0x0b

/** The name of such a rule; `answer`: of the policy within its shard (manifest). */
export function ruleName(answer: string, rule: string): string {
  return `${answer}_${rule}`
}

export interface RuleFunctions {
  /** The place in the table of the function that gives a rule, by the name of ours that is equal to it. */
  readonly places: ReadonlyMap<string, number>
  /** What the module must export besides, as items of its section: `table` and `opa_memoize_init`. */
  readonly exports: readonly (readonly number[])[]
}

/** Throws on a table that is filled in a way that OPA's compiler does not use. */
export function ruleFunctions(wasm: Uint8Array): RuleFunctions {
  const sections = [...sectionsOf(wasm)]
  const names = functionNames(sections)
  const begin = names.get('opa_memoize_init')
  if (begin === undefined) return { places: new Map(), exports: [] }
  const placeOf = tablePlaces(sections)
  const codeOf = codes(sections)
  const around = new Set(AROUND_A_CALL.flatMap((name) => names.get(name) ?? []))
  const places = new Map<string, number>()
  for (const [name, index] of names) {
    if (!name.startsWith(PREFIX)) continue
    const called = [...callsIn(codeOf(index))].filter((each) => !around.has(each))
    const [first] = called
    const place = (called.length === 1 ? placeOf.get(first ?? -1) : undefined) ?? placeOf.get(index)
    if (place !== undefined) places.set(name.slice(PREFIX.length), place)
  }
  return {
    places,
    exports: [exported('opa_memoize_init', FUNCTION_KIND, begin), exported('table', TABLE_KIND, 0)],
  }
}

/** The code of a function by its index. */
function codes(sections: readonly Section[]): (index: number) => Uint8Array {
  const imported = importedFunctions(sections).length
  const found: Uint8Array[] = []
  const body = sections.find(({ id }) => id === SECTION.code)?.body ?? Uint8Array.of(0)
  const cursor = new Cursor(body)
  for (let count = cursor.u32(); count > 0; count--) {
    const size = cursor.u32()
    found.push(body.subarray(cursor.at, cursor.at + size))
    cursor.at += size
  }
  return (index) => found[index - imported] ?? new Uint8Array()
}

/** Indexes of the functions that a code calls; -1: one that shows only when it runs. */
function callsIn(code: Uint8Array): ReadonlySet<number> {
  const called = new Set<number>()
  const cursor = new Cursor(code)
  if (code.length > 0) cursor.skipLocals()
  while (cursor.at < code.length) {
    const operand = new Cursor(code)
    operand.at = cursor.at + 1
    const opcode = cursor.instruction()
    if (opcode === CALL) called.add(operand.u32())
    if (opcode === CALL_INDIRECT) called.add(-1)
  }
  return called
}

function exported(name: string, kind: number, index: number): readonly number[] {
  return [name.length, ...Buffer.from(name), kind, ...u32(index)]
}

/** Indexes of functions to their places. */
function tablePlaces(sections: readonly Section[]): ReadonlyMap<number, number> {
  const places = new Map<number, number>()
  const body = sections.find(({ id }) => id === SECTION.element)?.body
  if (body === undefined) return places
  const cursor = new Cursor(body)
  for (let segments = cursor.u32(); segments > 0; segments--) {
    // Active, of table 0, at a constant.
    if (cursor.u32() !== 0 || cursor.byte() !== I32_CONST)
      throw new Error('the table of the wasm is filled in a way that is not known')
    const offset = cursor.u32()
    if (cursor.byte() !== END) throw new Error('the table of the wasm begins at no constant')
    const count = cursor.u32()
    for (let place = 0; place < count; place++) places.set(cursor.u32(), offset + place)
  }
  return places
}
