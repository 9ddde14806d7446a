// The life of a stored policy until it is approved: written, edited, submitted, approved by somebody else or sent back.
// What makes it take effect, and end, is in src/governance/policy-activation.ts.
//
// A version can be written while it is a draft, and by nobody afterwards. Whoever wrote any of it cannot approve it, nor a
// copy of it.

import type { Transaction } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import { namedAs, pseudonymOf } from '../model/person.ts'
import type { PolicyStatus, StoredFile } from '../model/stored-policy.ts'
import { isTest } from '../policy/describe.ts'
import type { PolicyHead, PolicyVersions, VersionRow } from '../store/policy-versions.ts'
import type { Tables } from '../store/tables.ts'
import type { Actor } from './audit.ts'
import {
  invalid,
  type PolicyText,
  readText,
  type ReadText,
  refused,
  versionBehind,
} from './policy-draft.ts'
import {
  changedKeys,
  type JournalParts,
  type PolicyEvent,
  PolicyJournal,
} from './policy-journal.ts'
import { PolicyShelf, type PolicyShelfParts, readOnly, type VersionName } from './policy-shelf.ts'
import type { VersionView } from './policy-views.ts'

export interface PolicyLifeParts extends JournalParts, PolicyShelfParts {
  /** What is wrong with files that would be active together, tests among them; empty: nothing. */
  readonly check: (files: readonly StoredFile[]) => Promise<readonly Problem[]>
}

/** What is not in the text. */
export interface VersionNotes {
  readonly version?: string
  readonly change_summary?: string
  /** RFC 3339; null takes it away. */
  readonly effective_from?: string | null
  readonly expires_at?: string | null
  readonly git?: { readonly commit?: string; readonly branch?: string }
}

export type NewPolicy = PolicyText & VersionNotes
export type NewVersion = Partial<Pick<PolicyText, 'text'>> & VersionNotes
/** What is left out stays. */
export type Edit = Partial<Pick<PolicyText, 'text'>> & Omit<VersionNotes, 'version'>

/** Which edition of the version the caller saw: any of these; absent: whichever there is. */
export type Seen = readonly number[] | undefined

/** A transaction of several changes, and the events that it leaves. */
interface Within {
  readonly transaction: Transaction<Tables>
  readonly events: string[]
}

type Authors = Pick<VersionRow, 'contributors' | 'contributor_keys'>

const NOBODY: Authors = { contributors: [], contributor_keys: [] }
const MAX_POLICIES = 100_000
const MAX_VERSIONS = 10_000
const MAX_COMMENT = 4096
const MAX_HISTORY = 200
/** RFC 3339 with its zone: a date must not depend on where it is read. */
const TIME = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)$/
/** Of SHA-1 and SHA-256, whole. */
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/

export class PolicyLife {
  /** What there is. */
  readonly shelf: PolicyShelf
  readonly versions: PolicyVersions
  readonly journal: PolicyJournal
  readonly #parts: PolicyLifeParts
  readonly #within: Within | undefined

  /** `within`: changes are a part of this transaction. */
  constructor(parts: PolicyLifeParts, within?: Within) {
    this.#parts = parts
    this.#within = within
    this.shelf = new PolicyShelf(parts)
    this.versions = this.shelf.versions
    this.journal = new PolicyJournal(parts, this.versions)
  }

  /** A policy that was not there, with its first version, a draft. Throws INPUT_INVALID, POLICY_INVALID or CONFLICT. */
  async create(policy: NewPolicy, actor: Actor): Promise<VersionView> {
    const read = readText(policy)
    const { policy_id: id, path } = read
    const ofFolder = this.shelf.ofFolder(id)
    if (ofFolder !== undefined) throw readOnly(ofFolder)
    if ((await this.versions.head(id)) !== undefined) throw exists(id)
    const other = await this.versions.idAt(path)
    if (other !== undefined)
      throw new CordonError(
        'CONFLICT',
        `the path ${path} belongs to the policy "${other}": give another one`,
        { problems: [{ file: '', pointer: '/path', message: 'is taken' }] },
      )
    if ((await this.versions.count()) >= MAX_POLICIES)
      throw new CordonError(
        'CONFLICT',
        `there are ${MAX_POLICIES} policies, the most a store holds`,
      )
    const row = this.#newVersion(read, policy, actor, undefined)
    return this.write(async (transaction) => {
      const head = { policy_id: id, policy_type: read.type, rule_engine: read.language, path }
      if (!(await this.versions.insertHead(head, transaction))) throw exists(id)
      await this.versions.insertVersion(row, transaction)
      return this.#changed(transaction, row, {
        event_type: 'policy_created',
        action: 'create',
        actor,
        after: row,
        data: { policy_type: read.type, language: read.language, path },
        comment: policy.change_summary,
      })
    })
  }

  /** A new draft behind the newest version; without a text it begins with that of the active version, else of the newest. */
  async addVersion(id: string, draft: NewVersion, actor: Actor): Promise<VersionView> {
    return this.write(async (transaction) => {
      const head = await this.lock(id, transaction)
      const newest = await this.versions.newest(id, undefined, transaction)
      const active = await this.versions.newest(id, ['active'], transaction)
      const text = draft.text ?? (active ?? newest)?.rule_content ?? ''
      const read = this.#readFor(head, text)
      if ((newest?.number ?? 0) >= MAX_VERSIONS)
        throw new CordonError(
          'CONFLICT',
          `"${id}" has ${MAX_VERSIONS} versions, the most a policy may have`,
        )
      const authors = await this.versions.authorsOf(id, read.sha256, transaction)
      const row = this.#newVersion(read, draft, actor, newest, authors)
      await this.versions.insertVersion(row, transaction)
      return this.#changed(transaction, row, {
        event_type: 'policy_version_created',
        action: 'create',
        actor,
        after: row,
        comment: draft.change_summary,
      })
    })
  }

  /**
   * Changes a draft; of an approved or active version only its dates can be changed. Throws STALE where it is no longer
   * what the caller saw.
   */
  async edit(name: VersionName, edit: Edit, seen: Seen, actor: Actor): Promise<VersionView> {
    return this.write(async (transaction) => {
      const head = await this.lock(name.policy_id, transaction)
      const before = await this.shelf.find(name, ['draft'], transaction)
      this.checkSeen(before, seen)
      if (before.status !== 'draft')
        throw new CordonError(
          'CONFLICT',
          `${titleOf(before)} is ${STATUS_WORDS[before.status]}: only a draft can be edited; ${
            before.status === 'review' || before.status === 'approved'
              ? 'send it back first (reject), or make a new version'
              : 'make a new version'
          }`,
        )
      const read = this.#readFor(head, edit.text ?? before.rule_content)
      const dates = this.dates(edit, before)
      const after = this.#written(
        {
          ...before,
          rule_content: read.text,
          rule_metadata: read.metadata,
          text_sha256: read.sha256,
          text_bytes: read.bytes,
          change_summary: noteOf(edit.change_summary) ?? before.change_summary,
          ...gitOf(edit.git, before),
          ...dates,
        },
        before,
        'edit',
        actor,
        edit.change_summary,
        await this.versions.authorsOf(name.policy_id, read.sha256, transaction),
      )
      if (after === undefined) return { row: before, events: [] }
      await this.versions.updateVersion(after, transaction)
      return this.#changed(transaction, after, {
        event_type: 'policy_edited',
        action: 'update',
        actor,
        before,
        after,
        comment: edit.change_summary,
      })
    })
  }

  /** When it takes effect and when it ends: of a draft whoever writes it says so, of an approved one whoever activates. */
  async setDates(
    name: VersionName,
    dates: Pick<VersionNotes, 'effective_from' | 'expires_at'>,
    seen: Seen,
    actor: Actor,
    mayApprove: boolean,
  ): Promise<VersionView> {
    return this.write(async (transaction) => {
      await this.lock(name.policy_id, transaction)
      const before = await this.shelf.find(name, ['draft', 'approved', 'active'], transaction)
      this.checkSeen(before, seen)
      const { status } = before
      if (status === 'review' || status === 'archived')
        throw new CordonError(
          'CONFLICT',
          `${titleOf(before)} is ${STATUS_WORDS[status]}: its dates cannot be changed`,
        )
      if (status !== 'draft' && !mayApprove)
        throw new CordonError(
          'FORBIDDEN',
          `${titleOf(before)} is ${STATUS_WORDS[status]}: its dates need policies:approve`,
        )
      if (status === 'active' && dates.effective_from !== undefined)
        throw invalid('/effective_from', `${titleOf(before)} is in force already`)
      const changed = { ...before, ...this.dates(dates, before), due_problem: null }
      const after =
        status === 'draft'
          ? this.#written(changed, before, 'set dates', actor)
          : this.touched(changed, before, 'set dates', actor)
      if (after === undefined) return { row: before, events: [] }
      await this.versions.updateVersion(after, transaction)
      return this.#changed(transaction, after, {
        event_type: 'policy_dates_changed',
        action: 'update',
        actor,
        before,
        after,
      })
    })
  }

  /** What is wrong with a version as it stands among the active files. */
  async validate(name: VersionName): Promise<readonly Problem[]> {
    const row = await this.shelf.find(name)
    const head = await this.versions.head(name.policy_id)
    return this.#problemsOf({ path: head?.path ?? '', text: row.rule_content }, true)
  }

  /** The same for a text that nobody has kept. Throws INPUT_INVALID and POLICY_INVALID. */
  async validateText(policy: PolicyText): Promise<readonly Problem[]> {
    const read = readText(policy)
    const ofFolder = this.shelf.ofFolder(read.policy_id)
    if (ofFolder !== undefined) throw readOnly(ofFolder)
    return this.#problemsOf({ path: read.path, text: read.text }, true)
  }

  /**
   * A draft is ready to be looked at. Throws POLICY_INVALID with every place where it is not valid; `isTried`: the caller
   * has tried it, together with what it belongs to.
   */
  async submit(
    name: VersionName,
    comment: string | undefined,
    seen: Seen,
    actor: Actor,
    isTried = false,
  ): Promise<VersionView> {
    const draft = await this.shelf.find(name, ['draft'])
    requireStatus(draft, ['draft'], 'submitted')
    this.checkSeen(draft, seen)
    const head = await this.versions.head(draft.policy_id)
    const file = { path: head?.path ?? '', text: draft.rule_content }
    // Whether tests pass is asked before anything takes effect: a policy and its test can only follow each other.
    const problems = isTried ? [] : await this.#problemsOf(file, false)
    if (problems.length > 0) throw refused(problems)
    const exactly = { policy_id: draft.policy_id, version: draft.version }
    return this.#move(exactly, [draft.edition], actor, 'submit', comment, (before) => {
      requireStatus(before, ['draft'], 'submitted')
      const now = this.now()
      const by = idOf(actor)
      return {
        event_type: 'policy_submitted',
        after: { ...before, status: 'review', submitted_at: now, submitted_by: by },
      }
    })
  }

  /**
   * An approval is of what somebody has looked at: its authors can take a version back, write another text and submit it
   * again meanwhile. Throws OWN_VERSION where the actor wrote any of it, UNSEEN where no edition is named, or that of
   * another version may be meant.
   */
  async approve(
    name: VersionName,
    comment: string | undefined,
    seen: Seen,
    actor: Actor,
  ): Promise<VersionView> {
    const version = await this.shelf.find(name, ['review'])
    if (this.#isContributor(version, actor)) {
      requireStatus(version, ['review'], 'approved')
      await this.journal.note({
        event_type: 'policy_approval_refused',
        action: 'approve',
        actor,
        after: version,
        result: 'failure',
        severity: 'warning',
        data: { reason: 'own version' },
      })
      throw new CordonError(
        'OWN_VERSION',
        `you wrote some of ${titleOf(version)}: somebody else has to approve it`,
      )
    }
    requireStatus(version, ['review'], 'approved')
    if (seen === undefined)
      throw new CordonError(
        'UNSEEN',
        `say which edition of ${titleOf(version)} you looked at: it is edition ${version.edition} now (--edition ${version.edition}, If-Match: "${version.edition}")`,
      )
    // Editions of versions have the same numbers.
    if (name.version === undefined && (await this.versions.isSubmittedBeside(version)))
      throw new CordonError(
        'UNSEEN',
        `another version was submitted in edition ${version.edition} too: say which one you looked at, such as ${version.policy_id}@${version.version}`,
      )
    const exactly = { policy_id: version.policy_id, version: version.version }
    return this.#move(exactly, seen, actor, 'approve', comment, (before) => {
      requireStatus(before, ['review'], 'approved')
      // It was sent back, written by this very person and submitted again in the meantime.
      if (this.#isContributor(before, actor))
        throw new CordonError('OWN_VERSION', `you wrote some of ${titleOf(before)}`)
      const now = this.now()
      return {
        event_type: 'policy_approved',
        after: { ...before, status: 'approved', approved_at: now, approved_by: idOf(actor) },
      }
    })
  }

  /** Back to its authors; whoever wrote it can take it back from review too. */
  async reject(
    name: VersionName,
    comment: string | undefined,
    seen: Seen,
    actor: Actor,
    mayApprove: boolean,
  ): Promise<VersionView> {
    const version = await this.shelf.find(name, ['review', 'approved'])
    const exactly = { policy_id: version.policy_id, version: version.version }
    return this.#move(exactly, seen, actor, 'reject', comment, (before) => {
      requireStatus(before, ['review', 'approved'], 'sent back')
      if (!mayApprove && !(before.status === 'review' && this.#isContributor(before, actor)))
        throw new CordonError(
          'FORBIDDEN',
          `to send ${titleOf(before)} back needs policies:approve, or to have written it and not to be approved yet`,
        )
      return {
        event_type: 'policy_rejected',
        after: {
          ...before,
          status: 'draft',
          submitted_at: null,
          submitted_by: null,
          approved_at: null,
          approved_by: null,
          due_problem: null,
        },
      }
    })
  }

  // What follows is for src/governance/policy-activation.ts too.

  now(): Date {
    return new Date(this.#parts.now())
  }

  /** The policy, which nobody else changes until the transaction ends. Throws NOT_FOUND, CONFLICT for one of a folder. */
  async lock(id: string, transaction: Transaction<Tables>): Promise<PolicyHead> {
    const head = await this.versions.lockHead(id, transaction)
    if (head === undefined) throw this.shelf.missing(id)
    return head
  }

  /** Throws STALE, telling what was changed since, where the version is not in an edition that the caller saw. */
  checkSeen(row: VersionRow, seen: Seen): void {
    if (seen === undefined || seen.includes(row.edition)) return
    const newest = Math.max(0, ...seen.filter((edition) => edition < row.edition))
    const since = row.history.filter(({ edition }) => edition > newest)
    const keys = [...new Set(since.flatMap(({ changed }) => changed))]
    throw new CordonError(
      'STALE',
      `${titleOf(row)} was changed since you read it: it is edition ${row.edition} now, ${STATUS_WORDS[row.status]}; read it again`,
      {
        problems: keys.map((key) => {
          const last = since.findLast(({ changed }) => changed.includes(key))
          return {
            file: '',
            pointer: `/${key}`,
            message: `changed at ${last?.at ?? ''} (edition ${last?.edition ?? 0}, ${last?.act ?? ''})`,
          }
        }),
      },
    )
  }

  /** Dates as they are to be; throws INPUT_INVALID. */
  dates(
    {
      effective_from: from,
      expires_at: until,
    }: Pick<VersionNotes, 'effective_from' | 'expires_at'>,
    before: { readonly effective_from: Date | null; readonly expires_at: Date | null },
  ): { readonly effective_from: Date | null; readonly expires_at: Date | null } {
    const dates = {
      effective_from: from === undefined ? before.effective_from : timeAt('/effective_from', from),
      expires_at: until === undefined ? before.expires_at : timeAt('/expires_at', until),
    }
    if (until !== undefined && dates.expires_at !== null && dates.expires_at <= this.now())
      throw invalid('/expires_at', 'the date when it ends has passed already')
    if (
      dates.expires_at !== null &&
      dates.effective_from !== null &&
      dates.expires_at <= dates.effective_from
    )
      throw invalid('/expires_at', 'it must end after it takes effect')
    return dates
  }

  /** A changed version with its next edition and what was done in its history; undefined where nothing is other than before. */
  touched(
    after: VersionRow,
    before: VersionRow,
    act: string,
    actor: Actor,
    comment?: string,
  ): VersionRow | undefined {
    const changed = [
      ...changedKeys(before, after),
      ...(after.change_summary === before.change_summary ? [] : ['change_summary']),
      ...(after.git_branch === before.git_branch ? [] : ['git_branch']),
    ]
    if (changed.length === 0) return undefined
    const edition = before.edition + 1
    const now = this.now()
    const by = idOf(actor)
    const note = noteOf(comment)
    const entry = {
      edition,
      at: now.toISOString(),
      by,
      act,
      changed,
      ...(note === undefined ? {} : { comment: note }),
    }
    const [first, ...others] = [...before.history, entry]
    return {
      ...after,
      edition,
      changed_at: now,
      changed_by: by,
      history: first === undefined ? [] : [first, ...others.slice(1 - MAX_HISTORY)],
    }
  }

  /** A change with its event, told to the ledger when the store has it. */
  async write(
    run: (
      transaction: Transaction<Tables>,
    ) => Promise<{ readonly row: VersionRow; readonly events: readonly string[] }>,
  ): Promise<VersionView> {
    if (this.#within !== undefined) {
      const { row, events } = await run(this.#within.transaction)
      this.#within.events.push(...events)
      return this.shelf.view(row)
    }
    const { row, events } = await this.versions.transaction(run)
    await this.journal.tell(events)
    return this.shelf.view(row)
  }

  /**
   * Many changes, all or none: `run` makes them with the life that it is given, and what it throws takes all of them back.
   * Nobody else makes many meanwhile; what takes effect does not wait for them. `isTrial`: they are taken back in any case.
   */
  async together<T>(
    run: (life: PolicyLife, transaction: Transaction<Tables>) => Promise<T>,
    isTrial: boolean,
  ): Promise<T> {
    const events: string[] = []
    const all = async (transaction: Transaction<Tables>): Promise<T> => {
      await this.versions.lockMany(transaction)
      const parts = { ...this.#parts, db: transaction }
      return run(new PolicyLife(parts, { transaction, events }), transaction)
    }
    if (isTrial) return this.versions.trial(all)
    const answer = await this.versions.transaction(all)
    await this.journal.tell(events)
    return answer
  }

  async #changed(
    transaction: Transaction<Tables>,
    row: VersionRow,
    event: PolicyEvent,
  ): Promise<{ readonly row: VersionRow; readonly events: readonly string[] }> {
    const by = idOf(event.actor)
    await this.versions.refreshHead(row.policy_id, by, this.now(), transaction)
    return { row, events: [await this.journal.keep(event, transaction)] }
  }

  /** From one state to another. */
  async #move(
    name: VersionName,
    seen: Seen,
    actor: Actor,
    act: 'submit' | 'approve' | 'reject',
    comment: string | undefined,
    turn: (before: VersionRow) => { readonly event_type: string; readonly after: VersionRow },
  ): Promise<VersionView> {
    noteOf(comment)
    return this.write(async (transaction) => {
      await this.lock(name.policy_id, transaction)
      const before = await this.shelf.find(name, undefined, transaction)
      this.checkSeen(before, seen)
      const { event_type, after } = turn(before)
      const row = this.touched(after, before, act, actor, comment) ?? after
      await this.versions.updateVersion(row, transaction)
      return this.#changed(transaction, row, {
        event_type,
        action: act,
        actor,
        before,
        after: row,
        comment,
      })
    })
  }

  #newVersion(
    read: ReadText,
    notes: VersionNotes,
    actor: Actor,
    newest: VersionRow | undefined,
    authors: Authors = NOBODY,
  ): VersionRow {
    const now = this.now()
    const by = idOf(actor)
    const summary = noteOf(notes.change_summary)
    return {
      policy_id: read.policy_id,
      version: versionBehind(newest?.version, notes.version, read.metadata.version),
      number: (newest?.number ?? 0) + 1,
      status: 'draft',
      edition: 1,
      rule_content: read.text,
      rule_metadata: read.metadata,
      text_sha256: read.sha256,
      text_bytes: read.bytes,
      change_summary: summary ?? null,
      ...gitOf(notes.git, { git_commit_sha: null, git_branch: null }),
      ...this.#authorship([authors], actor),
      history: [
        {
          edition: 1,
          at: now.toISOString(),
          by,
          act: 'create',
          changed: ['text'],
          ...(summary === undefined ? {} : { comment: summary }),
        },
      ],
      created_at: now,
      created_by: by,
      changed_at: now,
      changed_by: by,
      submitted_at: null,
      submitted_by: null,
      approved_at: null,
      approved_by: null,
      activated_at: null,
      archived_at: null,
      ...this.dates(notes, { effective_from: null, expires_at: null }),
      rejudge: false,
      due_problem: null,
    }
  }

  /** As `touched`, by somebody who is an author from now on. */
  #written(
    after: VersionRow,
    before: VersionRow,
    act: string,
    actor: Actor,
    comment?: string,
    authors: Authors = NOBODY,
  ): VersionRow | undefined {
    const row = this.touched(after, before, act, actor, comment)
    return row === undefined ? undefined : { ...row, ...this.#authorship([before, authors], actor) }
  }

  #authorship(authors: readonly Authors[], actor: Actor): Authors {
    const ids = authors.flatMap(({ contributors }) => contributors)
    const keys = authors.flatMap(({ contributor_keys: of }) => of)
    return {
      contributors: [...new Set([...ids, idOf(actor)])],
      contributor_keys: [...new Set([...keys, this.#nameKey(actor)])],
    }
  }

  #isContributor({ contributors, contributor_keys: keys }: VersionRow, actor: Actor): boolean {
    const by = idOf(actor)
    // After an erasure the pseudonym stands where the id stood.
    const erased = pseudonymOf(this.#parts.personKey(by)) ?? by
    return (
      [by, erased].some((one) => contributors.includes(one)) || keys.includes(this.#nameKey(actor))
    )
  }

  /**
   * Of the name, so that somebody who was removed and added again, or has an account of the operating system of the same
   * name, is the same person.
   */
  #nameKey(actor: Actor): string {
    return this.#parts.personKey(namedAs('author', actor.name ?? actor.login ?? idOf(actor)))
  }

  /** The text as another version of the policy: it must stay what it was. */
  #readFor(head: PolicyHead, text: string): ReadText {
    const read = readText({ text, policy_id: head.policy_id, path: head.path })
    if (read.type !== head.policy_type || read.language !== head.rule_engine)
      throw invalid(
        '/text',
        `"${head.policy_id}" is a ${head.policy_type} in ${head.rule_engine}, and the text is a ${read.type} in ${read.language}`,
      )
    return read
  }

  /**
   * Empty: nothing is wrong with the file in its place among the active ones, or else among them and those that are
   * submitted or approved, because what belongs together takes effect together.
   */
  async #problemsOf(file: StoredFile, tested: boolean): Promise<readonly Problem[]> {
    const active = new Map((await this.versions.activeFiles()).map((each) => [each.path, each]))
    const problems = await this.#check(active, file, tested)
    if (problems.length === 0) return problems
    const coming = await this.versions.filesOnTheirWay()
    const isNew = ({ path, text }: StoredFile): boolean =>
      path !== file.path && active.get(path)?.text !== text
    if (!coming.some(isNew)) return problems
    const together = new Map([...active, ...coming.map((each) => [each.path, each] as const)])
    return (await this.#check(together, file, tested)).length === 0 ? [] : problems
  }

  #check(
    others: ReadonlyMap<string, StoredFile>,
    file: StoredFile,
    tested: boolean,
  ): Promise<readonly Problem[]> {
    const all = [...others.values()].filter(({ path }) => path !== file.path)
    return this.#parts.check(
      [...all, file]
        .filter((each) => tested || !isTest(each))
        .map(({ path, text }) => ({ path, text })),
    )
  }
}

const STATUS_WORDS: Readonly<Record<PolicyStatus, string>> = {
  draft: 'a draft',
  review: 'in review',
  approved: 'approved',
  active: 'active',
  archived: 'archived',
}

export function titleOf({ policy_id: id, version }: VersionRow): string {
  return `"${id}" ${version}`
}

/** Throws CONFLICT. */
export function requireStatus(
  row: VersionRow,
  wanted: readonly PolicyStatus[],
  what: string,
): void {
  if (wanted.includes(row.status)) return
  throw new CordonError(
    'CONFLICT',
    `${titleOf(row)} is ${STATUS_WORDS[row.status]}: only what is ${wanted.map((each) => STATUS_WORDS[each]).join(' or ')} can be ${what}`,
  )
}

/** Authorship is compared by it. Throws FORBIDDEN for who is nobody in particular. */
export function idOf({ type, id, login, name }: Actor): string {
  const by = type === 'system' ? name : (id ?? login)
  if (by === undefined)
    throw new CordonError(
      'FORBIDDEN',
      'changes of policies have authors: use a key that belongs to somebody (cordon key create --user)',
    )
  return by
}

export function noteOf(text: string | undefined): string | undefined {
  if (text === undefined || text.trim() === '') return undefined
  if (text.length > MAX_COMMENT || text.includes('\0') || !text.isWellFormed())
    throw invalid('/comment', `a comment has at most ${MAX_COMMENT} characters, and no NUL`)
  return text
}

export function timeAt(pointer: string, text: string | null): Date | null {
  if (text === null) return null
  const time = new Date(text)
  if (!TIME.test(text) || Number.isNaN(time.getTime()))
    throw invalid(
      pointer,
      `${pointer.slice(1)} must be a time with its zone, such as 2026-11-24T00:00:00Z`,
    )
  return time
}

function gitOf(
  git: VersionNotes['git'],
  before: Pick<VersionRow, 'git_commit_sha' | 'git_branch'>,
): Pick<VersionRow, 'git_commit_sha' | 'git_branch'> {
  if (git === undefined)
    return { git_commit_sha: before.git_commit_sha, git_branch: before.git_branch }
  const { commit, branch } = git
  if (commit !== undefined && !COMMIT.test(commit))
    throw invalid('/git/commit', 'the commit must be a whole commit id: 40 or 64 hex digits')
  if (
    branch !== undefined &&
    (branch === '' || branch.length > 255 || /[\p{Cc}\s~^:?*[\\]/u.test(branch))
  )
    throw invalid('/git/branch', 'the branch must be the name of one, at most 255 characters')
  return { git_commit_sha: commit ?? null, git_branch: branch ?? null }
}

function exists(id: string): CordonError {
  return new CordonError(
    'CONFLICT',
    `there is a policy "${id}" already: make a new version of it`,
    { problems: [{ file: '', pointer: '/policy_id', message: 'is taken' }] },
  )
}
