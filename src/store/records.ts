// The recorder's end in the store: one statement a table, rows and cursor in one transaction.
//
// Keys contain the record's own time, writer and sequence number, so a repeat collides with itself.

import { type Kysely, sql, type Transaction } from 'kysely'
import type {
  AuditRecord,
  DecisionRecord,
  GapRecord,
  OutcomeRecord,
  ShippedRecord,
  Sink,
} from '../model/record.ts'
import type { Tables } from './tables.ts'

type Row = Readonly<Record<string, unknown>>
type Of<K> = ShippedRecord & {
  readonly record: K & { readonly writer: string; readonly seq: number }
}

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
        writer,
        seq,
      })
    }
    await insert(transaction, 'violation_facts', VIOLATION_FACT_COLUMNS, factRows)
    const rows = [...groups.values()].map(({ row, count }) => ({ ...row, count }))
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

type Columns = Readonly<Record<string, string>>

/** Stored as text, but known to be JSON without line breaks. */
const JSON_TEXT = 'json text'

const POSITION: Columns = { writer: 'uuid', seq: 'bigint' }
const DECISION_COLUMNS: Columns = {
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
  resource_known: 'boolean',
  resource_ai: 'boolean',
  approval_status: 'text',
  decision: 'text',
  reason: 'text',
  would_be: 'text',
  confidence: 'double precision',
  risk_score: 'integer',
  policies_evaluated: 'jsonb',
  primary_policy_id: 'text',
  obligations: 'jsonb',
  review_id: 'uuid',
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
  record: JSON_TEXT,
  personal: 'bytea',
}
const OUTCOME_COLUMNS: Columns = {
  tenant: 'text',
  time: 'timestamptz',
  request_id: 'uuid',
  decision_id: 'uuid',
  status: 'integer',
  bytes_in: 'bigint',
  bytes_out: 'bigint',
  duration_ms: 'bigint',
  ...POSITION,
  leaf: 'bytea',
  record: JSON_TEXT,
}
const AUDIT_COLUMNS: Columns = {
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
  record: JSON_TEXT,
  personal: 'bytea',
}
const GAP_COLUMNS: Columns = {
  tenant: 'text',
  ...POSITION,
  time: 'timestamptz',
  gap_from: 'timestamptz',
  gap_to: 'timestamptz',
  count: 'bigint',
  reason: 'text',
  leaf: 'bytea',
  record: JSON_TEXT,
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

/** INSERT ... SELECT FROM unnest: one parameter a column, whatever the number of rows. */
async function insert(
  transaction: Transaction<Tables>,
  table: string,
  columns: Columns,
  rows: readonly Row[],
): Promise<void> {
  if (rows.length === 0) return
  await sql`insert into ${sql.table(table)} (${names(columns)}) select * from unnest(${arrays(columns, rows)}) on conflict do nothing`.execute(
    transaction,
  )
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

function names(columns: Columns): ReturnType<typeof sql.join> {
  return sql.join(Object.keys(columns).map((name) => sql.ref(name)))
}

function arrays(columns: Columns, rows: readonly Row[]): ReturnType<typeof sql.join> {
  return sql.join(
    Object.entries(columns).map(([name, type]) =>
      type === 'text'
        ? sql`${arrayLiteral(rows, name)}::text::text[]`
        : sql`string_to_array(${lines(rows, name, type)}::text, e'\\n', '')::${sql.raw(type === JSON_TEXT ? 'text' : type)}[]`,
    ),
  )
}

/**
 * A column whose values hold no line break and are never empty (numbers, ids, times, hex, JSON), one a line:
 * it needs no quoting, and PostgreSQL cuts it four times as fast as it reads an array. Parameters go as bytes:
 * drivers pass these on as they are, while they walk through strings several times.
 */
function lines(rows: readonly Row[], name: string, type: string): Buffer {
  let joined = ''
  for (const [index, row] of rows.entries()) {
    if (index > 0) joined += '\n'
    const value = row[name]
    if (value === undefined || value === null) continue
    if (Buffer.isBuffer(value)) joined += `\\x${value.toString('hex')}`
    else if (typeof value === 'string') joined += type === 'jsonb' ? storable(value) : value
    else joined += JSON.stringify(value)
  }
  return Buffer.from(joined)
}

/** PostgreSQL takes JSON with NUL or half a surrogate pair as text, not as jsonb. */
function storable(json: string): string {
  return json.replaceAll(UNSTORABLE, '\\ufffd')
}

const UNSTORABLE = /(?<=(?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g

/** A column of any text, as the text of an array. */
function arrayLiteral(rows: readonly Row[], name: string): Buffer {
  let literal = '{'
  for (const [index, row] of rows.entries()) {
    if (index > 0) literal += ','
    const value = row[name]
    if (value === undefined || value === null) literal += 'NULL'
    else {
      const element = typeof value === 'string' ? value : JSON.stringify(value)
      literal += `"${element.replaceAll(SPECIAL, escaped)}"`
    }
  }
  return Buffer.from(`${literal}}`)
}

/** PostgreSQL has no NUL in a text; the record beside the columns keeps it in its JSON. */
function escaped(character: string): string {
  return character === '\0' ? '\ufffd' : `\\${character}`
}

/** PostgreSQL manual, section 8.15.6: what needs a backslash between the quotes of an array element. */
const SPECIAL = /["\\\0]/g

function only<T>(records: readonly ShippedRecord[], kind: string): Of<T>[] {
  return records.filter(({ record }) => record.kind === kind) as unknown as Of<T>[]
}

function decisionsOf(records: readonly ShippedRecord[]): Of<DecisionRecord>[] {
  return only<DecisionRecord>(records, 'decision')
}

interface RecordedInput {
  readonly user: Readonly<Record<string, unknown>>
  readonly action: string
  readonly resource: Readonly<Record<string, unknown>>
  readonly content?: Readonly<Record<string, unknown>>
  readonly context: Readonly<Record<string, unknown>>
}

function inputOf({ input }: DecisionRecord): RecordedInput {
  return input as RecordedInput
}

function decisionRow({
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
    resource_known: resource['known'] === true,
    resource_ai: resource['ai'] === true,
    approval_status: resource['approval_status'],
    decision: decision.decision,
    reason: decision.reason,
    would_be: decision.would_be,
    confidence: decision.confidence,
    risk_score: decision.risk_score,
    policies_evaluated: JSON.stringify(decision.policies_evaluated),
    primary_policy_id: decision.primary_policy_id,
    obligations: JSON.stringify(decision.obligations),
    review_id: decision.review_id,
    mode,
    revision: decision.revision,
    source: context['source'],
    network: context['network'],
    ip_address: personal?.ip_address,
    geo_location: context['geo_location'],
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

function outcomeRow({ record, leaf, text: exact, writer, seq }: Of<OutcomeRecord>): Row {
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
    writer,
    seq,
    leaf,
    record: exact,
  }
}

function auditRow({ record, leaf, text: exact, writer, seq, personalBytes }: Of<AuditRecord>): Row {
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
  return {
    tenant,
    time: new Date(time).toISOString(),
    event_id,
    event_type,
    severity,
    actor_id: actor.id,
    actor_name: actor.name,
    actor_type: actor.type,
    target_type: target?.type,
    target_id: target?.id,
    target_name: target?.name,
    action,
    result,
    event_data: data === undefined ? null : JSON.stringify(data),
    changes: changes === undefined ? null : JSON.stringify(changes),
    writer,
    seq,
    leaf,
    record: exact,
    personal: personalBytes.length === 0 ? null : personalBytes,
  }
}

function gapRow({ record, leaf, text: exact, writer, seq }: Of<GapRecord>): Row {
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

function department(user: Readonly<Record<string, unknown>>): unknown {
  const found = user['department']
  return typeof found === 'object' && found !== null && 'name' in found ? found.name : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
