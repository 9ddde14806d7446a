// One writer's records against what was signed of them: every frame, every number, every leaf, every root.

import { hash } from 'node:crypto'
import { basename } from 'node:path'
import { isErased } from '../ledger/encode.ts'
import { leafAt } from '../ledger/frame.ts'
import type { Anchor } from './anchors.ts'
import { Beyond } from './beyond.ts'
import type { Erasures } from './erasures.ts'
import { readHead, readRecord, type RecordHead } from './record-head.ts'
import { Damaged, type GapReport, type Place, timeText, type WriterReport } from './report.ts'
import {
  type Frame,
  framesOf,
  readSegmentFile,
  type Rest,
  type SegmentFiles,
} from './segment-file.ts'
import { type Mark, notedAt, TreeCheck } from './tree-check.ts'
import type { Enrolled, Trust } from './trust.ts'
import {
  filesOf,
  type Leaves,
  leavesIn,
  type WriterFiles,
  type WriterSource,
} from './writer-files.ts'

export interface WriterContext {
  readonly trust: Trust
  readonly enrolled: Enrolled | undefined
  /** What was kept elsewhere of this writer's tree. */
  readonly anchors: readonly Anchor[]
  readonly erasures: Erasures
  /** Told now and then how many records were read since the last call. */
  readonly onProgress: (records: number) => void
}

export interface CheckedWriter extends Omit<WriterReport, 'state'> {
  readonly unjudged: readonly string[]
}

/** Repeats after a failed sync reach back so many files at most (src/ledger/segment-log.ts). */
const FILES_THAT_REPEAT = 4
const MAX_GAPS_TOLD = 100

/** Throws Damaged for the first record that is not as it was written. */
export function checkWriter(source: WriterSource, context: WriterContext): CheckedWriter {
  const files = filesOf(source, context.trust)
  return new WriterCheck(source, files, context).run()
}

/** What is told of something kept elsewhere whose tree cannot be made from what is here. */
export function uncompared({ said, size }: Anchor): string {
  return `${said} covers ${size} records, and what is kept begins behind them: it cannot be compared`
}

interface Seen {
  readonly firstSeq: number
  readonly leaves: Buffer[]
}

class WriterCheck {
  readonly #writer: string
  readonly #files: WriterFiles
  readonly #context: WriterContext
  readonly #firstSeq: number
  readonly #tree: TreeCheck
  readonly #unjudged: string[] = []
  readonly #beyond = new Beyond()
  readonly #seen: Seen[] = []
  #leaves: Leaves | undefined
  #nextLeaves = 0
  #nextSeal = 0
  #records = 0
  #erased = 0
  #tornBytes = 0
  #firstTime: number | undefined
  #lastTime: number | undefined
  readonly #gaps: GapReport[] = []

  constructor({ writer, live }: WriterSource, files: WriterFiles, context: WriterContext) {
    this.#writer = writer
    this.#files = files
    this.#context = context
    const { checkpoint, segments, seals } = files
    // It is written before the first segment.
    if (live !== undefined && checkpoint === undefined)
      throw this.#damaged({ file: 'checkpoint', what: 'is missing' })
    const newest = seals.at(-1)
    if (live !== undefined && newest !== undefined && (checkpoint?.size ?? 0) < newest.lastSeq)
      throw this.#damaged({
        file: 'checkpoint',
        what: `is older than ${newest.file}: it covers ${checkpoint?.size ?? 0} records, the seal ${newest.lastSeq}`,
      })
    if (checkpoint !== undefined && newest !== undefined && checkpoint.key < newest.checkpoint.key)
      throw this.#damaged({
        file: 'checkpoint',
        what: `is signed with key ${checkpoint.key}, after key ${newest.checkpoint.key} was in force`,
      })
    this.#firstSeq = segments[0]?.firstSeq ?? (newest?.lastSeq ?? 0) + 1
    this.#tree = this.#plant()
  }

  /** The tree as it was before the first record that is kept. */
  #plant(): TreeCheck {
    const { seals, keptFrom } = this.#files
    const before = this.#firstSeq - 1
    const seal = before === 0 ? undefined : seals.find(({ lastSeq }) => lastSeq === before)
    if (this.#firstSeq > keptFrom)
      throw this.#damaged({
        seq: keptFrom,
        last_seq: before,
        what: `are missing: the oldest segment begins with record ${this.#firstSeq}, and nothing signed says that what was before may be gone`,
      })
    if (before > 0 && seal === undefined)
      throw this.#damaged({
        seq: this.#firstSeq,
        what: `the oldest segment begins with record ${this.#firstSeq}, and no seal tells what was before`,
      })
    return new TreeCheck(
      this.#writer,
      this.#marks(before),
      seal === undefined ? undefined : { size: before, frontier: seal.frontier },
    )
  }

  #marks(before: number): Mark[] {
    const { seals, checkpoint } = this.#files
    const { enrolled, anchors } = this.#context
    const own: Mark[] = seals.map(({ file, checkpoint: { size, root } }) => ({
      size,
      root,
      file,
      said: `the seal ${file}`,
    }))
    if (checkpoint !== undefined)
      own.push({ ...checkpoint, file: 'checkpoint', said: 'the newest checkpoint' })
    if (enrolled?.ended !== undefined)
      own.push({ ...enrolled.ended, said: 'the list of writers, where it ended,' })
    for (const anchor of anchors) {
      const known = seals.find(({ lastSeq }) => lastSeq === anchor.size)
      if (anchor.size >= before) own.push(anchor)
      else if (known === undefined) this.#unjudged.push(uncompared(anchor))
      else if (!known.checkpoint.root.equals(anchor.root))
        throw this.#damaged({
          seq: 1,
          last_seq: anchor.size,
          file: known.file,
          what: `are not those that ${anchor.said} has signed`,
        })
    }
    return own.filter(({ size }) => size >= before)
  }

  run(): CheckedWriter {
    const { segments, checkpoint } = this.#files
    this.#stretchesAreSealed()
    for (const [index, segment] of segments.entries()) this.#segment(segment, segments[index + 1])
    this.#tree.end(this.#lastPlace())
    const tooLong = this.#beyond.tooLong((checkpoint ?? this.#files.seals.at(-1)?.checkpoint)?.time)
    if (tooLong !== undefined) this.#unjudged.push(tooLong)
    if (this.#files.isElsewhere)
      this.#unjudged.push(
        `records before ${this.#files.keptFrom} were moved to an archive, which was not given: see --archive`,
      )
    return {
      writer: this.#writer,
      records: this.#records,
      first_seq: this.#records === 0 ? null : this.#firstSeq,
      last_seq: this.#tree.size === 0 ? null : this.#tree.size,
      first_time: timeText(this.#firstTime ?? NaN) ?? null,
      last_time: timeText(this.#lastTime ?? NaN) ?? null,
      checkpoint:
        checkpoint === undefined
          ? null
          : { size: checkpoint.size, time: new Date(checkpoint.time).toISOString() },
      beyond_checkpoint: Math.max(0, this.#tree.size - this.#covered()),
      torn_bytes: this.#tornBytes,
      erased: this.#erased,
      gaps: this.#gaps,
      unjudged: this.#unjudged,
    }
  }

  /** How many records a signed checkpoint covers. */
  #covered(): number {
    return this.#files.checkpoint?.size ?? this.#files.seals.at(-1)?.lastSeq ?? 0
  }

  #segment(segment: SegmentFiles, next: SegmentFiles | undefined): void {
    const { firstSeq, paths } = segment
    const file = basename(paths[0] ?? '')
    const bytes = readSegmentFile(segment, this.#writer)
    if (firstSeq > this.#tree.size + 1)
      throw this.#damaged({
        ...this.#lastPlace(),
        seq: this.#tree.size + 1,
        ...(firstSeq - 1 > this.#tree.size + 1 ? { last_seq: firstSeq - 1 } : {}),
        what: `is missing: the next segment, ${file}, begins with record ${firstSeq}`,
      })
    const seen: Seen = { firstSeq, leaves: [] }
    const known = this.#tree.size
    const frames = framesOf(bytes)
    let read = frames.next()
    for (; read.done !== true; read = frames.next()) this.#frame(read.value, bytes, file, seen)
    this.#seen.push(seen)
    if (this.#seen.length > FILES_THAT_REPEAT) this.#seen.shift()
    this.#rest(read.value, file, next)
    // A process that died between the repeat of a tail that could not be synced and its cut-off has left both.
    const isRepeat = next === undefined && firstSeq > this.#covered()
    if (seen.leaves.length > 0 && this.#tree.size === known && !isRepeat)
      throw this.#damaged({
        seq: firstSeq,
        file,
        what: 'is a segment that holds nothing but what others hold: a copy under another name',
      })
    this.#context.onProgress(this.#tree.size - known)
  }

  #frame({ record, personal, offset }: Frame, bytes: Buffer, file: string, seen: Seen): void {
    const expected = seen.firstSeq + seen.leaves.length
    const head = readHead(record)
    const place = { file, offset }
    if (head === undefined)
      throw this.#damaged({ ...place, seq: expected, what: 'is no record of a ledger' })
    if (head.writer !== this.#writer)
      throw this.#damaged({
        ...place,
        seq: expected,
        what: `is a record of writer ${head.writer}`,
      })
    const here = { file, offset, time: head.time }
    if (head.seq !== expected)
      throw this.#damaged({
        ...here,
        seq: expected,
        what: `record ${head.seq} stands where record ${expected} should`,
      })
    const leaf = leafAt(bytes, offset)
    seen.leaves.push(leaf)
    if (expected <= this.#tree.size) return this.#repeated(leaf, expected, here)
    this.#tree.append(leaf, here, this.#noted(expected))
    this.#records += 1
    this.#firstTime ??= head.time
    this.#lastTime = head.time
    this.#sealed(head, here)
    this.#personal(head, record, personal, here)
    const isCovered = expected <= this.#covered()
    if (!isCovered) this.#beyond.add(head)
    if (head.kind === 'gap' || head.kind === 'audit' || !isCovered)
      this.#whole(head, record, here, isCovered)
  }

  #repeated(leaf: Buffer, seq: number, place: object): void {
    const first = this.#seen.find(
      ({ firstSeq, leaves }) => firstSeq <= seq && seq < firstSeq + leaves.length,
    )
    if (first?.leaves[seq - first.firstSeq]?.equals(leaf) !== true)
      throw this.#damaged({
        ...place,
        seq,
        what: 'is there a second time, and not byte for byte what an earlier file has',
      })
  }

  /** Retention and holds go by the times that a seal tells, so they must be those of its records. */
  #sealed({ seq, time }: RecordHead, place: object): void {
    const { seals } = this.#files
    while ((seals[this.#nextSeal]?.lastSeq ?? Infinity) < seq) this.#nextSeal += 1
    const seal = seals[this.#nextSeal]
    if (seal === undefined || seq < seal.firstSeq) return
    if (time < seal.timeFrom || time > seal.timeTo)
      throw this.#damaged({
        ...place,
        seq,
        what: `the record is outside of the times that ${seal.file} tells`,
      })
  }

  /** What was noted of a record's leaf, in the files that are kept for it. */
  #noted(seq: number): { readonly leaf: Buffer; readonly in: string } | undefined {
    const { leaves } = this.#files
    for (;;) {
      const current = this.#leaves
      const found =
        current === undefined ? undefined : notedAt(current.hashes, seq - current.firstSeq)
      const next = leaves[this.#nextLeaves]
      // The file of the later segment, as soon as there is one.
      if (next === undefined || next.firstSeq > seq) {
        if (found !== undefined && current !== undefined) return { leaf: found, in: current.file }
        if (seq <= this.#covered())
          throw this.#damaged({
            seq,
            file: current?.file ?? `${String(this.#firstSeq).padStart(16, '0')}.leaves`,
            what: 'the leaf hash is missing here, although a checkpoint covers the record',
          })
        return undefined
      }
      this.#leaves = leavesIn(next.path, next.firstSeq, this.#writer)
      this.#nextLeaves += 1
    }
  }

  #personal(head: RecordHead, record: Buffer, personal: Buffer, place: Place): void {
    const { personalHash: committed } = head
    if (committed === undefined) {
      if (personal.length === 0) return
      throw this.#damaged({
        ...place,
        seq: head.seq,
        what: 'has a personal part that the record knows nothing of',
      })
    }
    if (personal.length > 0 && hash('sha256', personal) === committed) return
    if (!isErased(personal))
      throw this.#damaged({
        ...place,
        seq: head.seq,
        what: 'the personal part is not the one that the record was written with',
      })
    this.#erased += 1
    const whole = this.#read(head, record, place)
    this.#context.erasures.found(whole, { ...place, writer: this.#writer, seq: head.seq })
  }

  /** Records whose content says something about the ledger itself, and those that no signature covers. */
  #whole(head: RecordHead, record: Buffer, place: Place, isCovered: boolean): void {
    const read = this.#read(head, record, place)
    if (read.kind === 'audit') this.#context.erasures.told(read, isCovered)
    if (read.kind === 'gap' && this.#gaps.length < MAX_GAPS_TOLD)
      this.#gaps.push({
        reason: read.reason,
        records: read.count,
        from: timeText(read.from) ?? '',
        to: timeText(read.to) ?? '',
      })
  }

  #read(
    head: RecordHead,
    record: Buffer,
    place: object,
  ): NonNullable<ReturnType<typeof readRecord>> {
    const read = readRecord(record)
    if (read !== undefined) return read
    throw this.#damaged({
      ...place,
      seq: head.seq,
      what: 'is not JSON in the form in which records are written',
    })
  }

  /** What is behind the last whole frame of a segment: nothing, or what was never written to its end. */
  #rest(rest: Rest, file: string, next: SegmentFiles | undefined): void {
    if (rest.kind === 'none') return
    const place = { file, offset: rest.offset, seq: this.#tree.size + 1 }
    const isLost =
      next === undefined ? this.#tree.size < this.#covered() : next.firstSeq > this.#tree.size + 1
    // Its record stands in the next file, or was never acknowledged. Where a machine went down, blocks of zeros
    // may stand in its place; nobody will write there any more.
    const isTorn = rest.kind === 'torn' || (next === undefined && this.#files.isLeft)
    if (isTorn && !isLost) {
      this.#tornBytes += rest.bytes
      return
    }
    throw this.#damaged({
      ...place,
      time: this.#lastTime,
      what:
        rest.kind === 'torn'
          ? 'the frame ends in the middle, although a checkpoint covers the record or later ones are there'
          : 'the checksum or the length of the frame is wrong',
    })
  }

  /** Leaves begin anew only behind a seal (src/ledger/evidence.ts), so one that was taken away shows. */
  #stretchesAreSealed(): void {
    const begins = new Set([1, ...this.#files.seals.map(({ lastSeq }) => lastSeq + 1)])
    for (const { firstSeq, path } of this.#files.leaves)
      if (!begins.has(firstSeq))
        throw this.#damaged({
          seq: firstSeq,
          file: basename(path),
          what: `begins with record ${firstSeq}, and no seal ends with the record before`,
        })
  }

  #lastPlace(): Place {
    const file = this.#files.segments.at(-1)?.paths[0]
    return { ...(file === undefined ? {} : { file: basename(file) }), time: this.#lastTime }
  }

  #damaged(damage: Place & { readonly what: string }): Damaged {
    return new Damaged({ writer: this.#writer, ...damage })
  }
}
