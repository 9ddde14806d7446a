// A process that writes decisions, and outcomes where asked, into segments as a gateway would: a company of
// 5,000 people, 40 departments and 120 services, some of whose decisions are violations.
//
//   node bench/support/ledger-writer.ts DIR DECISIONS OUTCOMES(0|1) A-SECOND(0: as fast as it can)
//
// It prints the number of records at the end.

import { randomUUID } from 'node:crypto'
import { closeSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { argv, stdout } from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { IdSource } from '../../src/base/ids.ts'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import { frameOf } from '../../src/ledger/frame.ts'
import { createSegment } from '../../src/ledger/segment.ts'
import type { DecisionRecord, LedgerRecord, OutcomeRecord } from '../../src/model/record.ts'

const PEOPLE = 5000
const DEPARTMENTS = 40
const SERVICES = 120
/** One in so many is refused, and so a violation. */
const REFUSED = 50
const SEGMENT_BYTES = 16 * 1024 * 1024
const CHUNK = 500
const CATEGORIES = ['chatbot', 'code_assistant', 'api', 'image', 'search'] as const
const ids = new IdSource()
const POLICIES = [
  ['no-secrets-to-ai', 'No secrets to AI services', 950],
  ['pii-to-external', 'No personal data to external AI services', 900],
  ['prohibited-services', 'Prohibited services stay closed', 800],
  ['unapproved-review', 'What nobody has approved is looked at', 500],
] as const

const [, , dir = '', decisions = '0', outcomes = '0', rate = '0'] = argv
await writeAll(dir, Number(decisions), outcomes === '1', Number(rate))

async function writeAll(
  folder: string,
  count: number,
  withOutcomes: boolean,
  aSecond: number,
): Promise<void> {
  const writer = randomUUID()
  const encoder = new RecordEncoder()
  let seq = 1
  let bytes = 0
  let segment = createSegment(join(folder, writer), writer, seq)
  const started = performance.now()
  for (let made = 0; made < count; made += CHUNK) {
    const frames = recordsOf(made, Math.min(CHUNK, count - made), withOutcomes).map((record) =>
      frameOf(encoder.encode(record, { writer, seq: seq++ })),
    )
    const chunk = Buffer.concat(frames)
    writeSync(segment.fd, chunk)
    bytes += chunk.length
    if (bytes >= SEGMENT_BYTES) {
      closeSync(segment.fd)
      segment = createSegment(join(folder, writer), writer, seq)
      bytes = 0
    }
    const ahead = aSecond === 0 ? 0 : (made / aSecond) * 1000 - (performance.now() - started)
    if (ahead > 1) await wait(ahead)
  }
  closeSync(segment.fd)
  stdout.write(`${seq - 1}\n`)
}

function recordsOf(from: number, count: number, withOutcomes: boolean): LedgerRecord[] {
  const records: LedgerRecord[] = []
  for (let at = from; at < from + count; at++) {
    const decision = decisionOf(at)
    records.push(decision)
    if (withOutcomes) records.push(outcomeOf(decision))
  }
  return records
}

/** As the default policies give it: four candidates, mostly no finding. */
function decisionOf(at: number): DecisionRecord {
  const person = (at * 7919) % PEOPLE
  const service = (at * 31) % SERVICES
  const department = `Department ${person % DEPARTMENTS}`
  const isRefused = at % REFUSED === 0
  const host = `service-${service}.example`
  return {
    kind: 'decision',
    tenant: 'default',
    time: Date.now(),
    request_id: ids.next(),
    mode: 'enforce',
    person_key: person.toString(16).padStart(64, '0'),
    ...(isRefused ? { violation: { severity: 'high', type: 'policy' } } : {}),
    decision: {
      decision_id: ids.next(),
      decision: isRefused ? 'DENY' : 'ALLOW',
      reason: isRefused ? 'Secrets must not leave for an AI service' : 'No policy objects',
      confidence: 1,
      risk_score: null,
      primary_policy_id: isRefused ? 'no-secrets-to-ai' : null,
      policies_evaluated: POLICIES.map(([id, name, priority], index) => ({
        policy_id: id,
        policy_name: name,
        matched: isRefused && index === 0,
        priority,
        effect: isRefused && index === 0 ? 'DENY' : null,
        mode: 'enforce',
        error: null,
      })),
      obligations: [],
      service: { id: `service-${service}`, name: `Service ${service}` },
      findings: isRefused
        ? [{ type: 'api_key', category: 'secret', count: 1, confidence: 0.95 }]
        : [],
      review_id: null,
      exception_id: null,
      would_be: null,
      ttl: 30,
      revision: `sha256:${'0'.repeat(64)}`,
      evaluation_us: 40 + (at % 50),
    },
    input: {
      user: {
        id: `0199a000-0000-7000-8000-${person.toString(16).padStart(12, '0')}`,
        known: true,
        status: 'active',
        groups: ['staff', `team-${person % 300}`],
        roles: [],
        department: { name: department, path: ['Company', department] },
      },
      action: at % 3 === 0 ? 'send_prompt' : 'access_ai_service',
      resource: {
        type: 'ai_service',
        id: `service-${service}`,
        name: `Service ${service}`,
        vendor: `Vendor ${service}`,
        category: CATEGORIES[service % CATEGORIES.length],
        known: true,
        ai: true,
        approval_status: 'approved',
        risk_tier: 'medium',
        host,
        path: '/v1/chat/completions',
        method: 'POST',
      },
      content: {
        classified: true,
        parsed: true,
        truncated: false,
        bytes: 1200 + (at % 4000),
        findings: [],
        finding_types: [],
        finding_categories: [],
        data_classification: [],
      },
      context: { source: 'proxy', tenant: 'default', network: 'office' },
    },
    personal: {
      user: { name: `person${person}`, email: `person${person}@acme.example` },
      ip_address: `10.${person >> 8}.${person & 255}.7`,
      user_agent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)',
    },
  }
}

function outcomeOf({ request_id, decision, time }: DecisionRecord): OutcomeRecord {
  return {
    kind: 'outcome',
    tenant: 'default',
    time: time + 400,
    request_id,
    decision_id: decision.decision_id,
    status: decision.decision === 'DENY' ? 403 : 200,
    bytes_in: 1400,
    bytes_out: 5200,
    duration_ms: 412.5,
    visibility: 'content',
    format: 'openai-chat',
    input_tokens: 300,
    output_tokens: 210,
  }
}
