// The questions of those who watch: how much and when (trend), most of what (top), and what is new (first seen).
//
// They are answered from sums by the hour or the day, which migrations/0005-series.ts describes: a thousandth of the
// rows, and kept for longer. `exact` asks the decisions themselves, to the millisecond and by any filter.

import { type Kysely, type RawBuilder, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { formerPersonKey, keyPrefixOf, pseudonymOf } from '../model/person.ts'
import type { Condition } from './filters.ts'
import type { Tables } from './tables.ts'

export const QUESTION_OF = ['decisions', 'violations'] as const
export const QUESTION_BY = [
  'service',
  'department',
  'policy',
  'person',
  'decision',
  'source',
  'action',
  'mode',
  'severity',
  'would_be',
  'would_be_policy',
] as const
export const BUCKETS = ['hour', 'day'] as const
export type QuestionBy = (typeof QUESTION_BY)[number]
export type Bucket = (typeof BUCKETS)[number]

/** What is counted, and which of it. Texts are compared exactly; `user` is a name, e-mail, id or pseudonym. */
export interface Question {
  readonly of?: (typeof QUESTION_OF)[number]
  /** RFC 3339; by default a week before `to`. */
  readonly from?: string
  /** RFC 3339, exclusive; by default now. */
  readonly to?: string
  readonly exact?: boolean
  readonly user?: string
  readonly service?: string
  readonly department?: string
  readonly policy?: string
  readonly decision?: string
  readonly source?: string
  readonly action?: string
  readonly mode?: string
  readonly severity?: string
  readonly would_be?: string
  readonly would_be_policy?: string
  /** Only AI services, known or suspected. */
  readonly ai?: boolean
  readonly limit?: number
  readonly cursor?: string
}
export type TrendQuestion = Question & { readonly by?: QuestionBy; readonly bucket?: Bucket }
export type TopQuestion = Question & { readonly by?: QuestionBy }

export interface Answer {
  readonly from: string
  readonly to: string
  /** Where it was read: a table of sums, or the rows themselves. */
  readonly read: string
  readonly by: QuestionBy | null
  readonly items: readonly AnswerItem[]
  readonly next_cursor: string | null
}

export interface AnswerItem {
  /** Of a trend: where its hour or day begins. */
  readonly time?: string
  /** Null where there is none: no policy, no department. */
  readonly name: string | null
  /** By person: what `user` takes, whatever the person is called. */
  readonly person?: string | null
  readonly count: number
  /** Of decisions: how many of them were which. */
  readonly decisions?: { readonly ALLOW: number; readonly DENY: number; readonly REVIEW: number }
  readonly first_seen: string
  readonly last_seen: string
}

export interface QuestionsParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly now: () => number
  readonly personKey: (person: string) => string
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: () => boolean
  /** How much time an exact question may span; 31 days. Without a bound what is new can be asked exactly too. */
  readonly exactMs?: number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const BUCKET_MS: Readonly<Record<Bucket, number>> = { hour: HOUR_MS, day: DAY_MS }
const DEFAULT_MS = 7 * DAY_MS
const MAX_MS = 2 * 366 * DAY_MS
/** Rows are read one by one then. */
const MAX_EXACT_MS = 31 * DAY_MS
const DEFAULT_LIMIT = 100
const ORIGIN = sql`timestamptz '2000-01-01 00:00:00+00'`

/** Where a question can be answered, the cheapest first; what stands for each name there. */
interface Source {
  readonly table: string
  readonly of: Question['of']
  readonly time: string
  readonly bucket: Bucket | undefined
  readonly count: string
  readonly columns: Readonly<Record<string, string>>
  readonly first: string
  readonly last: string
}

const SUMMED = { first: 'first_seen', last: 'last_seen' } as const
const SOURCES: readonly Source[] = [
  {
    table: 'decisions_hourly',
    of: 'decisions',
    time: 'hour',
    bucket: 'hour',
    count: 'requests',
    columns: same(
      'service',
      'department',
      'policy',
      'decision',
      'source',
      'action',
      'mode',
      'would_be',
      'would_be_policy',
      'ai',
    ),
    ...SUMMED,
  },
  {
    table: 'people_daily',
    of: 'decisions',
    time: 'day',
    bucket: 'day',
    count: 'requests',
    columns: { ...same('service', 'department', 'decision', 'ai'), person: 'person_key' },
    ...SUMMED,
  },
  {
    table: 'violations_daily',
    of: 'violations',
    time: 'day',
    bucket: 'day',
    count: 'violations',
    columns: { ...same('service', 'department', 'policy', 'severity'), person: 'person_key' },
    ...SUMMED,
  },
]
const EXACT: readonly Source[] = [
  {
    table: 'decisions',
    of: 'decisions',
    time: 'time',
    bucket: undefined,
    count: '1',
    columns: {
      service: "coalesce(resource_id, '')",
      department: "coalesce(user_department, '')",
      policy: "coalesce(primary_policy_id, '')",
      would_be: "coalesce(would_be, '')",
      person: 'person_key',
      ai: 'resource_ai',
      ...same('decision', 'source', 'action', 'mode'),
    },
    first: 'time',
    last: 'time',
  },
  {
    table: 'violation_facts',
    of: 'violations',
    time: 'time',
    bucket: undefined,
    count: '1',
    columns: {
      service: "coalesce(resource_id, '')",
      department: "coalesce(user_department, '')",
      policy: "coalesce(policy_id, '')",
      severity: 'severity',
      person: 'person_key',
    },
    first: 'time',
    last: 'time',
  },
]

function same(...names: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, name]))
}

export class Questions {
  readonly #parts: QuestionsParts

  constructor(parts: QuestionsParts) {
    this.#parts = parts
  }

  /** Counts by hour or day, in the order of time; with `by`, of each name. */
  async trend(question: TrendQuestion): Promise<Answer> {
    const { by } = question
    const bucket = question.bucket ?? 'hour'
    const asked = await this.#asked(question, by, bucket)
    const { source, from, to, where } = asked
    const time = sql`date_bin(${sql.lit(`1 ${bucket}`)}::interval, ${sql.ref(source.time)}, ${ORIGIN})`
    const name = nameIn(source, by)
    const after = cursorOf(question.cursor, ['time', 'text'])
    const rows = await this.#rows(question, source, {
      time,
      name,
      where:
        after === undefined
          ? where
          : [...where, sql`(${time}, ${name}) > (${after[0]}::timestamptz, ${after[1]})`],
      order: sql`1, 2`,
    })
    return this.#answer(question, { rows, from, to, by, source }, (row) => [
      row.time?.toISOString(),
      row.name,
    ])
  }

  /** The names with the highest counts, those first. */
  async top(question: TopQuestion): Promise<Answer> {
    const by = question.by ?? 'service'
    const { source, from, to, where } = await this.#asked(question, by)
    const after = cursorOf(question.cursor, ['number', 'text'])
    const count = countIn(source)
    const name = nameIn(source, by)
    const rows = await this.#rows(question, source, {
      name,
      where,
      order: sql`count desc, 2`,
      ...(after === undefined
        ? {}
        : {
            having: sql`(${count} < ${after[0]} or (${count} = ${after[0]} and ${name} > ${after[1]}))`,
          }),
    })
    return this.#answer(question, { rows, from, to, by, source }, (row) => [
      Number(row.count),
      row.name,
    ])
  }

  /** Names that were seen for the first time in the range, the newest first; as far back as sums are kept. */
  async firstSeen(question: TopQuestion): Promise<Answer> {
    const by = question.by ?? 'service'
    const { source, where, range } = await this.#asked(question, by, undefined, true)
    const after = cursorOf(question.cursor, ['time', 'text'])
    const name = nameIn(source, by)
    const first = sql`min(${sql.raw(source.first)})`
    const isNew = sql`${first} >= ${range.from} and ${first} < ${range.to}`
    const rows = await this.#rows(question, source, {
      name,
      where,
      order: sql`first_seen desc, 2`,
      having:
        after === undefined
          ? isNew
          : sql`${isNew} and (${first} < ${after[0]}::timestamptz or (${first} = ${after[0]}::timestamptz and ${name} > ${after[1]}))`,
    })
    return this.#answer(question, { rows, ...range, by, source }, (row) => [
      row.first_seen.toISOString(),
      row.name,
    ])
  }

  /** Where it is answered, in which range and by which conditions. `whole`: of all time before the end. */
  async #asked(
    question: Question,
    by: QuestionBy | undefined,
    bucket?: Bucket,
    whole = false,
  ): Promise<{
    readonly source: Source
    readonly from: Date
    readonly to: Date
    /** As it was asked for. */
    readonly range: { readonly from: Date; readonly to: Date }
    readonly where: readonly Condition[]
  }> {
    const source = sourceOf(question, by, bucket)
    const range = this.#range(question, source, whole)
    // Sums have no parts: the edges of the range are those of the buckets.
    const step =
      source.bucket === undefined
        ? 1
        : Math.max(BUCKET_MS[source.bucket], BUCKET_MS[bucket ?? source.bucket])
    const from = new Date(Math.floor(range.from.getTime() / step) * step)
    const to = new Date(Math.ceil(range.to.getTime() / step) * step)
    const time = sql.ref(source.time)
    const where = [
      sql`tenant = ${this.#parts.tenant}`,
      ...(whole ? [] : [sql`${time} >= ${from}`]),
      sql`${time} < ${to}`,
      ...(await this.#conditions(question, source)),
    ]
    return { source, from, to, range, where }
  }

  async #conditions(question: Question, source: Source): Promise<Condition[]> {
    const conditions: Condition[] = []
    for (const name of FILTERS) {
      const value = question[name]
      const column = source.columns[name]
      if (value !== undefined && column !== undefined)
        conditions.push(sql`${sql.raw(column)} = ${value}`)
    }
    if (question.user !== undefined) conditions.push(await this.#isPerson(question.user))
    return conditions
  }

  /** Sums know people by their keys, which follow from what they are called. */
  async #isPerson(user: string): Promise<Condition> {
    const { db, tenant, personKey, pseudonymous } = this.#parts
    const prefix = keyPrefixOf(user)
    if (prefix !== undefined) return sql`person_key like ${`${prefix}%`}`
    if (pseudonymous())
      throw invalid(
        'user',
        'must be a pseudonym, such as person-ab3defgh7jkl: people are shown by pseudonyms here',
      )
    const { rows } = await sql<{ user_id: string }>`
      select user_id from users where tenant = ${tenant}
        and lower(${user}) in (lower(name), lower(email), lower(external_id), user_id::text)`.execute(
      db,
    )
    const people = [...new Set([user, user.toLowerCase(), ...rows.map(({ user_id: id }) => id)])]
    const keys = people.flatMap((person) => [personKey(person), formerPersonKey(tenant, person)])
    return sql`person_key = any(${keys}::text[])`
  }

  #range(question: Question, source: Source, whole: boolean): { from: Date; to: Date } {
    const to = question.to === undefined ? this.#parts.now() : Date.parse(question.to)
    const from = question.from === undefined ? to - DEFAULT_MS : Date.parse(question.from)
    const what = 'must be a time such as 2026-11-24T00:00:00Z'
    if (Number.isNaN(to)) throw invalid('to', what)
    if (Number.isNaN(from)) throw invalid('from', what)
    if (from >= to) throw invalid('from', 'must be before "to"')
    if (to - from > MAX_MS) throw invalid('from', 'must be within two years before "to"')
    const { exactMs = MAX_EXACT_MS } = this.#parts
    if (source.bucket === undefined && (whole ? exactMs !== Infinity : to - from > exactMs))
      throw invalid(
        'exact',
        whole
          ? 'cannot be asked of what is new: it would read everything that was ever decided; first_seen is exact without'
          : 'reads every row of the range, which then must be within 31 days',
      )
    return { from: new Date(from), to: new Date(to) }
  }

  async #rows(
    { limit = DEFAULT_LIMIT }: Question,
    source: Source,
    {
      time,
      name,
      where,
      having,
      order,
    }: {
      readonly time?: RawBuilder<unknown>
      readonly name: RawBuilder<unknown>
      readonly where: readonly Condition[]
      readonly having?: RawBuilder<unknown>
      readonly order: RawBuilder<unknown>
    },
  ): Promise<SumRow[]> {
    const effects = EFFECTS.map(
      (effect) =>
        sql`coalesce(sum(${sql.raw(source.count)}) filter (where ${sql.raw(source.columns['decision'] ?? "''")} = ${sql.lit(effect)}), 0) as ${sql.ref(effect)}`,
    )
    const { rows } = await sql<SumRow>`
      select ${time ?? sql`null::timestamptz`} as time, ${name} as name, ${countIn(source)} as count,
        ${sql.join(source.of === 'decisions' ? effects : [sql`null as none`])},
        min(${sql.raw(source.first)}) as first_seen, max(${sql.raw(source.last)}) as last_seen
      from ${sql.table(source.table)} where ${sql.join(where, sql` and `)}
      group by 1, 2 ${having === undefined ? sql`` : sql`having ${having}`} order by ${order} limit ${limit + 1}`.execute(
      this.#parts.db,
    )
    return rows
  }

  async #answer(
    { limit = DEFAULT_LIMIT }: Question,
    {
      rows,
      from,
      to,
      by,
      source,
    }: {
      readonly rows: readonly SumRow[]
      readonly from: Date
      readonly to: Date
      readonly by: QuestionBy | undefined
      readonly source: Source
    },
    place: (row: SumRow) => readonly unknown[],
  ): Promise<Answer> {
    const shown = rows.slice(0, limit)
    const end = shown.at(-1)
    const names = by === 'person' ? await this.#namesOf(shown) : undefined
    return {
      from: from.toISOString(),
      to: to.toISOString(),
      read: source.table,
      by: by ?? null,
      items: shown.map((row) => itemOf(row, source, names)),
      next_cursor:
        rows.length > limit && end !== undefined
          ? Buffer.from(JSON.stringify(place(end))).toString('base64url')
          : null,
    }
  }

  /** What people are called: as the decision says that each was seen with last. */
  async #namesOf(rows: readonly SumRow[]): Promise<ReadonlyMap<string, string | null>> {
    const { db, tenant, pseudonymous } = this.#parts
    if (pseudonymous() || rows.length === 0)
      return new Map(rows.map(({ name }) => [name, pseudonymOf(name) ?? null]))
    const latest = new Map(rows.map((row) => [row.name, row.last_seen]))
    for (const { name, last_seen: seen } of rows)
      if (seen > (latest.get(name) ?? seen)) latest.set(name, seen)
    const { rows: found } = await sql<{ person_key: string; name: string | null }>`
      select seen.person_key, called.name from unnest(${[...latest.keys()]}::text[], ${[...latest.values()]}::timestamptz[]) as seen(person_key, time)
      cross join lateral (
        select coalesce(user_name, user_email, ip_address) as name from decisions
        where tenant = ${tenant} and decisions.time = seen.time and decisions.person_key = seen.person_key limit 1) called`.execute(
      db,
    )
    return new Map(found.map(({ person_key: key, name }) => [key, name]))
  }
}

const EFFECTS = ['ALLOW', 'DENY', 'REVIEW'] as const
const FILTERS = [
  'service',
  'department',
  'policy',
  'decision',
  'source',
  'action',
  'mode',
  'severity',
  'would_be',
  'would_be_policy',
  'ai',
] as const

interface SumRow {
  readonly time: Date | null
  readonly name: string
  readonly count: string
  readonly ALLOW?: string
  readonly DENY?: string
  readonly REVIEW?: string
  readonly first_seen: Date
  readonly last_seen: Date
}

/** The first that knows every name of the question; throws where none does, and says what would. */
function sourceOf(
  question: Question,
  by: QuestionBy | undefined,
  bucket: Bucket | undefined,
): Source {
  const { of = 'decisions', exact = false, user } = question
  const names = [
    ...(by === undefined ? [] : [by]),
    ...(user === undefined ? [] : ['person']),
    ...FILTERS.filter((name) => question[name] !== undefined),
  ]
  const knows = (source: Source): boolean =>
    source.of === of && names.every((name) => name in source.columns)
  const found = (exact ? EXACT : SOURCES).find(
    (source) => knows(source) && !(bucket === 'hour' && source.bucket === 'day'),
  )
  if (found !== undefined) return found
  const what = names.join(', ')
  if (!exact && EXACT.some(knows))
    throw invalid(
      'exact',
      SOURCES.some(knows)
        ? `must be true for hours of ${what}, which are summed by the day: or ask for bucket=day`
        : `must be true for ${what || 'this'} together, of which no sums are kept`,
    )
  throw invalid('by', `${of} are not known by ${what} together`)
}

function nameIn(source: Source, by: QuestionBy | undefined): RawBuilder<unknown> {
  return by === undefined ? sql`''::text` : sql.raw(source.columns[by] ?? "''")
}

function countIn(source: Source): RawBuilder<unknown> {
  return sql`sum(${sql.raw(source.count)})`
}

function itemOf(
  row: SumRow,
  { of }: Source,
  names: ReadonlyMap<string, string | null> | undefined,
): AnswerItem {
  const number = (value: string | undefined): number => Number(value ?? 0)
  return {
    ...(row.time === null ? {} : { time: row.time.toISOString() }),
    name: names === undefined ? (row.name === '' ? null : row.name) : (names.get(row.name) ?? null),
    ...(names === undefined ? {} : { person: pseudonymOf(row.name) ?? null }),
    count: Number(row.count),
    ...(of === 'decisions'
      ? {
          decisions: {
            ALLOW: number(row.ALLOW),
            DENY: number(row.DENY),
            REVIEW: number(row.REVIEW),
          },
        }
      : {}),
    first_seen: row.first_seen.toISOString(),
    last_seen: row.last_seen.toISOString(),
  }
}

/** Where a page ended: what it was ordered by, then the name. */
function cursorOf(
  cursor: string | undefined,
  kinds: readonly ['time' | 'number', 'text'],
): readonly [string | number, string] | undefined {
  if (cursor === undefined) return undefined
  try {
    const [place, name] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[]
    const isPlace =
      kinds[0] === 'number'
        ? typeof place === 'number' && Number.isSafeInteger(place)
        : typeof place === 'string' && !Number.isNaN(Date.parse(place))
    if (isPlace && typeof name === 'string' && !name.includes('\0'))
      return [place as string | number, name]
  } catch {
    // Told below, as any cursor that is not ours.
  }
  throw invalid('cursor', 'is not one of ours')
}

function invalid(name: string, message: string): CordonError {
  return new CordonError('INPUT_INVALID', `${name} ${message}`, {
    problems: [{ file: `/querystring/${name}`, message }],
  })
}
