// A ledger as its writers leave it: made by the code that writes it, in this process, with a clock that is moved.

import { closeSync, mkdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { realDisk } from '../../src/ledger/disk.ts'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import { frameOf } from '../../src/ledger/frame.ts'
import { createSegment } from '../../src/ledger/segment.ts'
import { claimWriter } from '../../src/ledger/writer-folder.ts'
import { WritingEnd } from '../../src/ledger/writing-end.ts'
import type { LedgerRecord } from '../../src/model/record.ts'
import { auditRecord, decisionRecord } from './records.ts'

export interface TestWriter {
  readonly writer: string
  readonly folder: string
  /** How many records it has. */
  readonly records: number
}

export interface TestLedger {
  readonly dataDir: string
  readonly ledger: string
  readonly writers: readonly TestWriter[]
}

export interface WriterPlan {
  /** Records in each stretch; all but the last one end with a seal. */
  readonly stretches: readonly number[]
  /** Records of one's own behind them. */
  readonly each?: readonly LedgerRecord[]
  /** Records that no checkpoint covers. */
  readonly beyond?: number
}

const STRETCH_MS = 11 * 60_000
const START = Date.UTC(2026, 10, 1)

/** What a writer records: decisions, and now and then what an administrator did. */
function recordAt(time: number, index: number): LedgerRecord {
  return index % 7 === 3
    ? auditRecord(`act ${index}`, time)
    : decisionRecord({ time, user: `user${index % 5}`, person: `person-${index % 5}` })
}

/** All writers write at the same time, so none goes on with the folder of another. */
export function makeLedger(dataDir: string, plans: readonly WriterPlan[]): TestLedger {
  mkdirSync(dataDir, { recursive: true })
  const ledger = join(dataDir, 'ledger')
  let clock = START
  const now = (): number => clock
  const claim = { dataDir, ledgerDir: ledger, disk: realDisk, now, onLeft: unexpected }
  const claimed = plans.map((plan) => ({ plan, folder: claimWriter(claim) }))
  const writers = claimed.map(({ plan, folder }) => {
    const { stretches, each = [], beyond = 0 } = plan
    const end = new WritingEnd({
      disk: realDisk,
      place: folder,
      progress: folder.progress,
      fsync: 'off',
      now,
      tell: () => undefined,
    })
    const encoder = new RecordEncoder()
    let seq = folder.progress.size + 1
    const framesOf = (count: number): Buffer =>
      Buffer.concat(
        Array.from({ length: count }, () => {
          clock += 10
          const record = recordAt(clock, seq)
          return frameOf(encoder.encode(record, { writer: folder.writer, seq: seq++ }))
        }),
      )
    const write = (count: number): void => {
      const from = clock + 10
      const frames = framesOf(count)
      end.write({ frames, times: { from, to: clock }, isUrgent: false })
    }
    for (const [index, count] of stretches.entries()) {
      if (index > 0) clock += STRETCH_MS
      if (count > 0) write(count)
    }
    for (const record of each) {
      const frames = frameOf(encoder.encode(record, { writer: folder.writer, seq: seq++ }))
      end.write({ frames, times: { from: record.time, to: record.time }, isUrgent: false })
    }
    end.close()
    if (beyond > 0) {
      // What a process that is killed leaves: written, and covered by no checkpoint yet.
      const { fd } = createSegment(folder.folder, folder.writer, seq)
      writeSync(fd, framesOf(beyond))
      closeSync(fd)
    }
    folder.release(beyond > 0 ? 'synced' : 'proved')
    return { writer: folder.writer, folder: folder.folder, records: seq - 1 }
  })
  return { dataDir, ledger, writers }
}

function unexpected(writer: string, why: string): void {
  throw new Error(`writer ${writer} was left: ${why}`)
}

/** The text of the newest checkpoint of a writer. */
export function checkpointOf({ folder }: TestWriter): string {
  return readFileSync(join(folder, 'checkpoint'), 'utf8')
}
