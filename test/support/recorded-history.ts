// A history of decisions as a company makes it, through the real corridor: people, services, content, modes, reviews and
// doors of every kind. What the ledger would keep of each comes out, as the store has it.

import { join } from 'node:path'
import { IdSource } from '../../src/base/ids.ts'
import { detect } from '../../src/content/detect.ts'
import { Directory } from '../../src/context/directory.ts'
import { Corridor, type CorridorParts, type Reviews } from '../../src/decision/decide.ts'
import type { ReviewHandling } from '../../src/decision/enforce.ts'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import type { Mode } from '../../src/model/decision.ts'
import type { AccessRequest, OfferedContent, RequestContext } from '../../src/model/request.ts'
import type { AiService } from '../../src/model/service.ts'
import type { Subject } from '../../src/model/subject.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import type { RecordedRow } from '../../src/policy/recorded-input.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { corridorOptions } from './corridor.ts'
import { Dice } from './dice.ts'
import { aService } from './services.ts'

const WRITER = '0199aaaa-0000-4000-8000-000000000001'
const START = Date.parse('2026-11-01T00:00:00Z')
const STEP_MS = 7001
const WORDS = ['quarterly', 'numbers', 'please', 'summarise', 'code', 'review', 'draft', 'answer']
const GIVEN = ['Maya', 'Ben', 'Al', 'Zoë', "D'Arcy", 'Ann-Marie', 'O.', '李', 'mod', 'Ünal']
const FAMILY = ['Lind', 'Okafor', 'Stone', 'de Vries', 'García', 'Ng']
const DEPARTMENTS = ['Sales', 'Engineering', 'Legal', 'Research', 'Support']
const APPROVALS = ['approved', 'review_required', 'prohibited', 'unknown'] as const
const MODELS = ['large-1', 'small-2']
const ACTIONS = ['access_ai_service', 'send_prompt', 'upload_file', 'call_tool', 'paste']
const SOURCES = ['proxy', 'browser_plugin', 'api_gateway', 'cli'] as const
const CAPABILITIES = [
  ['redact', 'coach', 'justify', 'inspect'],
  ['redact'],
  ['coach', 'justify'],
  [],
]

export interface HistoryOptions {
  readonly policies: PolicySet
  readonly decisions: number
  readonly seed?: number
  readonly urlPaths?: boolean
  /** Whether files have names and models are called by an address: no record keeps those. */
  readonly unrecorded?: boolean
}

/** One record after the other, oldest first. */
export async function* recordedHistory({
  policies,
  decisions,
  seed = 1,
  urlPaths = true,
  unrecorded = false,
}: HistoryOptions): AsyncGenerator<RecordedRow> {
  const dice = new Dice(seed)
  const people = peopleOf(dice)
  const services = servicesOf(dice)
  const encoder = new RecordEncoder()
  const ids = new IdSource()
  const rows: RecordedRow[] = []
  let seq = 0
  let now = START
  let mode: Mode = 'enforce'
  const rules = { revision: 'sha256:0', catalogue: new Catalogue(services), policies }
  const parts: Omit<CorridorParts, 'exceptions' | 'budgets'> = {
    ids,
    people: new Directory({
      tenant: 'default',
      metrics: new Metrics({ processMetrics: false }),
      source: {
        find: ({ name }) => Promise.resolve(people.find(({ user }) => user.name === name)),
        asset: (hostname) =>
          Promise.resolve({
            id: hostname,
            hostname,
            data_classification: hostname.length % 2 === 0 ? ['confidential'] : [],
            document: { crown_jewel: hostname.length % 3 === 0, serial: 9_007_199_254_740_993n },
          }),
      },
    }),
    classify: (content) => detect(content, 1 << 20),
    ledger: {
      append: (record) => {
        seq += 1
        const { record: text, personal } = encoder.encode(record, { writer: WRITER, seq })
        rows.push({
          record: text.toString('utf8'),
          personal: personal.length === 0 ? null : personal,
        })
      },
      note: () => undefined,
    },
    reviews: reviewsOf(dice),
    metrics: new Metrics({ processMetrics: false }),
    now: () => now,
    rules: () => rules,
    mode: () => mode,
  }
  const corridors = (['refuse', 'allow'] as const).map(
    (review: ReviewHandling) =>
      new Corridor(...corridorOptions(parts, { review, urlPaths, record: 'all' })),
  )
  for (let made = 0; made < decisions; made++) {
    now += STEP_MS + dice.between(0, 20_000)
    mode = dice.next() < 0.85 ? 'enforce' : dice.of(['warn', 'audit'])
    await dice.of(corridors).decide(requestOf(dice, { ids, people, services, unrecorded }))
    yield* rows.splice(0)
  }
}

/** The policies of test/fixtures/replay, which read whatever a record keeps. */
export const REPLAYED_POLICIES = join(import.meta.dirname, '../fixtures/replay')

function peopleOf(dice: Dice): Subject[] {
  return Array.from({ length: 60 }, (_, index): Subject => {
    const name = `${dice.of(GIVEN)} ${dice.of(FAMILY)} ${index}`
    const department = dice.of(DEPARTMENTS)
    return {
      user: {
        id: `u-${index}`,
        name,
        email: `${name.toLowerCase().replaceAll(' ', '.')}@acme.example`,
        known: true,
        status: 'active',
        department: { id: `d-${department}`, name: department, path: ['Acme', department] },
        groups: [dice.of(['staff', 'contractors']), ...(dice.next() < 0.2 ? ['interns'] : [])],
        roles: dice.next() < 0.1 ? ['admin'] : [],
        employee_type: dice.of(['employee', 'contractor']),
        job_title: dice.of(['engineer', 'counsel', 'clerk']),
        risk_score: dice.between(0, 100),
        clearance_level: dice.of(['internal', 'secret']),
        attributes: {
          badge: 2n ** 60n + BigInt(index),
          trained: dice.next() < 0.5,
          half: '\ud83d',
          tags: ['a', { deep: index }],
        },
      },
      person: `u-${index}`,
      allowed_services: new Set(dice.next() < 0.1 ? ['svc-2'] : []),
      prohibited_services: new Set(dice.next() < 0.1 ? ['svc-0'] : []),
      units: new Set(['Acme', department]),
    }
  })
}

function servicesOf(dice: Dice): AiService[] {
  return Array.from({ length: 12 }, (_, index) =>
    aService({
      id: `svc-${index}`,
      name: `Service ${index}`,
      domains: [`svc-${index}.example`],
      service_type: dice.of(['assistant', 'llm_api', 'code']),
      vendor: dice.of(['one', 'two']),
      approval_status: dice.of(APPROVALS),
      // For one at least the policies conflict.
      risk_score: Math.max(dice.between(0, 100), index === 0 ? 95 : 0),
      risk_tier: dice.of(['low', 'high']),
      capabilities: ['chat'],
      data_regions: dice.next() < 0.5 ? ['eu'] : ['us', 'eu'],
      confidence: dice.of([1, 0.75]),
      mode: index % 5 === 4 ? 'monitor' : 'enforce',
    }),
  )
}

function reviewsOf(dice: Dice): Reviews {
  return {
    open: () =>
      dice.next() < 0.1
        ? Promise.reject(new Error('away'))
        : Promise.resolve({
            review_id: '0199aaaa-0000-7000-8000-000000000001',
            state: dice.of(['pending', 'approved']),
          }),
    answer: () => Promise.resolve('pending'),
  }
}

interface Scene {
  readonly ids: IdSource
  readonly people: readonly Subject[]
  readonly services: readonly AiService[]
  readonly unrecorded: boolean
}

function requestOf(dice: Dice, { ids, people, services, unrecorded }: Scene): AccessRequest {
  const { user } = dice.of(people)
  const isKnown = dice.next() < 0.9
  const host =
    dice.next() < 0.85
      ? (dice.of(services).domains[0] ?? '')
      : `site-${dice.between(0, 30)}.example`
  const isTunnel = dice.next() < 0.15
  const model = dice.next() < 0.3 ? undefined : dice.of(MODELS)
  const content = dice.next() < 0.6 ? contentOf(dice, unrecorded) : undefined
  return {
    request_id: ids.next(),
    principal: isKnown ? { name: user.name ?? '' } : { login: `guest-${dice.between(0, 50)}` },
    action: dice.of(ACTIONS),
    destination: {
      host,
      port: 443,
      scheme: 'https',
      ...(isTunnel
        ? {}
        : {
            path: dice.of([
              '/v1/chat',
              '/',
              `/u/${encodeURIComponent((user.name ?? '').toWellFormed())}/notes`,
              `/p/${user.email ?? ''}?`,
              '/a%2Fb/%e2%82%ac',
            ]),
            method: dice.of(['GET', 'POST']),
          }),
      ...(model === undefined
        ? {}
        : {
            model:
              dice.next() < 0.1
                ? `ft:${(unrecorded ? user.email : user.name) ?? ''}:${model}`
                : model,
          }),
      ...(dice.next() < 0.2 ? { format: 'openai-chat' } : {}),
    },
    ...(content === undefined ? {} : { content }),
    context: contextOf(dice),
  }
}

function contextOf(dice: Dice): RequestContext {
  return {
    source: dice.of(SOURCES),
    ip_address: `10.0.${dice.between(0, 3)}.${dice.between(1, 250)}`,
    capabilities: dice.of(CAPABILITIES),
    ...(dice.next() < 0.3 ? { network: dice.of(['office', 'home']) } : {}),
    ...(dice.next() < 0.4 ? { device: { hostname: `lap-${dice.between(0, 40)}` } } : {}),
    ...(dice.next() < 0.5 ? { user_agent: dice.of(['curl/8.0', 'Mozilla/5.0 (é)']) } : {}),
    ...(dice.next() < 0.2 ? { geo_location: dice.of(['DE', 'US']), location_type: 'office' } : {}),
    ...(dice.next() < 0.2 ? { ja4: 't13d1516h2_8daaf6152771_b186095e22b6' } : {}),
  }
}

function contentOf(dice: Dice, unrecorded: boolean): OfferedContent {
  const words = Array.from({ length: dice.between(1, 12) }, () => dice.of(WORDS))
  if (dice.next() < 0.3)
    words.push(`reach me at ${dice.of(WORDS)}.${dice.between(1, 99)}@corp.test`)
  if (dice.next() < 0.1) words.push(`card 4${'0'.repeat(14)}2`)
  const text = words.join(' ')
  if (dice.next() < 0.5) return { text, media_type: 'text/plain' }
  return {
    text,
    media_type: 'application/json',
    message: {
      parsed: dice.next() < 0.9,
      truncated: dice.next() < 0.1,
      bytes: text.length + dice.between(0, 5000),
      stream: dice.next() < 0.5,
      tools: dice.next() < 0.3 ? ['search', 'calculator'] : [],
      attachments:
        dice.next() < 0.3
          ? [
              {
                media_type: 'text/csv',
                bytes: 10,
                ...(unrecorded ? { filename: 'people.csv' } : {}),
              },
            ]
          : [],
    },
  }
}
