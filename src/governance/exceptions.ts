// Exceptions from policies: asked for by somebody, decided by somebody else, over when their time or their uses are.
//
// The audit event of a change is in the ledger before the change is committed, so nothing changes unrecorded.

import type { Kysely, Transaction } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { EXCEPTION_CONDITIONS, type ExceptionConditions, type Lifts } from '../model/exception.ts'
import { bareName, pseudonymOf } from '../model/person.ts'
import type { AuditRecord } from '../model/record.ts'
import { SOURCES } from '../model/request.ts'
import { StoredDirectory } from '../store/directory.ts'
import {
  countExceptions,
  decideException,
  type ExceptionDecision,
  type ExceptionRow,
  exceptionView,
  expireExceptions,
  findException,
  insertException,
  peopleOf,
} from '../store/exceptions.ts'
import { directoryNames } from '../store/names.ts'
import type { Tables } from '../store/tables.ts'
import { findUser, userNames } from '../store/user-names.ts'
import { type Actor, type AuditParts, auditRecord } from './audit.ts'
import { isSamePerson, nameOf, personWhoActs } from './identity.ts'

/** The policies in force, and the services of the catalogue: what an exception may name. */
export interface Nameable {
  readonly policies: ReadonlySet<string>
  readonly services: ReadonlySet<string>
}

export interface ExceptionsParts extends AuditParts {
  readonly db: Kysely<Tables>
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: boolean
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  readonly nameable: () => Promise<Nameable>
  /** Resolves when what is in force here is what the store has. */
  readonly onExceptionsChanged: () => Promise<void>
}

/** What somebody asks for; whom and what it is for is AND between those that are given. */
export interface ExceptionRequest {
  /** Name, e-mail, external id or id. */
  readonly user?: string
  readonly department?: string
  readonly group?: string
  readonly policy?: string
  /** An id of the catalogue, or a host that it does not know. */
  readonly service?: string
  /** Without a policy: `everything` unless it says `defaults`. */
  readonly lifts?: Lifts
  readonly reason: string
  readonly justification?: string
  /** RFC 3339; at once and for good where absent. */
  readonly from?: string
  readonly until?: string
  readonly conditions?: ExceptionConditions
}

/** What a reviewer makes an exception of; whom and what it is for stands in the review. */
export type ExceptionTerms = Pick<ExceptionRequest, 'from' | 'until' | 'conditions'> & {
  readonly reason?: string
  readonly justification?: string
}

type View = Readonly<Record<string, unknown>>

const MAX_REASON = 500
const MAX_TEXT = 4000
const MAX_NAME = 320
const MAX_LIST = 100
const MAX_WORD = 64
const WORD = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/
const MAX_USES = 1_000_000_000
const EXPIRE_AT_ONCE = 100
/** RFC 3339 with its zone. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/
const HOST = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$|^\[[0-9a-f:.]+\]$/

export class Exceptions {
  readonly #parts: ExceptionsParts

  constructor(parts: ExceptionsParts) {
    this.#parts = parts
  }

  /** Throws INPUT_INVALID with every fault, FORBIDDEN for nobody in particular, TOO_MANY. */
  async request(request: ExceptionRequest, actor: Actor): Promise<View> {
    const by = personWhoActs(actor, 'asks for an exception')
    const wanted = await this.#read(request)
    const asking = {
      requested_by: by,
      requester_key: this.#parts.personKey(nameOf(actor)),
      review_id: null,
    }
    const row = await this.#transaction((transaction) =>
      this.#make(transaction, { ...wanted, ...asking }, actor),
    )
    return this.#view(row)
  }

  /** Not by who asked, nor by whom it is for. Undefined where there is none; CONFLICT where it is decided already. */
  async approve(id: string, comment: string | undefined, actor: Actor): Promise<View | undefined> {
    const by = personWhoActs(actor, 'approves an exception')
    checkText('/comment', comment ?? '', MAX_TEXT)
    return this.#decide(id, 'approved', { by, text: comment ?? null }, actor)
  }

  async deny(id: string, reason: string, actor: Actor): Promise<View | undefined> {
    const by = personWhoActs(actor, 'denies an exception')
    needText('/reason', reason)
    return this.#decide(id, 'denied', { by, text: reason }, actor)
  }

  /** From two seconds later it holds nowhere. */
  async revoke(id: string, reason: string, actor: Actor): Promise<View | undefined> {
    const by = personWhoActs(actor, 'revokes an exception')
    needText('/reason', reason)
    return this.#decide(id, 'revoked', { by, text: reason }, actor)
  }

  async show(id: string): Promise<View | undefined> {
    const row = await findException(this.#parts.db, this.#parts.tenant, id)
    return row === undefined ? undefined : this.#view(row)
  }

  /** How many wait, and how many are in force. */
  count(): Promise<{ readonly pending: number; readonly approved: number }> {
    return countExceptions(this.#parts.db, this.#parts.tenant)
  }

  /** Those whose time or uses are over are expired, each with its event; how many. */
  async expire(): Promise<number> {
    let count = 0
    for (;;) {
      const expired = await this.#transaction(async (transaction) => {
        const rows = await expireExceptions(transaction, this.#parts.tenant, EXPIRE_AT_ONCE)
        for (const row of rows)
          await this.#note(row, { type: 'system', name: 'control' }, 'expire', row.was)
        return rows
      })
      count += expired.length
      if (expired.length < EXPIRE_AT_ONCE) break
    }
    if (count > 0) await this.#parts.onExceptionsChanged()
    return count
  }

  /**
   * For the transaction of a review's answer: the exception that it becomes, approved by who answers. The person of the
   * review has asked for it by what they did. Call `changed` once the transaction has ended.
   */
  async grant(
    transaction: Transaction<Tables>,
    review: {
      readonly review_id: string
      readonly user_id: string
      readonly policy_id: string | null
      readonly service_id: string
      readonly reason: string
    },
    terms: ExceptionTerms,
    actor: Actor,
  ): Promise<View> {
    const by = personWhoActs(actor, 'approves an exception')
    const { review_id, user_id, policy_id, service_id } = review
    const made = await this.#make(
      transaction,
      {
        ...readTerms(
          { ...terms, reason: terms.reason ?? review.reason },
          '/exception',
          this.#now(),
        ),
        user_id,
        department: null,
        group_name: null,
        policy_id,
        ai_service_id: service_id,
        lifts: policy_id === null ? 'defaults' : 'policy',
        requested_by: user_id,
        requester_key: null,
        review_id,
      },
      actor,
    )
    const { tenant } = this.#parts
    const granted = await decideException(transaction, tenant, made.exception_id, 'approved', {
      by,
      text: null,
    })
    await this.#note(granted, actor, 'approve', 'pending')
    return this.#view(granted, transaction)
  }

  /** Of `grant`, once it is in the store. */
  changed(): Promise<void> {
    return this.#parts.onExceptionsChanged()
  }

  #now(): number {
    return this.#parts.now()
  }

  #transaction<T>(run: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#parts.db.transaction().execute(run)
  }

  async #make(
    transaction: Transaction<Tables>,
    exception: Omit<Parameters<typeof insertException>[2], 'exception_id' | 'person_key'>,
    actor: Actor,
  ): Promise<ExceptionRow> {
    const { tenant, nextId, personKey } = this.#parts
    const { user_id: user } = exception
    const row = await insertException(transaction, tenant, {
      ...exception,
      exception_id: nextId(),
      person_key: user === null ? null : personKey(user),
    })
    await this.#note(row, actor, 'request', undefined)
    return row
  }

  async #decide(
    id: string,
    status: ExceptionDecision,
    said: { readonly by: string; readonly text: string | null },
    actor: Actor,
  ): Promise<View | undefined> {
    const { tenant, onExceptionsChanged } = this.#parts
    const row = await this.#transaction(async (transaction) => {
      const before = await findException(transaction, tenant, id, true)
      if (before === undefined) return undefined
      this.#checkStatus(before, status)
      if (status === 'approved') await this.#checkOther(transaction, before, said.by, actor)
      const after = await decideException(transaction, tenant, id, status, said)
      await this.#note(after, actor, ACTIONS[status], before.status, said.text)
      return after
    })
    if (row === undefined) return undefined
    await onExceptionsChanged()
    return this.#view(row)
  }

  #checkStatus(before: ExceptionRow, status: ExceptionDecision): void {
    const { effective_until: until } = before
    const wanted = status === 'revoked' ? 'approved' : 'pending'
    if (before.status !== wanted)
      throw new CordonError(
        'CONFLICT',
        `the exception is ${before.status}: only one that is ${wanted} can be ${status}`,
      )
    if (until !== null && until.getTime() <= this.#now())
      throw new CordonError('CONFLICT', 'the time of the exception is over')
  }

  /** Two people: not who asked, not whom it is for, nobody of the department or group that it is for. */
  async #checkOther(
    transaction: Transaction<Tables>,
    row: ExceptionRow,
    by: string,
    actor: Actor,
  ): Promise<void> {
    const { tenant, personKey } = this.#parts
    const refuse = (why: string): never => {
      throw new CordonError('OWN_REQUEST', `${why}: somebody else has to approve it`)
    }
    if (
      row.requester_key === personKey(nameOf(actor)) ||
      // After an erasure the pseudonym stands where the id stood.
      row.requested_by === pseudonymOf(personKey(by)) ||
      (await isSamePerson(transaction, tenant, by, row.requested_by))
    )
      refuse('you asked for this exception')
    if (row.user_id !== null) {
      if (await isSamePerson(transaction, tenant, by, row.user_id))
        refuse('this exception is for you')
      return
    }
    const own = await findUser(transaction, tenant, bareName(by))
    if (own === undefined) return
    const directory = new StoredDirectory(transaction, tenant)
    const { user } = (await directory.find({ user_id: own.user_id })) ?? {}
    const { department, groups = [] } = user ?? {}
    const isIn =
      (row.department === null ||
        department?.name === row.department ||
        department?.path?.includes(row.department) === true) &&
      (row.group_name === null || groups.includes(row.group_name))
    if (user !== undefined && isIn)
      refuse(`this exception is for ${row.group_name ?? row.department ?? ''}, where you are`)
  }

  async #note(
    row: ExceptionRow,
    actor: Actor,
    action: string,
    before: ExceptionRow['status'] | undefined,
    text?: string | null,
  ): Promise<void> {
    const personal = {
      ...(action === 'request' ? { reason: row.reason, justification: row.justification } : {}),
      ...(text === undefined || text === null ? {} : { comment: text }),
    }
    await this.#parts.audit(
      auditRecord(this.#parts, {
        event_type: EVENTS[row.status],
        severity: row.status === 'approved' || row.status === 'revoked' ? 'warning' : 'info',
        actor,
        target: {
          type: 'exception',
          id: row.exception_id,
          ...(row.person_key === null ? {} : { person_key: row.person_key }),
        },
        action,
        result: 'success',
        ...(row.review_id === null ? {} : { data: { review_id: row.review_id } }),
        changes: {
          before: before === undefined ? null : { status: before },
          after: stateOf(row, before === undefined),
        },
        ...(Object.keys(personal).length === 0 ? {} : { personalData: personal }),
      }),
    )
  }

  async #view(row: ExceptionRow, db: Kysely<Tables> = this.#parts.db): Promise<View> {
    const { tenant, pseudonymous } = this.#parts
    const shown = { ...row }
    const names = await userNames(db, tenant, peopleOf(shown))
    return exceptionView(shown, names, pseudonymous)
  }

  /** What is asked for, as the directory, the policies and the catalogue spell it. */
  async #read(request: ExceptionRequest) {
    const { db, tenant, nameable } = this.#parts
    const problems: Problem[] = []
    const wrong = (pointer: string, message: string): null => {
      problems.push({ file: '', pointer, message })
      return null
    }
    const { user, department, group, policy, service, lifts } = request
    if (user === undefined && department === undefined && group === undefined)
      wrong('', 'say whom it is for: a user, a department or a group')
    if (policy === undefined && service === undefined)
      wrong('', 'say what it is for: a policy, a service, or a policy at a service')
    if (policy !== undefined && lifts !== undefined && lifts !== 'policy')
      wrong(
        '/lifts',
        'an exception from a policy lifts that policy: leave lifts out, or the policy',
      )
    if (policy === undefined && lifts === 'policy') wrong('/lifts', 'name the policy that it lifts')
    const named = await nameable()
    const directory = await directoryNames(db, tenant, [])
    const found = user === undefined ? undefined : await findUser(db, tenant, user)
    if (user !== undefined && found === undefined)
      wrong('/user', `there is no user "${cut(user)}"; add one with "cordon user add"`)
    if (policy !== undefined && !named.policies.has(policy))
      wrong(
        '/policy',
        `no policy "${cut(policy)}" is in force${didYouMean(policy, [...named.policies])}`,
      )
    const host = service?.toLowerCase() ?? ''
    if (service !== undefined && !named.services.has(service) && !HOST.test(host))
      wrong(
        '/service',
        `the catalogue knows no service "${cut(service)}"${didYouMean(service, [...named.services])}, and it is no host`,
      )
    const terms = readTerms(request, '', this.#now(), problems)
    const row = {
      ...terms,
      user_id: found?.user_id ?? null,
      department: spelled(department, directory.departments, '/department', wrong),
      group_name: spelled(group, directory.groups, '/group', wrong),
      policy_id: policy ?? null,
      ai_service_id: service === undefined ? null : named.services.has(service) ? service : host,
      lifts: lifts ?? (policy === undefined ? ('everything' as const) : ('policy' as const)),
    }
    refuseIf(problems)
    return row
  }
}

const EVENTS: Readonly<Record<ExceptionRow['status'], string>> = {
  pending: 'exception_requested',
  approved: 'exception_approved',
  denied: 'exception_denied',
  revoked: 'exception_revoked',
  expired: 'exception_expired',
}
const ACTIONS = { approved: 'approve', denied: 'deny', revoked: 'revoke' } as const

/** What may stand in a record for years: ids, and nothing that somebody wrote. */
function stateOf(row: ExceptionRow, isWhole: boolean): Readonly<Record<string, unknown>> {
  const { status, usage_count } = row
  if (!isWhole) return { status, ...(status === 'approved' ? {} : { usage_count }) }
  return {
    status,
    user_id: row.user_id,
    department: row.department,
    group: row.group_name,
    policy_id: row.policy_id,
    service_id: row.ai_service_id,
    lifts: row.lifts,
    conditions: row.conditions ?? {},
    effective_from: row.effective_from?.toISOString() ?? null,
    effective_until: row.effective_until?.toISOString() ?? null,
  }
}

/** Names are compared without case, and kept as the directory has them: a request is compared exactly. */
function spelled(
  name: string | undefined,
  known: readonly string[],
  pointer: string,
  wrong: (pointer: string, message: string) => null,
): string | null {
  if (name === undefined) return null
  const found = known.find((each) => each.toLowerCase() === name.toLowerCase())
  if (found !== undefined) return found
  const what = pointer.slice(1)
  return wrong(pointer, `there is no ${what} "${cut(name)}"${didYouMean(name, known)}`)
}

type Terms = Pick<
  ExceptionRow,
  'reason' | 'justification' | 'effective_from' | 'effective_until' | 'conditions'
>

/** What both a request and a reviewer give. With `problems`, faults are added to them, else thrown. */
function readTerms(
  {
    reason,
    justification = '',
    from,
    until,
    conditions = {},
  }: Pick<ExceptionRequest, 'reason' | 'justification' | 'from' | 'until' | 'conditions'>,
  at: string,
  now: number,
  problems?: Problem[],
): Terms {
  const found: Problem[] = problems ?? []
  const wrong = (pointer: string, message: string): void => {
    found.push({ file: '', pointer: at + pointer, message })
  }
  const text = (pointer: string, value: string, most: number, isNeeded: boolean): void => {
    const problem = textProblem(value, most, isNeeded)
    if (problem !== undefined) wrong(pointer, problem)
  }
  text('/reason', reason, MAX_REASON, true)
  text('/justification', justification, MAX_TEXT, false)
  const time = (pointer: string, value: string | undefined): Date | null => {
    if (value === undefined) return null
    const date = new Date(value)
    if (TIME.test(value) && !Number.isNaN(date.getTime())) return date
    wrong(pointer, 'must be a time such as 2026-12-24T00:00:00Z')
    return null
  }
  const [effectiveFrom, effectiveUntil] = [time('/from', from), time('/until', until)]
  if (effectiveUntil !== null && effectiveUntil.getTime() <= now)
    wrong('/until', 'lies in the past')
  if (effectiveFrom !== null && effectiveUntil !== null && effectiveFrom >= effectiveUntil)
    wrong('/until', 'must be after from')
  conditionProblems(conditions, (key, message) => wrong(`/conditions${key}`, message))
  if (problems === undefined) refuseIf(found)
  return {
    reason,
    justification,
    effective_from: effectiveFrom,
    effective_until: effectiveUntil,
    conditions,
  }
}

function conditionProblems(
  conditions: ExceptionConditions,
  wrong: (key: string, message: string) => void,
): void {
  const { max_uses: uses, hours, weekdays, data_types: types, sources, actions } = conditions
  for (const key of Object.keys(conditions))
    if (!(EXCEPTION_CONDITIONS as readonly string[]).includes(key))
      wrong(`/${key}`, `is no condition${didYouMean(key, EXCEPTION_CONDITIONS)}`)
  if (uses !== undefined && !(Number.isInteger(uses) && uses >= 1 && uses <= MAX_USES))
    wrong('/max_uses', `must be a whole number from 1 to ${MAX_USES}`)
  const isHour = (hour: number, most: number): boolean =>
    Number.isInteger(hour) && hour >= 0 && hour <= most
  if (hours !== undefined && !(isHour(hours.from, 23) && isHour(hours.to, 24)))
    wrong('/hours', 'must be {from: 0 to 23, to: 1 to 24}')
  else if (hours !== undefined && hours.from === hours.to)
    wrong('/hours', 'must not end where it begins: leave it out for all day')
  const list = (
    key: string,
    values: readonly unknown[] | undefined,
    isOne: (value: unknown) => string | undefined,
  ): void => {
    if (values === undefined) return
    if (values.length > MAX_LIST) wrong(key, `may hold ${MAX_LIST} at most`)
    else
      for (const [index, value] of values.entries()) {
        const problem = isOne(value)
        if (problem !== undefined) wrong(`${key}/${index}`, problem)
      }
    if (values.length === 0 && key !== '/data_types')
      wrong(key, 'is empty, so it would never hold: leave it out')
  }
  list('/weekdays', weekdays, (day) =>
    [1, 2, 3, 4, 5, 6, 7].includes(Number(day)) ? undefined : 'must be 1 (Monday) to 7',
  )
  const word = (value: unknown): string | undefined =>
    typeof value === 'string' && value.length <= MAX_WORD && WORD.test(value)
      ? undefined
      : 'must be a snake_case word'
  list('/data_types', types, word)
  list('/sources', sources, (source) =>
    SOURCES.some((each) => each === source) ? undefined : `must be one of ${SOURCES.join(', ')}`,
  )
  list('/actions', actions, word)
}

function refuseIf(problems: readonly Problem[]): void {
  if (problems.length > 0)
    throw new CordonError('INPUT_INVALID', 'the exception is not valid', { problems })
}

function checkText(pointer: string, text: string, most: number, isNeeded = false): void {
  const problem = textProblem(text, most, isNeeded)
  if (problem !== undefined)
    throw new CordonError('INPUT_INVALID', `the ${pointer.slice(1)} ${problem}`, {
      problems: [{ file: '', pointer, message: problem }],
    })
}

function needText(pointer: string, text: string): void {
  checkText(pointer, text, MAX_REASON, true)
}

function textProblem(text: string, most: number, isNeeded: boolean): string | undefined {
  if (isNeeded && text.trim() === '') return 'is missing'
  if (text.length > most) return `may have ${most} characters at most`
  // Line ends and tabs are text; what moves a terminal's cursor is not.
  return /[\p{Cc}--[\t\n\r]]/v.test(text) ? 'holds control characters' : undefined
}

function cut(text: string): string {
  return text.slice(0, MAX_NAME)
}
