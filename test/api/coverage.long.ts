// Coverage, suspected AI and failed handshakes as the API tells them, over the embedded database.

import addFormats from 'ajv-formats'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { KeyRing } from '../../src/api/key.ts'
import { type ApiParts, openApi } from '../../src/api/server.ts'
import type { LedgerRecord, OutcomeRecord } from '../../src/model/record.ts'
import { Coverage } from '../../src/store/coverage.ts'
import { RecordSink } from '../../src/store/records.ts'
import {
  decisionRecord,
  type DecisionFields,
  ids,
  outcomeRecord,
  shippedOf,
  silent,
} from '../support/records.ts'
import { embeddedStore } from '../support/stores.ts'

const NOW = Date.UTC(2026, 10, 24, 12, 30)
const PATHS = ['/v1/coverage', '/v1/shadow-ai', '/v1/interception/failures']

const store = await embeddedStore(t)
const scopes: Readonly<Record<string, readonly string[]>> = {
  reader: ['decisions:read'],
  other: ['policies:read', 'decisions:self'],
}
const app = await openApi({
  policies: {},
  reports: new Coverage(store.db, 'default', () => NOW),
  keys: new KeyRing({
    findKey: (key) => Promise.resolve({ id: key, name: key, scopes: scopes[key] ?? [] }),
  }),
  ids,
  log: silent,
  version: '0',
} as unknown as ApiParts)
await app.ready()
t.teardown(() => app.close())

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

async function get(url: string, key = 'reader'): Promise<Answer> {
  const answer = await app.inject({ url, headers: { authorization: `Bearer ${key}` } })
  return { status: answer.statusCode, body: answer.json<Record<string, unknown>>() }
}

interface OpenApi {
  readonly paths: Readonly<
    Record<
      string,
      { get: { responses: { 200: { content: { 'application/json': { schema: object } } } } } }
    >
  >
}

/** What the document says that comes from there. */
function describes(path: string, body: unknown): string | undefined {
  const document = app.swagger() as unknown as OpenApi
  const schema = document.paths[path]?.get.responses[200].content['application/json'].schema
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }))
  const validate = ajv.compile(schema ?? false)
  return validate(body) ? undefined : ajv.errorsText(validate.errors)
}

t.test('without anything recorded the reports are empty, as described', async (t) => {
  for (const path of PATHS) {
    const { status, body } = await get(path)
    t.equal(status, 200, path)
    t.same([body['items'], body['total']], [[], 0], path)
    t.equal(describes(path, body), undefined, path)
  }
  t.match((await get('/v1/coverage')).body, {
    from: '2026-11-17T12:00:00.000Z',
    to: '2026-11-24T13:00:00.000Z',
    bytes: 0,
    seen: { content: null, metadata: null, sni: null, none: null },
  })
})

t.test('they tell what was recorded, as described', async (t) => {
  const pair = (fields: DecisionFields, end: Partial<OutcomeRecord>): readonly LedgerRecord[] => {
    const decision = decisionRecord({ time: NOW - 60_000, ...fields })
    return [decision, outcomeRecord(decision, end)]
  }
  const failed = { visibility: 'sni', visibility_reason: 'handshake_failed' } as const
  const records = shippedOf([
    ...pair({}, { visibility: 'content', bytes_in: 70, bytes_out: 5 }),
    ...pair(
      { service: null, host: 'llm.example' },
      { visibility: 'metadata', visibility_reason: 'not_read', format: 'ollama' },
    ),
    ...[1, 2, 3].flatMap(() =>
      pair({ host: 'claude.ai' }, { ...failed, bytes_in: 0, bytes_out: 0 }),
    ),
  ])
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
  })
  await sink.write(records[0]?.writer ?? '', records)

  for (const by of ['reason', 'department', 'service']) {
    const { body } = await get(`/v1/coverage?by=${by}`)
    t.equal(describes('/v1/coverage', body), undefined, by)
    t.ok((body['items'] as unknown[]).length > 0, by)
  }
  const { body } = await get(
    '/v1/coverage?from=2026-11-24T12:00:00Z&to=2026-11-24T14:00:00%2B01:00',
  )
  t.match(body, { from: '2026-11-24T12:00:00.000Z', to: '2026-11-24T13:00:00.000Z' })
  t.match(body, { bytes: 105, seen: { content: 0.7143, metadata: 0.2857, sni: 0, none: 0 } })

  const shadow = await get('/v1/shadow-ai')
  t.equal(describes('/v1/shadow-ai', shadow.body), undefined)
  t.match(shadow.body, {
    total: 1,
    items: [
      {
        host: 'llm.example',
        first_seen: new Date(NOW - 60_000).toISOString(),
        people: 1,
        bytes: 30,
        formats: ['ollama'],
        departments: ['Engineering'],
      },
    ],
  })

  const failures = await get('/v1/interception/failures')
  t.equal(describes('/v1/interception/failures', failures.body), undefined)
  t.match(failures.body, {
    total: 1,
    items: [
      {
        host: 'claude.ai',
        failures: 3,
        suggested: true,
        suggestion: 'add claude.ai to proxy.intercept.never',
        clients: [{ address: '10.1.2.3', user: 'maya', failures: 3 }],
      },
    ],
  })
})

t.test('they are for keys that read decisions, and for ranges that make sense', async (t) => {
  for (const path of PATHS) {
    t.equal((await get(path, 'other')).status, 403, path)
    for (const query of [
      'from=yesterday',
      'nope=1',
      'from=2026-11-24T12:00:00Z&to=2026-11-24T12:00:00Z',
      'from=2020-11-24T12:00:00Z',
    ])
      t.equal((await get(`${path}?${query}`)).status, 400, `${path}?${query}`)
  }
  t.equal((await get('/v1/coverage?by=colour')).status, 400)
  for (const limit of ['0', '1001', 'x'])
    t.equal((await get(`/v1/shadow-ai?limit=${limit}`)).status, 400, limit)
  const { body } = await get('/v1/coverage?from=2020-11-24T12:00:00Z')
  t.match(body, { code: 'INPUT_INVALID', errors: [{ pointer: '/querystring/from' }] })
})
