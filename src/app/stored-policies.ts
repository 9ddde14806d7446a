// The stored policies on this node: looks which revision is to be in force, fetches it, and has it taken into force. One
// that is refused leaves the last good one as it is, in memory and on disk, and is told.

import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { CordonError, formatProblem, type Problem } from '../base/errors.ts'
import { withTimeout } from '../base/time-limit.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { unpackArchive } from '../policy/bundle/archive.ts'
import { revisionOf, sourcesIn } from '../policy/bundle/stored-bundle.ts'
import type { PolicyRevisions, RevisionHead } from '../store/policy-revisions.ts'
import type { Check } from './observe-door.ts'
import {
  bundleIn,
  holdsFolders,
  readCurrent,
  removeOldFolders,
  writeCurrent,
  writePolicyFolder,
} from './policy-folder.ts'

export interface StoredPoliciesParts {
  readonly revisions: Pick<PolicyRevisions, 'head' | 'bundle'>
  /** Where revisions lie on this node. */
  readonly dir: string
  readonly log: Log
  readonly metrics: Metrics
  /** Takes the folder into force in every process of this node; rejects with the reasons where it is refused. */
  readonly take: (folder: string) => Promise<void>
  /** Judges again what is open. */
  readonly rejudge: () => void
  /** Something is other than before: in force, refused, or there is a new head. */
  readonly onChanged: () => void
}

/** A revision that could be in force, with its folder. */
export interface StoredRevision {
  readonly head: RevisionHead
  readonly folder: string
}

export interface StoredState {
  readonly revision: string | null
  readonly number: number
  readonly active_since: Date | null
  readonly wanted: string | null
  readonly problems: readonly Problem[]
}

interface Refused {
  readonly head: RevisionHead
  readonly problems: readonly Problem[]
  readonly tries: number
  /** Monotonic milliseconds: it may be the node that was at fault. */
  readonly tryAgainAt: number
}

const LOOK_MS = 500
const ANSWER_MS = 10_000
const TRY_AGAIN_MS = { least: 30_000, most: 600_000 }
const STORE = { bundle: 'store' }
/** The store has never had any policy in force: nothing is missing where it is away. */
const NOTHING = { number: 0, rejudge_number: 0, revision: null } as const

export class StoredPolicies {
  readonly #parts: StoredPoliciesParts
  #inForce: (StoredRevision & { readonly since: Date }) | undefined
  #head: RevisionHead | undefined
  #refused: Refused | undefined
  #away: string | undefined
  #looking = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: StoredPoliciesParts) {
    this.#parts = parts
    // An alert stands on its increase, which a series that begins with its first event hides.
    parts.metrics.policyRefused.inc(STORE, 0)
  }

  /**
   * What a start may begin with, best first: the head, then what was in force here last. Empty where nothing of the store
   * was ever in force, as the store says or said last. Throws where neither can be had.
   */
  async candidates(): Promise<readonly StoredRevision[]> {
    const found: StoredRevision[] = []
    let failure: Error | undefined
    try {
      const head = await withTimeout(this.#parts.revisions.head(), ANSWER_MS)
      if (head === undefined) {
        this.#keep(NOTHING)
        return []
      }
      this.#head = head
      found.push({ head, folder: await this.#fetch(head.revision) })
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
      this.#away = failure.message
    }
    const current = readCurrent(this.#parts.dir)
    // A process may have ended between a revision that came and the note of it.
    const isNothing = isDeepStrictEqual(current, NOTHING) && !holdsFolders(this.#parts.dir)
    if (this.#head === undefined && isNothing) return []
    const last = lastHead(current)
    if (last !== undefined && last.revision !== found[0]?.head.revision) {
      try {
        found.push({ head: last, folder: await this.#fetch(last.revision) })
      } catch {
        // It is gone from this disk as well as from the store.
      }
    }
    if (found.length === 0 && failure !== undefined)
      throw new CordonError(
        failure instanceof CordonError ? failure.code : 'STORE_UNAVAILABLE',
        `the stored policies cannot be had (${failure.message}), and ${this.#parts.dir} has none that were in force here before`,
        { cause: failure },
      )
    return found
  }

  /** What the start took into force; `refused`: why it was not the head. */
  began(revision: StoredRevision | undefined, refused: unknown): void {
    if (revision !== undefined) this.#took(revision)
    if (refused !== undefined && this.#head !== undefined) this.#refuse(this.#head, refused)
  }

  /** Watches the head from now on. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref()
  }

  /** Settings or folders have changed: what was refused may not be any more. */
  tryAgain(): void {
    if (this.#refused !== undefined) this.#refused = { ...this.#refused, tryAgainAt: 0 }
  }

  get head(): RevisionHead | undefined {
    return this.#head
  }

  state(): StoredState {
    return {
      revision: this.#inForce?.head.revision ?? null,
      number: this.#inForce?.head.number ?? 0,
      active_since: this.#inForce?.since ?? null,
      wanted: this.#refused?.head.revision ?? null,
      problems: this.#refused?.problems ?? [],
    }
  }

  /** Traffic goes on with the last good revision; that it is not the wanted one is told. */
  check(): Check {
    const stays = this.#inForce?.head.revision ?? 'none'
    const detail =
      this.#refused === undefined
        ? this.#away === undefined
          ? undefined
          : `the head cannot be looked at: ${this.#away}; in force as before: ${stays}`
        : `${this.#refused.head.revision} is refused: ${firstOf(this.#refused.problems)}`
    return { name: 'stored_policies', ok: true, ...(detail === undefined ? {} : { detail }) }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Looks once; what fails is told by `state` and `check`. */
  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      const head = await withTimeout(this.#parts.revisions.head(), ANSWER_MS)
      const isNew = head !== undefined && head.number !== this.#head?.number
      if (isNew) {
        this.#head = head
        this.#parts.onChanged()
      }
      if (head !== undefined) await this.#follow(head)
      this.#away = undefined
    } catch (error) {
      this.#away = error instanceof Error ? error.message : 'unknown error'
    } finally {
      this.#looking = false
    }
  }

  async #follow(head: RevisionHead): Promise<void> {
    const inForce = this.#inForce
    if (head.number === inForce?.head.number) return
    const refused = this.#refused
    if (refused?.head.number === head.number && performance.now() < refused.tryAgainAt) return
    const rejudge = head.rejudge_number > (inForce?.head.number ?? 0)
    if (head.revision === inForce?.head.revision) this.#took({ ...inForce, head })
    else {
      // Not to be fetched is the store's fault, and no reason to refuse.
      const folder = await this.#fetch(head.revision).catch((error: unknown) => {
        if (!isBad(error)) throw error
        this.#refuse(head, error)
      })
      if (folder === undefined) return
      try {
        await this.#parts.take(folder)
      } catch (error) {
        this.#refuse(head, error)
        return
      }
      this.#took({ head, folder })
    }
    if (rejudge) this.#parts.rejudge()
  }

  #took({ head, folder }: StoredRevision): void {
    const { log, metrics, onChanged } = this.#parts
    const isOther = this.#inForce?.head.revision !== head.revision
    const since = isOther ? new Date() : (this.#inForce?.since ?? new Date())
    this.#inForce = { head, folder, since }
    this.#refused = undefined
    metrics.policyActivated.set(STORE, since.getTime() / 1000)
    this.#keep(head)
    if (isOther)
      log.info({ revision: head.revision, number: head.number }, 'stored policies in force')
    onChanged()
  }

  /** For a start while the store is away. */
  #keep(head: RevisionHead | typeof NOTHING): void {
    const { dir, log } = this.#parts
    try {
      writeCurrent(dir, head)
      if (head.revision !== null) removeOldFolders(dir, nameOf(head.revision))
    } catch (error) {
      log.warn({ err: String(error) }, 'the stored policies in force cannot be kept on disk')
    }
  }

  #refuse(head: RevisionHead, error: unknown): void {
    const { log, metrics, onChanged } = this.#parts
    const isSame = this.#refused?.head.number === head.number
    const tries = isSame ? (this.#refused?.tries ?? 0) + 1 : 1
    const waitMs = Math.min(TRY_AGAIN_MS.most, TRY_AGAIN_MS.least * 2 ** (tries - 1))
    const problems = problemsOf(error)
    this.#refused = { head, problems, tries, tryAgainAt: performance.now() + waitMs }
    metrics.policyRefused.inc(STORE)
    log.error(
      { revision: head.revision, number: head.number, problems: problems.map(formatProblem) },
      'stored policies are refused; the last good ones stay in force',
    )
    onChanged()
  }

  /** The folder of a revision, from this disk or from the store; its sources are what its name says. */
  async #fetch(revision: string): Promise<string> {
    const { dir, revisions } = this.#parts
    const name = nameOf(revision)
    const known = bundleIn(join(dir, name))
    const files =
      known === undefined ? undefined : await filesOf(known, revision).catch(() => undefined)
    if (known !== undefined && files !== undefined)
      return writePolicyFolder(dir, name, known, files)
    const bundle = await withTimeout(revisions.bundle(revision), ANSWER_MS)
    if (bundle === undefined)
      throw new CordonError('NOT_FOUND', `the store does not have ${revision} any more`)
    return writePolicyFolder(dir, name, bundle, await filesOf(bundle, revision))
  }
}

async function filesOf(
  bundle: Buffer,
  revision: string,
): Promise<Awaited<ReturnType<typeof unpackArchive>>> {
  const files = await unpackArchive(bundle)
  if (revisionOf(sourcesIn(files)) !== revision)
    throw new CordonError('BUNDLE_INVALID', `the bundle of ${revision} holds other files`)
  return files
}

/** Whether trying again is in vain until something changes. */
function isBad(error: unknown): boolean {
  return error instanceof CordonError && error.code === 'BUNDLE_INVALID'
}

export function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof CordonError && error.problems.length > 0) return error.problems.slice(0, 100)
  return [{ file: '', message: error instanceof Error ? error.message : String(error) }]
}

export function firstOf(problems: readonly Problem[]): string {
  const [first] = problems
  if (first === undefined) return 'unknown reason'
  const text = first.file === '' ? first.message : formatProblem(first)
  return problems.length > 1 ? `${text} (and ${problems.length - 1} more)` : text
}

function nameOf(revision: string): string {
  return revision.replace(/^sha256:/, '')
}

function lastHead(
  current: Readonly<Record<string, unknown>> | undefined,
): RevisionHead | undefined {
  const { number, rejudge_number, revision } = current ?? {}
  return typeof number === 'number' &&
    typeof rejudge_number === 'number' &&
    typeof revision === 'string' &&
    /^sha256:[0-9a-f]{64}$/.test(revision)
    ? { number, rejudge_number, revision }
    : undefined
}
