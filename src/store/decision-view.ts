// A decision as lists, exports and streams show it: with how its request ended, where it has.

import type { Kysely } from 'kysely'
import { isPersonalSignal, type RiskSignals } from '../model/risk.ts'
import { type End, endsOf, NO_END } from './ends.ts'
import { shownPerson } from './shown-people.ts'
import type { Tables } from './tables.ts'

type Row = Readonly<Record<string, unknown>>

/** Rows of `decisions` as they are shown, in their order. */
export async function shownDecisions(
  db: Kysely<Tables>,
  tenant: string,
  rows: readonly Row[],
  pseudonymous: boolean,
): Promise<Row[]> {
  const ends = await endsOf(db, tenant, rows)
  return rows.map((row) =>
    decisionView(
      { ...shownPerson(row, pseudonymous), risk: riskView(row, pseudonymous) },
      ends.get(row['decision_id']),
    ),
  )
}

function decisionView(row: Row, end: End = NO_END): Row {
  return {
    decision_id: row['decision_id'],
    request_id: row['request_id'],
    time: row['time'],
    decision: row['decision'],
    reason: row['reason'],
    source: row['source'],
    action: row['action'],
    user: {
      id: row['user_id'],
      name: row['user_name'],
      email: row['user_email'],
      department: row['user_department'],
      known: row['user_known'],
    },
    resource: {
      id: row['resource_id'],
      name: row['resource_name'],
      host: row['resource_host'],
      path: row['resource_path'],
      known: row['resource_known'],
      ai: row['resource_ai'],
      category: row['resource_category'],
      model: row['resource_model'],
      approval_status: row['approval_status'],
    },
    primary_policy_id: row['primary_policy_id'],
    mode: row['mode'],
    findings: row['findings'],
    would_be: row['would_be'],
    obligations: row['obligations'],
    policies_evaluated: row['policies_evaluated'],
    review_id: row['review_id'],
    exception_id: row['exception_id'],
    confidence: row['confidence'],
    risk_score: row['risk_score'],
    risk: row['risk'],
    ip_address: row['ip_address'],
    revision: row['revision'],
    evaluation_us: row['evaluation_us'],
    ...end,
  }
}

/** What the score is made of. Pseudonymous: the signs of a person's own are left out; their points tell enough. */
function riskView({ risk_factors: risk }: Row, pseudonymous: boolean): unknown {
  if (!isRisk(risk)) return null
  if (!pseudonymous) return risk
  const signals = Object.entries(risk.signals).filter(([name]) => !isPersonalSignal(name))
  return { ...risk, signals: Object.fromEntries(signals) }
}

function isRisk(risk: unknown): risk is { readonly signals: RiskSignals } {
  return typeof risk === 'object' && risk !== null && 'signals' in risk
}
