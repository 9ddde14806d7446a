// What filters of lists, reports and streams mean, as conditions of SQL.

import { type RawBuilder, sql } from 'kysely'
import { keyPrefixOf } from '../model/person.ts'
import { HAS_RUN_OUT } from './exceptions.ts'
import { isPerson } from './shown-people.ts'
import { isCalled } from './user-names.ts'

/** Names and values of a query, as the doors have checked them. */
export type Filter = Readonly<Record<string, string | number | undefined>>

export type Condition = RawBuilder<unknown>

/** Those of decisions whose rows an index finds; for the others rows are looked through. */
const INDEXED: ReadonlySet<string> = new Set(['decision', 'would_be', 'review_id', 'exception_id'])
/** Not of what is looked for, but of where and how much. */
const OF_THE_PAGE: ReadonlySet<string> = new Set(['limit', 'cursor', 'since', 'until'])

/** What every decision that is wanted fulfils. Pseudonymous: people are asked for by pseudonym, and no name is searched. */
export function decisionConditions(filter: Filter, pseudonymous: boolean): Condition[] {
  return given([
    equal('decision', filter['decision']),
    equal('would_be', filter['would_be']),
    equal('mode', filter['mode']),
    equal('source', filter['source']),
    equal('action', filter['action']),
    equal('primary_policy_id', filter['policy']),
    equal('user_department', filter['department']),
    equal('resource_model', filter['model']),
    equal('request_id', filter['request_id']),
    equal('review_id', filter['review_id']),
    equal('exception_id', filter['exception_id']),
    either(['resource_host'], filter['host']),
    either(['resource_id', 'resource_host'], filter['service']),
    person(['user_id', 'user_name', 'user_email'], filter['user'], pseudonymous),
    filter['finding'] === undefined
      ? undefined
      : sql`findings @> ${JSON.stringify([{ type: filter['finding'] }])}::jsonb`,
    filter['severity'] === undefined
      ? undefined
      : sql`exists (select from violation_facts f where f.tenant = decisions.tenant and f.time = decisions.time
          and f.writer = decisions.writer and f.seq = decisions.seq and f.severity = ${filter['severity']})`,
    words(DECISION_WORDS, filter['q'], pseudonymous),
  ])
}

/** Whether the rows of such a filter can only be found by looking through all of them. */
export function looksThrough(filter: Filter): boolean {
  return Object.entries(filter).some(
    ([name, value]) => value !== undefined && !INDEXED.has(name) && !OF_THE_PAGE.has(name),
  )
}

export function violationConditions(filter: Filter, pseudonymous: boolean): Condition[] {
  return given([
    equal('severity', filter['severity']),
    equal('status', filter['status']),
    equal('policy_id', filter['policy']),
    equal('service_id', filter['service']),
    equal('user_department', filter['department']),
    person(['user_id', 'user_name'], filter['user'], pseudonymous),
    words(VIOLATION_WORDS, filter['q'], pseudonymous),
  ])
}

/** `assignee`: whatever a user is called by, or `none`. */
export function reviewConditions(filter: Filter, pseudonymous: boolean): Condition[] {
  const { assignee, overdue } = filter
  return given([
    reviewStatus(filter['status']),
    equal('policy_id', filter['policy']),
    equal('service_id', filter['service']),
    user('reviews.person', filter['user'], pseudonymous),
    assignee === 'none' ? sql`assignee is null` : user('reviews.assignee', assignee, false),
    overdue === undefined
      ? undefined
      : sql`(status = 'pending' and coalesce(due_at <= now(), false)) = ${overdue === 'true'}`,
  ])
}

export function exceptionConditions(filter: Filter, pseudonymous: boolean): Condition[] {
  return given([
    exceptionStatus(filter['status']),
    user('exceptions.user_id', filter['user'], pseudonymous),
    either(['department'], filter['department']),
    either(['group_name'], filter['group']),
    equal('policy_id', filter['policy']),
    equal('ai_service_id', filter['service']),
    equal('review_id', filter['review_id']),
  ])
}

/** Pseudonymous: actors cannot be asked for by name. */
export function auditConditions(filter: Filter, pseudonymous: boolean): Condition[] {
  return given([
    equal('event_type', filter['event_type']),
    equal('severity', filter['severity']),
    equal('result', filter['result']),
    equal('action', filter['action']),
    equal('target_type', filter['target_type']),
    equal('target_id', filter['target_id']),
    either(['actor_id', 'actor_name'], filter['actor']),
    words(AUDIT_WORDS, filter['q'], pseudonymous),
  ])
}

/** The columns that `q` looks into, what names people last; migrations/0007-queries.ts has the same over its indexes. */
interface Words {
  readonly things: string
  readonly people: string
}
const DECISION_WORDS: Words = {
  things: textOf([
    'reason',
    'resource_host',
    'resource_path',
    'resource_id',
    'resource_name',
    'resource_model',
    'primary_policy_id',
    'user_department',
    'action',
  ]),
  people: textOf(['user_name', 'user_email']),
}
const VIOLATION_WORDS: Words = {
  things: textOf([
    'policy_id',
    'policy_name',
    'service_id',
    'resource_name',
    'user_department',
    'violation_type',
  ]),
  people: textOf(['user_name']),
}
const AUDIT_WORDS: Words = {
  things: textOf(['event_type', 'action', 'target_type']),
  people: textOf(['actor_name', 'target_id', 'target_name', 'event_data::text']),
}

function textOf(columns: readonly string[]): string {
  return columns.map((column) => `coalesce(${column}, '')`).join(" || ' ' || ")
}

/** As web searches read it: words that all occur, "a phrase", or, -not. A search that knows names would tell them. */
function words(
  { things, people }: Words,
  query: string | number | undefined,
  pseudonymous: boolean,
): Condition | undefined {
  if (query === undefined) return undefined
  const texts = pseudonymous ? things : `${things} || ' ' || ${people}`
  return sql`search_words(${sql.raw(texts)}) @@ websearch_to_tsquery('simple', ${String(query)})`
}

function given(conditions: readonly (Condition | undefined)[]): Condition[] {
  return conditions.filter((condition) => condition !== undefined)
}

function equal(column: string, value: string | number | undefined): Condition | undefined {
  return value === undefined ? undefined : sql`${sql.ref(column)} = ${value}`
}

function either(
  columns: readonly string[],
  value: string | number | undefined,
): Condition | undefined {
  if (value === undefined) return undefined
  return sql`(${sql.join(
    columns.map((column) => sql`lower(${sql.ref(column)}) = lower(${value})`),
    sql` or `,
  )})`
}

/** A column, with its table, that holds ids of users: by id, name, e-mail or external id, or by pseudonym. */
function user(
  column: `${'reviews' | 'exceptions'}.${string}`,
  value: string | number | undefined,
  pseudonymous: boolean,
): Condition | undefined {
  if (value === undefined) return undefined
  const called = String(value)
  if (pseudonymous || keyPrefixOf(called) !== undefined) return isPerson([], called, pseudonymous)
  const [table = ''] = column.split('.')
  return sql`(lower(${sql.ref(column)}::text) = lower(${called}) or ${sql.ref(column)}::text in (
    select u.user_id::text from users u where u.tenant = ${sql.ref(`${table}.tenant`)} and ${isCalled(called, 'u')}))`
}

function person(
  columns: readonly string[],
  value: string | number | undefined,
  pseudonymous: boolean,
): Condition | undefined {
  return value === undefined ? undefined : isPerson(columns, String(value), pseudonymous)
}

/** One that has run out is expired, whether anybody has noted it yet or not. */
function exceptionStatus(status: string | number | undefined): Condition | undefined {
  if (status === 'expired') return sql`(status = 'expired' or ${HAS_RUN_OUT})`
  if (status === 'approved' || status === 'pending')
    return sql`(status = ${status} and not ${HAS_RUN_OUT})`
  return equal('status', status)
}

/** An approval that has run out is neither approved nor anything else any more. */
function reviewStatus(status: string | number | undefined): Condition | undefined {
  if (status === 'expired') return sql`status = 'approved' and valid_until <= now()`
  // One that became an exception opens no time of its own.
  if (status === 'approved')
    return sql`status = 'approved' and (valid_until is null or valid_until > now())`
  return equal('status', status)
}
