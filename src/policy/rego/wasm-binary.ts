// The binary format of WebAssembly, as far as modules are rewritten here: sections, numbers, instructions.
//
// WebAssembly core specification 2.0, chapter 5.

const MAGIC_BYTES = 8
/** Of the parts of the name section. */
const FUNCTION_NAMES = 1
const UTF8 = new TextDecoder()

export const SECTION = { custom: 0, import: 2, global: 6, export: 7, element: 9, code: 10 } as const

export interface Section {
  readonly id: number
  readonly body: Uint8Array
}

export function* sectionsOf(wasm: Uint8Array): Generator<Section> {
  const cursor = new Cursor(wasm)
  cursor.at = MAGIC_BYTES
  while (cursor.at < wasm.length) {
    const id = cursor.byte()
    const size = cursor.u32()
    yield { id, body: wasm.subarray(cursor.at, cursor.at + size) }
    cursor.at += size
  }
}

/** A module with these sections and the head of another. */
export function joined(wasm: Uint8Array, sections: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Writer(sections.reduce((sum, part) => sum + part.length, MAGIC_BYTES))
  out.bytes(wasm.subarray(0, MAGIC_BYTES))
  for (const part of sections) out.bytes(part)
  return out.done()
}

export function section(id: number, body: Uint8Array): Uint8Array {
  const out = new Writer(body.length + 6)
  out.byte(id)
  out.u32(body.length)
  out.bytes(body)
  return out.done()
}

/** The vector of a section with some items more. */
export function withItems(body: Uint8Array, items: readonly (readonly number[])[]): Uint8Array {
  const cursor = new Cursor(body)
  const count = cursor.u32()
  const out = new Writer(body.length + 64)
  out.u32(count + items.length)
  out.bytes(body.subarray(cursor.at))
  for (const item of items) out.bytes(item)
  return out.done()
}

/** Names of the imported functions, in their order: they have the first indexes. */
export function importedFunctions(sections: readonly Section[]): readonly string[] {
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

/** The pages that the memory has at least which a module imports; 0: it imports none. */
export function importedPages(sections: readonly Section[]): number {
  const body = sections.find(({ id }) => id === SECTION.import)?.body
  if (body === undefined) return 0
  const cursor = new Cursor(body)
  for (let count = cursor.u32(); count > 0; count--) {
    cursor.skipName()
    cursor.skipName()
    const limits = new Cursor(body)
    // After its kind, and whether there is a most.
    limits.at = cursor.at + 2
    if (cursor.importKind() === 'memory') return limits.u32()
  }
  return 0
}

/** Indexes of the functions that have a name. */
export function functionNames(sections: readonly Section[]): ReadonlyMap<string, number> {
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

/** Bytes one after the other; the size that is expected is not a bound. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>
  #at = 0

  constructor(size: number) {
    this.#bytes = new Uint8Array(size)
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#at++] = value
  }

  bytes(values: Uint8Array | readonly number[]): void {
    this.#room(values.length)
    this.#bytes.set(values, this.#at)
    this.#at += values.length
  }

  u32(value: number): void {
    let rest = value
    do {
      const low = rest & 0x7f
      rest >>>= 7
      this.byte(rest === 0 ? low : low | 0x80)
    } while (rest !== 0)
  }

  get length(): number {
    return this.#at
  }

  /** What was written; the writer begins anew, and overwrites it. */
  take(): Uint8Array {
    const written = this.#bytes.subarray(0, this.#at)
    this.#at = 0
    return written
  }

  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#at)
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return
    const larger = new Uint8Array(2 * (this.#at + size))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

export function u32(value: number): number[] {
  const out: number[] = []
  let rest = value
  do {
    const low = rest & 0x7f
    rest >>>= 7
    out.push(rest === 0 ? low : low | 0x80)
  } while (rest !== 0)
  return out
}

export class Cursor {
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

  /** Steps over the declarations of locals at the beginning of a function's code. */
  skipLocals(): void {
    for (let groups = this.u32(); groups > 0; groups--) {
      this.skipLeb()
      this.at += 1
    }
  }

  skipName(): void {
    const size = this.u32()
    this.at += size
  }

  name(): string {
    const size = this.u32()
    this.at += size
    return UTF8.decode(this.#bytes.subarray(this.at - size, this.at))
  }

  /** Steps over what an import is, after its names. */
  importKind(): 'function' | 'table' | 'memory' | 'global' {
    const kind = this.byte()
    if (kind === 0) {
      this.u32()
      return 'function'
    }
    if (kind === 1) {
      this.at += 1
      this.#limits()
      return 'table'
    }
    if (kind === 2) {
      this.#limits()
      return 'memory'
    }
    this.at += 2
    return 'global'
  }

  #limits(): void {
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
