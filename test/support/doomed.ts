// A small Cordon of one process: it appends decisions as fast as it is told to, prints the id of each that was
// acknowledged, and ships them to a real PostgreSQL meanwhile. It dies where its test wants it to.

import { join } from 'node:path'
import { argv, stdout } from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { Recorder } from '../../src/ledger/recorder.ts'
import { Spool, type SpoolOptions } from '../../src/ledger/spool.ts'
import type { Sink } from '../../src/model/record.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { openStore } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import { doomedDisk, type PointName, POINTS } from './doomed-disk.ts'
import { decisionRecord, ids, silent } from './records.ts'

/** The first argument, as JSON. */
export interface Doom {
  readonly dataDir: string
  readonly databaseUrl: string
  readonly fsync: SpoolOptions['fsync']
  /** How many decisions it appends before it is content to live. */
  readonly count: number
  /** Characters added to each record. */
  readonly padding: number
  /** Where it dies; without: it is killed from outside, or ends when all is shipped. */
  readonly end?:
    | { readonly at: PointName; readonly nth: number; readonly part: number }
    | { readonly at: 'before commit' | 'between commit and cursor'; readonly nth: number }
  /** The disk of points that come while a writer begins works where the spool is. */
  readonly isInline?: boolean
}

const LANES = 16
const REFUSED_MS = 200
const doom = JSON.parse(argv[2] ?? '{}') as Doom
const { end } = doom
const dir = join(doom.dataDir, 'ledger')

const store = await openStore({
  databaseUrl: doom.databaseUrl,
  dataDir: doom.dataDir,
  migrationsDir: join(import.meta.dirname, '../../migrations'),
  log: silent,
})
const sink = new RecordSink({
  db: store.db,
  nextId: () => ids.next(),
  onViolation: () => undefined,
})
const recorder = new Recorder(
  {
    sink: mortal(sink),
    metrics: new Metrics({ processMetrics: false }),
    log: silent,
    onBacklog: () => undefined,
  },
  { dir, archiveDir: '', now: Date.now },
)
const spool = new Spool({
  dir,
  tenant: 'default',
  fsync: doom.fsync,
  whenFull: 'refuse',
  limitBytes: 4 * 1024 ** 3,
  now: Date.now,
  onWritten: () => recorder.poke(),
  ...diskOf(),
})
await spool.ready
recorder.start()
let left = doom.count
await Promise.all(Array.from({ length: LANES }, append))
await spool.close()
await recorder.stop()
await store.close()

async function append(): Promise<void> {
  while (left > 0) {
    left -= 1
    const record = decisionRecord({ userAgent: 'x'.repeat(doom.padding) })
    try {
      await spool.append(record)
    } catch {
      // A disk that is too slow for a moment: refused, and nothing is owed.
      left += 1
      await wait(REFUSED_MS)
      continue
    }
    // Pipes are written at once: whoever reads has it when this process dies.
    stdout.write(`${record.decision.decision_id}\n`)
  }
}

function diskOf(): Pick<SpoolOptions, 'disk'> {
  if (end === undefined || !('part' in end)) return {}
  if (doom.isInline === true) return { disk: doomedDisk(POINTS[end.at], end.nth, end.part) }
  const module = new URL('./doomed-disk.ts', import.meta.url)
  module.search = new URLSearchParams({
    point: end.at,
    nth: String(end.nth),
    part: String(end.part),
  }).toString()
  return { disk: module }
}

/** Dies around the nth batch: with its rows sent and not committed, or committed and not yet noted here. */
function mortal(under: Sink): Sink {
  if (end === undefined || 'part' in end) return under
  let batches = 0
  return {
    cursors: () => under.cursors(),
    write: async (writer, records) => {
      batches += 1
      const isLast = batches === end.nth
      const writing = under.write(writer, records)
      if (isLast && end.at === 'before commit') setImmediate(die)
      const result = await writing
      if (isLast) die()
      return result
    },
    setAside: (record, reason) => under.setAside(record, reason),
    keepEvidence: (evidence) => under.keepEvidence(evidence),
  }
}

function die(): void {
  process.kill(process.pid, 'SIGKILL')
}
