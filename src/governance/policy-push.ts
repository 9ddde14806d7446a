// A folder of policy files becomes drafts of stored policies: only what is other than what the store has. And the other
// way round: the files that are in force, for a folder.

import type { Transaction } from 'kysely'
import { CordonError, type ErrorCode, type Problem } from '../base/errors.ts'
import type { PolicyStatus, PolicyType, StoredFile } from '../model/stored-policy.ts'
import { isTest } from '../policy/describe.ts'
import type { LatestVersion } from '../store/latest-versions.ts'
import type { Tables } from '../store/tables.ts'
import type { Actor } from './audit.ts'
import { type ReadText, readText } from './policy-draft.ts'
import { idOf, type PolicyLife } from './policy-life.ts'

export interface PolicyPushParts {
  readonly life: PolicyLife
  readonly latest: (db: Transaction<Tables>) => Promise<readonly LatestVersion[]>
  /** What is wrong with files that would be in force together; empty: nothing. */
  readonly check: (files: readonly StoredFile[]) => Promise<readonly Problem[]>
  /** One after the other in this process: whoever waits keeps no connection from others. */
  readonly inTurn: <T>(write: () => Promise<T>) => Promise<T>
  /** The revision that is in force; undefined: none. */
  readonly revision: () => Promise<string | undefined>
}

export interface Push {
  /** All files of the folder: what is not among them and in force is told as removed. */
  readonly files: readonly StoredFile[]
  readonly git?: { readonly commit?: string; readonly branch?: string }
  readonly change_summary?: string
  /** Ask for approval of what is a draft in the end, also of one that was pushed before. */
  readonly submit?: boolean
  /** Only tell what would be written. */
  readonly dry_run?: boolean
}

export interface PushedFile {
  readonly policy_id: string
  readonly path: string
  readonly type: PolicyType | null
  /** removed: in force, and not among the files; it stays in force until it is archived. */
  readonly result: 'created' | 'changed' | 'unchanged' | 'removed'
  /** The version that was written, else the newest. */
  readonly version: string | null
  readonly status: PolicyStatus | null
  readonly note: string | null
}

export interface Pushed {
  readonly dry_run: boolean
  readonly files: readonly PushedFile[]
}

export interface ActiveFiles {
  /** Null: nothing of the store was ever in force. */
  readonly revision: string | null
  readonly files: readonly StoredFile[]
}

interface Wanted {
  readonly read: ReadText
  readonly latest: LatestVersion | undefined
  readonly result: 'created' | 'changed' | 'unchanged'
}

const MAX_FILES = 20_000
const MAX_PROBLEMS = 1000
/** What one file is refused with; anything else concerns all of them. */
const OF_A_FILE: ReadonlySet<ErrorCode> = new Set([
  'CONFLICT',
  'INPUT_INVALID',
  'POLICY_INVALID',
  'STALE',
])

export class PolicyPush {
  readonly #parts: PolicyPushParts

  constructor(parts: PolicyPushParts) {
    this.#parts = parts
  }

  /**
   * All or none. Throws POLICY_INVALID with every place where the files do not load together, and with each file that cannot
   * be kept CONFLICT or what that was refused with.
   */
  async push(push: Push, actor: Actor): Promise<Pushed> {
    const reads = readAll(push.files)
    await this.#try(push.files, reads, push.submit === true)
    return this.#parts.inTurn(() =>
      this.#parts.life.together(
        (life, transaction) => this.#write(life, transaction, reads, push, actor),
        push.dry_run === true,
      ),
    )
  }

  /** The files in force. */
  async active(): Promise<ActiveFiles> {
    const files = await this.#parts.life.versions.activeFiles()
    return {
      revision: (await this.#parts.revision()) ?? null,
      files: files.map(({ path, text }) => ({ path, text })),
    }
  }

  /**
   * What is in force and not among the files stays in force beside them until somebody archives it. A folder that is not
   * submitted may also stand alone: it may be what is to be when that is done.
   */
  async #try(
    files: readonly StoredFile[],
    reads: readonly ReadText[],
    isSubmitted: boolean,
  ): Promise<void> {
    // Whether tests pass is asked before anything takes effect.
    const sources = files.filter((_file, index) => reads[index]?.type !== 'test')
    const ids = new Set(reads.map(({ policy_id: id }) => id))
    const paths = new Set(reads.map(({ path }) => path.toLowerCase()))
    const staying = (await this.#parts.life.versions.activeFiles()).filter(
      (file) => !ids.has(file.id) && !paths.has(file.path.toLowerCase()) && !isTest(file),
    )
    const beside = [...sources, ...staying.map(({ path, text }) => ({ path, text }))]
    const problems = await this.#parts.check(beside)
    if (problems.length === 0) return
    const alone = isSubmitted || staying.length === 0 ? problems : await this.#parts.check(sources)
    if (alone.length > 0) throw refused(alone, 'POLICY_INVALID', staying.length)
  }

  async #write(
    life: PolicyLife,
    transaction: Transaction<Tables>,
    reads: readonly ReadText[],
    push: Push,
    actor: Actor,
  ): Promise<Pushed> {
    const latest = await this.#parts.latest(transaction)
    const stored = new Map(latest.map((each) => [each.policy_id, each]))
    const pushed = new Map<string, PushedFile>()
    const failed = new Map<string, CordonError>()
    // Whoever locks several policies does so by id.
    for (const read of reads.toSorted((a, b) => (a.policy_id < b.policy_id ? -1 : 1))) {
      const { policy_id: id } = read
      const known = stored.get(id)
      try {
        const wanted = { read, latest: known, result: resultOf(read, known) }
        pushed.set(id, await keep(life, wanted, push, actor))
      } catch (error) {
        if (!(error instanceof CordonError) || !OF_A_FILE.has(error.code)) throw error
        failed.set(id, error)
      }
    }
    refuseFailed(reads, failed)
    const names = new Set(reads.map(({ policy_id: id }) => id))
    const removed = latest
      .filter(({ policy_id: id, active_sha256: active }) => active !== null && !names.has(id))
      .map(removedFile)
    const files = reads.flatMap(({ policy_id: id }) => pushed.get(id) ?? [])
    return { dry_run: push.dry_run === true, files: [...files, ...removed] }
  }
}

/** Writes one file where it is other than what the store has, and submits it where that is asked for. */
async function keep(
  life: PolicyLife,
  wanted: Wanted,
  push: Push,
  actor: Actor,
): Promise<PushedFile> {
  const { read, latest, result } = wanted
  let state = result === 'unchanged' ? undefined : await write(life, wanted, push, actor)
  const isDraft =
    state === undefined
      ? latest?.status === 'draft' && latest.text_sha256 === read.sha256
      : state.status === 'draft'
  const draft = state ?? latest
  if (push.submit === true && isDraft && draft !== undefined) {
    const { version, edition } = draft
    const name = { policy_id: read.policy_id, version }
    // In this edition it was tried; somebody may be writing another.
    state = await life.submit(name, push.change_summary, [edition], actor, true)
  }
  // Of what is taken back nothing was written.
  return told(wanted, push.dry_run === true ? undefined : state)
}

async function write(
  life: PolicyLife,
  { read, latest }: Wanted,
  { git, change_summary: summary }: Push,
  actor: Actor,
): Promise<{
  readonly version: string
  readonly status: PolicyStatus
  readonly edition: number
}> {
  const notes = {
    ...(git === undefined ? {} : { git }),
    ...(summary === undefined ? {} : { change_summary: summary }),
  }
  const { policy_id: id, text, path } = read
  if (latest === undefined) return life.create({ text, path, ...notes }, actor)
  // A draft of somebody else is not written over.
  const isOwn = latest.status === 'draft' && latest.contributors.every((by) => by === idOf(actor))
  return isOwn
    ? life.edit(
        { policy_id: id, version: latest.version },
        { text, ...notes },
        [latest.edition],
        actor,
      )
    : life.addVersion(id, { text, ...notes }, actor)
}

/** Throws POLICY_INVALID with every file that cannot be a stored one. */
function readAll(files: readonly StoredFile[]): readonly ReadText[] {
  if (files.length > MAX_FILES)
    throw new CordonError('INPUT_INVALID', `more than ${MAX_FILES} files at once`)
  const problems: Problem[] = []
  const reads: ReadText[] = []
  const paths = new Map<string, string>()
  for (const { path, text } of files) {
    try {
      const read = readText({ path, text })
      const other = paths.get(read.policy_id)
      if (other !== undefined)
        problems.push({
          file: path,
          message: `the id "${read.policy_id}" stands in ${other} already`,
        })
      paths.set(read.policy_id, path)
      reads.push(read)
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      problems.push(
        ...(error.problems.length > 0 && error.problems.some(({ file }) => file !== '')
          ? error.problems
          : [{ file: path, message: error.message }]),
      )
    }
  }
  if (problems.length > 0) throw refused(problems)
  return reads
}

/** What the store has already is in force, or on its way. */
function resultOf(read: ReadText, latest: LatestVersion | undefined): Wanted['result'] {
  if (latest === undefined) return 'created'
  const isKnown =
    latest.active_sha256 === read.sha256 ||
    (latest.status !== 'archived' && latest.text_sha256 === read.sha256)
  return isKnown ? 'unchanged' : 'changed'
}

function told(
  { read, latest, result }: Wanted,
  written: { readonly version: string; readonly status: PolicyStatus } | undefined,
): PushedFile {
  const isElsewhere = latest !== undefined && latest.path !== read.path
  return {
    policy_id: read.policy_id,
    path: read.path,
    type: read.type,
    result,
    version: written?.version ?? latest?.version ?? null,
    status: written?.status ?? latest?.status ?? null,
    note: isElsewhere ? `the store keeps it at ${latest.path}` : null,
  }
}

function removedFile({ policy_id, path, version, status }: LatestVersion): PushedFile {
  return {
    policy_id,
    path,
    type: null,
    result: 'removed',
    version,
    status,
    note: 'still in force: "cordon policy archive" ends it',
  }
}

function refuseFailed(reads: readonly ReadText[], failed: ReadonlyMap<string, CordonError>): void {
  const errors = reads.flatMap(({ policy_id: id, path }) => {
    const error = failed.get(id)
    return error === undefined ? [] : [{ path, error }]
  })
  const problems = errors.map(({ path, error: { message } }) => ({ file: path, message }))
  if (problems.length > 0) throw refused(problems, errors[0]?.error.code)
}

/** `staying`: files in force that they were tried beside. */
function refused(
  problems: readonly Problem[],
  code: ErrorCode = 'POLICY_INVALID',
  staying = 0,
): CordonError {
  const beside =
    staying === 0
      ? ''
      : `, beside ${staying} file${staying === 1 ? '' : 's'} in force that the folder does not have`
  return new CordonError(
    code,
    `nothing was pushed: ${problems.length} problem${problems.length === 1 ? '' : 's'}${beside}`,
    { problems: problems.slice(0, MAX_PROBLEMS) },
  )
}
