// The thread of one replay: loads the draft, reads what was recorded, tells how far it is, and the report.
//
// From a server it reads by itself; of the embedded database, which belongs to the main thread, it asks for the pages.

import { parentPort, workerData } from 'node:worker_threads'
import { CordonError } from '../base/errors.ts'
import { openLog } from '../observe/log.ts'
import { loadPolicySet } from '../policy/load.ts'
import { type RecordedRow, readRecorded } from '../policy/recorded-input.ts'
import { Replay, replayPages } from '../policy/replay.ts'
import { openAsItIs } from '../store/open.ts'
import { recordedPages } from '../store/recorded.ts'
import type { FromThread, ReplayTask, ToThread } from './replay-job.ts'
import { compileOptions } from './rules.ts'

const TELL_EVERY_MS = 1000
/** A report of many names takes a while: telling takes a twentieth of the time at most. */
const TELL_SHARE = 20

const port = parentPort
if (port !== null) {
  const task = workerData as ReplayTask
  const tell = (message: FromThread): void => port.postMessage(message)
  let isCancelled = false
  let takePage: ((page: readonly RecordedRow[] | undefined) => void) | undefined
  port.on('message', (message: ToThread) => {
    if (message.kind === 'cancel') isCancelled = true
    else takePage?.(message.rows)
  })
  /** Undefined behind the last one. */
  const askForPage = (): Promise<readonly RecordedRow[] | undefined> =>
    new Promise((resolve) => {
      takePage = resolve
      tell({ kind: 'next' })
    })
  try {
    await run(task, {
      tell,
      isCancelled: () => isCancelled,
      pages: task.databaseUrl === '' ? pagesBy(askForPage) : ownPages(task),
    })
  } catch (error) {
    const isOurs = error instanceof CordonError
    tell({
      kind: 'failed',
      code: isOurs ? error.code : 'INTERNAL',
      message: error instanceof Error ? error.message : String(error),
      problems: isOurs ? error.problems : [],
    })
  }
  port.close()
}

async function run(
  { env, dirs, combining, pseudonymous, period, limit }: ReplayTask,
  {
    tell,
    isCancelled,
    pages,
  }: {
    readonly tell: (message: FromThread) => void
    readonly isCancelled: () => boolean
    readonly pages: AsyncIterable<readonly RecordedRow[]>
  },
): Promise<void> {
  const draft = await loadPolicySet({ ...compileOptions(env, false), dirs, combining })
  const replay = new Replay({ draft, combining, pseudonymous })
  let tellAt = performance.now() + TELL_EVERY_MS
  const end = await replayPages(replay, read(pages, pseudonymous), {
    limit,
    isCancelled,
    onPage: (decisions, time) => {
      const began = performance.now()
      if (began < tellAt) return
      tell({ kind: 'progress', decisions, time: time ?? period.to, report: replay.report() })
      const ended = performance.now()
      tellAt = ended + Math.max(TELL_EVERY_MS, TELL_SHARE * (ended - began))
    },
  })
  tell({ kind: 'ended', end, report: replay.report() })
}

async function* read(pages: AsyncIterable<readonly RecordedRow[]>, pseudonymous: boolean) {
  for await (const page of pages) yield page.map((row) => readRecorded(row, pseudonymous))
}

async function* pagesBy(
  ask: () => Promise<readonly RecordedRow[] | undefined>,
): AsyncGenerator<readonly RecordedRow[]> {
  for (;;) {
    const page = await ask()
    if (page === undefined) return
    yield page
  }
}

async function* ownPages({
  databaseUrl,
  migrationsDir,
  tenant,
  period,
}: ReplayTask): AsyncGenerator<readonly RecordedRow[]> {
  const log = openLog({ role: 'replay' }, process.stderr)
  const store = await openAsItIs({ databaseUrl, dataDir: '', migrationsDir, log })
  if (store === undefined)
    throw new CordonError('STORE_UNAVAILABLE', 'the store is not of this release')
  try {
    yield* recordedPages(store.db, tenant, period)
  } finally {
    await store.close()
  }
}
