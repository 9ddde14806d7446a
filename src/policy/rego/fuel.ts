// A time limit that holds inside one synchronous call of WebAssembly.
//
// A call into wasm cannot be interrupted, so the code itself counts: at every loop head and function
// entry a global is decremented, and at zero the module traps. The host refills the exported global
// (`fuel`) before each evaluation. WebAssembly core specification 2.0, chapter 5 (binary format).

import { Cursor, joined, section, SECTION, sectionsOf, u32 } from './wasm-binary.ts'

const GLOBAL_KIND = 3
const I32 = 0x7f

/** The module with fuel counting added and its global exported as `fuel`. Throws on code that it does not know. */
export function meter(wasm: Uint8Array): Uint8Array<ArrayBuffer> {
  const sections = [...sectionsOf(wasm)]
  const imported = importedGlobals(sections.find(({ id }) => id === SECTION.import)?.body)
  const globals = sections.find(({ id }) => id === SECTION.global)
  const own = globals === undefined ? 0 : new Cursor(globals.body).u32()
  const fuel = imported + own

  const out: number[][] = []
  // Mutable, and full (2^31 - 1, signed LEB128), because the start function runs before the host can fill it.
  const newGlobal = [I32, 1, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b]
  let placed = false
  for (const { id, body } of sections) {
    // Sections stand in the order of their ids; a missing global section goes before the export section.
    if (!placed && globals === undefined && id >= SECTION.export && id !== 0) {
      out.push(section(SECTION.global, [1, ...newGlobal]))
      placed = true
    }
    if (id === SECTION.global) out.push(section(id, append(body, newGlobal)))
    else if (id === SECTION.export)
      out.push(section(id, append(body, [4, ...Buffer.from('fuel'), GLOBAL_KIND, ...u32(fuel)])))
    else if (id === SECTION.code) out.push(section(id, meterCode(body, fuel)))
    else out.push(section(id, body))
  }
  return joined(wasm, out)
}

function meterCode(body: Uint8Array, fuel: number): number[] {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  const out = [...u32(count)]
  for (let index = 0; index < count; index++) {
    const size = cursor.u32()
    const code = meterFunction(body.subarray(cursor.at, cursor.at + size), fuel)
    out.push(...u32(code.length))
    for (const byte of code) out.push(byte)
    cursor.at += size
  }
  return out
}

function meterFunction(code: Uint8Array, fuel: number): number[] {
  // global.get f; i32.eqz; if; unreachable; end; global.get f; i32.const 1; i32.sub; global.set f
  const index = u32(fuel)
  const check = [
    0x23,
    ...index,
    0x45,
    0x04,
    0x40,
    0x00,
    0x0b,
    0x23,
    ...index,
    0x41,
    1,
    0x6b,
    0x24,
    ...index,
  ]
  const cursor = new Cursor(code)
  for (let groups = cursor.u32(); groups > 0; groups--) {
    cursor.u32()
    cursor.at += 1
  }
  const out = [...code.subarray(0, cursor.at), ...check]
  let copied = cursor.at
  while (cursor.at < code.length) {
    const opcode = cursor.instruction()
    if (opcode === 0x03) {
      for (; copied < cursor.at; copied++) out.push(code[copied] ?? 0)
      out.push(...check)
    }
  }
  for (; copied < code.length; copied++) out.push(code[copied] ?? 0)
  return out
}

function importedGlobals(body: Uint8Array | undefined): number {
  if (body === undefined) return 0
  const cursor = new Cursor(body)
  let globals = 0
  for (let count = cursor.u32(); count > 0; count--) {
    cursor.skipName()
    cursor.skipName()
    if (cursor.importKind() === 'global') globals += 1
  }
  return globals
}

/** The vector of a section with one item more. */
function append(body: Uint8Array, item: readonly number[]): number[] {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  return [...u32(count + 1), ...body.subarray(cursor.at), ...item]
}
