// Sets of small numbers, one bit each.

export type Bits = Uint32Array

export function add(bits: Bits, index: number): void {
  bits[index >> 5] = (bits[index >> 5] ?? 0) | (1 << (index & 31))
}

/** The same with one more, in more room where it takes more. */
export function withBit(bits: Bits, index: number): Bits {
  let roomy = bits
  if (index >> 5 >= bits.length) {
    roomy = new Uint32Array(Math.max(4, 2 * bits.length, (index >> 5) + 1))
    roomy.set(bits)
  }
  add(roomy, index)
  return roomy
}

export function has(bits: Bits, index: number): boolean {
  return ((bits[index >> 5] ?? 0) & (1 << (index & 31))) !== 0
}

export function intersect(bits: Bits, other: Bits): void {
  for (let word = 0; word < bits.length; word++) bits[word] = (bits[word] ?? 0) & (other[word] ?? 0)
}

export function subtract(bits: Bits, other: Bits): void {
  for (let word = 0; word < bits.length; word++)
    bits[word] = (bits[word] ?? 0) & ~(other[word] ?? 0)
}

/** The first that is in all of them. */
export function firstInAll(first: Bits, ...others: readonly Bits[]): number | undefined {
  for (let word = 0; word < first.length; word++) {
    let common = first[word] ?? 0
    for (const other of others) common &= other[word] ?? 0
    if (common !== 0) return word * 32 + 31 - Math.clz32(common & -common)
  }
  return undefined
}

/** How many stand behind an index. */
export function countAfter(bits: Bits, index: number): number {
  let count = 0
  for (let word = Math.max(0, index >> 5); word < bits.length; word++) {
    let rest = bits[word] ?? 0
    if (word === index >> 5) rest &= ~((2 << (index & 31)) - 1)
    rest -= (rest >>> 1) & 0x55_55_55_55
    rest = (rest & 0x33_33_33_33) + ((rest >>> 2) & 0x33_33_33_33)
    count += Math.imul((rest + (rest >>> 4)) & 0x0f_0f_0f_0f, 0x01_01_01_01) >>> 24
  }
  return count
}

/** The indexes behind one, ascending. */
export function* after(bits: Bits, index: number): Generator<number> {
  for (let word = Math.max(0, index >> 5); word < bits.length; word++) {
    let rest = bits[word] ?? 0
    if (word === index >> 5) rest &= ~((2 << (index & 31)) - 1)
    for (; rest !== 0; rest &= rest - 1) yield word * 32 + 31 - Math.clz32(rest & -rest)
  }
}

export function membersOf(bits: Bits): readonly number[] {
  return [...after(bits, -1)]
}
