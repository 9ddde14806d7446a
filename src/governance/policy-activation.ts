// What is in force: versions take effect and end, by a person or because a date has come.
//
// What would be in force is tried as a whole before anything is changed, outside of any transaction, because trying takes
// seconds. Then, one change at a time over a store: if what is in force is still what it was tried with, the rows, the
// published revision and the audit events change together; else it is tried again.

import type { Kysely, Transaction } from 'kysely'
import { CordonError, formatProblem, type Problem } from '../base/errors.ts'
import type { PolicyStatus, StoredFile } from '../model/stored-policy.ts'
import { isTest } from '../policy/describe.ts'
import type { Due, VersionRow } from '../store/policy-versions.ts'
import type { Tables } from '../store/tables.ts'
import type { Actor } from './audit.ts'
import { invalid } from './policy-draft.ts'
import {
  idOf,
  noteOf,
  type PolicyLife,
  requireStatus,
  type Seen,
  timeAt,
  titleOf,
} from './policy-life.ts'
import type { VersionName } from './policy-shelf.ts'
import type { VersionView } from './policy-views.ts'

export interface PolicyActivationParts {
  readonly life: PolicyLife
  /** What is wrong with files that would be in force together, tests among them; empty: nothing. */
  readonly check: (files: readonly StoredFile[]) => Promise<readonly Problem[]>
  /** Critical conflicts that nobody has resolved, of these policies with others, if the files were in force. */
  readonly conflicts: (
    files: readonly StoredFile[],
    policyIds: readonly string[],
  ) => Promise<readonly Problem[]>
  /** Makes the files what every node enforces, when the transaction ends. */
  readonly publish: (
    files: readonly StoredFile[],
    change: { readonly reason: string; readonly rejudge: boolean; readonly by: string },
    db: Kysely<Tables> | Transaction<Tables>,
  ) => Promise<{ readonly revision: string }>
  /** Something else is in force now. */
  readonly onPublished: () => void
}

export interface Activation {
  /** RFC 3339: takes effect then; absent: now. */
  readonly effective_from?: string | undefined
  /** RFC 3339: ends then; null: never; absent: as it stands. */
  readonly expires_at?: string | null | undefined
  /** Whether open tunnels, WebSockets and streams are judged again. */
  readonly rejudge?: boolean | undefined
  readonly comment?: string | undefined
}

/** What came of a change: the versions that it was about, and the revision where something else is in force. */
export interface Activated {
  readonly versions: readonly VersionView[]
  readonly revision: string | null
}

export interface Rollback {
  /** A version that was active before; absent: the one that was so last. */
  readonly to?: string | undefined
  readonly expires_at?: string | null | undefined
  readonly rejudge?: boolean | undefined
  readonly comment?: string | undefined
}

type Act = 'activate' | 'roll back' | 'archive' | 'expire'

/** One version that is to be in force, or no longer. */
interface Turn {
  readonly act: Act
  readonly row: VersionRow
  readonly path: string
  readonly seen: Seen
  /** The version as it is to be; its edition and history are kept by `touched`. */
  readonly after: (before: VersionRow) => VersionRow
}

interface Change {
  readonly turns: readonly Turn[]
  readonly actor: Actor
  readonly comment: string | undefined
  readonly rejudge: boolean
}

const STATUSES: Readonly<Record<Act, readonly PolicyStatus[]>> = {
  activate: ['approved'],
  'roll back': ['archived'],
  archive: ['active'],
  expire: ['active'],
}
const DONE: Readonly<Record<Act, string>> = {
  activate: 'activated',
  'roll back': 'rolled back to',
  archive: 'archived',
  expire: 'ended',
}
const EVENTS: Readonly<Record<Act, string>> = {
  activate: 'policy_activated',
  'roll back': 'policy_rolled_back',
  archive: 'policy_archived',
  expire: 'policy_expired',
}
const CLOCK: Actor = { type: 'system', name: 'policy clock' }
const ATTEMPTS = 10
/** A date that is given by hand may be a moment old. */
const PAST_MS = 60_000
const DUE_AT_ONCE = 100
const MAX_TOGETHER = 1000
const MAX_TOLD = 50
const MAX_REASON = 1000

export class PolicyActivation {
  readonly #parts: PolicyActivationParts

  constructor(parts: PolicyActivationParts) {
    this.#parts = parts
  }

  /**
   * Approved versions take effect, all or none, now or at a date. Throws ACTIVATION_REFUSED with every reason that stands
   * against it.
   */
  async activate(
    names: readonly VersionName[],
    { effective_from: from, expires_at: until, rejudge = false, comment }: Activation,
    seen: Seen,
    actor: Actor,
  ): Promise<Activated> {
    idOf(actor)
    noteOf(comment)
    checkTogether(names)
    const { life } = this.#parts
    const at = from === undefined ? null : timeAt('/effective_from', from)
    if (at !== null && at.getTime() < life.now().getTime() - PAST_MS)
      throw invalid(
        '/effective_from',
        'effective_from lies in the past; leave it out to activate now',
      )
    const turns = await this.#turns(names, 'activate', seen, (before) => {
      const { effective_from: dated } = before
      // Without a date it takes effect now, whatever date it had; one that has come stays.
      const begin = at ?? (dated !== null && dated <= life.now() ? dated : null)
      const dates = life.dates(
        {
          effective_from: begin?.toISOString() ?? null,
          ...(until === undefined ? {} : { expires_at: until }),
        },
        before,
      )
      return { ...before, ...dates, rejudge }
    })
    for (const { row, seen: edition } of turns) {
      life.checkSeen(row, edition)
      requireStatus(row, STATUSES.activate, 'activated')
      refuseExpired(row, until, life.now())
    }
    const change: Change = { turns, actor, comment, rejudge }
    return at !== null && at > life.now() ? this.#schedule(change) : this.#carryOut(change)
  }

  /** A version that was in force before is so again. Its text has been approved; tests and conflicts do not stand against it. */
  async rollBack(
    id: string,
    { to, expires_at: until, rejudge = false, comment }: Rollback,
    actor: Actor,
  ): Promise<Activated> {
    idOf(actor)
    noteOf(comment)
    const { life } = this.#parts
    const row =
      to === undefined
        ? await life.versions.activeBefore(id)
        : await life.shelf.find({ policy_id: id, version: to })
    if (row === undefined) {
      // Tells whether there is such a policy at all.
      await life.shelf.find({ policy_id: id })
      throw new CordonError('CONFLICT', `no version of "${id}" was active before`)
    }
    requireStatus(row, STATUSES['roll back'], 'rolled back to')
    if (row.activated_at === null)
      throw new CordonError('CONFLICT', `${titleOf(row)} was never active`)
    refuseExpired(row, until, life.now())
    const turns = await this.#turns([exactly(row)], 'roll back', undefined, (before) => ({
      ...before,
      ...life.dates(until === undefined ? {} : { expires_at: until }, before),
      rejudge,
    }))
    return this.#carryOut({ turns, actor, comment, rejudge })
  }

  /** A version ends: one that is in force no longer is, one that is on its way goes no further. */
  async archive(
    name: VersionName,
    {
      comment,
      rejudge = false,
    }: { readonly comment?: string | undefined; readonly rejudge?: boolean | undefined },
    seen: Seen,
    actor: Actor,
    mayApprove: boolean,
  ): Promise<Activated> {
    idOf(actor)
    noteOf(comment)
    const { life } = this.#parts
    const row = await life.shelf.find(name, ['active'])
    life.checkSeen(row, seen)
    if (row.status === 'archived')
      throw new CordonError('CONFLICT', `${titleOf(row)} is archived already`)
    if ((row.status === 'active' || row.status === 'approved') && !mayApprove)
      throw new CordonError('FORBIDDEN', `to archive ${titleOf(row)} needs policies:approve`)
    if (row.status !== 'active')
      return this.#abandon(row, 'archive', { comment, seen, actor, mayApprove })
    const turns = await this.#turns([exactly(row)], 'archive', seen, (before) => before)
    return this.#carryOut({ turns, actor, comment, rejudge })
  }

  /**
   * Carries out what dates ask for. What fails is told once, and tried again in a minute. Throws where the store is away, and
   * behind all of it where the ledger does not take what it was to be told.
   */
  async carryOutDue(): Promise<void> {
    try {
      await this.#carryOutDates()
    } finally {
      await this.#parts.life.journal.tellLeft()
    }
  }

  async #carryOutDates(): Promise<void> {
    const { life } = this.#parts
    const due = await life.versions.takeDue(life.now(), DUE_AT_ONCE)
    const turns = (await Promise.all(due.map((each) => this.#turnOf(each)))).filter(
      (turn) => turn !== undefined,
    )
    const current: Turn[] = []
    for (const turn of turns) {
      const newer = await this.#newerThan(turn, turns)
      if (newer === undefined) current.push(turn)
      else await this.#forgetDate(turn, newer)
    }
    if (current.length === 0) return
    try {
      await this.#carryOutTurns(current)
    } catch (error) {
      if (current.length === 1) return this.#noteRefusal(current, error)
      // One that fails does not keep the others.
      for (const turn of current)
        await this.#carryOutTurns([turn]).catch((reason: unknown) =>
          this.#noteRefusal([turn], reason),
        )
    }
  }

  async #carryOutTurns(turns: readonly Turn[]): Promise<void> {
    await this.#carryOut({
      turns,
      actor: CLOCK,
      comment: undefined,
      rejudge: turns.some(({ row }) => row.rejudge),
    })
  }

  async #turnOf({ policy_id: id, version, what }: Due): Promise<Turn | undefined> {
    const { life } = this.#parts
    const row = await life.versions.version(id, version)
    const head = await life.versions.head(id)
    if (row === undefined || head === undefined) return undefined
    // Moved since it was taken.
    const date = what === 'expire' ? row.expires_at : row.effective_from
    if (date === null || date > life.now()) return undefined
    if (what === 'expire' && row.status === 'approved') {
      // It was to end before it could begin.
      await this.#abandon(row, 'expire', {
        comment: undefined,
        seen: [row.edition],
        actor: CLOCK,
        mayApprove: true,
      })
      return undefined
    }
    return {
      act: what,
      row,
      path: head.path,
      // A date that is moved while this is tried does not take place.
      seen: [row.edition],
      after: (before) => before,
    }
  }

  /** A version that is newer and active, or about to be: an older one does not take its place because of a date. */
  async #newerThan({ act, row }: Turn, turns: readonly Turn[]): Promise<VersionRow | undefined> {
    if (act !== 'activate') return undefined
    const active = await this.#parts.life.versions.newest(row.policy_id, ['active'])
    const others = turns
      .filter((turn) => turn.act === 'activate' && turn.row.policy_id === row.policy_id)
      .map((turn) => turn.row)
    return [...others, ...(active === undefined ? [] : [active])].find(
      ({ number }) => number > row.number,
    )
  }

  async #forgetDate({ row }: Turn, newer: VersionRow): Promise<void> {
    const { life } = this.#parts
    const name = { policy_id: row.policy_id, version: row.version }
    await life.write(async (transaction) => {
      await life.lock(row.policy_id, transaction)
      const before = await life.shelf.find(name, undefined, transaction)
      if (before.edition !== row.edition) return { row: before, events: [] }
      const problem = `${newer.version}, which is newer, is in force`
      const after = life.touched(
        { ...before, effective_from: null, due_problem: problem },
        before,
        'set dates',
        CLOCK,
      )
      if (after === undefined) return { row: before, events: [] }
      await life.versions.updateVersion(after, transaction)
      const event = await life.journal.keep(
        {
          event_type: 'policy_activation_refused',
          action: 'activate',
          actor: CLOCK,
          before,
          after,
          result: 'failure',
          severity: 'warning',
          data: { reasons: [problem] },
        },
        transaction,
      )
      return { row: after, events: [event] }
    })
  }

  async #noteRefusal(turns: readonly Turn[], error: unknown): Promise<void> {
    if (!(error instanceof CordonError)) throw error
    // Nothing is wrong with it: it comes again in a minute.
    if (error.code === 'TOO_BUSY' || error.code === 'STORE_UNAVAILABLE') return
    const { life } = this.#parts
    const reasons = (
      error.problems.length === 0 ? [error.message] : error.problems.map(formatProblem)
    )
      .slice(0, MAX_TOLD)
      .map((reason) => reason.slice(0, MAX_REASON).toWellFormed())
    for (const { act, row } of turns) {
      const events = await life.versions.transaction(async (transaction) => {
        const isNew = await life.versions.noteProblem(row, reasons.join('\n'), transaction)
        if (!isNew) return []
        const event = await life.journal.keep(
          {
            event_type: 'policy_activation_refused',
            action: act,
            actor: CLOCK,
            after: row,
            result: 'failure',
            severity: 'error',
            data: { code: error.code, reasons },
          },
          transaction,
        )
        return [event]
      })
      await life.journal.tell(events)
    }
  }

  async #turns(
    names: readonly VersionName[],
    act: Act,
    seen: Seen,
    after: Turn['after'],
  ): Promise<readonly Turn[]> {
    const { life } = this.#parts
    const turns: Turn[] = []
    for (const [index, name] of names.entries()) {
      const row = await life.shelf.find(name, STATUSES[act])
      const head = await life.versions.head(name.policy_id)
      // Whoever names several tells what they saw of the first one.
      turns.push({ act, row, path: head?.path ?? '', seen: index === 0 ? seen : undefined, after })
    }
    return turns
  }

  /** Everything that stands against it, at once. */
  async #refusals(change: Change, files: readonly StoredFile[]): Promise<readonly Problem[]> {
    const ids = change.turns.flatMap(({ act, row }) => (act === 'activate' ? [row.policy_id] : []))
    // What was in force once, and what ends, waits for no test and no conflict: it only has to load.
    if (ids.length === 0) return this.#parts.check(files.filter((file) => !isTest(file)))
    const wrong = await this.#parts.check(files)
    return [...wrong, ...(await this.#parts.conflicts(files, ids))]
  }

  async #schedule(change: Change): Promise<Activated> {
    const { life } = this.#parts
    const { files } = await this.#afterwards(change)
    refuseWith(await this.#refusals(change, files))
    const done = await life.versions.transaction(async (transaction) => {
      const rows: VersionRow[] = []
      const events: string[] = []
      for (const { row, after } of inOrder(change.turns)) {
        await life.lock(row.policy_id, transaction)
        const before = await life.shelf.find(exactly(row), undefined, transaction)
        life.checkSeen(before, [row.edition])
        const next = { ...after(before), due_problem: null }
        const scheduled =
          life.touched(next, before, 'schedule', change.actor, change.comment) ?? next
        await life.versions.updateVersion(scheduled, transaction)
        const by = idOf(change.actor)
        await life.versions.refreshHead(row.policy_id, by, life.now(), transaction)
        rows.push(scheduled)
        events.push(
          await life.journal.keep(
            {
              event_type: 'policy_activation_scheduled',
              action: 'schedule',
              actor: change.actor,
              before,
              after: scheduled,
              comment: change.comment,
            },
            transaction,
          ),
        )
      }
      return { rows, events }
    })
    await life.journal.tell(done.events)
    const versions = await Promise.all(done.rows.map((row) => life.shelf.view(row)))
    return { versions, revision: null }
  }

  async #carryOut(change: Change): Promise<Activated> {
    const { life, onPublished } = this.#parts
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { state, files } = await this.#afterwards(change)
      refuseWith(await this.#refusals(change, files))
      const done = await life.versions.transaction((transaction) =>
        this.#inForce(change, state, files, transaction),
      )
      if (done === undefined) continue
      await life.journal.tell(done.events)
      onPublished()
      const versions = await Promise.all(done.rows.map((row) => life.shelf.view(row)))
      return { versions, revision: done.revision }
    }
    throw new CordonError(
      'TOO_BUSY',
      'what is in force was changed by others each time that this change had been tried: try again',
    )
  }

  /** What would be in force, and what it was made from. */
  async #afterwards({
    turns,
  }: Change): Promise<{ readonly state: string; readonly files: readonly StoredFile[] }> {
    const { versions } = this.#parts.life
    const state = await versions.activeState()
    const files = new Map(
      (await versions.activeFiles()).map(({ id, path, text }) => [id, { path, text }]),
    )
    for (const { act, row } of turns)
      if (act === 'archive' || act === 'expire') files.delete(row.policy_id)
    for (const { act, row, path } of turns)
      if (act === 'activate' || act === 'roll back')
        files.set(row.policy_id, { path, text: row.rule_content })
    return {
      state,
      files: [...files.values()].toSorted((a, b) =>
        Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)),
      ),
    }
  }

  /** Undefined where something else is in force by now than it was tried with. */
  async #inForce(
    change: Change,
    state: string,
    files: readonly StoredFile[],
    transaction: Transaction<Tables>,
  ): Promise<
    | {
        readonly rows: readonly VersionRow[]
        readonly events: readonly string[]
        readonly revision: string
      }
    | undefined
  > {
    const { life, publish } = this.#parts
    const { versions, journal } = life
    await versions.lockActivation(transaction)
    if ((await versions.activeState(transaction)) !== state) return undefined
    const { actor, comment, rejudge } = change
    for (const { row } of inOrder(change.turns)) await life.lock(row.policy_id, transaction)
    const by = idOf(actor)
    const { revision } = await publish(
      files,
      { reason: reasonOf(change), rejudge, by },
      transaction,
    )
    const rows: VersionRow[] = []
    const events: string[] = []
    // What ends makes room first: one version of a policy is active at a time.
    const ending = change.turns.filter(({ act }) => act === 'archive' || act === 'expire')
    const beginning = change.turns.filter((turn) => !ending.includes(turn))
    for (const turn of [...ending, ...beginning]) {
      const before = await life.shelf.find(exactly(turn.row), undefined, transaction)
      requireStatus(before, STATUSES[turn.act], DONE[turn.act])
      life.checkSeen(before, turn.seen)
      // Tried was the text of the edition that was read; nobody can have written another, but dates can have changed.
      if (before.text_sha256 !== turn.row.text_sha256)
        throw new CordonError('CONFLICT', `${titleOf(before)} was changed meanwhile`)
      const replaced = beginning.includes(turn)
        ? await this.#replace(before, actor, transaction)
        : undefined
      const now = life.now()
      const next: VersionRow = beginning.includes(turn)
        ? {
            ...turn.after(before),
            status: 'active',
            activated_at: now,
            archived_at: null,
            due_problem: null,
          }
        : { ...before, status: 'archived', archived_at: now, due_problem: null }
      const row = life.touched(next, before, turn.act, actor, comment) ?? next
      await versions.updateVersion(row, transaction)
      await versions.refreshHead(row.policy_id, by, now, transaction)
      rows.push(row)
      events.push(
        await journal.keep(
          {
            event_type: EVENTS[turn.act],
            action: turn.act.replace(' ', '_'),
            actor,
            before,
            after: row,
            severity: turn.act === 'activate' ? 'info' : 'warning',
            data: {
              revision,
              rejudge,
              ...(replaced === undefined ? {} : { replaces: replaced.version }),
            },
            comment,
          },
          transaction,
        ),
      )
    }
    return { rows, events, revision }
  }

  /** The version that was active until now; the event of the one that takes its place tells of it. */
  async #replace(
    row: VersionRow,
    actor: Actor,
    transaction: Transaction<Tables>,
  ): Promise<VersionRow | undefined> {
    const { life } = this.#parts
    const active = await life.versions.newest(row.policy_id, ['active'], transaction)
    if (active === undefined) return undefined
    const archived: VersionRow = {
      ...active,
      status: 'archived',
      archived_at: life.now(),
      due_problem: null,
    }
    await life.versions.updateVersion(
      life.touched(archived, active, `replaced by ${row.version}`, actor) ?? archived,
      transaction,
    )
    return active
  }

  /** A version that is not in force goes no further. */
  async #abandon(
    version: VersionRow,
    act: 'archive' | 'expire',
    {
      comment,
      seen,
      actor,
      mayApprove,
    }: {
      readonly comment: string | undefined
      readonly seen: Seen
      readonly actor: Actor
      readonly mayApprove: boolean
    },
  ): Promise<Activated> {
    const { life } = this.#parts
    const archived = await life.write(async (transaction) => {
      await life.lock(version.policy_id, transaction)
      const before = await life.shelf.find(exactly(version), undefined, transaction)
      life.checkSeen(before, seen)
      requireStatus(
        before,
        mayApprove ? ['draft', 'review', 'approved'] : ['draft', 'review'],
        DONE[act],
      )
      const next: VersionRow = {
        ...before,
        status: 'archived',
        archived_at: life.now(),
        due_problem: null,
      }
      const row = life.touched(next, before, act, actor, comment) ?? next
      await life.versions.updateVersion(row, transaction)
      await life.versions.refreshHead(row.policy_id, idOf(actor), life.now(), transaction)
      const event = await life.journal.keep(
        { event_type: EVENTS[act], action: act, actor, before, after: row, comment },
        transaction,
      )
      return { row, events: [event] }
    })
    return { versions: [archived], revision: null }
  }
}

function checkTogether(names: readonly VersionName[]): void {
  if (names.length > MAX_TOGETHER)
    throw invalid('/also', `at most ${MAX_TOGETHER} versions take effect together`)
  const ids = new Set(names.map(({ policy_id: id }) => id))
  if (ids.size < names.length) throw invalid('/also', 'a policy is named twice')
}

function refuseWith(problems: readonly Problem[]): void {
  if (problems.length === 0) return
  throw new CordonError(
    'ACTIVATION_REFUSED',
    `nothing was changed: ${problems.length} reason${problems.length === 1 ? ' stands' : 's stand'} against it`,
    { problems: problems.map((problem) => ({ pointer: '', ...problem })) },
  )
}

function refuseExpired(row: VersionRow, until: string | null | undefined, now: Date): void {
  if (until === undefined && row.expires_at !== null && row.expires_at <= now)
    throw new CordonError(
      'CONFLICT',
      `${titleOf(row)} ended at ${row.expires_at.toISOString()}: give it another date, or none`,
      { problems: [{ file: '', pointer: '/expires_at', message: 'has passed' }] },
    )
}

/** By id: whoever locks several policies does so in this order. */
function inOrder(turns: readonly Turn[]): readonly Turn[] {
  return turns.toSorted((a, b) => (a.row.policy_id < b.row.policy_id ? -1 : 1))
}

function reasonOf({ turns }: Change): string {
  return turns.map(({ act, row }) => `${act} ${row.policy_id} ${row.version}`).join(', ')
}

function exactly({ policy_id, version }: VersionRow): Required<VersionName> {
  return { policy_id, version }
}
