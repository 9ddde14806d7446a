// Records and sinks for the tests of ledger and store.

import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { IdSource } from '../../src/base/ids.ts'
import { readPersonal, RecordEncoder } from '../../src/ledger/encode.ts'
import { Recorder, type RecorderOptions, type RecorderParts } from '../../src/ledger/recorder.ts'
import type {
  AuditRecord,
  DecisionRecord,
  Evidence,
  LedgerRecord,
  OutcomeRecord,
  ShippedRecord,
  Sink,
  Stored,
} from '../../src/model/record.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { leafHash } from '../../src/proof/tree.ts'

export const ids = new IdSource()
export const silent = pino({ level: 'silent' })

export function auditRecord(name: string, time: number = Date.now()): AuditRecord {
  return {
    kind: 'audit',
    tenant: 'default',
    time,
    event_id: ids.next(),
    event_type: 'test_event',
    severity: 'info',
    actor: { type: 'system', name },
    action: 'test',
    result: 'success',
  }
}

export interface DecisionFields {
  readonly time?: number
  readonly person?: string
  readonly user?: string
  readonly department?: string
  readonly service?: string | null
  readonly host?: string
  readonly ai?: boolean
  readonly policy?: string | null
  readonly effect?: 'ALLOW' | 'DENY' | 'REVIEW'
  readonly source?: string
  readonly violation?: boolean
  readonly userAgent?: string
}

export function decisionRecord(fields: DecisionFields = {}): DecisionRecord {
  const { person = 'person-1', user = 'maya', department = 'Engineering' } = fields
  const { service = 'chatgpt', policy = 'no-secrets', effect = 'DENY' } = fields
  const { host = 'chatgpt.com', ai = true } = fields
  return {
    kind: 'decision',
    tenant: 'default',
    time: fields.time ?? Date.now(),
    request_id: ids.next(),
    mode: 'enforce',
    person_key: person,
    ...(fields.violation === true ? { violation: { severity: 'high', type: 'policy' } } : {}),
    decision: {
      decision_id: ids.next(),
      decision: effect,
      reason: 'because',
      confidence: 1,
      risk_score: null,
      primary_policy_id: policy,
      policies_evaluated: [],
      obligations: [],
      service: service === null ? null : { id: service, name: service },
      findings: [],
      review_id: null,
      exception_id: null,
      would_be: null,
      ttl: 30,
      revision: 'sha256:0',
      evaluation_us: 40,
    },
    input: {
      user: {
        id: `id-${user}`,
        known: true,
        status: 'active',
        groups: [],
        roles: [],
        department: { name: department, path: [department] },
      },
      action: 'access_ai_service',
      resource: {
        type: 'ai_service',
        ...(service === null ? {} : { id: service, name: service }),
        known: service !== null,
        ai,
        host,
        path: '/backend-api/conversation',
        category: 'chatbot',
      },
      context: { source: fields.source ?? 'proxy', tenant: 'default' },
    },
    personal: {
      user: { name: user, email: `${user}@acme.example` },
      ip_address: '10.1.2.3',
      ...(fields.userAgent === undefined ? {} : { user_agent: fields.userAgent }),
    },
  }
}

export function outcomeRecord(
  decision: DecisionRecord,
  more: Partial<OutcomeRecord> = {},
): OutcomeRecord {
  return {
    kind: 'outcome',
    tenant: decision.tenant,
    time: decision.time + 5,
    request_id: decision.request_id,
    decision_id: decision.decision.decision_id,
    status: 403,
    bytes_in: 10,
    bytes_out: 20,
    duration_ms: 1.5,
    ...more,
  }
}

const encoder = new RecordEncoder()

/** Records as a recorder gives them to the store, from a writer of their own. */
export function shippedOf(records: readonly LedgerRecord[]): ShippedRecord[] {
  const writer = randomUUID()
  return records.map((record, index) => {
    const seq = index + 1
    const bytes = encoder.encode(record, { writer, seq })
    const text = bytes.record.toString('utf8')
    return {
      writer,
      seq,
      leaf: leafHash(bytes.record),
      text,
      record: JSON.parse(text) as ShippedRecord['record'],
      personal: readPersonal(bytes.personal),
      personalBytes: bytes.personal,
    }
  })
}

/** A store that remembers what it was given, and can be away or refuse a record. */
export class MemorySink implements Sink {
  readonly records: ShippedRecord[] = []
  readonly aside: ShippedRecord[] = []
  readonly evidence: Evidence[] = []
  isAway = false
  refuses: ((record: ShippedRecord) => boolean) | undefined
  readonly #cursors = new Map<string, number>()

  cursors(): Promise<ReadonlyMap<string, number>> {
    if (this.isAway) return Promise.reject(new Error('away'))
    return Promise.resolve(new Map(this.#cursors))
  }

  write(writer: string, records: readonly ShippedRecord[]): Promise<Stored> {
    if (this.isAway) return Promise.reject(new Error('away'))
    if (records.some((record) => this.refuses?.(record)))
      return Promise.reject(Object.assign(new Error('refused'), { code: '22000' }))
    this.records.push(...records)
    this.#cursors.set(writer, records.at(-1)?.seq ?? 0)
    return Promise.resolve({ fresh: records, clashing: [] })
  }

  setAside(record: ShippedRecord): Promise<void> {
    this.aside.push(record)
    this.#cursors.set(record.writer, record.seq)
    return Promise.resolve()
  }

  keepEvidence(evidence: Evidence): Promise<void> {
    if (this.isAway) return Promise.reject(new Error('away'))
    this.evidence.push(evidence)
    return Promise.resolve()
  }

  /** Names of the audit records that arrived, in order. */
  get names(): string[] {
    return this.records.flatMap(({ record }) =>
      record.kind === 'audit' ? [record.actor.name ?? ''] : [],
    )
  }

  get gaps(): { readonly reason: string; readonly count: number }[] {
    return this.records.flatMap(({ record }) =>
      record.kind === 'gap' ? [{ reason: record.reason, count: record.count }] : [],
    )
  }
}

export interface TestRecorder {
  readonly recorder: Recorder
  readonly metrics: Metrics
}

export type TestRecorderMore = Partial<RecorderOptions> &
  Pick<Partial<RecorderParts>, 'onMissing' | 'held'>

export function recorderOf(dir: string, sink: Sink, more: TestRecorderMore = {}): TestRecorder {
  const metrics = new Metrics({ processMetrics: false })
  const { onMissing, held, ...options } = more
  const recorder = new Recorder(
    {
      sink,
      metrics,
      log: silent,
      onBacklog: () => undefined,
      ...(onMissing === undefined ? {} : { onMissing }),
      ...(held === undefined ? {} : { held }),
    },
    { dir, archiveDir: '', now: Date.now, ...options },
  )
  return { recorder, metrics }
}

/** The value of a metric without labels. */
export async function gauge(metrics: Metrics, name: string): Promise<number> {
  const found = (await metrics.values()) as {
    name: string
    values: { value: number }[]
  }[]
  return found.find((metric) => metric.name === name)?.values[0]?.value ?? NaN
}

export function randomWriter(): string {
  return randomUUID()
}
