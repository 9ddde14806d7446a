// Doors of reports, lists and the stream: what they take, what they refuse, and what the document says of them.

import addFormats from 'ajv-formats'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { pino } from 'pino'
import t from 'tap'
import { KeyRing } from '../../src/api/key.ts'
import { type ApiParts, openApi } from '../../src/api/server.ts'
import { IdSource } from '../../src/base/ids.ts'
import type { Answer } from '../../src/store/questions.ts'

const asked: { readonly name: string; readonly question: unknown }[] = []
const answer = (name: string) => (question: unknown) => {
  asked.push({ name, question })
  return Promise.resolve({
    from: '2026-11-24T00:00:00.000Z',
    to: '2026-11-25T00:00:00.000Z',
    read: 'decisions_hourly',
    by: 'service',
    items: [
      {
        time: '2026-11-24T00:00:00.000Z',
        name: null,
        count: 3,
        decisions: { ALLOW: 1, DENY: 2, REVIEW: 0 },
        first_seen: '2026-11-24T00:00:01.000Z',
        last_seen: '2026-11-24T00:00:02.000Z',
      },
    ],
    next_cursor: null,
  } satisfies Answer)
}
const page = (name: string) => (filter: unknown) => {
  asked.push({ name, question: filter })
  return Promise.resolve({ items: [], next_cursor: null })
}
const scopes: Readonly<Record<string, readonly string[]>> = {
  reader: ['decisions:read'],
  auditor: ['ledger:read'],
}
const app = await openApi({
  policies: {},
  questions: { trend: answer('trend'), top: answer('top'), firstSeen: answer('first-seen') },
  records: {
    decisions: page('decisions'),
    violations: page('violations'),
    auditEvents: page('audit'),
  },
  keys: new KeyRing({
    findKey: (key) => Promise.resolve({ id: key, name: key, scopes: scopes[key] ?? [] }),
  }),
  ids: new IdSource(),
  log: pino({ level: 'silent' }),
  version: '0',
} as unknown as ApiParts)
await app.ready()
t.teardown(() => app.close())

const REPORTS = ['trend', 'top', 'first-seen']

async function get(url: string, key = 'reader'): Promise<{ status: number; body: unknown }> {
  const found = await app.inject({ url, headers: { authorization: `Bearer ${key}` } })
  return { status: found.statusCode, body: found.json() }
}

t.test('reports answer as the document says, with what was asked', async (t) => {
  const document = app.swagger() as unknown as {
    paths: Record<
      string,
      { get: { responses: { 200: { content: { 'application/json': { schema: object } } } } } }
    >
  }
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }))
  for (const name of REPORTS) {
    const { status, body } = await get(
      `/v1/reports/${name}?by=policy&service=chatgpt&exact=true&limit=7&from=2026-11-24T00:00:00%2B01:00`,
    )
    t.equal(status, 200, name)
    const schema =
      document.paths[`/v1/reports/${name}`]?.get.responses[200].content['application/json'].schema
    const validate = ajv.compile(schema ?? false)
    t.ok(validate(body), ajv.errorsText(validate.errors))
    t.match(asked.at(-1), {
      name,
      question: {
        of: 'decisions',
        by: 'policy',
        service: 'chatgpt',
        exact: true,
        limit: 7,
        from: '2026-11-24T00:00:00+01:00',
      },
    })
  }
})

t.test('what makes no sense is refused with its place', async (t) => {
  for (const query of [
    'by=colour',
    'limit=0',
    'limit=1001',
    'from=yesterday',
    'nope=1',
    'exact=maybe',
    'user=',
    'service=%00',
  ])
    for (const name of REPORTS) {
      const { status, body } = await get(`/v1/reports/${name}?${query}`)
      t.equal(status, 400, `${name}?${query}`)
      t.match(body, { code: 'INPUT_INVALID', errors: [{ pointer: /^\/querystring/ }] })
    }
  t.equal((await get('/v1/reports/top?bucket=day')).status, 400)
  t.equal((await get('/v1/reports/trend?bucket=week')).status, 400)
  for (const query of [
    'request_id=x',
    'severity=odd',
    'q=',
    `q=${'x'.repeat(321)}`,
    'mode=off',
    'host=%00',
    'cursor='.padEnd(600, 'x'),
  ])
    t.equal((await get(`/v1/decisions?${query}`)).status, 400, query)
})

t.test('each is for the keys that may', async (t) => {
  for (const name of REPORTS) t.equal((await get(`/v1/reports/${name}`, 'auditor')).status, 403)
  t.equal((await get('/v1/audit-events')).status, 403)
  t.equal((await get('/v1/audit-events?q=x&actor=ada&result=failure', 'auditor')).status, 200)
  t.match(asked.at(-1), {
    name: 'audit',
    question: { q: 'x', actor: 'ada', result: 'failure', limit: 100 },
  })
  t.equal((await get('/v1/stream', 'auditor')).status, 403)
  const head = await app.inject({
    method: 'HEAD',
    url: '/v1/stream',
    headers: { authorization: 'Bearer reader' },
  })
  t.equal(head.statusCode, 404, 'a stream has no head alone, which would never end')
})
