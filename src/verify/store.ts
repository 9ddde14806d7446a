// A database against what was signed: leaves rolled up to every checkpoint, every row to its leaf, every column to its
// record. Rows that are missing must be rows that retention has told of.

import { hash } from 'node:crypto'
import type { Kysely } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { readPersonal } from '../ledger/encode.ts'
import type { LedgerRecord, ShippedRecord } from '../model/record.ts'
import { RETENTION_APPLIED, type RetentionApplied } from '../model/retention.ts'
import type { PublicKey } from '../proof/note.ts'
import { HASH_BYTES, hashesIn, leafHash, Tree } from '../proof/tree.ts'
import { numbersHash, numbersIn, type NumberBlock, toldNumbers } from '../store/gone-numbers.ts'
import {
  AUDIT_COLUMNS,
  auditRow,
  DECISION_COLUMNS,
  decisionRow,
  GAP_COLUMNS,
  gapRow,
  OUTCOME_COLUMNS,
  outcomeRow,
} from '../store/record-rows.ts'
import type { Tables } from '../store/tables.ts'
import type { Columns, Row } from '../store/unnest.ts'
import { VIOLATION_FACT_COLUMNS, violationOf } from '../store/violation-rows.ts'
import { type Anchor, anchorsIn, checkKeys, isPinned, type NoteFile } from './anchors.ts'
import { Beyond } from './beyond.ts'
import { Bits } from './bits.ts'
import { wrongColumn } from './columns.ts'
import { Erasures } from './erasures.ts'
import { readHead, readRecord, type ReadRecord } from './record-head.ts'
import {
  Damaged,
  type Damage,
  type Place,
  type Report,
  timeText,
  type WriterReport,
} from './report.ts'
import {
  checkpointsOf,
  keysIn,
  pagesOf,
  rosterIn,
  type Snapshot,
  type StoredRow,
  type StoredWriter,
  type TenantDay,
  tilesAt,
  tilesOf,
  violationDays,
  type ViolationRow,
  violationsOf,
  withSnapshot,
  writersIn,
} from './store-pages.ts'
import { type Mark, TreeCheck } from './tree-check.ts'
import { type SignedCheckpoint, Trust, vkeys } from './trust.ts'
import { ViolationGroup } from './violation-group.ts'

export interface StoreOptions {
  readonly checkpoints: readonly NoteFile[]
  readonly keys: readonly PublicKey[]
  readonly onProgress: (records: number) => void
}

const TILE_LEAVES = 32
/** Tiles that are at hand: rows lie about as they came, so a few for each writer are enough. */
const MAX_TILES = 4096
const NO_LEAF = Buffer.alloc(HASH_BYTES)
const DEAD_COLUMNS: Columns = {
  tenant: 'text',
  writer: 'uuid',
  seq: 'bigint',
  reason: 'text',
  leaf: 'bytea',
  record: 'text',
  personal: 'bytea',
}
const SERIES_KEY = ['time', 'writer', 'seq', 'tenant']

/** Of unused columns those that are not null. */
const UNUSED: Row = { compliance_relevant: false }

interface RecordTable {
  readonly table: string
  readonly kind: LedgerRecord['kind'] | undefined
  readonly columns: Columns
  /** Columns that nothing is written to. */
  readonly unused?: Columns
  readonly key: readonly string[]
  readonly row: (shipped: never) => Row
}

const TABLES: readonly RecordTable[] = [
  // What explains other records first.
  {
    table: 'audit_events',
    kind: 'audit',
    columns: AUDIT_COLUMNS,
    unused: {
      decision_id: 'uuid',
      source: 'text',
      compliance_relevant: 'boolean',
      frameworks: 'jsonb',
    },
    key: SERIES_KEY,
    row: auditRow,
  },
  {
    table: 'gaps',
    kind: 'gap',
    columns: GAP_COLUMNS,
    key: ['tenant', 'writer', 'seq'],
    row: gapRow,
  },
  {
    table: 'decisions',
    kind: 'decision',
    columns: DECISION_COLUMNS,
    unused: { data_classification: 'jsonb' },
    key: SERIES_KEY,
    row: decisionRow,
  },
  {
    table: 'outcomes',
    kind: 'outcome',
    columns: OUTCOME_COLUMNS,
    key: SERIES_KEY,
    row: outcomeRow,
  },
  {
    table: 'dead_letters',
    kind: undefined,
    columns: DEAD_COLUMNS,
    key: ['tenant', 'writer', 'seq'],
    row: deadRow,
  },
]

function deadRow({ writer, seq, text, leaf, record, personalBytes }: ShippedRecord): Row {
  const personal = personalBytes.length === 0 ? null : personalBytes
  return { tenant: record.tenant, writer, seq, leaf, record: text, personal }
}

/** What a record has told to go. */
interface Told extends RetentionApplied {
  readonly tenant: string
  readonly eventId: string
  /** It is signed by somebody whose word counts, and not only kept. */
  readonly isSigned: boolean
}

/** Up to when rows have gone, in milliseconds since the epoch: as is signed, and as anybody has told. */
type Horizons = Readonly<
  Record<'signed' | 'all', { readonly facts: number; readonly rows: number }>
>

/** Tables whose rows are of records, and the one whose rows are facts of some. */
type GoneFrom = 'records' | 'violation_facts'

/** One writer's part in the store. */
interface WriterState {
  readonly writer: string
  readonly trust: Trust
  /** Records with numbers up to here are looked at. */
  readonly bound: number
  readonly cursors: StoredWriter['cursors']
  /** Numbers that were told to go; by whether that is signed, and from where. */
  readonly gone: Map<string, Bits>
  /** The first number whose leaf is there. */
  first: number
  readonly seen: Bits
  /** Decisions that a violation fact must be there for, until it is. */
  readonly violations: Bits
  checkpoint: SignedCheckpoint | undefined
  records: number
  erased: number
  firstTime: number
  lastTime: number
  readonly gaps: WriterReport['gaps'][number][]
  damage: Damage | undefined
  /** Records that no checkpoint covers. */
  readonly uncovered: Beyond
  /** The row with the highest number beyond `bound`. */
  beyond: Place | undefined
}

/** Throws CordonError NOT_FOUND where there is nothing that could be judged. */
export async function verifyStore(
  store: { readonly db: Kysely<Tables>; readonly kind: 'embedded' | 'postgres' },
  options: StoreOptions,
): Promise<Report> {
  const look = (): Promise<Report> =>
    withSnapshot(store, (snapshot) => new StoreCheck(snapshot, options).run())
  const report = await look()
  if (report.verdict === 'intact' && report.writers.length === 0)
    throw new CordonError('NOT_FOUND', 'the store has no records, so there is nothing to verify')
  // Of no one snapshot: what is damage only because rows went meanwhile is none when looked at again.
  return report.verdict === 'damaged' && store.kind === 'embedded' ? look() : report
}

class StoreCheck {
  readonly #snapshot: Snapshot
  readonly #options: StoreOptions
  readonly #damage: Damage[] = []
  readonly #notes: string[] = []
  readonly #unjudged: string[] = []
  readonly #erasures = new Erasures()
  readonly #writers = new Map<string, WriterState>()
  readonly #tiles = new Map<string, Buffer>()
  readonly #told: Told[] = []
  /** Records of writers that no list names, from before there was a list. */
  readonly #strangers = new Map<string, number>()
  #trusts: readonly Trust[] = []
  #records = 0
  /** Damage of no one writer, beyond what is told. */
  #untold = 0
  /** Told behind the damage of records, which they often follow from. */
  readonly #wrongGroups: Damaged[] = []
  /** Violations of which not all can be compared any more. */
  #partial = 0

  constructor(snapshot: Snapshot, options: StoreOptions) {
    this.#snapshot = snapshot
    this.#options = options
  }

  async run(): Promise<Report> {
    const known = await writersIn(this.#snapshot)
    this.#trusts = await this.#readTrusts()
    await this.#attempt(() => checkKeys(this.#options.keys, this.#trusts))
    const anchors = this.#anchors()
    const enrolled = this.#trusts.flatMap((trust) => [...trust.writers.keys()])
    const all = new Set([...known.keys(), ...enrolled, ...anchors.keys()])
    for (const writer of [...all].toSorted())
      await this.#attempt(() => this.#roll(writer, known.get(writer), anchors.get(writer) ?? []))
    for (const table of TABLES) await this.#table(table)
    await this.#violations()
    await this.#readGone()
    const arrived = this.#snapshot.isOne ? known : await writersIn(this.#snapshot)
    for (const state of this.#writers.values())
      await this.#attempt(() => {
        this.#missing(state)
        const { shipped = 0 } = arrived.get(state.writer) ?? {}
        if ((state.beyond?.seq ?? 0) > shipped)
          throw new Damaged({
            ...state.beyond,
            what: `the store says that it has ${shipped} records of this writer`,
          })
      }, state)
    for (const damaged of this.#wrongGroups) this.#tell(damaged, undefined)
    for (const { damage } of this.#erasures.unordered()) this.#damage.push(damage)
    this.#unjudged.push(...this.#erasures.unsigned())
    for (const { writer, uncovered, checkpoint } of this.#writers.values()) {
      const tooLong = uncovered.tooLong(checkpoint?.time)
      if (tooLong !== undefined) this.#unjudged.push(`writer ${writer}: ${tooLong}`)
    }
    for (const trust of this.#trusts)
      if (!isPinned(trust, this.#options.keys))
        this.#unjudged.push(
          `installation ${trust.installation}: none of the keys that were given is one of its keys, so who signed its records is not known: give its key, too`,
        )
    for (const [writer, count] of this.#strangers)
      this.#unjudged.push(
        `writer ${writer}: ${count} records are from before there was a list of writers, and nothing proves them`,
      )
    return this.#report()
  }

  #report(): Report {
    if (this.#untold > 0)
      this.#notes.push(`${this.#untold} more damages like the last one are not told`)
    if (this.#partial > 0)
      this.#notes.push(
        `${this.#partial} violations: not all of what they were made of is kept any more, so the rest of them was compared`,
      )
    const verdict =
      this.#damage.length > 0 ? 'damaged' : this.#unjudged.length > 0 ? 'unknown' : 'intact'
    return {
      verdict,
      of: 'the database',
      installations: this.#trusts.map((trust) => ({
        installation: trust.installation,
        keys: vkeys(trust.keys),
        writers: trust.entries,
      })),
      records: this.#records,
      writers: [...this.#writers.values()].map(reportOf),
      damage: this.#damage,
      unjudged: this.#unjudged,
      notes: this.#notes,
    }
  }

  /** The first damage of each writer is told, the others follow from it more often than not. */
  async #attempt(act: () => Promise<void> | void, state?: WriterState): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!(error instanceof Damaged)) throw error
      this.#tell(error, state)
    }
  }

  #tell({ damage }: Damaged, state: WriterState | undefined): void {
    const of = state ?? this.#writers.get(damage.writer ?? '')
    if (of === undefined) {
      if (this.#damage.length < MAX_TOLD) this.#damage.push(damage)
      else this.#untold += 1
      return
    }
    if (of.damage !== undefined) return
    of.damage = damage
    this.#damage.push(damage)
  }

  async #readTrusts(): Promise<Trust[]> {
    const byInstallation = Map.groupBy(await keysIn(this.#snapshot), (key) => key.installation)
    const trusts: Trust[] = []
    for (const [installation, keys] of byInstallation)
      await this.#attempt(async () => {
        const missing = keys.findIndex(({ number }, index) => number !== index + 1)
        if (missing !== -1)
          throw new Damaged({ table: 'ledger_keys', what: `key ${missing + 1} is missing` })
        const kept = keys.map(({ vkey, note }) => ({ vkey, note: note ?? undefined }))
        const trust = new Trust(installation, kept, () => ({ table: 'ledger_keys' }))
        trusts.push(trust)
        for await (const { number, note } of rosterIn(this.#snapshot, installation)) {
          if (number !== trust.entries + 1)
            throw new Damaged({
              table: 'ledger_roster',
              what: `entry ${trust.entries + 1} of the list of writers of ${installation} is missing`,
            })
          trust.enrol(note, { table: 'ledger_roster' })
        }
      })
    return trusts
  }

  #anchors(): Map<string, Anchor[]> {
    const anchors = new Map<string, Anchor[]>()
    for (const file of this.#options.checkpoints) {
      const failures: Damaged[] = []
      for (const trust of this.#trusts) {
        try {
          for (const [writer, told] of anchorsIn([file], trust))
            anchors.set(writer, [...(anchors.get(writer) ?? []), ...told])
        } catch (error) {
          if (!(error instanceof Damaged)) throw error
          failures.push(error)
        }
      }
      const [failure] = failures
      if (this.#trusts.length === 0)
        this.#tell(
          new Damaged({
            table: 'ledger_keys',
            what: `there is no key with which the checkpoint ${file.file} could have been signed`,
          }),
          undefined,
        )
      if (failure !== undefined && failures.length === this.#trusts.length)
        this.#tell(failure, undefined)
    }
    return anchors
  }

  /** Leaves up to every checkpoint. */
  async #roll(
    writer: string,
    known: StoredWriter | undefined,
    anchors: readonly Anchor[],
  ): Promise<void> {
    const trust = this.#trusts.find(({ writers }) => writers.has(writer))
    if (trust === undefined) {
      // Leaves come with every record, whoever wrote it: of a former release, too. Its rows say whether it is one.
      if (known?.signed !== undefined || anchors.length > 0)
        throw new Damaged({
          writer,
          what: 'there are checkpoints of this writer, and no list of writers knows it',
        })
      return
    }
    const { shipped = 0, signed, leaves = 0, cursors = [] } = known ?? {}
    // A number that somebody made up must not cost memory.
    const bound = Math.min(shipped, leaves, MAX_RECORDS)
    const state: WriterState = {
      writer,
      trust,
      bound,
      cursors,
      gone: new Map(),
      first: 1,
      seen: new Bits(bound),
      violations: new Bits(bound),
      checkpoint: undefined,
      records: 0,
      erased: 0,
      firstTime: Infinity,
      lastTime: -Infinity,
      gaps: [],
      damage: undefined,
      uncovered: new Beyond(),
      beyond: undefined,
    }
    this.#writers.set(writer, state)
    const table = 'ledger_checkpoints'
    if (signed === undefined) {
      // It is brought with the entry, and covers nothing yet.
      throw new Damaged({
        writer,
        table,
        what: 'has begun, as the list of writers says, and none of its checkpoints is here',
      })
    }
    if (signed > shipped)
      throw new Damaged({
        writer,
        seq: shipped + 1,
        table: 'writers',
        what: `is missing: the newest checkpoint covers ${signed} records, the store says that it has ${shipped}`,
      })
    const empty = cursors.find(({ seq }) => seq < 1)
    if (empty !== undefined)
      throw new Damaged({
        writer,
        table: 'writers',
        column: 'tenant',
        what: `there is no record of the tenant ${empty.tenant}`,
      })
    if (shipped > bound)
      throw new Damaged({
        writer,
        seq: bound + 1,
        table: 'ledger_leaves',
        what: `the leaf is missing: the store says that it has ${shipped} records`,
      })
    const { marks, seals } = await this.#marks(state, signed)
    await this.#leaves(state, [...marks, ...anchors], seals)
  }

  async #marks(
    state: WriterState,
    signed: number,
  ): Promise<{ marks: Mark[]; seals: Map<number, readonly Buffer[]> }> {
    const { writer, trust } = state
    const table = 'ledger_checkpoints'
    const marks: Mark[] = []
    const seals = new Map<number, readonly Buffer[]>()
    let key = 0
    for (const { size, note, time, frontier, isSeal } of await checkpointsOf(
      this.#snapshot,
      writer,
      signed,
    )) {
      const checkpoint = trust.checkpoint(note, writer, { writer, table })
      if (checkpoint.size !== size || String(checkpoint.time * 1000) !== time)
        throw new Damaged({
          writer,
          table,
          column: checkpoint.size === size ? 'time' : 'size',
          what: `is not what the checkpoint of size ${checkpoint.size} says`,
        })
      if (checkpoint.key < key)
        throw new Damaged({
          writer,
          table,
          what: `the checkpoint of size ${size} is signed with key ${checkpoint.key}, after key ${key} was in force`,
        })
      key = checkpoint.key
      state.checkpoint = checkpoint
      marks.push({ size, root: checkpoint.root, said: `the checkpoint of size ${size}` })
      if (isSeal !== (frontier !== null))
        throw new Damaged({
          writer,
          table,
          column: 'is_seal',
          what: `is not what the frontier of the checkpoint of size ${size} says`,
        })
      if (frontier !== null) seals.set(size, fitting(frontier, checkpoint, writer))
    }
    const { ended } = trust.writers.get(writer) ?? {}
    if (ended !== undefined) marks.push({ ...ended, said: 'the list of writers, where it ended,' })
    return { marks, seals }
  }

  async #leaves(
    state: WriterState,
    marks: readonly Mark[],
    seals: ReadonlyMap<number, readonly Buffer[]>,
  ): Promise<void> {
    const { writer, bound } = state
    const table = 'ledger_leaves'
    let tree: TreeCheck | undefined
    for await (const { tile, hashes } of tilesOf(this.#snapshot, writer)) {
      for (let at = 0; at + HASH_BYTES <= hashes.length; at += HASH_BYTES) {
        const seq = tile * TILE_LEAVES + at / HASH_BYTES + 1
        const leaf = hashes.subarray(at, at + HASH_BYTES)
        const isThere = !leaf.equals(NO_LEAF)
        if (seq > bound) {
          if (!isThere || !this.#snapshot.isOne) continue
          throw new Damaged({
            writer,
            seq,
            table,
            what: `the store says that it has ${bound} records of this writer, and here is the leaf of another one`,
          })
        }
        if (tree === undefined && !isThere) continue
        tree ??= this.#plant(state, seq, marks, seals)
        if (seq !== tree.size + 1 || !isThere)
          throw new Damaged({
            writer,
            seq: tree.size + 1,
            table,
            what: 'the leaf is missing: the record was removed, or was lost before it came here',
          })
        tree.append(leaf, { table })
      }
      if (hashes.length % HASH_BYTES !== 0 || hashes.length > TILE_LEAVES * HASH_BYTES)
        throw new Damaged({
          writer,
          seq: tile * TILE_LEAVES + 1,
          table,
          what: 'is no row of leaves',
        })
    }
    tree ??= new TreeCheck(writer, marks)
    tree.end({ table })
    if (tree.size < bound)
      throw new Damaged({
        writer,
        seq: tree.size + 1,
        table,
        what: `the leaf is missing: the store says that it has ${bound} records`,
      })
  }

  /** A store that was filled from an archive may lack what was pruned there. */
  #plant(
    state: WriterState,
    first: number,
    marks: readonly Mark[],
    seals: ReadonlyMap<number, readonly Buffer[]>,
  ): TreeCheck {
    const { writer } = state
    if (first === 1) return new TreeCheck(writer, marks)
    const before = first - 1
    const frontier = seals.get(before)
    if (frontier === undefined)
      throw new Damaged({
        writer,
        seq: 1,
        ...(before > 1 ? { last_seq: before } : {}),
        table: 'ledger_leaves',
        what: 'the leaves are missing, and no seal ends there',
      })
    state.first = first
    this.#unjudged.push(
      `writer ${writer}: records 1 to ${before} never came here, as it looks, and neither did their leaves`,
    )
    return new TreeCheck(
      writer,
      marks.filter(({ size }) => size >= before),
      { size: before, frontier },
    )
  }

  async #table(of: RecordTable): Promise<void> {
    const columns = { ...of.columns, ...of.unused }
    for await (const page of pagesOf(this.#snapshot, of.table, columns, of.key)) {
      await this.#fetchTiles(page)
      for (const row of page)
        await this.#attempt(() => readable(of.table, row, () => this.#row(of, row)))
      this.#options.onProgress(page.length)
    }
  }

  #row(of: RecordTable, row: StoredRow): void {
    const { table } = of
    const writer = String(row['writer'])
    const seq = Number(row['seq'])
    const place: Place = { writer, seq, table }
    const text = Buffer.from(String(row['record']))
    const head = readHead(text)
    const record = head === undefined ? undefined : readRecord(text)
    if (head === undefined || record === undefined)
      throw new Damaged({ ...place, column: 'record', what: 'is no record of a ledger' })
    const here = { ...place, time: head.time }
    const state = this.#writers.get(writer)
    if (state === undefined) return this.#stranger(here)
    if (seq > state.bound) {
      // What came since this began: the cursor has come as far by the end. In one snapshot there is no such thing.
      if (!this.#snapshot.isOne) {
        if (seq > (state.beyond?.seq ?? 0)) state.beyond = here
        return
      }
      throw new Damaged({
        ...here,
        what: `the store says that it has ${state.bound} records of this writer`,
      })
    }
    if (head.writer !== writer || head.seq !== seq)
      throw new Damaged({
        ...here,
        what: `the row holds record ${head.seq} of writer ${head.writer}`,
      })
    const leaf = leafHash(text)
    const noted = this.#leafOf(writer, seq)
    if (noted?.equals(leaf) !== true) {
      // Set aside because another record has its number: it is told, and counts for nothing.
      if (of.kind === undefined && noted !== undefined) {
        this.#notes.push(
          `writer ${writer}: another record ${seq} was set aside: ${String(row['reason'])}`,
        )
        return
      }
      throw new Damaged({
        ...here,
        column: 'record',
        what:
          noted === undefined
            ? 'has no leaf: it was inserted, or is not of this place'
            : 'the record is not the one that was written: its leaf is another one',
      })
    }
    if (state.seen.has(seq)) throw new Damaged({ ...here, what: 'is there twice' })
    state.seen.add(seq)
    if (of.kind !== undefined && record.kind !== of.kind)
      throw new Damaged({
        ...here,
        what: `a record of the kind ${record.kind} does not belong here`,
      })
    const personal = this.#personal(row, head.personalHash, record, here, state)
    const shipped = {
      writer,
      seq,
      leaf,
      text: text.toString('utf8'),
      record,
      personal: readPersonal(personal),
      personalBytes: personal,
    }
    const said = of.row(shipped as never)
    const column = wrongColumn(
      { ...of.columns, ...of.unused },
      row,
      of.kind === undefined ? { ...said, reason: row['reason'] } : { ...UNUSED, ...said },
    )
    if (column !== undefined)
      throw new Damaged({ ...here, column, what: 'is not what the record says' })
    if (of.kind === undefined) this.#setAside(row, shipped as never, record.kind)
    this.#take(state, record, table)
    const cursor = state.cursors.find((each) => each.seq === seq)
    if (cursor !== undefined && cursor.tenant !== row['tenant'])
      throw new Damaged({
        ...here,
        table: 'writers',
        column: 'tenant',
        what: `is ${cursor.tenant}, and the record is one of ${String(row['tenant'])}`,
      })
  }

  /** Rows that were set aside are in no answer: what has no reason to lie there is not taken as sound. */
  #setAside(row: StoredRow, shipped: never, kind: string): void {
    const [writer, seq] = [String(row['writer']), String(row['seq'])]
    this.#notes.push(`writer ${writer}: record ${seq} was set aside: ${String(row['reason'])}`)
    try {
      TABLES.find((each) => each.kind === kind)?.row(shipped)
    } catch {
      return
    }
    this.#unjudged.push(
      `writer ${writer}: record ${seq} was set aside, although a row could be made of it`,
    )
  }

  /** What a sound record tells. */
  #take(state: WriterState, record: ReadRecord, table: string): void {
    this.#records += 1
    state.records += 1
    state.firstTime = Math.min(state.firstTime, record.time)
    state.lastTime = Math.max(state.lastTime, record.time)
    const isCovered = record.seq <= (state.checkpoint?.size ?? 0)
    if (!isCovered) state.uncovered.add(record)
    if (record.kind === 'audit') {
      const counts = isCovered && isPinned(state.trust, this.#options.keys)
      this.#erasures.told(record, counts)
      if (record.event_type === RETENTION_APPLIED && typeof record.data?.['table'] === 'string')
        this.#told.push({
          ...(record.data as unknown as RetentionApplied),
          tenant: record.tenant,
          eventId: record.event_id,
          isSigned: counts,
        })
    }
    if (record.kind === 'gap' && state.gaps.length < MAX_TOLD)
      state.gaps.push({
        reason: record.reason,
        records: record.count,
        from: timeText(record.from) ?? '',
        to: timeText(record.to) ?? '',
      })
    if (table === 'decisions' && record.kind === 'decision' && record.violation !== undefined)
      state.violations.add(record.seq)
  }

  #personal(
    row: StoredRow,
    committed: string | undefined,
    record: ReadRecord,
    place: Place,
    state: WriterState,
  ): Buffer {
    const stored = row['personal']
    const personal = Buffer.isBuffer(stored) ? stored : Buffer.alloc(0)
    if (committed === undefined || personal.length > 0) {
      const isRight =
        committed === undefined ? personal.length === 0 : hash('sha256', personal) === committed
      if (!isRight)
        throw new Damaged({
          ...place,
          column: 'personal',
          what: 'is not the personal part that the record was written with',
        })
      return personal
    }
    state.erased += 1
    this.#erasures.found(record, place)
    return personal
  }

  /** A row of a writer that no list of writers names. */
  #stranger({ writer = '', time = Infinity, ...place }: Place): void {
    const begun = this.#trusts.map(({ firstTime = Infinity }) => firstTime)
    if (time >= Math.min(...begun, Infinity) && begun.length > 0)
      throw new Damaged({ ...place, writer, time, what: 'no list of writers knows this writer' })
    this.#strangers.set(writer, (this.#strangers.get(writer) ?? 0) + 1)
  }

  async #fetchTiles(page: readonly StoredRow[]): Promise<void> {
    const wanted = new Map<string, { writer: string; tile: number }>()
    for (const row of page) {
      const writer = String(row['writer'])
      const tile = tileOf(Number(row['seq']))
      const key = `${writer}/${tile}`
      if (this.#writers.has(writer) && !this.#tiles.has(key)) wanted.set(key, { writer, tile })
    }
    if (this.#tiles.size > MAX_TILES) this.#tiles.clear()
    // Those that were at hand may have gone with the others.
    if (this.#tiles.size === 0)
      for (const row of page) {
        const writer = String(row['writer'])
        const tile = tileOf(Number(row['seq']))
        if (this.#writers.has(writer)) wanted.set(`${writer}/${tile}`, { writer, tile })
      }
    for (const { writer, tile, hashes } of await tilesAt(this.#snapshot, [...wanted.values()]))
      this.#tiles.set(`${writer}/${tile}`, hashes)
  }

  #leafOf(writer: string, seq: number): Buffer | undefined {
    const at = ((seq - 1) % TILE_LEAVES) * HASH_BYTES
    const leaf = this.#tiles.get(`${writer}/${tileOf(seq)}`)?.subarray(at, at + HASH_BYTES)
    return leaf?.length !== HASH_BYTES || leaf.equals(NO_LEAF) ? undefined : leaf
  }

  /** Violations against their facts, and these against the decisions that they are facts of. */
  async #violations(): Promise<void> {
    for (const day of await violationDays(this.#snapshot)) {
      const horizons = this.#horizonsOf(day.tenant)
      const judge = (group: ViolationGroup | undefined): void => {
        if (group !== undefined) this.#judge(group, day, horizons)
      }
      let group: ViolationGroup | undefined
      for await (const page of violationsOf(this.#snapshot, day))
        for (const row of page) {
          if (row.id !== group?.id) {
            judge(group)
            group = new ViolationGroup(row.id)
          }
          group.is(row.group)
          if (row.fact !== undefined) await this.#fact(row.fact, row, group)
        }
      judge(group)
    }
  }

  #horizonsOf(tenant: string): Horizons {
    const told = this.#told.filter((each) => each.tenant === tenant)
    const signed = told.filter(({ isSigned }) => isSigned)
    const of = (some: readonly Told[]): Horizons['all'] => ({
      facts: horizon(some, 'violation_facts'),
      rows: horizon(some, 'violations'),
    })
    return { signed: of(signed), all: of(told) }
  }

  #judge(group: ViolationGroup, { tenant, day }: TenantDay, horizons: Horizons): void {
    const judged = ({ facts, rows }: Horizons['all']): Damaged | undefined =>
      group.judge({ facts: (day ?? Infinity) * DAY_MS < facts, row: group.lastFact < rows })
    const damaged = judged(horizons.signed)
    if (damaged !== undefined) {
      if (judged(horizons.all) !== undefined) {
        if (this.#wrongGroups.length < MAX_TOLD) this.#wrongGroups.push(damaged)
        else this.#untold += 1
      } else this.#unjudged.push(`${damaged.message}; ${UNSIGNED}`)
      return
    }
    if (group.isPartial) this.#partial += 1
    // Who was erased has no name here, before or after the decisions have none.
    if (group.isNameless)
      this.#erasures.found(group.decision(tenant), { table: 'violations', row: group.id })
  }

  #fact(row: StoredRow, { record, personal }: ViolationRow, group: ViolationGroup): Promise<void> {
    const table = 'violation_facts'
    return this.#attempt(() =>
      readable(table, row, () => {
        const writer = String(row['writer'])
        const seq = Number(row['seq'])
        const place = { writer, seq, table, time: Number(row['time']) / 1000 }
        const state = this.#writers.get(writer)
        const decision = record === null ? undefined : readRecord(Buffer.from(record))
        const isOne = decision?.kind === 'decision' && decision.violation !== undefined
        const said = isOne
          ? violationOf({
              ...SHIPPED,
              writer,
              seq,
              text: record ?? '',
              record: decision,
              personal: personal === null ? undefined : readPersonal(personal),
            })
          : undefined
        group.add({
          row,
          opened: said?.group,
          isErased: isOne && decision.personal_hash !== null && personal === null,
          isStranger: state === undefined,
        })
        if (state === undefined) return this.#stranger(place)
        if (seq > state.bound && !this.#snapshot.isOne) return
        // Facts are kept longer than decisions.
        if (record === null && seq <= state.bound && !state.seen.has(seq)) return
        if (record === null)
          throw new Damaged({ ...place, what: 'there is no decision that this is a fact of' })
        if (said === undefined)
          throw new Damaged({ ...place, what: 'its decision is no violation' })
        const fact = { ...said.fact, violation_id: row['violation_id'] }
        const column = wrongColumn(VIOLATION_FACT_COLUMNS, row, fact)
        if (column !== undefined)
          throw new Damaged({ ...place, column, what: 'is not what the decision says' })
        state.violations.remove(seq)
      }),
    )
  }

  /** Which numbers retention has told of, as far as they are those that its records have the hash of. */
  async #readGone(): Promise<void> {
    for (const told of this.#told) {
      if (writersOf(told).every(({ numbers }) => numbers === undefined)) continue
      let writer: string | undefined
      let blocks: NumberBlock[] = []
      const take = (): Promise<void> =>
        this.#attempt(() => {
          if (writer !== undefined) this.#takeGone(told, writer, blocks)
        })
      for await (const { writer: of, ...block } of toldNumbers(this.#snapshot.db, told)) {
        if (of !== writer) {
          await take()
          writer = of
          blocks = []
        }
        blocks.push(block)
      }
      await take()
    }
  }

  #takeGone(told: Told, writer: string, blocks: readonly NumberBlock[]): void {
    const said = writersOf(told).find((each) => each.writer === writer)?.numbers
    if (said !== numbersHash(blocks))
      throw new Damaged({
        writer,
        table: 'retention_numbers',
        row: told.eventId,
        what: 'are not the numbers that retention has told of, in the event of that id',
      })
    const state = this.#writers.get(writer)
    if (state === undefined) return
    const key = goneKey(told.isSigned, goneFrom(told))
    const gone = state.gone.get(key) ?? new Bits(state.bound)
    state.gone.set(key, gone)
    for (const block of blocks)
      for (const number of numbersIn(block)) if (number <= state.bound) gone.add(number)
  }

  /** Records whose leaves are there and rows are not: retention must have told of them. */
  #missing(state: WriterState): void {
    for (const from of ['records', 'violation_facts'] as const) {
      try {
        this.#accounted(state, from, true)
      } catch (error) {
        if (!(error instanceof Damaged)) throw error
        this.#accounted(state, from, false)
        this.#unjudged.push(`${error.message}; ${UNSIGNED}`)
      }
    }
  }

  /** `isSigned`: only what counts. Throws Damaged. */
  #accounted(state: WriterState, from: GoneFrom, isSigned: boolean): void {
    const { writer, first } = state
    const gone = (isSigned ? [true] : [true, false]).map((each) =>
      state.gone.get(goneKey(each, from)),
    )
    const told = account(
      this.#told.filter((each) => goneFrom(each) === from && (each.isSigned || !isSigned)),
      writer,
    )
    const missing = from === 'records' ? state.seen.numbers(false) : state.violations.numbers(true)
    const place = { writer, ...(from === 'records' ? {} : { table: from }) }
    let count = 0
    let begin = 0
    let end = 0
    for (const seq of missing) {
      if (seq < first || gone.some((numbers) => numbers?.has(seq) === true)) continue
      if (seq > told.upTo)
        throw new Damaged({
          ...place,
          seq,
          what:
            from === 'records'
              ? 'the row is missing: its leaf is here, and retention has not told that it went'
              : 'the fact of this violation is missing, and retention has not told that it went',
        })
      if (count === 0) begin = seq
      end = seq
      count += 1
    }
    if (count > told.rows)
      throw new Damaged({
        ...place,
        seq: begin,
        last_seq: end,
        what: `${count} rows are missing, and retention has told of ${told.rows}`,
      })
  }
}

const DAY_MS = 86_400_000
const UNSIGNED =
  'a record that no checkpoint covers, or whose key was not given, says that it went by its age'
const MAX_TOLD = 100
/** Of one writer: half a gigabyte to remember which were seen. */
const MAX_RECORDS = 2 ** 31

const SHIPPED = { leaf: NO_LEAF, personal: undefined, personalBytes: Buffer.alloc(0) }

/** What makes no sense at all is damage of this row, and stops no other from being judged. */
function readable(table: string, row: StoredRow, act: () => void): void {
  try {
    act()
  } catch (error) {
    if (error instanceof Damaged) throw error
    throw new Damaged({
      writer: String(row['writer']),
      seq: Number(row['seq']),
      table,
      what: `cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    })
  }
}

function tileOf(seq: number): number {
  return Math.floor((seq - 1) / TILE_LEAVES)
}

/** What a record tells of writers, as far as it makes sense. */
function writersOf({ writers }: RetentionApplied): RetentionApplied['writers'] {
  if (!Array.isArray(writers)) return []
  return writers.filter(
    (each: unknown) => typeof each === 'object' && each !== null,
  ) as unknown as RetentionApplied['writers']
}

function goneFrom({ table }: RetentionApplied): GoneFrom {
  return table === 'violation_facts' ? table : 'records'
}

function goneKey(isSigned: boolean, from: GoneFrom): string {
  return `${isSigned ? 'signed' : 'unsigned'} ${from}`
}

/** Up to when rows of a table have gone, in milliseconds since the epoch. */
function horizon(told: readonly RetentionApplied[], table: string): number {
  return told
    .filter((each) => each.table === table)
    .map(({ before }) => Date.parse(before))
    .reduce((most, before) => (before > most ? before : most), -Infinity)
}

/** How many rows of a writer former releases have told to go, and up to which number: they did not tell which. */
function account(
  applied: readonly RetentionApplied[],
  writer: string,
): { readonly upTo: number; readonly rows: number } {
  let upTo = 0
  let rows = 0
  for (const told of applied.flatMap(writersOf)) {
    if (told.writer !== writer || told.numbers !== undefined) continue
    if (![told.up_to_seq, told.rows].every(Number.isSafeInteger)) continue
    upTo = Math.max(upTo, told.up_to_seq)
    rows += told.rows
  }
  return { upTo, rows }
}

function fitting(frontier: Buffer, { size, root }: SignedCheckpoint, writer: string): Buffer[] {
  const hashes = hashesIn(frontier)
  let tree: Tree | undefined
  try {
    tree = new Tree(size, hashes)
  } catch {
    // Not as many hashes as the size asks for.
  }
  if (frontier.length % HASH_BYTES !== 0 || tree?.root().equals(root) !== true)
    throw new Damaged({
      writer,
      table: 'ledger_checkpoints',
      column: 'frontier',
      what: `is not that of the tree of size ${size}`,
    })
  return hashes
}

function reportOf(state: WriterState): WriterReport {
  const { writer, seen, checkpoint, bound, records, erased, gaps, damage, trust } = state
  const { value: first } = seen.numbers(true).next()
  return {
    writer,
    state:
      damage !== undefined
        ? 'damaged'
        : trust.writers.get(writer)?.ended === undefined
          ? 'intact'
          : 'ended',
    records,
    first_seq: typeof first === 'number' ? first : null,
    last_seq: bound === 0 ? null : bound,
    first_time: timeText(state.firstTime) ?? null,
    last_time: timeText(state.lastTime) ?? null,
    checkpoint:
      checkpoint === undefined
        ? null
        : { size: checkpoint.size, time: new Date(checkpoint.time).toISOString() },
    beyond_checkpoint: Math.max(0, bound - (checkpoint?.size ?? 0)),
    torn_bytes: 0,
    erased,
    gaps,
  }
}
