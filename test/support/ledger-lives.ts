// Lives of a ledger: appends, syncs, failures, crashes, power losses and damage in any order, against a list in
// memory. After each beginning of a process the whole state is compared.

import { deepEqual, equal, ok } from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { realDisk } from '../../src/ledger/disk.ts'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import { frameEnd, putFrame, readFrame } from '../../src/ledger/frame.ts'
import { openKeyChain } from '../../src/ledger/ledger-keys.ts'
import { SEGMENT_HEAD, segmentsOf } from '../../src/ledger/segment.ts'
import { claimWriter, type WriterFolder, writersIn } from '../../src/ledger/writer-folder.ts'
import { type Fsync, WritingEnd } from '../../src/ledger/writing-end.ts'
import { readCheckpoint } from '../../src/proof/checkpoint.ts'
import { openNote } from '../../src/proof/note.ts'
import { leafHash, rootOf, Tree } from '../../src/proof/tree.ts'
import { verifyFolder } from '../../src/verify/folder.ts'
import { Died, FaultyDisk } from './faulty-disk.ts'
import { auditRecord } from './records.ts'

const NAMES = /^\d{16}(?:-\d+)?\.(?:seg|leaves|seal)$|^checkpoint$/

export const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 6 }),
      isUrgent: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(100, 200, 1000, 11_000, 700_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      operation: fc.constantFrom('write', 'sync', 'open', 'truncate', 'rename', 'syncFolder'),
      path: fc.constantFrom('.seg', '.leaves', '.seal', 'checkpoint', ''),
      code: fc.constantFrom('EIO', 'ENOSPC', 'EROFS'),
      times: fc.integer({ min: 1, max: 4 }),
      keepsBytes: fc.integer({ min: 0, max: 2000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('heal' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('dieSoon' as const),
      changes: fc.integer({ min: 1, max: 25 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('losePower' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('close' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('damage' as const),
      file: fc.nat(),
      at: fc.nat(),
      bit: fc.nat(7),
    }),
  },
)

export type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

interface Kept {
  readonly name: string
  readonly leaf: Buffer
}

/** Runs one life; throws where the ledger and the list differ. */
export function live(steps: readonly Step[], fsync: Fsync): void {
  const dataDir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'cordon-life-'))
  try {
    const life = new Life(dataDir, fsync)
    for (const each of steps) life.take(each)
    life.end()
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
}

class Life {
  readonly #dataDir: string
  readonly #ledgerDir: string
  readonly #fsync: Fsync
  readonly #encoder = new RecordEncoder()
  /** What each writer wrote, by number; the last ones may be unknown to whoever asked. */
  readonly #written = new Map<string, Kept[]>()
  /** How many of them were acknowledged, or synced, so that they survive what is to come. */
  readonly #owed = new Map<string, { kill: number; power: number }>()
  /** Writers whose files were changed by hand. */
  readonly #damaged = new Set<string>()
  #disk = new FaultyDisk()
  #folder: WriterFolder | undefined
  #end: WritingEnd | undefined
  #now = 1_700_000_000_000
  #names = 0
  #lostPower = false

  constructor(dataDir: string, fsync: Fsync) {
    this.#dataDir = dataDir
    this.#ledgerDir = join(dataDir, 'ledger')
    this.#fsync = fsync
    mkdirSync(this.#ledgerDir)
  }

  take(next: Step): void {
    if (this.#end === undefined && next.kind !== 'damage') this.#begin()
    if (next.kind === 'append') this.#append(next)
    else if (next.kind === 'pass') this.#pass(next.ms)
    else if (next.kind === 'heal') this.#disk.faults = []
    else if (next.kind === 'dieSoon') this.#disk.diesAfter = next.changes
    else if (next.kind === 'crash') this.#crash()
    else if (next.kind === 'close') this.#close()
    else if (next.kind === 'damage') this.#damage(next)
    else if (next.kind === 'losePower') {
      this.#disk.losePower()
      this.#lostPower = true
      this.#crash()
    } else {
      const { operation, path, code, times, keepsBytes } = next
      this.#disk.faults.push({
        operation,
        path,
        fails: code,
        times,
        ...(operation === 'write' ? { keepsBytes } : {}),
      })
    }
  }

  end(): void {
    if (this.#end !== undefined) this.#crash()
    this.#begin()
    const report = verifyFolder(
      { ledger: this.#ledgerDir, archive: undefined },
      { checkpoints: [], keys: [], onProgress: () => undefined },
    )
    if (this.#damaged.size === 0) deepEqual(report.damage, [])
    this.#close()
  }

  #begin(): void {
    this.#disk = new FaultyDisk()
    const left: string[] = []
    this.#folder = claimWriter({
      dataDir: this.#dataDir,
      ledgerDir: this.#ledgerDir,
      disk: this.#disk,
      now: () => this.#now,
      onLeft: (writer) => left.push(writer),
    })
    for (const writer of left)
      ok(this.#lostPower || this.#damaged.has(writer), 'only after a power loss, or damage')
    this.#check(this.#folder)
    this.#lostPower = false
    this.#end = new WritingEnd({
      disk: this.#disk,
      place: this.#folder,
      progress: this.#folder.progress,
      fsync: this.#fsync,
      now: () => this.#now,
      steady: () => this.#now,
      tell: (news) => {
        // What a checkpoint covers was synced before it.
        if (news.kind === 'signed') this.#owe(this.#folder?.writer ?? '', news.size, news.size)
      },
    })
  }

  /** Everything that is owed is there, in order and once, and proved as the list says. */
  #check({ writer, progress }: WriterFolder): void {
    for (const each of writersIn(this.#ledgerDir)) {
      if (this.#damaged.has(each)) continue
      const found = recordsOf(join(this.#ledgerDir, each))
      const written = this.#written.get(each) ?? []
      const owed = this.#owed.get(each) ?? { kill: 0, power: 0 }
      ok(found.length >= (this.#lostPower ? owed.power : owed.kill), 'what is owed is there')
      deepEqual(
        found.map(({ name }) => name),
        written.slice(0, found.length).map(({ name }) => name),
      )
      // What was not there after a crash was never acknowledged, and its numbers are free.
      this.#written.set(each, written.slice(0, found.length))
      this.#owed.set(each, { kill: found.length, power: Math.min(found.length, owed.power) })
    }
    if (this.#damaged.has(writer)) {
      // It is gone on with all the same, so what was damaged is nothing that it goes on from.
      const { kill = 0, power = 0 } = this.#owed.get(writer) ?? {}
      ok(progress.size >= (this.#lostPower ? power : kill), 'what is owed is proved')
      this.#written.set(writer, (this.#written.get(writer) ?? []).slice(0, progress.size))
    }
    const leaves = (this.#written.get(writer) ?? []).map(({ leaf }) => leaf)
    equal(progress.size, leaves.length)
    const root = rootOf(leaves)
    deepEqual(new Tree(progress.size, progress.frontier).root(), root)
    const opened = openNote(
      readFileSync(join(this.#ledgerDir, writer, 'checkpoint'), 'utf8'),
      openKeyChain(this.#ledgerDir).keys,
    )
    const checkpoint = readCheckpoint(opened?.text ?? '')
    equal(opened?.signedBy.length, 1)
    ok(checkpoint !== undefined && checkpoint.size <= leaves.length)
    deepEqual(checkpoint.root, rootOf(leaves, 0, checkpoint.size))
  }

  #append({
    sizes,
    isUrgent,
  }: {
    readonly sizes: readonly number[]
    readonly isUrgent: boolean
  }): void {
    const { writer = '' } = this.#folder ?? {}
    const written = this.#written.get(writer) ?? []
    this.#written.set(writer, written)
    const area = Buffer.alloc(64 * 1024)
    let bytes = 0
    const fresh: Kept[] = []
    for (const size of sizes) {
      const name = `${this.#names++}`
      const record = { ...auditRecord(name, this.#now), data: { pad: 'x'.repeat(size) } }
      const prepared = this.#encoder.prepare(record, writer)
      const end = putFrame(area, bytes, prepared, written.length + fresh.length + 1) ?? 0
      const read = area.readUInt32LE(bytes + 8)
      fresh.push({ name, leaf: leafHash(area.subarray(bytes + 12, bytes + 12 + read)) })
      equal(frameEnd(area, bytes), end)
      bytes = end
    }
    const before = written.length
    const { kept = 0, unsafe } =
      this.#guarded((end) =>
        end.write({
          frames: Buffer.from(area.subarray(0, bytes)),
          times: { from: this.#now, to: this.#now },
          isUrgent,
        }),
      ) ?? {}
    // Of a batch that a crash cut off any part may be there.
    written.push(...(this.#disk.hasDied ? fresh : fresh.slice(0, kept)))
    const isAcknowledged = kept > 0 && !this.#disk.hasDied
    if (isAcknowledged) {
      const size = before + kept
      if (this.#fsync !== 'record') this.#owe(writer, size, 0)
      else if (unsafe === undefined) this.#owe(writer, size, size)
    }
    if (this.#disk.hasDied) this.#crash()
  }

  #pass(ms: number): void {
    this.#now += ms
    this.#guarded((end) => end.tick())
    if (this.#disk.hasDied) this.#crash()
  }

  #close(): void {
    const ending = this.#guarded((end) => end.close())
    if (this.#disk.hasDied) return this.#crash()
    try {
      this.#folder?.release(ending ?? 'unsafe')
      if (ending === 'unsafe') this.#lostPower = true
    } catch {
      // It could not be marked: the next process finds out.
    }
    if (this.#disk.hasDied) return this.#crash()
    this.#end = undefined
  }

  #crash(): void {
    const { writer = '', folder = '' } = this.#folder ?? {}
    this.#disk.hasDied = true
    if (this.#lostPower) writeFileSync(join(folder, 'open'), 'another boot')
    rmSync(join(this.#ledgerDir, writer, 'lock'), { force: true })
    this.#end = undefined
  }

  #damage({
    file,
    at,
    bit,
  }: {
    readonly file: number
    readonly at: number
    readonly bit: number
  }): void {
    if (this.#end !== undefined) this.#close()
    const files = writersIn(this.#ledgerDir).flatMap((writer) =>
      realDisk
        .list(join(this.#ledgerDir, writer))
        .filter((name) => NAMES.test(name))
        .map((name) => ({ writer, path: join(this.#ledgerDir, writer, name) })),
    )
    const chosen = files[file % files.length]
    if (chosen === undefined) return
    const bytes = readFileSync(chosen.path)
    if (bytes.length === 0) return
    const place = at % bytes.length
    bytes[place] = (bytes[place] ?? 0) ^ (1 << bit)
    writeFileSync(chosen.path, bytes)
    this.#damaged.add(chosen.writer)
  }

  #guarded<T>(act: (end: WritingEnd) => T): T | undefined {
    try {
      return this.#end === undefined ? undefined : act(this.#end)
    } catch (error) {
      if (!(error instanceof Died)) throw error
      return undefined
    }
  }

  #owe(writer: string, kill: number, power: number): void {
    const owed = this.#owed.get(writer) ?? { kill: 0, power: 0 }
    this.#owed.set(writer, {
      kill: Math.max(owed.kill, kill),
      power: Math.max(owed.power, power),
    })
  }
}

/** The records of a writer, each once, in the order of their numbers. */
function recordsOf(folder: string): Kept[] {
  const found: Kept[] = []
  for (const { path } of segmentsOf(folder)) {
    const bytes = readFileSync(path)
    let at = SEGMENT_HEAD
    for (;;) {
      const read = readFrame(bytes, at)
      if (read.kind !== 'frame') break
      at = read.next
      const { seq, actor } = JSON.parse(read.record.toString('utf8')) as {
        seq: number
        actor: { name: string }
      }
      const kept = { name: actor.name, leaf: leafHash(read.record) }
      const known = found[seq - 1]
      if (known !== undefined) equal(known.name, kept.name, 'a number is given once')
      else {
        equal(seq, found.length + 1, 'numbers are without holes')
        found.push(kept)
      }
    }
  }
  return found
}
