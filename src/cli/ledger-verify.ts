// `cordon ledger verify`: is it as it was written? A folder, an export, a proof or the database; no running Cordon needed.

import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { connectControl } from '../app/control.ts'
import { CordonError } from '../base/errors.ts'
import type { PublicKey } from '../proof/note.ts'
import { isAnchor, type NoteFile } from '../verify/anchors.ts'
import { isExport, verifyExport } from '../verify/export-file.ts'
import { ledgerIn, verifyFolder, type VerifyOptions } from '../verify/folder.ts'
import { readProof, verifyProof } from '../verify/proof-file.ts'
import { describe, printable, type Report, type WriterReport } from '../verify/report.ts'
import { verifyStore } from '../verify/store.ts'
import { readKey } from '../verify/trust.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { storeAsItIs } from './ledger-place.ts'

export interface VerifyCommand extends Common {
  readonly database?: boolean
  readonly archive?: string
  readonly checkpoint: readonly string[]
  readonly key: readonly string[]
}

const EXIT = { intact: 0, damaged: 1, unknown: 3 } as const
const MAX_FILE_BYTES = 1024 * 1024
const TELL_EVERY_MS = 250

export async function ledgerVerify(
  io: Io,
  target: string | undefined,
  options: VerifyCommand,
): Promise<ExitCode> {
  const progress = progressOf(io)
  const verifying: VerifyOptions = {
    checkpoints: options.checkpoint.map((file) => checkpointFile(io, file)),
    keys: options.key.map((file) => keyFile(io, file)),
    onProgress: (records) => progress.add(records),
  }
  let report
  try {
    report =
      options.database === true
        ? await databaseReport(io, target, options, verifying)
        : await folderReport(io, target, options, verifying)
  } finally {
    progress.clear()
  }
  if (options.json === true) printJson(io, report)
  else print(io, report)
  return EXIT[report.verdict]
}

async function folderReport(
  io: Io,
  target: string | undefined,
  options: VerifyCommand,
  verifying: VerifyOptions,
): Promise<Report> {
  const archive = options.archive === undefined ? undefined : resolve(io.cwd, options.archive)
  if (archive !== undefined && !existsSync(archive)) throw missing(options.archive ?? '')
  if (target === undefined) {
    const { config } = configOf(io, options)
    const configured = config.ledger.archive.dir
    const place = {
      ledger: join(config.data_dir, 'ledger'),
      // Where that is missing, what was moved there is missing.
      archive: archive ?? (configured === '' ? undefined : configured),
    }
    if (!existsSync(place.ledger)) throw missing(place.ledger)
    return judged(verifyFolder(place, verifying), place.ledger)
  }
  const folder = resolve(io.cwd, target)
  if (!existsSync(folder)) throw missing(target)
  if (statSync(folder).isFile()) return fileReport(folder, target, verifying)
  const ledger = ledgerIn(folder)
  if (ledger === undefined) throw unjudgeable(target, folder)
  return judged(verifyFolder({ ledger, archive }, verifying), target)
}

/** A proof, or an export with its proof. */
async function fileReport(
  path: string,
  shown: string,
  { keys, onProgress }: VerifyOptions,
): Promise<Report> {
  if (isExport(headOf(path))) return verifyExport(path, keys, onProgress)
  const proof =
    statSync(path).size > MAX_FILE_BYTES ? undefined : readProof(readFileSync(path, 'utf8'))
  if (proof !== undefined) return verifyProof(proof, shown, keys)
  throw new CordonError(
    'NOT_FOUND',
    `${shown}: is neither a proof nor an export with --proof, so there is nothing to verify it with`,
  )
}

function headOf(path: string): string {
  const fd = openSync(path, 'r')
  try {
    const head = Buffer.alloc(64)
    return head.toString('latin1', 0, readSync(fd, head))
  } finally {
    closeSync(fd)
  }
}

/** A server's database is read by this process; the embedded one by whoever has it open. */
async function databaseReport(
  io: Io,
  target: string | undefined,
  options: VerifyCommand,
  verifying: VerifyOptions,
): Promise<Report> {
  if (target !== undefined)
    throw new CordonError('INPUT_INVALID', 'give a folder or --database, not both')
  const { config } = configOf(io, options)
  if (config.database_url === '') {
    const remote = await connectControl(config.data_dir)
    if (remote !== undefined) {
      try {
        return await remote.verifyStore({
          checkpoints: verifying.checkpoints,
          keys: options.key.map((file) => smallText(io, file)),
        })
      } finally {
        await remote.close()
      }
    }
    if (!existsSync(join(config.data_dir, 'pg'))) throw missing(join(config.data_dir, 'pg'))
  }
  const store = await storeAsItIs(config)
  try {
    return await verifyStore(store, verifying)
  } finally {
    await store.close()
  }
}

function judged(report: Report, shown: string): Report {
  if (report.verdict === 'intact' && report.writers.length === 0)
    throw new CordonError(
      'NOT_FOUND',
      `${shown}: nothing has been recorded yet, so there is nothing to verify`,
    )
  return report
}

function missing(shown: string): CordonError {
  return new CordonError('NOT_FOUND', `${shown}: there is no such file or folder`)
}

function unjudgeable(shown: string, folder: string): CordonError {
  const hasWriters = readdirSync(folder).some((name) =>
    /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name),
  )
  return new CordonError(
    'NOT_FOUND',
    hasWriters
      ? `${shown}: has records of writers, but no keys to check signatures with: give the ledger folder that they belong to, and this one as --archive`
      : `${shown}: is no ledger folder, no data directory and no export`,
  )
}

function checkpointFile(io: Io, file: string): NoteFile {
  const note = smallText(io, file)
  if (!isAnchor(note))
    throw new CordonError(
      'INPUT_INVALID',
      `${file}: is neither a statement of "cordon ledger checkpoint" nor the checkpoint of a writer`,
    )
  return { file, note }
}

function keyFile(io: Io, file: string): PublicKey {
  const key = readKey(smallText(io, file))
  if (key !== undefined) return key
  throw new CordonError('INPUT_INVALID', `${file}: is no Ed25519 public key, as vkey or PEM`)
}

function smallText(io: Io, file: string): string {
  const path = resolve(io.cwd, file)
  if (!existsSync(path) || !statSync(path).isFile()) throw missing(file)
  if (statSync(path).size > MAX_FILE_BYTES)
    throw new CordonError('INPUT_INVALID', `${file}: is larger than a note or key ever is`)
  return readFileSync(path, 'utf8')
}

function print(io: Io, report: Report): void {
  const { writers, damage, notes, unjudged, verdict, records } = report
  if (writers.length > 0) printRows(io, false, COLUMNS, writers.map(rowOf))
  for (const { writer, gaps } of writers)
    for (const { reason, records: lost, from, to } of gaps)
      io.out.write(
        `gap: writer ${writer} lost ${lost} records from ${from} to ${to}: ${printable(reason)}\n`,
      )
  for (const note of notes) io.out.write(`note: ${printable(note)}\n`)
  for (const each of unjudged) io.out.write(`cannot judge: ${printable(each)}\n`)
  const of =
    writers.length === 0 ? printable(report.of) : `${records} records of ${writers.length} writers`
  if (verdict === 'intact') io.out.write(`intact: ${of}\n`)
  else if (verdict === 'unknown') io.out.write(`intact as far as it can be judged: ${of}\n`)
  for (const each of damage) io.out.write(`damaged: ${describe(each)}\n`)
}

const COLUMNS = [
  'writer',
  'state',
  'records',
  'numbers',
  'first',
  'last',
  'checkpoint',
  'beyond it',
  'erased',
  'gaps',
] as const

function rowOf(writer: WriterReport): Record<string, unknown> {
  const { first_seq: from, last_seq: to, checkpoint, gaps } = writer
  return {
    writer: writer.writer,
    state: writer.state,
    records: writer.records,
    numbers: from === null ? (to ?? '') : `${from}-${to}`,
    first: writer.first_time,
    last: writer.last_time,
    checkpoint: checkpoint?.time ?? '',
    'beyond it': writer.beyond_checkpoint,
    erased: writer.erased,
    gaps: gaps.reduce((sum, { records }) => sum + records, 0),
  }
}

/** How far it has come, on a terminal only. */
function progressOf({ err }: Io): { add(records: number): void; clear(): void } {
  let records = 0
  let toldAt = 0
  return {
    add: (more) => {
      records += more
      const now = performance.now()
      if (!err.isTTY || now - toldAt < TELL_EVERY_MS) return
      toldAt = now
      err.write(`\r${records} records`)
    },
    clear: () => {
      if (err.isTTY && toldAt > 0) err.write('\r\u001b[K')
    },
  }
}
