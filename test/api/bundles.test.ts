// The bundle of the store over HTTP: tags, 304, and a wait that ends with a change, in time, or with the client.

import { pino } from 'pino'
import t from 'tap'
import { KeyRing } from '../../src/api/key.ts'
import { type ApiParts, openApi } from '../../src/api/server.ts'
import { ServedBundle } from '../../src/app/served-bundle.ts'
import { IdSource } from '../../src/base/ids.ts'
import { unpackArchive } from '../../src/policy/bundle/archive.ts'
import { packStored } from '../../src/policy/bundle/stored-bundle.ts'
import type { PolicyRevisions, RevisionHead } from '../../src/store/policy-revisions.ts'

const TYPE = 'application/vnd.openpolicyagent.bundles'
const stored = new Map<string, Buffer>()
let head: RevisionHead | undefined
const served = new ServedBundle(
  {
    head: () => Promise.resolve(head),
    bundle: (revision: string) => Promise.resolve(stored.get(revision)),
    nodes: () => Promise.resolve([]),
  } as unknown as PolicyRevisions,
  () => ({ key: '', key_id: '', scope: '' }),
)
const app = await openApi({
  bundles: served,
  policies: {},
  keys: new KeyRing({
    findKey: (key) =>
      Promise.resolve({ id: key, name: key, scopes: key === 'reader' ? ['policies:read'] : [] }),
  }),
  ids: new IdSource(),
  log: pino({ level: 'silent' }),
  version: '0',
} as unknown as ApiParts)
await app.ready()
t.teardown(() => app.close())

async function publish(text: string): Promise<void> {
  const { revision, bundle } = await packStored([{ path: 'a.rego', text }], [])
  stored.set(revision, bundle)
  head = { number: (head?.number ?? 0) + 1, rejudge_number: 0, revision }
}

async function get(
  headers: Readonly<Record<string, string>> = {},
  url = '/v1/bundles/cordon.tar.gz',
) {
  const {
    statusCode,
    headers: answered,
    rawPayload,
  } = await app.inject({
    url,
    headers: { authorization: 'Bearer reader', ...headers },
  })
  return { status: statusCode, headers: answered, bytes: rawPayload }
}

t.test(
  'nothing before anything was in force, nothing without the right, no other bundle',
  async (t) => {
    t.equal((await get()).status, 404)
    t.equal((await get({ authorization: 'Bearer other' })).status, 403)
    t.equal((await get({ authorization: '' })).status, 401)
    await publish('package a\n')
    t.equal((await get({}, '/v1/bundles/other.tar.gz')).status, 404)
    t.equal((await get({}, '/v1/bundles/cordon')).status, 200, 'a name without its ending')
    t.equal((await get({}, '/bundles/cordon.tar.gz')).status, 200, 'where OPA looks by itself')
  },
)

t.test('the same files have the same tag, and are not sent twice', async (t) => {
  const first = await get()
  t.equal(first.headers['content-type'], TYPE)
  t.same(
    (await unpackArchive(first.bytes)).map(({ path }) => path),
    ['.manifest', 'a.rego'],
  )
  const etag = String(first.headers['etag'])
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const { status, headers, bytes } = await get({ 'if-none-match': known })
    t.equal(status, 304, known)
    t.equal(headers['etag'], etag)
    t.equal(headers['content-type'], TYPE, 'by which OPA goes on waiting')
    t.equal(bytes.length, 0)
  }
  t.equal((await get({ 'if-none-match': '"other"' })).status, 200)
  await publish('package b\n')
  t.equal((await get({ 'if-none-match': etag })).status, 200)
  await publish('package a\n')
  t.equal(
    (await get({ 'if-none-match': etag })).status,
    304,
    'what was rolled back has its tag again',
  )
})

t.test('whoever asks to wait is answered with the next change', async (t) => {
  const etag = String((await get()).headers['etag'])
  const waiting = get({ 'if-none-match': etag, prefer: 'modes=snapshot,delta;wait=60' })
  await new Promise((resolve) => setTimeout(resolve, 30))
  await publish('package c\n')
  served.changed()
  const { status, bytes } = await waiting
  t.equal(status, 200)
  t.match((await unpackArchive(bytes)).at(-1)?.bytes.toString(), 'package c')
  t.equal(
    (await get({ prefer: 'wait=60' })).status,
    200,
    'without a tag there is nothing to wait for',
  )
  const known = String((await get()).headers['etag'])
  const ending = get({ 'if-none-match': known, prefer: 'wait=60' })
  await new Promise((resolve) => setTimeout(resolve, 30))
  served.close()
  t.equal((await ending).status, 304, 'a Cordon that ends keeps nobody')
})
