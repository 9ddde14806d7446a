// `cordon ledger erase`: shows what the ledger holds of a person, and erases it; `--status` tells how far that has come.

import { CordonError } from '../base/errors.ts'
import type { ErasurePreview } from '../governance/erasure.ts'
import type { ErasureState } from '../store/erasures.ts'
import type { Who } from '../store/people-found.ts'
import { withAdmin } from './admin.ts'
import { isConfirmed } from './confirm.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

interface EraseOptions extends Who {
  readonly config?: string
  readonly json?: boolean
  readonly reason?: string
  readonly yes?: boolean
  readonly status?: boolean
}

/** 0 where it is erased in the store and in this data directory; 1 where nobody is found, held, or not confirmed. */
export async function ledgerErase(io: Io, options: EraseOptions): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const isJson = options.json === true
  if (options.status === true) {
    const states = await withAdmin(io, config, (commands) => commands.erasures({}))
    if (isJson) printJson(io, states)
    else printRows(io, false, STATUS_COLUMNS, states.flatMap(statusRows))
    return states.every(isDone) ? 0 : 1
  }
  const reason = options.reason ?? ''
  if (reason.trim() === '')
    throw new CordonError('INPUT_INVALID', 'say why: --reason "request 2026-17"')
  const who = whoIn(options)
  try {
    return await withAdmin(io, config, async (commands) => {
      if (options.yes !== true) {
        const preview = await commands.previewErasure(who)
        if (isJson) printJson(io, preview)
        else showPreview(io, preview)
        if (!(await isConfirmed(io, 'Erase?'))) {
          io.err.write('nothing was erased; add --yes to erase without being asked\n')
          return 1
        }
      }
      const state = await commands.erase({ who, reason })
      if (isJson) printJson(io, state)
      else showResult(io, state)
      return 0
    })
  } catch (error) {
    if (!(error instanceof CordonError) || error.code !== 'NOT_FOUND') throw error
    io.err.write(`cordon: ${error.message}\n`)
    return 1
  }
}

function whoIn({ user, login, address, person }: EraseOptions): Who {
  return {
    ...(user === undefined ? {} : { user }),
    ...(login === undefined ? {} : { login }),
    ...(address === undefined ? {} : { address }),
    ...(person === undefined ? {} : { person }),
  }
}

function showPreview(io: Io, { rows, segments, in_directory: isKnown }: ErasurePreview): void {
  const shown = [
    ...Object.entries(rows).map(([where, count]) => ({ where, count })),
    { where: 'segments of this data directory', count: segments },
  ]
  printRows(io, false, ['where', 'count'], shown)
  io.err.write('The records stay, without what says who it was. This cannot be undone.\n')
  if (isKnown) io.err.write(DIRECTORY_STAYS)
}

const DIRECTORY_STAYS =
  'The directory goes on knowing this person: "cordon user remove NAME" ends that.\n'

function showResult(io: Io, state: ErasureState): void {
  io.out.write(`erasure ${state.erasure_id}\n`)
  printRows(io, false, STATUS_COLUMNS, statusRows(state))
  if (!isDone(state))
    io.err.write('What is open is done by itself; "cordon ledger erase --status" tells when.\n')
}

const STATUS_COLUMNS = ['erasure', 'where', 'erased', 'done', 'last seen']

/** Times are texts where they come through control.sock. */
function statusRows({ erasure_id: erasure, erased, store_done_at: done, folders }: ErasureState) {
  const rows = Object.values(erased ?? {}).reduce((sum, count) => sum + count, 0)
  return [
    { erasure, where: 'store', erased: `${rows} rows`, done: timeOf(done) },
    ...folders.map((folder) => ({
      erasure,
      where: `data directory ${folder.installation}`,
      erased: `${folder.records} records in ${folder.segments} segments`,
      done: timeOf(folder.done_at),
      'last seen': timeOf(folder.last_seen),
    })),
  ]
}

function timeOf(time: Date | string | null): string {
  return time === null ? 'open' : new Date(time).toISOString()
}

function isDone({ store_done_at: done, folders }: ErasureState): boolean {
  return done !== null && folders.every(({ done_at: each }) => each !== null)
}
