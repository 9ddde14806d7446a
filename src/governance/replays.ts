// Replays and shadow reports as somebody asks for them: which policies, over which period, and the audit event.

import type { Kysely } from 'kysely'
import { CordonError, type ErrorCode, type Problem } from '../base/errors.ts'
import type { AuditRecord } from '../model/record.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import type { ReplayReport } from '../policy/replay.ts'
import type { PolicyVersions } from '../store/policy-versions.ts'
import { type Period, recordedPages, type StoredDecision } from '../store/recorded.ts'
import type { Tables } from '../store/tables.ts'
import { type Actor, type AuditParts, auditRecord } from './audit.ts'
import { type ShadowLine, shadowLines, type ShadowReport, shadowReport } from './shadow.ts'

/** Which policies: of a stored version, of files, or without either those in force. */
export interface ReplayPolicies {
  readonly policy_id?: string
  readonly version?: string
  /** They stand in place of stored files with the same path. */
  readonly files?: readonly StoredFile[]
  /** Without the policies that are in force beside them. */
  readonly alone?: boolean
}

export interface ReplayRequest {
  readonly policies?: ReplayPolicies
  /** RFC 3339; by default a week before `to`. */
  readonly from?: string
  /** RFC 3339, exclusive; by default now. */
  readonly to?: string
  /** The newest so many decisions. */
  readonly limit?: number
}

/** What a replay is made of. */
export interface ReplayOrder {
  readonly policies: ReplayNamed
  readonly files: readonly StoredFile[]
  /** Without the folders that are active beside the stored policies. */
  readonly isAlone: boolean
  readonly period: Period
  readonly limit: number
}

/** As it is shown: which policies, without their texts. */
export interface ReplayNamed {
  readonly policy_id: string | null
  readonly version: string | null
  /** Paths of files that came with the request. */
  readonly files: readonly string[]
  readonly alone: boolean
}

export type ReplayState = 'running' | 'complete' | 'cancelled' | 'limit' | 'failed'

export interface ReplayJob {
  readonly replay_id: string
  readonly state: ReplayState
  readonly policies: ReplayNamed
  readonly from: string
  readonly to: string
  readonly limit: number | null
  readonly started_at: string
  readonly ended_at: string | null
  readonly progress: {
    readonly decisions: number
    /** About; null while nobody knows. */
    readonly expected: number | null
    /** 0 to 1. */
    readonly share: number
  }
  readonly error: {
    readonly code: ErrorCode
    readonly message: string
    readonly problems: readonly Problem[]
  } | null
  /** What was seen so far; null before the first. */
  readonly report: ReplayReport | null
}

/** A place that is kept: `start` behind `take`, or `giveUp`, ends it. */
export interface PreparedReplay {
  readonly replay_id: string
  /** Lays the policies where the job finds them; throws INPUT_INVALID for files that lie nowhere. */
  readonly take: (order: ReplayOrder) => void
  readonly start: () => ReplayJob
  readonly giveUp: () => void
}

/** Who runs them. */
export interface ReplayJobs {
  /** Keeps a place for a job, before anything is read for it. Throws TOO_MANY while others run. */
  prepare(): PreparedReplay
  /** Newest first, without their reports. */
  list(): readonly ReplayJob[]
  get(id: string): ReplayJob | undefined
  cancel(id: string): ReplayJob | undefined
}

export interface ReplaysParts extends AuditParts {
  readonly db: Kysely<Tables>
  readonly versions: Pick<PolicyVersions, 'activeFiles' | 'head' | 'version'>
  /** Undefined in a command, which runs them itself. */
  readonly jobs: ReplayJobs | undefined
  readonly pseudonymous: () => boolean
  readonly audit: (record: AuditRecord) => Promise<void>
}

const WEEK_MS = 7 * 86_400_000
/** As far back as sums reach. */
const MOST_MS = 8 * 366 * 86_400_000
const GONE =
  'there is no such replay here: they live in the memory of the Cordon that runs them, and end with it'

export class Replays {
  readonly #parts: ReplaysParts

  constructor(parts: ReplaysParts) {
    this.#parts = parts
  }

  /** Throws INPUT_INVALID, NOT_FOUND for a version that is not there, TOO_MANY. */
  async start({ policies = {}, limit, ...range }: ReplayRequest, actor: Actor): Promise<ReplayJob> {
    const { audit, now } = this.#parts
    const jobs = this.#jobs
    const period = periodOf(range, now())
    const named = namedOf(policies)
    const job = jobs.prepare()
    try {
      const { files, isAlone } = await this.files(policies)
      job.take({ policies: named, files, isAlone, period, limit: limit ?? Infinity })
      await audit(
        auditRecord(this.#parts, {
          event_type: 'policy_replayed',
          actor,
          target: { type: 'policy', ...(named.policy_id === null ? {} : { id: named.policy_id }) },
          action: 'replay',
          result: 'success',
          data: {
            replay_id: job.replay_id,
            version: named.version,
            files: named.files.length,
            from: new Date(period.from).toISOString(),
            to: new Date(period.to).toISOString(),
          },
        }),
      )
    } catch (error) {
      // What cannot be recorded does not run.
      job.giveUp()
      throw error
    }
    return job.start()
  }

  list(): readonly ReplayJob[] {
    return this.#jobs.list()
  }

  /** Throws NOT_FOUND. */
  get(id: string): ReplayJob {
    return found(this.#jobs.get(id))
  }

  /** What was seen so far stays to be read. Throws NOT_FOUND. */
  cancel(id: string): ReplayJob {
    return found(this.#jobs.cancel(id))
  }

  /** The stored files as they would be; `isAlone`: without the folders beside them. Throws NOT_FOUND. */
  async files({ policy_id: id, version, files, alone = false }: ReplayPolicies): Promise<{
    readonly files: readonly StoredFile[]
    readonly isAlone: boolean
  }> {
    const { versions } = this.#parts
    if (id !== undefined && files !== undefined)
      throw invalid('/policies', 'takes a version or files, not both')
    if ((id === undefined) !== (version === undefined))
      throw invalid('/policies', 'takes policy_id and version together')
    if (alone && id === undefined && files === undefined)
      throw invalid('/policies', 'takes a version or files with alone')
    const draft =
      id === undefined || version === undefined ? undefined : await this.#version(id, version)
    if (alone) return { files: draft === undefined ? (files ?? []) : [draft], isAlone: true }
    const active = await versions.activeFiles()
    const paths = new Set(
      [...(files ?? []), ...(draft === undefined ? [] : [draft])].map(({ path }) => path),
    )
    return {
      files: [
        ...active.filter(({ path, id: other }) => other !== id && !paths.has(path)),
        ...(files ?? []),
        ...(draft === undefined ? [] : [draft]),
      ].map(({ path, text }) => ({ path, text })),
      isAlone: false,
    }
  }

  /** By default since a week ago, or since the policy's active version is active. */
  async shadow(
    policy: string,
    { top = 20, ...range }: { readonly from?: string; readonly to?: string; readonly top?: number },
  ): Promise<ShadowReport> {
    const { db, tenant, now, pseudonymous, versions } = this.#parts
    const head = range.from === undefined ? await versions.head(policy) : undefined
    const active = head === undefined ? undefined : await versions.version(policy, head.version)
    const since = active?.status === 'active' ? active.activated_at?.toISOString() : undefined
    const period = periodOf({ ...(since === undefined ? {} : { from: since }), ...range }, now())
    return shadowReport({ db, tenant, pseudonymous: pseudonymous() }, policy, period, top)
  }

  async shadows(range: {
    readonly from?: string
    readonly to?: string
  }): Promise<readonly ShadowLine[]> {
    const { db, tenant, now, pseudonymous } = this.#parts
    return shadowLines({ db, tenant, pseudonymous: pseudonymous() }, periodOf(range, now()))
  }

  /** Whole records of a period, newest first: a page of lines at a time, for a replay in another process of this machine. */
  async *lines(period: Period, signal?: AbortSignal): AsyncGenerator<string> {
    const { db, tenant } = this.#parts
    for await (const page of recordedPages(db, tenant, period, signal))
      yield page.map(lineOf).join('')
  }

  get #jobs(): ReplayJobs {
    const { jobs } = this.#parts
    if (jobs === undefined) throw new CordonError('CONFLICT', 'replays run in a Cordon that runs')
    return jobs
  }

  async #version(id: string, version: string): Promise<StoredFile> {
    const { versions } = this.#parts
    const [head, row] = [await versions.head(id), await versions.version(id, version)]
    if (head === undefined || row === undefined)
      throw new CordonError('NOT_FOUND', `there is no version ${version} of the policy "${id}"`)
    return { path: head.path, text: row.rule_content }
  }
}

/** Milliseconds; throws INPUT_INVALID. */
export function periodOf(
  { from, to }: { readonly from?: string; readonly to?: string },
  now: number,
): Period {
  const end = to === undefined ? now : Date.parse(to)
  const begin = from === undefined ? end - WEEK_MS : Date.parse(from)
  const what = 'must be a time such as 2026-11-24T00:00:00Z'
  if (Number.isNaN(end)) throw invalid('/to', what)
  if (Number.isNaN(begin)) throw invalid('/from', what)
  if (begin >= end) throw invalid('/from', 'must be before "to"')
  if (end - begin > MOST_MS) throw invalid('/from', 'must be within eight years before "to"')
  return { from: begin, to: end }
}

function lineOf({ record, personal }: StoredDecision): string {
  const part = personal === null ? null : Buffer.from(personal).toString('base64')
  return `${JSON.stringify({ record, personal: part })}\n`
}

function namedOf({
  policy_id: id,
  version,
  files = [],
  alone = false,
}: ReplayPolicies): ReplayNamed {
  return {
    policy_id: id ?? null,
    version: version ?? null,
    files: files.map(({ path }) => path),
    alone,
  }
}

function found(job: ReplayJob | undefined): ReplayJob {
  if (job === undefined) throw new CordonError('NOT_FOUND', GONE)
  return job
}

function invalid(pointer: string, message: string): CordonError {
  return new CordonError('INPUT_INVALID', `${pointer.slice(1)} ${message}`, {
    problems: [{ file: '', pointer, message }],
  })
}
