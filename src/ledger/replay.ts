// Segments into a store that lacks some of their records, or all of them: from the folder of a ledger, from an archive.
//
// Records go in the order of their times, as far as each writer's own order allows, so that an hour of the store is
// filled once. What the store has is passed over, so it can be broken off and begun again, and may run beside
// a Cordon that writes.

import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CordonError } from '../base/errors.ts'
import type { LedgerRecord, Sink } from '../model/record.ts'
import { deliver, type Delivery } from './deliver.ts'
import { EvidenceCourier } from './evidence-courier.ts'
import { type Batch, Follower, type Missing } from './follower.ts'
import { WRITER, writersIn } from './writer-folder.ts'

export interface ReplayOptions {
  /** Data directories, ledger folders, archives, or folders of single writers. */
  readonly dirs: readonly string[]
  /** Only records made from then on, and before then; milliseconds since the epoch. */
  readonly from: number | undefined
  readonly to: number | undefined
  readonly signal: AbortSignal
  readonly onProgress: (counts: ReplayCounts) => void
  /** Told of what is not in the segments, and of what the store refused. */
  readonly onMissing: (missing: Missing) => void
  readonly onSetAside: (delivery: Extract<Delivery, { outcome: 'set_aside' }>) => void
}

export interface ReplayCounts {
  readonly writers: number
  /** Records in the segments, within the times that were asked for. */
  readonly read: number
  /** Those that the store did not have, by kind. */
  readonly stored: Readonly<Record<LedgerRecord['kind'], number>>
  readonly set_aside: number
  readonly missing: number
}

interface Head {
  readonly follower: Follower
  /** When the last record that was read of it was made; before the first one: that. */
  time: number
}

const TRIES = 8
const BACKOFF_MS = { least: 200, most: 10_000 }

/**
 * Throws CordonError NOT_FOUND where there are no segments, the store's error where it stays away, and the reason of the
 * signal where that is aborted; what is stored by then is whole.
 */
export async function replay(sink: Sink, options: ReplayOptions): Promise<ReplayCounts> {
  const { ledgers, writers } = sourceOf(options.dirs)
  const counts = {
    writers: writers.size,
    read: 0,
    stored: { decision: 0, outcome: 0, audit: 0, gap: 0 },
    set_aside: 0,
    missing: 0,
  }
  const tell = (delivery: Delivery): void => {
    if (delivery.outcome === 'written')
      for (const { record } of delivery.fresh) counts.stored[record.kind] += 1
    if (delivery.outcome !== 'set_aside') return
    counts.set_aside += 1
    options.onSetAside(delivery)
  }
  const isPart = options.from !== undefined || options.to !== undefined
  const heads: Head[] = []
  for (const [writer, folders] of writers) {
    const follower = new Follower(folders, writer, undefined)
    const [first] = follower.next()?.records ?? []
    follower.release()
    if (first !== undefined) heads.push({ follower, time: first.record.time })
  }
  const followers = heads.map(({ follower }) => follower)
  for (let head = earliest(heads); head !== undefined; head = earliest(heads)) {
    options.signal.throwIfAborted()
    const { follower } = head
    const batch = follower.next()
    if (batch === undefined) {
      heads.splice(heads.indexOf(head), 1)
      continue
    }
    await patiently(options.signal, () =>
      store(sink, follower.writer, within(batch, options), tell, isPart),
    )
    follower.take(batch)
    head.time = batch.records.at(-1)?.record.time ?? head.time
    counts.read += within(batch, options).length
    for (const missing of batch.missing) {
      counts.missing += missing.count
      options.onMissing(missing)
    }
    options.onProgress(counts)
  }
  // A part proves nothing by itself: checkpoints are for those who have all that they cover.
  for (const ledger of ledgers) {
    const courier = new EvidenceCourier(ledger)
    const shipped = followers.map(({ writer, shipped: seq }) => ({
      writer,
      shipped: isPart ? 0 : seq,
      folders: writers.get(writer) ?? [],
    }))
    for (let parcel = courier.next(shipped); parcel !== undefined; parcel = courier.next(shipped)) {
      const { evidence } = parcel
      await patiently(options.signal, () => sink.keepEvidence(evidence))
      parcel.confirm()
    }
  }
  return counts
}

async function store(
  sink: Sink,
  writer: string,
  records: Batch['records'],
  tell: (delivery: Delivery) => void,
  isPart: boolean,
): Promise<void> {
  if (records.length > 0) await deliver(sink, writer, records, tell, isPart)
}

function within(
  { records }: Batch,
  { from = -Infinity, to = Infinity }: ReplayOptions,
): Batch['records'] {
  return from === -Infinity && to === Infinity
    ? records
    : records.filter(({ record }) => record.time >= from && record.time < to)
}

function earliest(heads: readonly Head[]): Head | undefined {
  return heads.reduce<Head | undefined>(
    (first, head) => (first === undefined || head.time < first.time ? head : first),
    undefined,
  )
}

/** A store that is away for a moment is waited for. */
async function patiently(signal: AbortSignal, act: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await act()
    } catch (error) {
      signal.throwIfAborted()
      if (tries === TRIES) throw error
      const ceiling = Math.min(BACKOFF_MS.most, BACKOFF_MS.least * 2 ** tries)
      await wait(Math.random() * ceiling, undefined, { signal })
    }
  }
}

/** Of folders that hold the same writer, the first is read where both have a segment. */
function sourceOf(dirs: readonly string[]): {
  readonly ledgers: readonly string[]
  readonly writers: ReadonlyMap<string, readonly string[]>
} {
  const ledgers: string[] = []
  const writers = new Map<string, string[]>()
  const add = (writer: string, folder: string): void => {
    const known = writers.get(writer)
    if (known === undefined) writers.set(writer, [folder])
    else known.push(folder)
  }
  for (const dir of dirs) {
    if (!existsSync(dir)) throw new CordonError('NOT_FOUND', `${dir}: there is no such folder`)
    if (WRITER.test(basename(dir))) {
      add(basename(dir), dir)
      continue
    }
    const folder = existsSync(join(dir, 'ledger')) ? join(dir, 'ledger') : dir
    if (existsSync(join(folder, 'installation'))) ledgers.push(folder)
    const found = writersIn(folder)
    if (found.length === 0)
      throw new CordonError(
        'NOT_FOUND',
        `${dir}: there are no segments here; give a data directory, a ledger folder or an archive`,
      )
    for (const writer of found) add(writer, join(folder, writer))
  }
  return { ledgers, writers }
}
