// The recorder's end in the store: one statement a table, rows and cursor in one transaction.
//
// Keys contain the record's own time, writer and sequence number, so a repeat collides with itself.

import { type Kysely, sql, type Transaction } from 'kysely'
import type { AuditRecord, GapRecord, OutcomeRecord, ShippedRecord, Sink } from '../model/record.ts'
import { tally } from './coverage-rows.ts'
import {
  AUDIT_COLUMNS,
  auditRow,
  DECISION_COLUMNS,
  decisionRow,
  decisionsOf,
  department,
  GAP_COLUMNS,
  gapRow,
  inputOf,
  only,
  OUTCOME_COLUMNS,
  outcomeRow,
  POSITION,
  text,
} from './record-rows.ts'
import type { Tables } from './tables.ts'
import { arrays, type Columns, insert, names, type Row } from './unnest.ts'

export interface RecordSinkParts {
  readonly db: Kysely<Tables>
  /** Ids of violation groups. */
  readonly nextId: () => string
  /** Told of every violation that was opened. */
  readonly onViolation: (severity: string) => void
}

export class RecordSink implements Sink {
  readonly #parts: RecordSinkParts

  constructor(parts: RecordSinkParts) {
    this.#parts = parts
  }

  async cursors(): Promise<ReadonlyMap<string, number>> {
    const { rows } = await sql<{ writer: string; seq: string }>`
      select writer, max(seq) as seq from writers group by writer`.execute(this.#parts.db)
    return new Map(rows.map(({ writer, seq }) => [writer, Number(seq)]))
  }

  async write(writer: string, records: readonly ShippedRecord[]): Promise<void> {
    const last = records.at(-1)
    if (last === undefined) return
    const opened = await this.#parts.db.transaction().execute(async (transaction) => {
      const { tenant } = last.record
      // The row is there before it is locked: two recorders that begin together would both find nothing to wait for.
      await sql`insert into writers (tenant, writer, seq) values (${tenant}, ${writer}, 0) on conflict do nothing`.execute(
        transaction,
      )
      // Another recorder may have come further: what it shipped is left alone.
      const cursor = await sql<{
        seq: string
      }>`select seq from writers where writer = ${writer} for update`.execute(transaction)
      const shipped = Math.max(...cursor.rows.map(({ seq }) => Number(seq)))
      const fresh = records.filter(({ seq }) => seq > shipped)
      await insertAll(transaction, fresh)
      await tally(transaction, fresh)
      const violations = await this.#violations(transaction, fresh)
      await moveCursor(transaction, tenant, writer, last.seq)
      return violations
    })
    for (const severity of opened) this.#parts.onViolation(severity)
  }

  async setAside(
    { writer, seq, text: exact, leaf, record, personalBytes }: ShippedRecord,
    reason: string,
  ): Promise<void> {
    const personal = personalBytes.length === 0 ? null : personalBytes
    await this.#parts.db.transaction().execute(async (transaction) => {
      await sql`
        insert into dead_letters (tenant, writer, seq, reason, leaf, record, personal)
        values (${record.tenant}, ${writer}, ${seq}, ${reason}, ${leaf}, ${exact}, ${personal})
        on conflict do nothing`.execute(transaction)
      await moveCursor(transaction, record.tenant, writer, seq)
    })
  }

  /** One open group a person, policy, service and day; the severities of those that were opened. */
  async #violations(
    transaction: Transaction<Tables>,
    records: readonly ShippedRecord[],
  ): Promise<string[]> {
    const facts = decisionsOf(records).filter(({ record }) => record.violation !== undefined)
    if (facts.length === 0) return []
    const groups = new Map<string, { row: Record<string, unknown>; count: number }>()
    const factRows: Row[] = []
    for (const { record, personal, writer, seq } of facts) {
      const { decision, violation, person_key: personKey, tenant, time } = record
      const input = inputOf(record)
      const policyId = decision.primary_policy_id ?? ''
      const serviceId = decision.service?.id ?? text(input.resource['host']) ?? ''
      const day = new Date(time).toISOString().slice(0, 10)
      const key = JSON.stringify([tenant, personKey, policyId, serviceId, day])
      const seen = new Date(time).toISOString()
      const known = groups.get(key)
      const violationId = text(known?.row['violation_id']) ?? this.#parts.nextId()
      if (known === undefined) {
        groups.set(key, {
          count: 1,
          row: {
            tenant,
            violation_id: violationId,
            day,
            person_key: personKey,
            policy_id: policyId,
            service_id: serviceId,
            user_id: text(input.user['id']),
            user_name: personal?.user?.name ?? personal?.login,
            user_department: text(department(input.user)),
            violation_type: violation?.type,
            policy_name: decision.policies_evaluated.find(({ policy_id: id }) => id === policyId)
              ?.policy_name,
            severity: violation?.severity,
            resource_type: text(input.resource['type']),
            resource_name: decision.service?.name ?? text(input.resource['host']),
            first_seen: seen,
            last_seen: seen,
            last_decision_id: decision.decision_id,
          },
        })
      } else {
        known.count += 1
        if (seen > String(known.row['last_seen']))
          Object.assign(known.row, { last_seen: seen, last_decision_id: decision.decision_id })
        if (seen < String(known.row['first_seen'])) known.row['first_seen'] = seen
      }
      factRows.push({
        tenant,
        time: seen,
        violation_id: violationId,
        decision_id: decision.decision_id,
        person_key: personKey,
        violation_type: violation?.type,
        policy_id: decision.primary_policy_id,
        severity: violation?.severity,
        resource_id: decision.service?.id,
        user_department: text(department(input.user)),
        writer,
        seq,
      })
    }
    await insert(transaction, 'violation_facts', VIOLATION_FACT_COLUMNS, factRows)
    // In one order, so that recorders with the same people wait for each other and never in a circle.
    const rows = [...groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { row, count }]) => ({ ...row, count }))
    const { rows: result } = await upsertViolations(transaction, rows)
    return result.filter(({ opened }) => opened).map(({ severity }) => severity)
  }
}

async function moveCursor(
  transaction: Transaction<Tables>,
  tenant: string,
  writer: string,
  seq: number,
): Promise<void> {
  await sql`
    insert into writers (tenant, writer, seq) values (${tenant}, ${writer}, ${seq})
    on conflict (tenant, writer) do update set seq = greatest(writers.seq, excluded.seq), updated_at = now()`.execute(
    transaction,
  )
}

const VIOLATION_FACT_COLUMNS: Columns = {
  tenant: 'text',
  time: 'timestamptz',
  violation_id: 'uuid',
  decision_id: 'uuid',
  person_key: 'text',
  violation_type: 'text',
  policy_id: 'text',
  severity: 'text',
  resource_id: 'text',
  user_department: 'text',
  ...POSITION,
}

const VIOLATION_COLUMNS: Columns = {
  tenant: 'text',
  violation_id: 'uuid',
  day: 'date',
  person_key: 'text',
  policy_id: 'text',
  service_id: 'text',
  user_id: 'text',
  user_name: 'text',
  user_department: 'text',
  violation_type: 'text',
  policy_name: 'text',
  severity: 'text',
  resource_type: 'text',
  resource_name: 'text',
  count: 'bigint',
  first_seen: 'timestamptz',
  last_seen: 'timestamptz',
  last_decision_id: 'uuid',
}

async function insertAll(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
): Promise<void> {
  await insert(transaction, 'decisions', DECISION_COLUMNS, decisionsOf(records).map(decisionRow))
  await insert(
    transaction,
    'outcomes',
    OUTCOME_COLUMNS,
    only<OutcomeRecord>(records, 'outcome').map(outcomeRow),
  )
  await insert(
    transaction,
    'audit_events',
    AUDIT_COLUMNS,
    only<AuditRecord>(records, 'audit').map(auditRow),
  )
  await insert(transaction, 'gaps', GAP_COLUMNS, only<GapRecord>(records, 'gap').map(gapRow))
}

async function upsertViolations(
  transaction: Transaction<Tables>,
  rows: readonly Row[],
): Promise<{ rows: { opened: boolean; severity: string }[] }> {
  return sql<{ opened: boolean; severity: string }>`
    insert into violations (${names(VIOLATION_COLUMNS)}) select * from unnest(${arrays(VIOLATION_COLUMNS, rows)})
    on conflict (tenant, person_key, policy_id, service_id, day) do update set
      count = violations.count + excluded.count,
      first_seen = least(violations.first_seen, excluded.first_seen),
      last_decision_id = case when excluded.last_seen > violations.last_seen then excluded.last_decision_id else violations.last_decision_id end,
      last_seen = greatest(violations.last_seen, excluded.last_seen)
    returning (xmax = 0) as opened, severity`.execute(transaction)
}
