// A folder of policy files becomes drafts of stored policies: only what is other than what the store has. And the other
// way round: the files that are in force, for a folder.

import { CordonError, type Problem } from '../base/errors.ts'
import type { PolicyStatus, PolicyType, StoredFile } from '../model/stored-policy.ts'
import type { LatestVersion } from '../store/latest-versions.ts'
import type { Actor } from './audit.ts'
import { type ReadText, readText } from './policy-draft.ts'
import { idOf, type PolicyLife } from './policy-life.ts'

export interface PolicyPushParts {
  readonly life: PolicyLife
  readonly latest: () => Promise<readonly LatestVersion[]>
  /** What is wrong with files that would be in force together; empty: nothing. */
  readonly check: (files: readonly StoredFile[]) => Promise<readonly Problem[]>
  /** The revision that is in force; undefined: none. */
  readonly revision: () => Promise<string | undefined>
}

export interface Push {
  /** All files of the folder: what is not among them and in force is told as removed. */
  readonly files: readonly StoredFile[]
  readonly git?: { readonly commit?: string; readonly branch?: string }
  readonly change_summary?: string
  /** Ask for approval of what was written. */
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

export class PolicyPush {
  readonly #parts: PolicyPushParts

  constructor(parts: PolicyPushParts) {
    this.#parts = parts
  }

  /** Throws POLICY_INVALID with every place where the files do not load together; then nothing is written. */
  async push(push: Push, actor: Actor): Promise<Pushed> {
    const { files, dry_run: isDry = false } = push
    const reads = readAll(files)
    // Whether tests pass is asked before anything takes effect.
    const sources = files.filter((_file, index) => reads[index]?.type !== 'test')
    const problems = await this.#parts.check(sources)
    if (problems.length > 0) throw refused(problems)
    const stored = new Map((await this.#parts.latest()).map((latest) => [latest.policy_id, latest]))
    const wanted = reads.map((read): Wanted => {
      const latest = stored.get(read.policy_id)
      return { read, latest, result: resultOf(read, latest) }
    })
    const pushed: PushedFile[] = []
    for (const each of wanted) {
      const written =
        isDry || each.result === 'unchanged' ? undefined : await this.#write(each, push, actor)
      pushed.push(told(each, written))
    }
    if (push.submit === true && !isDry) await this.#submit(pushed, push, actor)
    const names = new Set(reads.map(({ policy_id: id }) => id))
    const removed = [...stored.values()]
      .filter(({ policy_id: id, active_sha256: active }) => active !== null && !names.has(id))
      .map(removedFile)
    return { dry_run: isDry, files: [...pushed, ...removed] }
  }

  /** The files in force. */
  async active(): Promise<ActiveFiles> {
    const files = await this.#parts.life.versions.activeFiles()
    return {
      revision: (await this.#parts.revision()) ?? null,
      files: files.map(({ path, text }) => ({ path, text })),
    }
  }

  async #write(
    { read, latest }: Wanted,
    { git, change_summary: summary }: Push,
    actor: Actor,
  ): Promise<{
    readonly version: string
    readonly status: PolicyStatus
    readonly edition: number
  }> {
    const { life } = this.#parts
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

  async #submit(pushed: PushedFile[], push: Push, actor: Actor): Promise<void> {
    for (const [index, file] of pushed.entries()) {
      const { policy_id: id, version, status, result } = file
      if (result === 'unchanged' || status !== 'draft' || version === null) continue
      const submitted = await this.#parts.life.submit(
        { policy_id: id, version },
        push.change_summary,
        undefined,
        actor,
        true,
      )
      pushed[index] = { ...file, status: submitted.status }
    }
  }
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

function refused(problems: readonly Problem[]): CordonError {
  return new CordonError(
    'POLICY_INVALID',
    `nothing was pushed: ${problems.length} problem${problems.length === 1 ? '' : 's'}`,
    { problems: problems.slice(0, MAX_PROBLEMS) },
  )
}
