// A time limit that holds inside one synchronous call of WebAssembly.
//
// A call into wasm cannot be interrupted, so the code itself counts: at every loop head and function
// entry a global is decremented, and at zero the module traps. The host refills the exported global
// (`fuel`) before each evaluation. WebAssembly core specification 2.0, chapter 5 (binary format).

import {
  Cursor,
  joined,
  section,
  SECTION,
  sectionsOf,
  u32,
  withItems,
  Writer,
} from './wasm-binary.ts'

const GLOBAL_KIND = 3
const I32 = 0x7f

/** The module with fuel counting added and its global exported as `fuel`. Throws on code that it does not know. */
export function meter(wasm: Uint8Array): Uint8Array<ArrayBuffer> {
  const sections = [...sectionsOf(wasm)]
  const imported = importedGlobals(sections.find(({ id }) => id === SECTION.import)?.body)
  const globals = sections.find(({ id }) => id === SECTION.global)
  const own = globals === undefined ? 0 : new Cursor(globals.body).u32()
  const fuel = imported + own

  const out: Uint8Array[] = []
  // Mutable, and full (2^31 - 1, signed LEB128), because the start function runs before the host can fill it.
  const newGlobal = [I32, 1, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b]
  let placed = false
  for (const { id, body } of sections) {
    // Sections stand in the order of their ids; a missing global section goes before the export section.
    if (!placed && globals === undefined && id >= SECTION.export && id !== 0) {
      out.push(section(SECTION.global, Uint8Array.of(1, ...newGlobal)))
      placed = true
    }
    if (id === SECTION.global) out.push(section(id, withItems(body, [newGlobal])))
    else if (id === SECTION.export)
      out.push(
        section(id, withItems(body, [[4, ...Buffer.from('fuel'), GLOBAL_KIND, ...u32(fuel)]])),
      )
    else if (id === SECTION.code) out.push(section(id, meterCode(body, fuel)))
    else out.push(section(id, body))
  }
  return joined(wasm, out)
}

function meterCode(body: Uint8Array, fuel: number): Uint8Array {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  const out = new Writer(2 * body.length)
  const one = new Writer(4096)
  out.u32(count)
  const check = checkOf(fuel)
  for (let index = 0; index < count; index++) {
    const size = cursor.u32()
    meterFunction(body.subarray(cursor.at, cursor.at + size), check, one)
    out.u32(one.length)
    out.bytes(one.take())
    cursor.at += size
  }
  return out.done()
}

/** global.get f; i32.eqz; if; unreachable; end; global.get f; i32.const 1; i32.sub; global.set f */
function checkOf(fuel: number): Uint8Array {
  const get = [0x23, ...u32(fuel)]
  const set = [0x24, ...u32(fuel)]
  return Uint8Array.of(...get, 0x45, 0x04, 0x40, 0x00, 0x0b, ...get, 0x41, 1, 0x6b, ...set)
}

function meterFunction(code: Uint8Array, check: Uint8Array, out: Writer): void {
  const cursor = new Cursor(code)
  cursor.skipLocals()
  out.bytes(code.subarray(0, cursor.at))
  out.bytes(check)
  let copied = cursor.at
  while (cursor.at < code.length) {
    const opcode = cursor.instruction()
    if (opcode === 0x03) {
      out.bytes(code.subarray(copied, cursor.at))
      out.bytes(check)
      copied = cursor.at
    }
  }
  out.bytes(code.subarray(copied))
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
