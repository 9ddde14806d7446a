// `cordon ledger prove`: why a record is in the ledger, or why it has only grown, as a file that anybody can check.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { readCheckpoint } from '../proof/checkpoint.ts'
import { openNote } from '../proof/note.ts'
import { readStatement } from '../proof/statement.ts'
import { isAnchor } from '../verify/anchors.ts'
import { proveStoredConsistency, proveStoredInclusion } from '../verify/prove-store.ts'
import { proveConsistency, proveInclusion, standingOf, type Wanted } from '../verify/prove.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io } from './io.ts'
import { statementNote } from './ledger-checkpoint.ts'
import { ledgerPlace, provable, provableFailure, putOut, storeAsItIs } from './ledger-place.ts'

export interface ProveCommand extends Common {
  readonly consistency?: boolean
  readonly database?: boolean
  readonly archive?: string
  readonly out?: string
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const MAX_NOTE_BYTES = 1024 * 1024

export async function ledgerProve(
  io: Io,
  [what = '', later, ...more]: readonly string[],
  options: ProveCommand,
): Promise<ExitCode> {
  if (more.length > 0 || (later !== undefined && options.consistency !== true))
    throw new CordonError('INPUT_INVALID', 'give one record, or --consistency and two notes')
  if (options.database === true) return proveStored(io, [what, later], options)
  const { config, place } = ledgerPlace(io, options)
  if (options.consistency !== true) {
    const wanted = wantedIn(what)
    const proof = provable(() => proveInclusion(place, wanted))
    await putOut(io, options.out, `${JSON.stringify(proof, undefined, 2)}\n`)
    return 0
  }
  const old = noteIn(io, what)
  const { proof, left } = provable(() => {
    const young = later === undefined ? newest(old) : noteIn(io, later)
    return proveConsistency(place, old, young)
  })
  tellLeft(io, left)
  await putOut(io, options.out, `${JSON.stringify(proof, undefined, 2)}\n`)
  return 0

  /** Of the same kind as the older note, as things are now. */
  function newest(note: string): string {
    const text = openNote(note, [])?.text ?? ''
    if (readStatement(text) !== undefined) return statementNote(config, place).note
    const { writer } = readCheckpoint(text) ?? {}
    const now = standingOf(place).writers.find((each) => each.writer === writer)
    if (now !== undefined) return now.note
    throw new CordonError('NOT_FOUND', `nothing of writer ${writer ?? ''} is kept any more`)
  }
}

/** Out of the database, whoever has the ledger's folder. */
async function proveStored(
  io: Io,
  [what = '', later]: readonly (string | undefined)[],
  options: ProveCommand,
): Promise<ExitCode> {
  if (options.archive !== undefined)
    throw new CordonError('INPUT_INVALID', 'give --database or --archive, not both')
  const old = options.consistency === true ? noteIn(io, what) : undefined
  const young = later === undefined ? undefined : noteIn(io, later)
  const wanted = options.consistency === true ? undefined : wantedIn(what)
  const { config } = configOf(io, options)
  const store = await storeAsItIs(config)
  try {
    const { proof, left } =
      wanted === undefined
        ? await proveStoredConsistency(store.db, old ?? '', young)
        : { proof: await proveStoredInclusion(store.db, config.tenant, wanted), left: [] }
    tellLeft(io, left)
    await putOut(io, options.out, `${JSON.stringify(proof, undefined, 2)}\n`)
    return 0
  } catch (error) {
    throw provableFailure(error)
  } finally {
    await store.close()
  }
}

function tellLeft(io: Io, left: readonly string[]): void {
  for (const writer of left)
    io.err.write(`writer ${writer} is not in both, or nothing of it is kept any more: left out\n`)
}

function wantedIn(text: string): Wanted {
  const [id = '', seq, ...rest] = text.toLowerCase().split(':')
  if (UUID.test(id) && seq === undefined) return { decisionId: id }
  if (UUID.test(id) && rest.length === 0 && /^[1-9]\d{0,14}$/.test(seq ?? ''))
    return { writer: id, seq: Number(seq) }
  throw new CordonError(
    'INPUT_INVALID',
    `${text}: is neither the id of a decision nor <writer>:<sequence number>`,
  )
}

function noteIn(io: Io, file: string): string {
  const path = resolve(io.cwd, file)
  if (!existsSync(path) || !statSync(path).isFile() || statSync(path).size > MAX_NOTE_BYTES)
    throw new CordonError('NOT_FOUND', `${file}: there is no such note`)
  const note = readFileSync(path, 'utf8')
  if (isAnchor(note)) return note
  throw new CordonError(
    'INPUT_INVALID',
    `${file}: is neither a statement of "cordon ledger checkpoint" nor the checkpoint of a writer`,
  )
}
