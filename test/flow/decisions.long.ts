// Door 2 from outside: the decision endpoint, its keys, its errors and its description.

import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import addFormats from 'ajv-formats'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { company, hire, keyWith } from '../support/company.ts'
import { eventually, Place } from '../support/cordon.ts'
import { filesHolding } from '../support/files-holding.ts'

const place = await new Place().withStore()
place.configure(company(place, 9))
const cordon = await place.start()
await hire(place)
const [write, own, read, bare] = await Promise.all([
  keyWith(place, 'decisions:write'),
  keyWith(place, 'decisions:self', 'ben'),
  keyWith(place, 'decisions:read'),
  keyWith(place, 'policies:read'),
])
const secret = `sk-proj-${randomBytes(24).toString('hex')}`

t.teardown(async () => {
  await cordon.stop()
  place.remove()
})

const question = (more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  user: { email: 'maya@acme.example' },
  action: 'send_prompt',
  resource: { url: 'https://chat.open.test/v1/chat', method: 'POST' },
  ...more,
})

interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[]
}

t.test('a decision has every field, null where there is nothing', async (t) => {
  const { status, body } = await cordon.call('/v1/decisions', write, question())
  t.equal(status, 200)
  t.same(Object.keys(body).toSorted(), [
    'confidence',
    'decision',
    'decision_id',
    'evaluation_us',
    'exception_id',
    'findings',
    'obligations',
    'policies_evaluated',
    'primary_policy_id',
    'reason',
    'review_id',
    'revision',
    'risk_score',
    'service',
    'ttl',
    'would_be',
  ])
  t.match(body, {
    decision_id: /^[0-9a-f]{8}-[0-9a-f]{4}-7/,
    decision: 'ALLOW',
    confidence: 1,
    risk_score: Number,
    primary_policy_id: null,
    obligations: [],
    service: { id: 'open-chat', name: 'Open Chat' },
    findings: [],
    review_id: null,
    exception_id: null,
    would_be: null,
    ttl: 30,
    revision: /^sha256:[0-9a-f]{64}$/,
  })
  const denied = await cordon.call(
    '/v1/decisions',
    write,
    question({ resource: { url: 'openai.bad.test:443' } }),
  )
  t.match(denied.body, {
    decision: 'DENY',
    primary_policy_id: 'banned',
    reason: 'this service is banned',
  })
  const evaluated = denied.body['policies_evaluated'] as { policy_id: string }[]
  t.match(
    evaluated.find(({ policy_id: id }) => id === 'banned'),
    {
      policy_name: 'banned',
      matched: true,
      priority: 900,
      effect: 'DENY',
      mode: 'enforce',
      error: null,
    },
  )
})

t.test('people are found by any of their names; others are unknown, not an error', async (t) => {
  const asked = async (user: unknown): Promise<unknown> =>
    (await cordon.call('/v1/decisions', write, question({ user }))).body['primary_policy_id']
  for (const user of [{ name: 'BEN' }, { email: 'Ben@Acme.Example' }, { external_id: 'e-2' }])
    t.equal(await asked(user), 'no-interns', JSON.stringify(user))
  t.equal(await asked({ name: 'nobody' }), null)
  t.equal(await asked(undefined), null, 'a key without a person names nobody')
})

t.test('content is searched and forgotten; spans come in code points', async (t) => {
  const { status, body } = await cordon.call(
    '/v1/decisions',
    write,
    question({
      content: { text: `\u{1F600} my key is ${secret}`, media_type: 'text/plain' },
      context: { capabilities: ['spans'], source: 'ide_plugin' },
    }),
  )
  t.equal(status, 200)
  t.match(body, { decision: 'DENY', primary_policy_id: 'no-secrets', ttl: 0 })
  const [finding] = body['findings'] as Record<string, unknown>[]
  t.match(finding, { category: 'secret', count: 1 })
  t.match(body['spans'], [{ type: finding?.['type'], start: 12, end: 12 + secret.length }])
  t.notMatch(JSON.stringify(body), secret)
  const found = await eventually(
    () => cordon.call(`/v1/decisions/${String(body['decision_id'])}`, read),
    ({ status }) => status === 200,
  )
  t.match(found.body, { source: 'ide_plugin', action: 'send_prompt', user: { name: 'maya' } })
  t.same(filesHolding(place.dir, [secret]), [])
})

t.test('a batch answers in order, up to a hundred, all or nothing', async (t) => {
  const urls = ['https://chat.open.test/', 'https://openai.bad.test/', 'https://plain.test/']
  const requests = urls.map((url) => question({ resource: { url } }))
  const { status, body } = await cordon.call('/v1/decisions/batch', write, { requests })
  t.equal(status, 200)
  const decisions = body['decisions'] as Record<string, unknown>[]
  t.same(
    decisions.map(({ decision }) => decision),
    ['ALLOW', 'DENY', 'ALLOW'],
  )
  const many = (count: number): Promise<{ status: number; body: Record<string, unknown> }> =>
    cordon.call('/v1/decisions/batch', write, {
      requests: Array.from({ length: count }, () => question()),
    })
  t.equal((await many(100)).status, 200)
  for (const count of [0, 101]) {
    const refused = await many(count)
    t.equal(refused.status, 400, `${count} requests`)
    t.match(refused.body['errors'], [{ pointer: '/requests' }])
  }
  const bad = await cordon.call('/v1/decisions/batch', write, {
    requests: [question(), question({ resource: { url: 'no url' } })],
  })
  t.equal(bad.status, 400)
  t.match(bad.body['errors'], [{ pointer: '/requests/1/resource/url' }])
})

t.test('a key does what its scopes say', async (t) => {
  const status = async (key: string, body: unknown, path = '/v1/decisions'): Promise<number> =>
    (await cordon.call(path, key, body)).status
  t.equal(await status('', question()), 401)
  t.equal(await status('cdk_wrong', question()), 401)
  t.equal(await status(bare, question()), 403)
  t.equal(await status(read, question()), 403, 'reading is not deciding')
  t.equal(await status(own, question()), 403, 'naming another person')
  t.equal(await status(own, { requests: [question()] }, '/v1/decisions/batch'), 403)
  t.equal(await status(own, question({ user: { name: 'ben', email: 'maya@acme.example' } })), 403)
  const mine = await cordon.call('/v1/decisions', own, question({ user: undefined }))
  t.match(
    mine.body,
    { decision: 'DENY', primary_policy_id: 'no-interns' },
    'its own person by default',
  )
  t.equal(await status(own, question({ user: { email: 'BEN@acme.example' } })), 200)
  for (const path of ['/v1/decisions', '/v1/violations', '/v1/reviews', '/v1/services'])
    t.equal((await cordon.call(path, read)).status, 200, path)
  t.equal((await cordon.call('/v1/decisions', write)).status, 200, 'writing includes reading')
  t.equal((await cordon.call('/v1/decisions', bare)).status, 403)
  const challenge = await fetch(`${cordon.api}/v1/decisions`)
  t.match(challenge.headers.get('www-authenticate'), /^Bearer/)
})

t.test('what is wrong is told by RFC 9457, with a pointer', async (t) => {
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['an unknown context key', question({ context: { department: 'x' } }), '/context/department'],
    ['what the directory knows', question({ context: { budget: {} } }), '/context/budget'],
    ['a key with a slash', question({ context: { 'a/b~c': 1 } }), '/context/a~1b~0c'],
    ['an unknown source', question({ context: { source: 'telepathy' } }), '/context/source'],
    ['no address', question({ context: { ip_address: '10.1.2' } }), '/context/ip_address'],
    ['an unknown key', question({ resources: {} }), '/resources'],
    ['a user attribute', question({ user: { name: 'maya', groups: ['admins'] } }), '/user/groups'],
    ['no action', { resource: { url: 'https://x.test/' } }, '/action'],
    ['an action in capitals', question({ action: 'Send' }), '/action'],
    ['no resource', { action: 'paste' }, '/resource'],
    ['a resource that is a text', question({ resource: 'https://x.test/' }), '/resource'],
    ['an ftp address', question({ resource: { url: 'ftp://x.test/' } }), '/resource/url'],
    [
      'a header that is a number',
      question({ resource: { url: 'https://x.test/', headers: { a: 1 } } }),
      '/resource/headers/a',
    ],
    ['content that is a list', question({ content: [] }), '/content'],
    ['a text that is a number', question({ content: { text: 5 } }), '/content/text'],
    ['a null', question({ content: null }), '/content'],
    [
      'a prototype',
      JSON.parse(
        '{"__proto__": {"admin": true}, "action": "paste", "resource": {"url": "https://x.test/"}}',
      ),
      '/__proto__',
    ],
    [
      'a number beyond numbers',
      `{"action": "paste", "resource": {"url": "https://x.test/"}, "context": {"device": {"n": 1e999}}}`,
      '',
    ],
    ['no JSON', '{"action": ', ''],
    ['a list', [], ''],
    ['a text', '"x"', ''],
    ['nothing', '', ''],
    ['depth', `{"context": {"device": {"a": ${'['.repeat(50_000)}${']'.repeat(50_000)}}}}`, ''],
  ]
  for (const [what, body, pointer] of cases) {
    const answer = await cordon.call('/v1/decisions', write, body)
    t.equal(answer.status, 400, what)
    const problem = answer.body as unknown as Problem
    t.match(problem, { type: 'about:blank', status: 400, title: String, detail: String }, what)
    t.ok(
      problem.errors.some((error) => error.pointer === pointer),
      `${what}: ${JSON.stringify(problem.errors)}`,
    )
  }
  const response = await fetch(`${cordon.api}/v1/decisions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${write}`, 'content-type': 'application/json' },
    body: '{}',
  })
  t.match(response.headers.get('content-type'), /^application\/problem\+json/)
})

t.test('bytes that are no text, bodies that never end, and other media are refused', async (t) => {
  const invalid = Buffer.from(JSON.stringify(question({ content: { text: 'aXa' } })))
  invalid[invalid.indexOf('X')] = 0xff
  t.equal((await post(invalid)).status, 400, 'invalid UTF-8')
  t.equal(
    (await post(Buffer.from('{'), 'application/json', 12 * 1024 * 1024)).status,
    413,
    'too large',
  )
  t.equal((await post(Buffer.from('a=b'), 'application/x-www-form-urlencoded')).status, 415)
  const large = question({ content: { text: 'word '.repeat(400_000) } })
  t.equal((await cordon.call('/v1/decisions', write, large)).status, 200, '2 MB are nothing')
})

t.test('whole numbers keep their value, and odd keys are only keys', async (t) => {
  const device =
    '{"serial": 12345678901234567890, "__proto__": 1, "constructor": {"prototype": 2}, "hostname": "lap-7"}'
  const { status, body } = await cordon.call(
    '/v1/decisions',
    write,
    `{"action": "paste", "resource": {"url": "https://chat.open.test/"}, "context": {"device": ${device}}}`,
  )
  t.equal(status, 200)
  const found = await eventually(
    () => cordon.call(`/v1/decisions/${String(body['decision_id'])}`, read),
    ({ status }) => status === 200,
  )
  t.equal(found.body['action'], 'paste')
})

t.test('lists have filters and pages', async (t) => {
  const all: string[] = []
  let cursor = ''
  do {
    const { status, body } = await cordon.call(`/v1/decisions?limit=40${cursor}`, read)
    t.equal(status, 200)
    all.push(...(body['items'] as { decision_id: string }[]).map(({ decision_id: id }) => id))
    cursor = typeof body['next_cursor'] === 'string' ? `&cursor=${body['next_cursor']}` : ''
  } while (cursor !== '')
  t.ok(all.length > 100)
  t.equal(new Set(all).size, all.length, 'none twice')
  const denied = await cordon.call(
    '/v1/decisions?decision=DENY&service=bad-openai&limit=1000',
    read,
  )
  for (const item of denied.body['items'] as Record<string, unknown>[])
    t.match(item, { decision: 'DENY', resource: { id: 'bad-openai' } })
  const violations = await eventually(
    () => cordon.call('/v1/violations?policy=banned', read),
    ({ body }) => (body['items'] as unknown[]).length > 0,
  )
  t.match((violations.body['items'] as unknown[])[0], {
    policy_id: 'banned',
    severity: 'high',
    status: 'open',
    user: { name: 'maya' },
  })
  const services = await cordon.call('/v1/services?category=banned', read)
  t.same(
    (services.body['items'] as { id: string }[]).map(({ id }) => id),
    ['bad-anthropic', 'bad-gemini', 'bad-openai', 'watched'],
  )
  for (const bad of [
    'limit=0',
    'limit=1001',
    'cursor=nonsense',
    'decision=MAYBE',
    'since=yesterday',
    'nope=1',
  ])
    t.equal((await cordon.call(`/v1/decisions?${bad}`, read)).status, 400, bad)
  t.equal(
    (await cordon.call('/v1/decisions/0199aaaa-0000-7000-8000-000000000000', read)).status,
    404,
  )
  t.equal((await cordon.call('/v1/nothing', read)).status, 404)
})

t.test('OpenAPI 3.1 describes it, and what it describes is what comes', async (t) => {
  const document = (await (await fetch(`${cordon.api}/v1/openapi.json`)).json()) as OpenApi
  t.match(document.openapi, /^3\.1\.\d$/)
  const { body } = await cordon.call('/v1/decisions', write, question())
  const page = await fetch(`${cordon.api}/docs`)
  t.equal(page.status, 200)
  t.match(await page.text(), /swagger/i)
  t.same(Object.keys(document.paths).toSorted(), [
    '/v1/audit-events',
    '/v1/budgets',
    '/v1/bundles/{name}',
    '/v1/coverage',
    '/v1/decisions',
    '/v1/decisions/batch',
    '/v1/decisions/{id}',
    '/v1/decisions/{id}/explanation',
    '/v1/exceptions',
    '/v1/exceptions/{id}',
    '/v1/exceptions/{id}/approve',
    '/v1/exceptions/{id}/deny',
    '/v1/exceptions/{id}/revoke',
    '/v1/exceptions/{id}/uses',
    '/v1/interception/failures',
    '/v1/people/{person}/risk',
    '/v1/people/{pseudonym}/reveal',
    '/v1/policies',
    '/v1/policies/conflicts',
    '/v1/policies/conflicts/scan',
    '/v1/policies/conflicts/{id}',
    '/v1/policies/conflicts/{id}/resolve',
    '/v1/policies/files',
    '/v1/policies/push',
    '/v1/policies/status',
    '/v1/policies/validate',
    '/v1/policies/{id}',
    '/v1/policies/{id}/compare',
    '/v1/policies/{id}/rollback',
    '/v1/policies/{id}/shadow',
    '/v1/policies/{id}/versions',
    '/v1/policies/{id}/versions/{version}',
    '/v1/policies/{id}/versions/{version}/activate',
    '/v1/policies/{id}/versions/{version}/approve',
    '/v1/policies/{id}/versions/{version}/archive',
    '/v1/policies/{id}/versions/{version}/reject',
    '/v1/policies/{id}/versions/{version}/replay',
    '/v1/policies/{id}/versions/{version}/submit',
    '/v1/policies/{id}/versions/{version}/validate',
    '/v1/replays',
    '/v1/replays/{id}',
    '/v1/reports/first-seen',
    '/v1/reports/top',
    '/v1/reports/trend',
    '/v1/reviews',
    '/v1/reviews/{id}',
    '/v1/reviews/{id}/assign',
    '/v1/services',
    '/v1/shadow-ai',
    '/v1/stream',
    '/v1/violations',
  ])
  const ajv = addFormats.default(new Ajv2020({ strict: false }))
  ajv.addFormat('ip', true)
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const where = `${method} ${path}`
      t.ok(operation.summary, where)
      t.ok(
        Object.keys(operation.responses).some((status) => status.startsWith('2')),
        where,
      )
      for (const [status, response] of Object.entries(operation.responses)) {
        t.ok(response.description, `${where} ${status}`)
        const described = Object.entries(response.content ?? {})
        if (Number(status) >= 400)
          t.same(
            described.map(([type]) => type),
            ['application/problem+json'],
          )
        for (const [type, { schema }] of described)
          t.ok(ajv.compile(schema), `${where} ${status} ${type}`)
      }
      for (const name of path.matchAll(/\{(\w+)\}/g))
        t.ok(operation.parameters?.some((each) => each.in === 'path' && each.name === name[1]))
    }
  }
  const schema =
    document.paths['/v1/decisions']?.['post']?.responses['200']?.content?.['application/json']
      ?.schema
  const validate = ajv.compile(schema ?? false)
  t.ok(validate(body), ajv.errorsText(validate.errors))
})

interface OpenApi {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}
interface Operation {
  readonly summary?: string
  readonly parameters?: readonly { readonly in: string; readonly name: string }[]
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description?: string
        readonly content?: Readonly<Record<string, { readonly schema: object }>>
      }
    >
  >
}

/** Sends the bytes; where more are announced than come, nobody waits for the rest. */
function post(
  body: Buffer,
  type = 'application/json',
  announced: number = body.length,
): Promise<{ readonly status: number }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${cordon.api}/v1/decisions`, {
      method: 'POST',
      agent: false,
      headers: {
        authorization: `Bearer ${write}`,
        'content-type': type,
        'content-length': announced,
      },
    })
    sent.on('response', (response) => {
      resolve({ status: response.statusCode ?? 0 })
      sent.destroy()
    })
    sent.on('error', reject)
    sent.write(body)
  })
}
