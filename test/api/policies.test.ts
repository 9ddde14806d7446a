// What the calls of policies take from a request, and what they refuse before anything is asked.

import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import Fastify from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { type ApiKey, KeyRing } from '../../src/api/key.ts'
import { type PolicyDesk, policyRoutes } from '../../src/api/policies.ts'
import { problemHandler } from '../../src/api/problem.ts'
import { CordonError } from '../../src/base/errors.ts'
import type { VersionView } from '../../src/governance/policy-views.ts'

const AT = '/v1/policies/a%2Fb/versions/1.0.0'
const person = { id: 'u-1', name: 'maya' }
const KEYS: Readonly<Record<string, Pick<ApiKey, 'scopes' | 'user'>>> = {
  other: { scopes: ['decisions:read'], user: person },
  read: { scopes: ['policies:read'], user: person },
  write: { scopes: ['policies:write'], user: person },
  approve: { scopes: ['policies:approve'], user: person },
  admin: { scopes: ['admin'], user: person },
  nobodys: { scopes: ['admin'] },
}
const VERSION: VersionView = {
  policy_id: 'a/b',
  version: '1.0.0',
  status: 'draft',
  edition: 4,
  metadata: { name: 'b' },
  text: 'x',
  text_sha256: '',
  text_bytes: 1,
  change_summary: null,
  git: null,
  contributors: [],
  created_at: new Date(0),
  created_by: null,
  changed_at: new Date(0),
  changed_by: null,
  submitted_at: null,
  submitted_by: null,
  approved_at: null,
  approved_by: null,
  activated_at: null,
  archived_at: null,
  effective_from: null,
  expires_at: null,
  rejudge: false,
  due_problem: null,
  history: [],
}

/** What the desk was asked, which answers everything alike. */
const asked: { readonly act: string; readonly with: readonly unknown[] }[] = []
const desk = {
  life: answering(VERSION),
  activation: answering({ versions: [VERSION], revision: null }),
} as unknown as PolicyDesk
const app = Fastify({ routerOptions: { maxParamLength: 768 } })
app.decorateRequest('apiKey', null)
app.setErrorHandler(problemHandler(pino({ level: 'silent' })))
// As src/api/server.ts: what nobody knows is refused, not taken away.
const ajv = addFormats.default(new Ajv({ useDefaults: true, coerceTypes: true, strict: false }))
app.setValidatorCompiler<object>(({ schema }) => ajv.compile(schema))
const finder = {
  findKey: (token: string) => {
    const key = KEYS[token]
    return Promise.resolve(key === undefined ? undefined : { id: token, name: token, ...key })
  },
}
policyRoutes(app, { keys: new KeyRing(finder), policies: desk })
t.teardown(() => app.close())
t.beforeEach(() => {
  asked.length = 0
})

function answering(value: unknown): unknown {
  const get = (_target: object, act: string): unknown =>
    act === 'shelf'
      ? answering(VERSION)
      : (...args: unknown[]) => {
          asked.push({ act, with: args })
          return Promise.resolve(value)
        }
  return new Proxy({}, { get })
}

async function call(
  key: keyof typeof KEYS,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH',
  url: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
) {
  const answer = await app.inject({
    method,
    url,
    headers: { authorization: `Bearer ${key}`, ...headers },
    ...(body === undefined ? {} : { payload: body }),
  })
  return { status: answer.statusCode, etag: answer.headers['etag'], body: answer.json<object>() }
}

t.test('the edition that the caller saw', async (t) => {
  const put = (etag: string) => call('write', 'PUT', AT, { text: 'x' }, { 'if-match': etag })
  t.match(await call('write', 'PUT', AT, { text: 'x' }), { status: 428, body: { code: 'UNSEEN' } })
  t.match(await put('"4"'), { status: 200, etag: '"4"' })
  await put('"3", "4"')
  await put('*')
  await put('W/"4", "x", 4')
  t.same(
    asked.map(({ with: args }) => args[2]),
    [[4], [3, 4], undefined, []],
    'weak and foreign ones match nothing',
  )
  t.match(asked[0], {
    act: 'edit',
    with: [{ policy_id: 'a/b', version: '1.0.0' }, { text: 'x' }, [4], { id: 'u-1', name: 'maya' }],
  })
})

t.test('acts need no body, and take nothing that nobody knows', async (t) => {
  for (const act of ['submit', 'approve', 'reject', 'activate', 'archive'])
    t.equal((await call('admin', 'POST', `${AT}/${act}`)).status, 200, act)
  t.equal((await call('admin', 'POST', '/v1/policies/a%2Fb/rollback')).status, 200)
  t.equal(asked.length, 6)
  t.match(await call('admin', 'POST', `${AT}/approve`, { coment: 'x' }), {
    status: 400,
    body: { errors: [{ pointer: '/coment' }] },
  })
  t.match(await call('admin', 'POST', `${AT}/activate`, { effective_from: 'tomorrow' }), {
    status: 400,
    body: { errors: [{ pointer: '/effective_from' }] },
  })
  t.match(await call('admin', 'PATCH', AT, {}), { status: 400 })
  t.match(await call('admin', 'GET', '/v1/policies?status=on'), {
    status: 400,
    body: { errors: [{ pointer: '/querystring/status' }] },
  })
  await call('admin', 'POST', `${AT}/activate`, { also: [{ policy_id: 'c' }], rejudge: true })
  t.match(asked.at(-1)?.with, [
    [{ policy_id: 'a/b', version: '1.0.0' }, { policy_id: 'c' }],
    { rejudge: true },
  ])
})

t.test('what each scope may', async (t) => {
  const allowed = async (key: keyof typeof KEYS): Promise<string[]> => {
    const calls = {
      read: await call(key, 'GET', AT),
      write: await call(key, 'POST', `${AT}/submit`),
      validate: await call(key, 'POST', `${AT}/validate`),
      validateText: await call(key, 'POST', '/v1/policies/validate', { text: 'x' }),
      approve: await call(key, 'POST', `${AT}/approve`),
      reject: await call(key, 'POST', `${AT}/reject`),
      activate: await call(key, 'POST', `${AT}/activate`),
      rollback: await call(key, 'POST', '/v1/policies/a/rollback'),
    }
    return Object.entries(calls).flatMap(([name, { status }]) => (status === 403 ? [] : [name]))
  }
  t.same(await allowed('other'), [])
  t.same(await allowed('read'), ['read'])
  t.same(await allowed('write'), ['read', 'write', 'validate', 'validateText', 'reject'])
  t.same(await allowed('approve'), ['read', 'approve', 'reject', 'activate', 'rollback'])
  asked.length = 0
  t.match(await call('nobodys', 'POST', `${AT}/approve`), {
    status: 403,
    body: { detail: /belongs to somebody/ },
  })
  t.same(asked, [])
})

t.test('a place in a text is told with its pointer', async (t) => {
  const app = Fastify()
  app.setErrorHandler(problemHandler(pino({ level: 'silent' })))
  app.get('/', () => {
    throw new CordonError('POLICY_INVALID', 'not valid', {
      problems: [
        { file: 'x.rego', line: 3, column: 2, message: 'is odd', pointer: '/text' },
        { file: '/path', message: 'is taken' },
        { file: '', message: 'is large', pointer: '/text' },
      ],
    })
  })
  t.match((await app.inject('/')).json(), {
    errors: [
      { pointer: '/text', detail: 'x.rego:3:2: is odd' },
      { pointer: '/path', detail: 'is taken' },
      { pointer: '/text', detail: 'is large' },
    ],
  })
})
