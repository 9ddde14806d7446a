// Conflicts of the policies in force and of those that may be next: looked for, kept, resolved by somebody with a reason.
// An unresolved critical one keeps a policy from taking effect.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Kysely } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import type { Conflict, ConflictReport } from '../model/conflict.ts'
import type { AuditRecord } from '../model/record.ts'
import type { AiService } from '../model/service.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import { conflictsOf, type Look, lookAgain } from '../policy/conflicts/of-folders.ts'
import type { Catalogued } from '../policy/conflicts/reach.ts'
import { type PolicyFolder, readFolderInSlices } from '../policy/folder.ts'
import { type LoadOptions, loadPolicySet } from '../policy/load.ts'
import { readRecorded } from '../policy/recorded-input.ts'
import {
  type ConflictFilter,
  type ConflictRow,
  type LastScan,
  StoredConflicts,
} from '../store/conflicts.ts'
import { directoryNames } from '../store/names.ts'
import { PolicyVersions } from '../store/policy-versions.ts'
import { recordedPages } from '../store/recorded.ts'
import type { Tables } from '../store/tables.ts'
import { type Actor, type AuditParts, auditRecord, fitting } from './audit.ts'
import { personWhoActs } from './identity.ts'

export interface ConflictsParts extends AuditParts {
  readonly db: Kysely<Tables>
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  /** How policies are loaded, with the folders that are in force beside the stored ones. */
  readonly load: () => LoadOptions
  /** The catalogue in force. */
  readonly services: () => Iterable<AiService>
}

export interface ConflictPage {
  readonly items: readonly ConflictRow[]
  readonly next_cursor: string | null
  /** Null: nobody has looked yet. */
  readonly last_scan: LastScan | null
}

const MAX_NOTES = 4096
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const NOT_TEXT = /[^\P{Cc}\n\t]/u
/** Recorded inputs that are tried, of the last days. */
const RECORDED = 200
const RECORDED_MS = 7 * 24 * 3_600_000

export class Conflicts {
  readonly #parts: ConflictsParts
  readonly #stored: StoredConflicts
  #scan: Promise<ConflictReport> | undefined
  /** The last look over everything in force. */
  #last: Look | undefined

  constructor(parts: ConflictsParts) {
    this.#parts = parts
    this.#stored = new StoredConflicts(parts.db, parts.tenant)
  }

  async list(filter: ConflictFilter): Promise<ConflictPage> {
    const [page, scan] = await Promise.all([this.#stored.list(filter), this.#stored.lastScan()])
    return { ...page, last_scan: scan ?? null }
  }

  async show(id: string): Promise<ConflictRow | undefined> {
    return this.#stored.find(id)
  }

  /** Looks over everything in force; whoever asks meanwhile gets the same answer. */
  async scan(): Promise<ConflictReport> {
    this.#scan ??= this.#scanAll().finally(() => (this.#scan = undefined))
    return this.#scan
  }

  /**
   * Critical conflicts that nobody has resolved and in which one of the policies has a part, if these files were in force.
   * They are kept, so that somebody can look at them and resolve them.
   */
  async unresolvedCritical(
    files: readonly StoredFile[],
    policyIds: readonly string[],
  ): Promise<readonly Conflict[]> {
    const report = await this.#look(files, new Set(policyIds)).catch((error: unknown) => {
      // Whoever checks the files tells what is wrong with them.
      if (error instanceof CordonError && error.code === 'POLICY_INVALID') return undefined
      throw error
    })
    if (report === undefined) return []
    await this.#stored.keep(report, false)
    const critical = report.conflicts.filter(({ severity }) => severity === 'critical')
    const resolved = await this.#stored.resolved(critical.map(({ fingerprint }) => fingerprint))
    return critical.filter(({ fingerprint }) => !resolved.has(fingerprint))
  }

  /** The same in words, for whoever refuses an activation. */
  async refusals(
    files: readonly StoredFile[],
    policyIds: readonly string[],
  ): Promise<readonly Problem[]> {
    const conflicts = await this.unresolvedCritical(files, policyIds)
    return conflicts.map(({ type, policy_a_id: a, policy_b_id: b, says }) => ({
      file: policyIds.includes(a) || b === null ? a : b,
      message: `conflict ${type}: ${says}; change one of them, or resolve it with notes (cordon policy conflicts)`,
    }))
  }

  /** Throws INPUT_INVALID, FORBIDDEN, NOT_FOUND, or CONFLICT where it is resolved already. */
  async resolve(id: string, notes: string, actor: Actor): Promise<ConflictRow> {
    if (notes.trim() === '' || notes.length > MAX_NOTES || NOT_TEXT.test(notes))
      throw new CordonError(
        'INPUT_INVALID',
        `notes of 1 to ${MAX_NOTES} characters say why the conflict may stand`,
      )
    const by = personWhoActs(actor, 'resolves a conflict')
    if (!UUID.test(id))
      throw new CordonError(
        'NOT_FOUND',
        `"${id.slice(0, 100)}" is no id of a conflict: "cordon policy conflicts --stored" tells them`,
      )
    const row = await this.#stored.resolve(id, notes, by, (resolved) =>
      this.#parts.audit(fitting(this.#resolution(resolved, notes, actor))),
    )
    if (row === undefined) throw new CordonError('NOT_FOUND', 'no such conflict')
    return row
  }

  #resolution(row: ConflictRow, notes: string, actor: Actor): AuditRecord {
    const { conflict_id: id, type, policy_a_id, policy_b_id, severity, evidence, fingerprint } = row
    return auditRecord(this.#parts, {
      event_type: 'policy_conflict_resolved',
      severity: severity === 'critical' ? 'warning' : 'info',
      actor,
      target: { type: 'policy_conflict', id },
      action: 'update',
      result: 'success',
      data: { conflict_type: type, policy_a_id, policy_b_id, severity, evidence, fingerprint },
      changes: { before: { resolved: false }, after: { resolved: true } },
      personalData: { notes },
    })
  }

  async #scanAll(): Promise<ConflictReport> {
    const { db, tenant } = this.#parts
    const report = await this.#look(await new PolicyVersions(db, tenant).activeFiles(), undefined)
    await this.#stored.keep(report, true)
    return report
  }

  /** Looks over the files together with the folders that are in force. */
  async #look(
    files: readonly StoredFile[],
    candidates: ReadonlySet<string> | undefined,
  ): Promise<ConflictReport> {
    const dir = mkdtempSync(join(tmpdir(), 'cordon-conflicts-'))
    try {
      for (const { path, text } of files) {
        mkdirSync(dirname(join(dir, path)), { recursive: true })
        writeFileSync(join(dir, path), text)
      }
      const load = this.#parts.load()
      const dirs = [...load.dirs, dir]
      const policies = await loadPolicySet({ ...load, dirs, isLive: false })
      try {
        const folders: PolicyFolder[] = []
        for (const each of dirs) folders.push(await readFolderInSlices(each))
        const options = { catalogued: await this.#catalogued(), recorded: await this.#recorded() }
        if (candidates !== undefined)
          return await conflictsOf(policies, folders, load.toolchain, { ...options, candidates })
        this.#last = await lookAgain(this.#last, policies, folders, load.toolchain, options)
        return this.#last.report
      } finally {
        policies.close()
      }
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }

  /** Of people only what they have in common: one by one they are too many. An empty directory knows nothing yet. */
  async #catalogued(): Promise<Catalogued> {
    const { db, tenant, services } = this.#parts
    const { departments, groups, roles } = await directoryNames(db, tenant, [])
    const known = Object.entries({ departments, groups, roles }).filter(
      ([, names]) => names.length > 0,
    )
    return {
      services: [...services()],
      names: Object.fromEntries(known.map(([key, names]) => [key, new Set(names)])),
    }
  }

  /** What was asked lately, without what tells a person: a witness outlives an erasure. */
  async #recorded(): Promise<readonly unknown[]> {
    const { db, tenant, now } = this.#parts
    const documents: unknown[] = []
    for await (const page of recordedPages(db, tenant, { from: now() - RECORDED_MS, to: now() })) {
      for (const row of page) {
        const recorded = readRecorded({ record: row.record, personal: null }, true)
        if (recorded !== undefined && isPlain(recorded.document)) documents.push(recorded.document)
        if (documents.length >= RECORDED) return documents
      }
    }
    return documents
  }
}

/** As a witness must be able to travel: numbers beyond 2^53 do not, as plain JSON. */
function isPlain(document: unknown): boolean {
  try {
    return JSON.stringify(document) !== undefined
  } catch {
    return false
  }
}
