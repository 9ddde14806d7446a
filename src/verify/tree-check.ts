// One writer's tree, grown leaf by leaf, compared at every size for which somebody has signed what it was.

import { HASH_BYTES, Tree } from '../proof/tree.ts'
import { Damaged, type Place } from './report.ts'

/** What the tree of a writer was at some size, and who says so. */
export interface Mark {
  readonly size: number
  readonly root: Buffer
  /** As people read it: `the seal 0000000000000001.seal`. */
  readonly said: string
  readonly file?: string
}

interface Suspect extends Place {
  readonly seq: number
  readonly against: string
}

export class TreeCheck {
  readonly #writer: string
  readonly #tree: Tree
  readonly #marks: readonly Mark[]
  #next = 0
  /** The size up to which a mark has agreed. */
  #agreed: number
  /** The first leaf that differs from what was noted of it: a mark will tell which of the two is wrong. */
  #suspect: Suspect | undefined

  /** `frontier` is that of the tree over the records before the first that will come. */
  constructor(
    writer: string,
    marks: readonly Mark[],
    start: { readonly size: number; readonly frontier: readonly Uint8Array[] } = {
      size: 0,
      frontier: [],
    },
  ) {
    this.#writer = writer
    this.#marks = marks.toSorted((a, b) => a.size - b.size)
    this.#tree = new Tree(start.size, start.frontier)
    this.#agreed = start.size
    while (this.#nextSize() < start.size) this.#next += 1
    this.#compare()
  }

  get size(): number {
    return this.#tree.size
  }

  /** The next leaf; `noted` is what was kept of it elsewhere. Throws Damaged. */
  append(leaf: Buffer, place: Place, noted?: { readonly leaf: Buffer; readonly in: string }): void {
    this.#tree.append(leaf)
    if (noted !== undefined && this.#suspect === undefined && !noted.leaf.equals(leaf))
      this.#suspect = { ...place, seq: this.#tree.size, against: noted.in }
    if (this.#tree.size === this.#nextSize()) this.#compare()
  }

  /** Nothing more comes: every mark must have been reached. Throws Damaged. */
  end(place: Place): void {
    const mark = this.#marks[this.#next]
    if (mark !== undefined)
      throw new Damaged({
        ...place,
        writer: this.#writer,
        seq: this.#tree.size + 1,
        what: `is missing: the records end with ${this.#tree.size}, ${mark.said} covers ${mark.size}`,
      })
    // Beyond the last mark nobody has signed which of the two is right.
    if (this.#suspect !== undefined) this.#blame(this.#suspect)
  }

  #nextSize(): number {
    return this.#marks[this.#next]?.size ?? Infinity
  }

  #compare(): void {
    const root = this.#nextSize() === this.#tree.size ? this.#tree.root() : undefined
    if (root === undefined) return
    for (; this.#nextSize() === this.#tree.size; this.#next += 1) {
      const mark = this.#marks[this.#next]
      if (mark === undefined || mark.root.equals(root)) continue
      if (this.#suspect !== undefined) this.#blame(this.#suspect)
      const first = Math.min(this.#agreed + 1, mark.size)
      throw new Damaged({
        writer: this.#writer,
        ...(mark.size === 0 ? {} : { seq: first }),
        ...(first < mark.size ? { last_seq: mark.size } : {}),
        ...(mark.file === undefined ? {} : { file: mark.file }),
        what: `the tree over the records up to ${mark.size} is not the one that ${mark.said} has signed`,
      })
    }
    if (this.#suspect !== undefined)
      throw new Damaged({
        writer: this.#writer,
        seq: this.#suspect.seq,
        file: this.#suspect.against,
        what: 'the leaf hash noted here is not that of the record, which is as it was signed',
      })
    this.#agreed = this.#tree.size
  }

  #blame({ against, seq, ...place }: Suspect): never {
    throw new Damaged({
      ...place,
      writer: this.#writer,
      seq,
      what: `the record is not the one that was written: its leaf hash differs from the one in ${against}`,
    })
  }
}

/** The leaf at a place of a run of leaf hashes; undefined where the run ends before. */
export function notedAt(hashes: Buffer, index: number): Buffer | undefined {
  const end = (index + 1) * HASH_BYTES
  return end > hashes.length ? undefined : hashes.subarray(index * HASH_BYTES, end)
}
