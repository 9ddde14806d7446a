// One row of `violations` against its facts: how many they are, from when to when, and that it was opened by one of their
// decisions. What people write into it (status, whom it is assigned to, notes) is theirs.

import type { LedgerRecord } from '../model/record.ts'
import type { Columns, Row } from '../store/unnest.ts'
import { VIOLATION_COLUMNS } from '../store/violation-rows.ts'
import { wrongColumn, wrongColumns } from './columns.ts'
import { Damaged } from './report.ts'
import type { StoredRow } from './store-pages.ts'

export interface GroupFact {
  readonly row: StoredRow
  /** What its decision says of a row that it opens; undefined where the decision is gone. */
  readonly opened: Row | undefined
  /** Whom its decision was about is erased. */
  readonly isErased: boolean
  /** Of a release that proved nothing. */
  readonly isStranger: boolean
}

/** What retention may have taken, as it has told. */
export interface Gone {
  readonly facts: boolean
  readonly row: boolean
}

const COUNTED = new Set(['violation_id', 'count', 'first_seen', 'last_seen', 'last_decision_id'])
/** What a row has from the decision that opened it. */
const OPENED: Columns = Object.fromEntries(
  Object.entries(VIOLATION_COLUMNS).filter(([name]) => !COUNTED.has(name)),
)
/** Of these a fact has its own, when its decision is gone. */
const TOLD: Columns = { user_department: 'text', violation_type: 'text', severity: 'text' }
const DAY_MICROS = 86_400_000_000

export class ViolationGroup {
  readonly id: string
  #row: StoredRow | undefined
  #first: StoredRow | undefined
  #facts = 0
  #decisions = 0
  /** Microseconds since the epoch. */
  #from = Infinity
  #to = -Infinity
  /** Whether the row names a decision of the last moment. */
  #isLast = false
  #isOpened = false
  /** Whether it could be the row of a decision, but for a name that is not there. */
  #isNameless = false
  #isTold = false
  #isStrange = false
  /** Columns in which it differs from the decision that comes nearest. */
  #nearest: readonly string[] | undefined
  #astray: { readonly fact: StoredRow; readonly column: string } | undefined
  #strayed = 0

  constructor(id: string) {
    this.id = id
  }

  /** The row as it was read last. */
  is(row: StoredRow | undefined): void {
    this.#row = row
  }

  /** After `is`. */
  add({ row: fact, opened, isErased, isStranger }: GroupFact): void {
    const time = Number(fact['time'])
    this.#first ??= fact
    this.#facts += 1
    this.#from = Math.min(this.#from, time)
    this.#isStrange ||= isStranger
    const row = this.#row
    const isLast = fact['decision_id'] === row?.['last_decision_id']
    if (time >= this.#to) this.#isLast = isLast || (time === this.#to && this.#isLast)
    this.#to = Math.max(this.#to, time)
    if (row === undefined) return
    const column = keyColumn(row, fact, opened)
    if (column !== undefined) {
      this.#astray ??= { fact, column }
      this.#strayed += 1
      return
    }
    this.#isTold ||= wrongColumn(TOLD, row, fact) === undefined
    if (opened === undefined) return
    this.#decisions += 1
    if (this.#isOpened) return
    const wrong = wrongColumns(OPENED, row, opened).filter(
      (name) => !isErased || name !== 'user_name',
    )
    this.#isOpened = wrong.length === 0
    this.#isNameless ||= wrong.length === 1 && wrong[0] === 'user_name' && row['user_name'] === null
    if (wrong.length < (this.#nearest?.length ?? Infinity)) this.#nearest = wrong
  }

  /** Milliseconds; of its last fact. */
  get lastFact(): number {
    return this.#to / 1000
  }

  /** Its person has a name in the decision that opened it, and here no more. */
  get isNameless(): boolean {
    return this.#isNameless && !this.#isOpened
  }

  /** What an order to erase would have to be about. */
  decision(tenant: string): LedgerRecord {
    const time = this.#from / 1000
    return { kind: 'decision', tenant, time, person_key: this.#row?.['person_key'] } as LedgerRecord
  }

  /** What is wrong with it; undefined where nothing is, as far as its facts and decisions are there. */
  judge(gone: Gone): Damaged | undefined {
    const row = this.#row
    if (row === undefined) return gone.row ? undefined : this.#missing()
    if (this.#facts === 0)
      return gone.facts
        ? this.#counted(row, false)
        : this.#damaged(
            'no fact belongs to it: it was inserted, or its facts were given another id',
          )
    if (this.#astray !== undefined) return this.#misplaced(this.#astray)
    const mayLack = gone.facts || this.#isStrange
    const isWhole = !mayLack || row['count'] === String(this.#facts)
    return this.#counted(row, isWhole) ?? this.#openedBy(isWhole && !this.#isStrange)
  }

  /** Nothing is wrong, but not all of it can be compared any more. */
  get isPartial(): boolean {
    return this.#row !== undefined && !this.#isOpened && !this.#isNameless
  }

  #missing(): Damaged {
    const [writer, seq] = ['writer', 'seq'].map((name) => String(this.#first?.[name]))
    return this.#damaged(
      `is missing: ${this.#facts} facts belong to it, the first is that of record ${seq} of writer ${writer}; or these were given its id`,
    )
  }

  #misplaced({ fact, column }: { readonly fact: StoredRow; readonly column: string }): Damaged {
    if (this.#strayed === this.#facts) return this.#damaged('is not what its facts say', column)
    return new Damaged({
      writer: String(fact['writer']),
      seq: Number(fact['seq']),
      time: Number(fact['time']) / 1000,
      table: 'violation_facts',
      column: 'violation_id',
      what: 'is not the violation of its person, policy, service and day',
    })
  }

  /** What every fact adds to; where not all facts are there, they are a bound. */
  #counted(row: StoredRow, isWhole: boolean): Damaged | undefined {
    const [count, from, to] = [row['count'], row['first_seen'], row['last_seen']].map(Number)
    const isIn = (at = NaN): boolean => dayOf(at) === row['day']
    const fits = (is: boolean, mayBe: boolean): boolean => (isWhole ? is : mayBe)
    const facts = this.#facts
    if (!fits(count === facts, (count ?? 0) >= Math.max(1, facts)))
      return this.#damaged(`is ${count}, and ${facts} facts belong to it`, 'count')
    if (!isIn(from) || !fits(from === this.#from, (from ?? NaN) <= Math.min(this.#from, to ?? NaN)))
      return this.#damaged('is not the time of its first fact', 'first_seen')
    if (!isIn(to) || !fits(to === this.#to, (to ?? NaN) >= this.#to))
      return this.#damaged('is not the time of its last fact', 'last_seen')
    if (to === this.#to && !this.#isLast)
      return this.#damaged('is not the decision of its last fact', 'last_decision_id')
    return undefined
  }

  #openedBy(isWhole: boolean): Damaged | undefined {
    if (this.#isOpened || this.#isNameless || !isWhole) return undefined
    if (this.#decisions === this.#facts)
      return this.#damaged('is what none of its decisions says', this.#nearest?.[0])
    return this.#isTold
      ? undefined
      : this.#damaged('department, type and severity are those of none of its facts')
  }

  #damaged(what: string, column?: string): Damaged {
    const place = { table: 'violations', row: this.id }
    return new Damaged({ ...place, ...(column === undefined ? {} : { column }), what })
  }
}

/** The first column in which a fact is not of the person, policy, service and day of a row. */
function keyColumn(row: StoredRow, fact: StoredRow, opened: Row | undefined): string | undefined {
  const service = opened === undefined ? fact['resource_id'] : opened['service_id']
  const key = {
    tenant: fact['tenant'],
    day: dayOf(Number(fact['time'])),
    person_key: fact['person_key'],
    policy_id: fact['policy_id'] ?? '',
    // Without an id the service was named by its host, which only the decision knows.
    service_id: service ?? row['service_id'],
  }
  const columns: Columns = {
    tenant: 'text',
    day: 'date',
    person_key: 'text',
    policy_id: 'text',
    service_id: 'text',
  }
  return wrongColumn(columns, row, key)
}

/** The day of a time in microseconds, in UTC. */
function dayOf(micros: number): string | undefined {
  const date = new Date(Math.floor(micros / DAY_MICROS) * (DAY_MICROS / 1000))
  if (Number.isNaN(date.getTime())) return undefined
  const text = date.toISOString()
  return text.slice(0, text.indexOf('T'))
}
