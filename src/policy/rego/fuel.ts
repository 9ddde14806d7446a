// A time limit that holds inside one synchronous call of WebAssembly.
//
// A call into wasm cannot be interrupted, so the code itself counts: at every loop head and function
// entry a global is decremented, and at zero the module traps. The host refills the exported global
// (`fuel`) before each evaluation. WebAssembly core specification 2.0, chapter 5 (binary format).

const MAGIC_BYTES = 8
const SECTION_GLOBAL = 6
const SECTION_EXPORT = 7
const SECTION_CODE = 10
const SECTION_IMPORT = 2
const GLOBAL_KIND = 3
const I32 = 0x7f

/** The module with fuel counting added and its global exported as `fuel`. Throws on code that it does not know. */
export function meter(wasm: Uint8Array): Uint8Array<ArrayBuffer> {
  const sections = [...sectionsOf(wasm)]
  const imported = importedGlobals(sections.find(({ id }) => id === SECTION_IMPORT)?.body)
  const globals = sections.find(({ id }) => id === SECTION_GLOBAL)
  const own = globals === undefined ? 0 : new Cursor(globals.body).u32()
  const fuel = imported + own

  const out: number[][] = []
  // Mutable, and full (2^31 - 1, signed LEB128), because the start function runs before the host can fill it.
  const newGlobal = [I32, 1, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b]
  let placed = false
  for (const { id, body } of sections) {
    // Sections stand in the order of their ids; a missing global section goes before the export section.
    if (!placed && globals === undefined && id >= SECTION_EXPORT && id !== 0) {
      out.push(section(SECTION_GLOBAL, [1, ...newGlobal]))
      placed = true
    }
    if (id === SECTION_GLOBAL) out.push(section(id, append(body, newGlobal)))
    else if (id === SECTION_EXPORT)
      out.push(section(id, append(body, [4, ...Buffer.from('fuel'), GLOBAL_KIND, ...u32(fuel)])))
    else if (id === SECTION_CODE) out.push(section(id, meterCode(body, fuel)))
    else out.push(section(id, body))
  }
  const parts = [
    Uint8Array.from(wasm.subarray(0, MAGIC_BYTES)),
    ...out.map((bytes) => Uint8Array.from(bytes)),
  ]
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
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

interface Section {
  readonly id: number
  readonly body: Uint8Array
}

function* sectionsOf(wasm: Uint8Array): Generator<Section> {
  const cursor = new Cursor(wasm)
  cursor.at = MAGIC_BYTES
  while (cursor.at < wasm.length) {
    const id = cursor.byte()
    const size = cursor.u32()
    yield { id, body: wasm.subarray(cursor.at, cursor.at + size) }
    cursor.at += size
  }
}

function importedGlobals(body: Uint8Array | undefined): number {
  if (body === undefined) return 0
  const cursor = new Cursor(body)
  let globals = 0
  for (let count = cursor.u32(); count > 0; count--) {
    cursor.skipName()
    cursor.skipName()
    const kind = cursor.byte()
    if (kind === 0) cursor.u32()
    else if (kind === 1) {
      cursor.at += 1
      cursor.limits()
    } else if (kind === 2) cursor.limits()
    else {
      cursor.at += 2
      globals += 1
    }
  }
  return globals
}

/** The vector of a section with one item more. */
function append(body: Uint8Array, item: readonly number[]): number[] {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  return [...u32(count + 1), ...body.subarray(cursor.at), ...item]
}

function section(id: number, body: Iterable<number>): number[] {
  const bytes = [...body]
  const out = [id, ...u32(bytes.length)]
  for (const byte of bytes) out.push(byte)
  return out
}

function u32(value: number): number[] {
  const out: number[] = []
  let rest = value
  do {
    const low = rest & 0x7f
    rest >>>= 7
    out.push(rest === 0 ? low : low | 0x80)
  } while (rest !== 0)
  return out
}

class Cursor {
  at = 0
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  byte(): number {
    const value = this.#bytes[this.at]
    if (value === undefined) throw new Error('wasm ends early')
    this.at += 1
    return value
  }

  u32(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new Error('wasm integer too long')
  }

  skipLeb(): void {
    while (this.byte() >= 0x80);
  }

  skipName(): void {
    const size = this.u32()
    this.at += size
  }

  limits(): void {
    const flag = this.byte()
    this.u32()
    if ((flag & 1) === 1) this.u32()
  }

  /** Steps over one instruction and tells its opcode. */
  instruction(): number {
    const opcode = this.byte()
    if (opcode === 0x02 || opcode === 0x03 || opcode === 0x04) this.skipLeb()
    else if (opcode === 0x0c || opcode === 0x0d || opcode === 0x10) this.skipLeb()
    else if (opcode === 0x0e) {
      for (let targets = this.u32(); targets >= 0; targets--) this.skipLeb()
    } else if (opcode === 0x11) {
      this.skipLeb()
      this.skipLeb()
    } else if (opcode === 0x1c) {
      for (let types = this.u32(); types > 0; types--) this.at += 1
    } else if (opcode >= 0x20 && opcode <= 0x26) this.skipLeb()
    else if (opcode >= 0x28 && opcode <= 0x3e) {
      this.skipLeb()
      this.skipLeb()
    } else if (opcode === 0x3f || opcode === 0x40) this.at += 1
    else if (opcode === 0x41 || opcode === 0x42) this.skipLeb()
    else if (opcode === 0x43) this.at += 4
    else if (opcode === 0x44) this.at += 8
    else if (opcode === 0xfc) this.#miscellaneous(this.u32())
    else if (!isPlain(opcode))
      throw new Error(`wasm instruction 0x${opcode.toString(16)} is not known`)
    return opcode
  }

  #miscellaneous(kind: number): void {
    if (kind <= 7) return
    if (kind === 8 || kind === 10 || kind === 12 || kind === 14) {
      this.skipLeb()
      this.skipLeb()
    } else if (kind <= 17) this.skipLeb()
    else throw new Error(`wasm instruction 0xfc ${kind} is not known`)
  }
}

/** Instructions without operands in the code: control, parametric, numeric, sign extension. */
function isPlain(opcode: number): boolean {
  return (
    opcode <= 0x01 ||
    opcode === 0x05 ||
    opcode === 0x0b ||
    opcode === 0x0f ||
    opcode === 0x1a ||
    opcode === 0x1b ||
    (opcode >= 0x45 && opcode <= 0xc4)
  )
}
