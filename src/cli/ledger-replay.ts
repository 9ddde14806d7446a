// `cordon ledger replay`: fills a store from segments, of a running Cordon or of one that is gone.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { IdSource } from '../base/ids.ts'
import { PROGRAM_DIR } from '../config/schema.ts'
import { replay, type ReplayCounts } from '../ledger/replay.ts'
import { openLog } from '../observe/log.ts'
import { eraseRows } from '../store/erase-rows.ts'
import { openOrders } from '../store/erasures.ts'
import { openStore, type Store } from '../store/open.ts'
import { RecordSink } from '../store/records.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson } from './io.ts'
import { timeOf } from './times.ts'

export interface ReplayCommand extends Common {
  readonly into: string
  readonly from?: string
  readonly to?: string
}

const TELL_EVERY_MS = 1000
/** Each record that is missing or was refused is named, up to here. */
const NAMED_MOST = 20

export async function ledgerReplay(
  io: Io,
  targets: readonly string[],
  options: ReplayCommand,
): Promise<ExitCode> {
  const from = timeOf('--from', options.from)
  const to = timeOf('--to', options.to)
  if (!/^postgres(?:ql)?:\/\//.test(options.into))
    throw new CordonError('INPUT_INVALID', '--into must be a URL such as postgres://user@host/name')
  const dirs =
    targets.length > 0 ? targets.map((dir) => resolve(io.cwd, dir)) : configured(io, options)
  const log = openLog({ role: 'cli' }, { write: () => undefined })
  const store = await openStore({
    databaseUrl: options.into,
    dataDir: '',
    migrationsDir: join(PROGRAM_DIR, 'migrations'),
    log,
  })
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    const ids = new IdSource()
    const sink = new RecordSink({
      db: store.db,
      nextId: () => ids.next(),
      onViolation: () => undefined,
    })
    const teller = new Teller(io)
    const counts = await replay(sink, {
      dirs,
      from,
      to,
      signal: stopping.signal,
      onProgress: (now) => teller.progress(now),
      onMissing: ({ writer, count, from: begin, to: end }) =>
        teller.name(
          `${count} records of writer ${writer} are missing between ${iso(begin)} and ${iso(end)}`,
        ),
      onSetAside: ({ record, reason }) =>
        teller.name(`record ${record.seq} of writer ${record.writer} was set aside: ${reason}`),
    })
    await followErasures(store)
    teller.end()
    print(io, options, counts)
    return counts.missing + counts.set_aside === 0 ? 0 : 1
  } catch (error) {
    if (!stopping.signal.aborted) throw error
    io.err.write('cordon: broken off; what is stored is whole, and the same command goes on\n')
    return 3
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
    await store.close()
  }
}

/** Records of people that an order came for only later in the ledger. */
async function followErasures(store: Store): Promise<void> {
  for (const order of await openOrders(store.db)) await eraseRows(store.db, order, false)
}

function configured(io: Io, options: ReplayCommand): string[] {
  const { config } = configOf(io, options)
  const archive = config.ledger.archive.dir
  return [join(config.data_dir, 'ledger'), ...(existsSync(archive) ? [archive] : [])]
}

function print(io: Io, options: ReplayCommand, counts: ReplayCounts): void {
  if (options.json === true) return printJson(io, counts)
  const { read, stored, missing, set_aside: aside, writers } = counts
  const fresh = Object.values(stored).reduce((sum, count) => sum + count)
  io.out.write(
    `${read} records of ${writers} writers read, ${fresh} of them new to the store:\n` +
      `  ${stored.decision} decisions, ${stored.outcome} outcomes, ${stored.audit} audit events, ${stored.gap} gap records\n` +
      `  ${aside} set aside, ${missing} missing from the segments\n` +
      `People, keys, stored policies and reviews are not in the ledger: docs/guides/move-to-another-database.md\n`,
  )
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** What happens meanwhile, on stderr. */
class Teller {
  readonly #io: Io
  readonly #began = performance.now()
  #toldAt = performance.now()
  #named = 0

  constructor(io: Io) {
    this.#io = io
  }

  progress({ read }: ReplayCounts): void {
    const now = performance.now()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    const rate = Math.round(read / ((now - this.#began) / 1000))
    this.#line(`${read} records, ${rate} a second`)
  }

  name(what: string): void {
    this.#named += 1
    if (this.#named <= NAMED_MOST) this.#line(what)
  }

  end(): void {
    if (this.#named > NAMED_MOST) this.#line(`and ${this.#named - NAMED_MOST} more of the kind`)
  }

  #line(text: string): void {
    this.#io.err.write(`${text}\n`)
  }
}
