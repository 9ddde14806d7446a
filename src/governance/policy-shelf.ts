// What there is: policies of the store and of folders, their versions, and what differs between two of them.

import type { Kysely, Transaction } from 'kysely'
import { CordonError } from '../base/errors.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { PolicyStatus } from '../model/stored-policy.ts'
import {
  type HeadFilter,
  PolicyVersions,
  type VersionMetadata,
  type VersionRow,
} from '../store/policy-versions.ts'
import type { Tables } from '../store/tables.ts'
import {
  folderView,
  headView,
  type Names,
  peopleOf,
  type PolicyView,
  summaryOf,
  type VersionSummary,
  type VersionView,
  versionView,
} from './policy-views.ts'
import { unifiedDiff } from './text-diff.ts'

export interface PolicyShelfParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: boolean
  /** Policies that are not of the store, which only their files change. */
  readonly folderPolicies: () => readonly PolicyMetadata[]
}

/** One version; without `version` the newest that can be meant. */
export interface VersionName {
  readonly policy_id: string
  readonly version?: string
}

export interface PolicyPage {
  readonly items: readonly PolicyView[]
  readonly next_cursor: string | null
}

export interface PolicyFilter extends HeadFilter {
  readonly origin?: 'store' | 'folder'
  readonly limit?: number
  readonly cursor?: string
}

export interface Comparison {
  readonly policy_id: string
  readonly from: string
  readonly to: string
  /** Which edition of each: an approval names that of the newer one. */
  readonly from_edition: number
  readonly to_edition: number
  /** As `diff -u` writes it; empty where the texts are the same. */
  readonly diff: string
  /** Metadata and dates that are other, by name. */
  readonly changed: Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>
}

const DEFAULT_LIMIT = 100
const NEWEST_SHOWN = 20

export class PolicyShelf {
  readonly versions: PolicyVersions
  readonly #parts: PolicyShelfParts

  constructor(parts: PolicyShelfParts) {
    this.#parts = parts
    this.versions = new PolicyVersions(parts.db, parts.tenant)
  }

  /** Policies of the store and of folders together, in the order of their ids by code point. */
  async list(filter: PolicyFilter): Promise<PolicyPage> {
    const { origin, limit = DEFAULT_LIMIT, cursor } = filter
    const after = cursor === undefined ? undefined : readCursor(cursor)
    const stored = origin === 'folder' ? [] : await this.versions.heads(filter, after, limit + 1)
    const ofFolders =
      origin === 'store'
        ? []
        : this.#parts
            .folderPolicies()
            .map(folderView)
            .filter((view) => after === undefined || byCodePoint(view.policy_id, after) > 0)
            .filter((view) => isMeant(view, filter))
    const found = [...stored.map(headView), ...ofFolders].toSorted((a, b) =>
      byCodePoint(a.policy_id, b.policy_id),
    )
    const items = found.slice(0, limit)
    const last = items.at(-1)
    return {
      items,
      next_cursor: found.length > limit && last !== undefined ? cursorText(last.policy_id) : null,
    }
  }

  /** A policy with its newest versions. Throws NOT_FOUND. */
  async show(id: string): Promise<PolicyView & { readonly versions: readonly VersionSummary[] }> {
    const head = await this.versions.head(id)
    if (head === undefined) {
      const ofFolder = this.ofFolder(id)
      if (ofFolder === undefined) throw noSuchPolicy(id)
      return { ...folderView(ofFolder), versions: [] }
    }
    const rows = await this.versions.versions(id, undefined, NEWEST_SHOWN)
    const names = await this.#names(peopleOf(rows))
    return { ...headView(head), versions: rows.map((row) => summaryOf(row, names)) }
  }

  /** The versions of a policy, newest first. Throws NOT_FOUND. */
  async listVersions(
    id: string,
    { limit = DEFAULT_LIMIT, cursor }: { readonly limit?: number; readonly cursor?: string },
  ): Promise<{ readonly items: readonly VersionSummary[]; readonly next_cursor: string | null }> {
    if ((await this.versions.head(id)) === undefined) throw this.missing(id)
    const before = cursor === undefined ? undefined : Number(readCursor(cursor))
    if (before !== undefined && !Number.isSafeInteger(before)) throw noCursor()
    const rows = await this.versions.versions(id, before, limit + 1)
    const shown = rows.slice(0, limit)
    const last = shown.at(-1)
    const names = await this.#names(peopleOf(shown))
    return {
      items: shown.map((row) => summaryOf(row, names)),
      next_cursor:
        rows.length > limit && last !== undefined ? cursorText(String(last.number)) : null,
    }
  }

  /** Throws NOT_FOUND. */
  async version(name: VersionName): Promise<VersionView> {
    return this.view(await this.find(name))
  }

  /** Without `from`: the version that is active, else the one before; without `to`: the newest. */
  async compare(id: string, from: string | undefined, to: string | undefined): Promise<Comparison> {
    if ((await this.versions.head(id)) === undefined) throw this.missing(id)
    const newer = await this.find({ policy_id: id, ...(to === undefined ? {} : { version: to }) })
    const older =
      from === undefined
        ? await this.#versionBefore(id, newer)
        : await this.find({ policy_id: id, version: from })
    const path = (await this.versions.head(id))?.path ?? id
    return {
      policy_id: id,
      from: older.version,
      to: newer.version,
      from_edition: older.edition,
      to_edition: newer.edition,
      diff: unifiedDiff(
        { name: `${path} ${older.version}`, text: older.rule_content },
        { name: `${path} ${newer.version}`, text: newer.rule_content },
      ),
      changed: differences(older, newer),
    }
  }

  async view(row: VersionRow): Promise<VersionView> {
    return versionView(row, await this.#names(peopleOf([row])))
  }

  /** The version that is named, else the newest with one of the states, else the newest. Throws NOT_FOUND. */
  async find(
    { policy_id: id, version }: VersionName,
    statuses?: readonly PolicyStatus[],
    db?: Transaction<Tables>,
  ): Promise<VersionRow> {
    if (version === undefined) {
      const found =
        (statuses === undefined ? undefined : await this.versions.newest(id, statuses, db)) ??
        (await this.versions.newest(id, undefined, db))
      if (found === undefined) throw this.missing(id)
      return found
    }
    const found = await this.versions.version(id, version, db)
    if (found !== undefined) return found
    if ((await this.versions.head(id, db)) === undefined) throw this.missing(id)
    throw new CordonError('NOT_FOUND', `"${id}" has no version ${version.slice(0, 64)}`)
  }

  /** Undefined where it is none of a folder. */
  ofFolder(id: string): PolicyMetadata | undefined {
    return this.#parts.folderPolicies().find((policy) => policy.id === id)
  }

  /** Why there is no stored policy of that id. */
  missing(id: string): CordonError {
    const ofFolder = this.ofFolder(id)
    return ofFolder === undefined ? noSuchPolicy(id) : readOnly(ofFolder)
  }

  async #versionBefore(id: string, newer: VersionRow): Promise<VersionRow> {
    const active = await this.versions.newest(id, ['active'])
    if (active !== undefined && active.version !== newer.version) return active
    const [before] = await this.versions.versions(id, newer.number, 1)
    if (before === undefined)
      throw new CordonError(
        'NOT_FOUND',
        `"${id}" has no version before ${newer.version} to compare with`,
      )
    return this.find({ policy_id: id, version: before.version })
  }

  async #names(ids: readonly string[]): Promise<Names> {
    return this.#parts.pseudonymous ? new Map() : this.versions.namesOf(ids)
  }
}

export function readOnly({ id, file, line }: PolicyMetadata): CordonError {
  return new CordonError(
    'CONFLICT',
    `"${id}" is a policy of a folder, which only its file changes: ${file}${line === undefined ? '' : `:${line}`}`,
  )
}

function noSuchPolicy(id: string): CordonError {
  return new CordonError('NOT_FOUND', `there is no policy "${id.slice(0, 256)}"`)
}

function differences(older: VersionRow, newer: VersionRow): Comparison['changed'] {
  const changed: Record<string, { from: unknown; to: unknown }> = {}
  const tell = (key: string, from: unknown, to: unknown): void => {
    if (JSON.stringify(from) !== JSON.stringify(to)) changed[key] = { from, to }
  }
  const [from, to] = [older.rule_metadata, newer.rule_metadata]
  for (const key of METADATA_KEYS) {
    if (key !== 'scope') tell(key, from[key] ?? null, to[key] ?? null)
    else
      for (const part of new Set([
        ...Object.keys(from.scope ?? {}),
        ...Object.keys(to.scope ?? {}),
      ]))
        tell(`scope.${part}`, from.scope?.[part] ?? [], to.scope?.[part] ?? [])
  }
  tell('effective_from', older.effective_from, newer.effective_from)
  tell('expires_at', older.expires_at, newer.expires_at)
  return changed
}

const METADATA_KEYS = [
  'name',
  'description',
  'version',
  'priority',
  'severity',
  'mode',
  'scope',
  'framework',
  'article',
] as const satisfies readonly (keyof VersionMetadata)[]

function isMeant(view: PolicyView, { status, type, language, q }: PolicyFilter): boolean {
  const words = q?.toLowerCase()
  return (
    (status === undefined || view.status === status) &&
    (type === undefined || view.type === type) &&
    (language === undefined || view.language === language) &&
    (words === undefined ||
      view.policy_id.toLowerCase().includes(words) ||
      view.name.toLowerCase().includes(words))
  )
}

function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function cursorText(place: string): string {
  return Buffer.from(place).toString('base64url')
}

function readCursor(cursor: string): string {
  const place = Buffer.from(cursor, 'base64url').toString('utf8')
  if (place === '' || place.includes('\0') || cursorText(place) !== cursor) throw noCursor()
  return place
}

function noCursor(): CordonError {
  return new CordonError('INPUT_INVALID', 'the cursor is not one of ours', {
    problems: [{ file: '/querystring/cursor', message: 'is not valid' }],
  })
}
