// What each kind of record puts into which column.

import type {
  AuditRecord,
  DecisionRecord,
  GapRecord,
  OutcomeRecord,
  ShippedRecord,
} from '../model/record.ts'
import type { RiskInput, RiskSignals } from '../model/risk.ts'
import type { Columns, Row } from './unnest.ts'

export type Of<K> = ShippedRecord & {
  readonly record: K & { readonly writer: string; readonly seq: number }
}

export const POSITION: Columns = { writer: 'uuid', seq: 'bigint' }
export const DECISION_COLUMNS: Columns = {
  tenant: 'text',
  time: 'timestamptz',
  decision_id: 'uuid',
  request_id: 'uuid',
  user_id: 'text',
  user_name: 'text',
  user_email: 'text',
  user_department: 'text',
  user_known: 'boolean',
  person_key: 'text',
  action: 'text',
  resource_type: 'text',
  resource_id: 'text',
  resource_name: 'text',
  resource_host: 'text',
  resource_path: 'text',
  resource_category: 'text',
  resource_model: 'text',
  resource_known: 'boolean',
  resource_ai: 'boolean',
  approval_status: 'text',
  decision: 'text',
  reason: 'text',
  would_be: 'text',
  confidence: 'double precision',
  risk_score: 'integer',
  risk_factors: 'jsonb',
  policies_evaluated: 'jsonb',
  primary_policy_id: 'text',
  obligations: 'jsonb',
  review_id: 'uuid',
  exception_id: 'uuid',
  mode: 'text',
  revision: 'text',
  source: 'text',
  network: 'text',
  ip_address: 'text',
  geo_location: 'text',
  user_agent: 'text',
  device: 'jsonb',
  content_classified: 'boolean',
  findings: 'jsonb',
  evaluation_us: 'integer',
  ttl: 'integer',
  ...POSITION,
  leaf: 'bytea',
  record: 'text',
  personal: 'bytea',
}
export const OUTCOME_COLUMNS: Columns = {
  tenant: 'text',
  time: 'timestamptz',
  request_id: 'uuid',
  decision_id: 'uuid',
  status: 'integer',
  bytes_in: 'bigint',
  bytes_out: 'bigint',
  duration_ms: 'bigint',
  visibility: 'text',
  visibility_reason: 'text',
  format: 'text',
  input_tokens: 'bigint',
  output_tokens: 'bigint',
  ...POSITION,
  leaf: 'bytea',
  record: 'text',
}
export const AUDIT_COLUMNS: Columns = {
  tenant: 'text',
  time: 'timestamptz',
  event_id: 'uuid',
  event_type: 'text',
  severity: 'text',
  actor_id: 'text',
  actor_name: 'text',
  actor_type: 'text',
  target_type: 'text',
  target_id: 'text',
  target_name: 'text',
  action: 'text',
  result: 'text',
  event_data: 'jsonb',
  changes: 'jsonb',
  ...POSITION,
  leaf: 'bytea',
  record: 'text',
  personal: 'bytea',
}
export const GAP_COLUMNS: Columns = {
  tenant: 'text',
  ...POSITION,
  time: 'timestamptz',
  gap_from: 'timestamptz',
  gap_to: 'timestamptz',
  count: 'bigint',
  reason: 'text',
  leaf: 'bytea',
  record: 'text',
}

export function only<T>(records: readonly ShippedRecord[], kind: string): Of<T>[] {
  return records.filter(({ record }) => record.kind === kind) as unknown as Of<T>[]
}

export function decisionsOf(records: readonly ShippedRecord[]): Of<DecisionRecord>[] {
  return only<DecisionRecord>(records, 'decision')
}

interface RecordedInput {
  readonly user: Readonly<Record<string, unknown>>
  readonly action: string
  readonly resource: Readonly<Record<string, unknown>>
  readonly content?: Readonly<Record<string, unknown>>
  readonly context: Readonly<Record<string, unknown>>
}

export function inputOf({ input }: DecisionRecord): RecordedInput {
  return input as RecordedInput
}

export function decisionRow({
  record,
  personal,
  personalBytes,
  leaf,
  text: exact,
  writer,
  seq,
}: Of<DecisionRecord>): Row {
  const { decision, tenant, time, request_id, person_key, mode } = record
  const { user, action, resource, content, context } = inputOf(record)
  return {
    tenant,
    time: new Date(time).toISOString(),
    decision_id: decision.decision_id,
    request_id,
    user_id: user['id'],
    user_name: personal?.user?.name ?? personal?.login,
    user_email: personal?.user?.email,
    user_department: department(user),
    user_known: user['known'] === true,
    person_key,
    action,
    resource_type: resource['type'],
    resource_id: resource['id'],
    resource_name: resource['name'] ?? resource['host'],
    resource_host: resource['host'],
    resource_path: resource['path'],
    resource_category: resource['category'],
    resource_model: resource['model'],
    resource_known: resource['known'] === true,
    resource_ai: resource['ai'] === true,
    approval_status: resource['approval_status'],
    decision: decision.decision,
    reason: decision.reason,
    would_be: decision.would_be,
    confidence: decision.confidence,
    risk_score: decision.risk_score,
    risk_factors: riskText(record.risk_signals, personal?.risk_signals, context['risk']),
    policies_evaluated: listText(decision.policies_evaluated),
    primary_policy_id: decision.primary_policy_id,
    obligations: JSON.stringify(decision.obligations),
    review_id: decision.review_id,
    // Former releases have none.
    exception_id: decision.exception_id ?? null,
    mode,
    revision: decision.revision,
    source: context['source'],
    network: context['network'],
    ip_address: personal?.ip_address,
    geo_location: personal?.geo_location ?? context['geo_location'],
    user_agent: personal?.user_agent,
    device: personal?.device === undefined ? null : JSON.stringify(personal.device),
    content_classified: content?.['classified'],
    findings: JSON.stringify(decision.findings),
    evaluation_us: decision.evaluation_us,
    ttl: decision.ttl,
    writer,
    seq,
    leaf,
    record: exact,
    personal: personalBytes.length === 0 ? null : personalBytes,
  }
}

/** What the score is made of: level, factors and signs. Undefined where a record has no score. */
function riskText(
  signals: RiskSignals | undefined,
  personal: RiskSignals | undefined,
  risk: unknown,
): string | undefined {
  if (signals === undefined) return undefined
  const { score: _score, ...told } = risk as RiskInput
  return JSON.stringify({ ...told, signals: { ...signals, ...personal } })
}

/** Decisions share the list of the policies that were asked (src/ledger/record-of.ts): its text is made once. */
const listTexts = new WeakMap<object, string>()

function listText(list: object): string {
  let made = listTexts.get(list)
  if (made === undefined) {
    made = JSON.stringify(list)
    listTexts.set(list, made)
  }
  return made
}

export function outcomeRow({ record, leaf, text: exact, writer, seq }: Of<OutcomeRecord>): Row {
  const { tenant, time, request_id, decision_id, status, bytes_in, bytes_out, duration_ms } = record
  return {
    tenant,
    time: new Date(time).toISOString(),
    request_id,
    decision_id,
    status,
    bytes_in,
    bytes_out,
    duration_ms: Math.round(duration_ms),
    visibility: record.visibility,
    visibility_reason: record.visibility_reason,
    format: record.format,
    input_tokens: counted(record.input_tokens),
    output_tokens: counted(record.output_tokens),
    writer,
    seq,
    leaf,
    record: exact,
  }
}

export function auditRow({
  record,
  leaf,
  text: exact,
  writer,
  seq,
  personal,
  personalBytes,
}: Of<AuditRecord>): Row {
  const {
    tenant,
    time,
    event_id,
    event_type,
    severity,
    actor,
    target,
    action,
    result,
    data,
    changes,
  } = record
  const told = personal?.data === undefined ? data : { ...data, ...personal.data }
  return {
    tenant,
    time: new Date(time).toISOString(),
    event_id,
    event_type,
    severity,
    actor_id: actor.id,
    actor_name: personal?.actor_name ?? actor.name,
    actor_type: actor.type,
    target_type: target?.type,
    target_id: target?.id,
    target_name: personal?.target_name ?? target?.name,
    action,
    result,
    event_data: told === undefined ? null : JSON.stringify(told),
    changes: changes === undefined ? null : JSON.stringify(changes),
    writer,
    seq,
    leaf,
    record: exact,
    personal: personalBytes.length === 0 ? null : personalBytes,
  }
}

export function gapRow({ record, leaf, text: exact, writer, seq }: Of<GapRecord>): Row {
  const { tenant, time, from, to, count, reason } = record
  const iso = (ms: number): string => new Date(ms).toISOString()
  return {
    tenant,
    writer,
    seq,
    time: iso(time),
    gap_from: iso(from),
    gap_to: iso(to),
    count,
    reason,
    leaf,
    record: exact,
  }
}

/** Services count tokens, and one that does it strangely must not keep the row out. */
function counted(tokens: number | undefined): number | undefined {
  return Number.isSafeInteger(tokens) ? tokens : undefined
}

export function department(user: Readonly<Record<string, unknown>>): unknown {
  const found = user['department']
  return typeof found === 'object' && found !== null && 'name' in found ? found.name : undefined
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
