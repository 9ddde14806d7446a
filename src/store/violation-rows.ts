// Violations: every refused decision is a fact, and opens or extends the group that people work on.

import { sql, type Transaction } from 'kysely'
import type { DecisionRecord, ShippedRecord } from '../model/record.ts'
import { UnstorableError } from './array-bytes.ts'
import { decisionsOf, department, inputOf, type Of, POSITION, text } from './record-rows.ts'
import type { Tables } from './tables.ts'
import { type Columns, insert, names, type Row, selectRows } from './unnest.ts'

/** A group that was opened. */
export interface OpenedViolation {
  readonly severity: string
  readonly tenant: string
  readonly person_key: string
}

/** One open group a person, policy, service and day; those that were opened. */
export async function countViolations(
  transaction: Transaction<Tables>,
  records: readonly ShippedRecord[],
  nextId: () => string,
): Promise<OpenedViolation[]> {
  const found = decisionsOf(records).filter(({ record }) => record.violation !== undefined)
  if (found.length === 0) return []
  const groups = groupsOf(found, nextId)
  const stored = await upsertViolations(
    transaction,
    groups.map(({ row, facts }) => ({ ...row, count: facts.length })),
  )
  // A group that was there keeps its id, and the facts are of that group.
  const facts = groups.flatMap((group, index) =>
    group.facts.map((fact) => ({ ...fact, violation_id: stored[index]?.violation_id })),
  )
  await insert(transaction, 'violation_facts', VIOLATION_FACT_COLUMNS, facts)
  return stored.filter(({ opened }) => opened)
}

interface Group {
  row: Record<string, unknown>
  readonly facts: Row[]
}

/** In one order, so that recorders with the same people wait for each other and never in a circle. */
function groupsOf(records: readonly Of<DecisionRecord>[], nextId: () => string): Group[] {
  const groups = new Map<string, Group>()
  for (const shipped of records) {
    const { group, fact } = violationOf(shipped)
    const { tenant, person_key, policy_id, service_id, day } = group
    const key = JSON.stringify([tenant, person_key, policy_id, service_id, day])
    const known = groups.get(key)
    if (known === undefined) {
      groups.set(key, { row: { ...group, violation_id: nextId() }, facts: [fact] })
      continue
    }
    known.facts.push(fact)
    const { last_seen: seen, last_decision_id } = group
    if (String(seen) > String(known.row['last_seen']))
      known.row = { ...known.row, last_seen: seen, last_decision_id }
    if (String(seen) < String(known.row['first_seen']))
      known.row = { ...known.row, first_seen: seen }
  }
  return [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

/** What a refused decision says of its group, as it opens one, and of its fact; but for the id of the group. Throws UnstorableError. */
export function violationOf({ record, personal, writer, seq }: Of<DecisionRecord>): {
  readonly group: Record<string, unknown>
  readonly fact: Row
} {
  try {
    const { decision, violation, person_key, tenant, time } = record
    const { user, resource } = inputOf(record)
    const policyId = decision.primary_policy_id ?? ''
    const serviceId = decision.service?.id ?? text(resource['host']) ?? ''
    const seen = new Date(time).toISOString()
    const day = seen.slice(0, seen.indexOf('T'))
    const user_department = text(department(user))
    const policy = decision.policies_evaluated.find(({ policy_id: id }) => id === policyId)
    return {
      group: {
        tenant,
        day,
        person_key,
        policy_id: policyId,
        service_id: serviceId,
        user_id: text(user['id']),
        user_name: personal?.user?.name ?? personal?.login,
        user_department,
        violation_type: violation?.type,
        policy_name: policy?.policy_name,
        severity: violation?.severity,
        raises_risk: violation?.raises_risk,
        resource_type: text(resource['type']),
        resource_name: decision.service?.name ?? text(resource['host']),
        first_seen: seen,
        last_seen: seen,
        last_decision_id: decision.decision_id,
      },
      fact: {
        tenant,
        time: seen,
        decision_id: decision.decision_id,
        person_key,
        violation_type: violation?.type,
        policy_id: decision.primary_policy_id,
        severity: violation?.severity,
        resource_id: decision.service?.id,
        user_department,
        writer,
        seq,
      },
    }
  } catch (error) {
    throw new UnstorableError('the record lacks what its violation is made of', { cause: error })
  }
}

export const VIOLATION_FACT_COLUMNS: Columns = {
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

/** Those that are made of facts; all others belong to the people who work on it. */
export const VIOLATION_COLUMNS: Columns = {
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
  raises_risk: 'boolean',
  resource_type: 'text',
  resource_name: 'text',
  count: 'bigint',
  first_seen: 'timestamptz',
  last_seen: 'timestamptz',
  last_decision_id: 'uuid',
}

interface Stored extends OpenedViolation {
  readonly opened: boolean
  readonly violation_id: string
}

/** In the order of the rows. */
async function upsertViolations(
  transaction: Transaction<Tables>,
  rows: readonly Row[],
): Promise<readonly Stored[]> {
  const { rows: stored } = await sql<Stored>`
    insert into violations (${names(VIOLATION_COLUMNS)}) ${selectRows(VIOLATION_COLUMNS, rows)}
    on conflict (tenant, person_key, policy_id, service_id, day) do update set
      count = violations.count + excluded.count,
      first_seen = least(violations.first_seen, excluded.first_seen),
      last_decision_id = case when excluded.last_seen > violations.last_seen then excluded.last_decision_id else violations.last_decision_id end,
      last_seen = greatest(violations.last_seen, excluded.last_seen)
    returning (xmax = 0) as opened, severity, violation_id, tenant, person_key`.execute(transaction)
  return stored
}
