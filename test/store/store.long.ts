// One contract for all databases: PostgreSQL and TimescaleDB where they are installed, and the embedded one.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { LedgerRecord } from '../../src/model/record.ts'
import { Credentials, hashOf } from '../../src/store/credentials.ts'
import { StoredDirectory } from '../../src/store/directory.ts'
import { Lists } from '../../src/store/lists.ts'
import { openStore, type Store, type StoreOptions } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import { answerReview, Reviews } from '../../src/store/reviews.ts'
import { noPostgres, noTimescale, startPostgres } from '../support/postgres.ts'
import {
  auditRecord,
  decisionRecord,
  type DecisionFields,
  ids,
  outcomeRecord,
  shippedOf,
  silent,
} from '../support/records.ts'
import { coverageContract } from './coverage-contract.ts'
import { migrationContract } from './migration-contract.ts'

const migrationsDir = join(import.meta.dirname, '../../migrations')

t.test('PostgreSQL', { skip: noPostgres() }, async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const databaseUrl = await server.database()
  await contract(t, { databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent })
})

t.test('TimescaleDB', { skip: noTimescale() }, async (t) => {
  const server = await startPostgres({ timescale: true })
  t.teardown(() => server.stop())
  const databaseUrl = await server.database()
  await contract(t, { databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent })
})

t.test('the embedded database', async (t) => {
  // Told before there is a folder (test/support/stores.ts).
  t.teardown(() => undefined)
  const options = { databaseUrl: '', dataDir: t.testdir(), migrationsDir, log: silent }
  await contract(t, options)
  await t.rejects(openStore(options), { code: 'STORE_LOCKED' }, 'it is one process at a time')
})

/** The parts share one database and keep apart by tenant or person. */
async function contract(t: Test, options: StoreOptions): Promise<void> {
  const first = await openStore(options)
  await first.close()
  const store = await openStore(options)
  t.teardown(() => store.close())
  const { db } = store
  await migrationContract(t, store)
  const opened: string[] = []
  const sink = new RecordSink({
    db,
    nextId: () => ids.next(),
    onViolation: (severity) => opened.push(severity),
  })

  await t.test('records of every kind arrive with all that they hold', async (t) => {
    const tenant = 'kinds'
    const decision = { ...decisionRecord({ userAgent: 'a"b\\c\nd{}' }), tenant }
    const records = shippedOf([
      decision,
      {
        ...outcomeRecord(decision, {
          visibility: 'sni',
          visibility_reason: 'pinned',
          format: 'openai-chat',
          input_tokens: 12,
          output_tokens: 1.5,
        }),
        tenant,
      },
      { ...auditRecord('somebody'), tenant, data: { a: [1, 'x'] } },
      { kind: 'gap', tenant, time: 3000, from: 1000, to: 2000, count: 7, reason: 'spool_full' },
    ])
    await sink.write(records[0]?.writer ?? '', records)
    const view = await new Lists(db, tenant).decision(decision.decision.decision_id)
    t.match(view, {
      decision: 'DENY',
      action: 'access_ai_service',
      user: { id: 'id-maya', name: 'maya', department: 'Engineering', known: true },
      resource: { id: 'chatgpt', host: 'chatgpt.com', path: '/backend-api/conversation', ai: true },
      primary_policy_id: 'no-secrets',
      ip_address: '10.1.2.3',
      outcome: { status: 403, bytes_in: 10, bytes_out: 20, duration_ms: 2 },
      visibility: 'sni',
      visibility_reason: 'pinned',
      format: 'openai-chat',
      input_tokens: 12,
      output_tokens: null,
    })
    const [exported] = await collect(new Lists(db, tenant).all('decisions', undefined, undefined))
    t.match(exported, { status: 403, bytes_in: 10, visibility: 'sni', input_tokens: 12 })
    const [listed] = (await new Lists(db, tenant).decisions({})).items
    t.same(listed, exported, 'lists and exports show the same')
    const { rows } = await sql<{
      record: string
      leaf: Buffer
      user_agent: string
      personal: Buffer
    }>`select record, leaf, user_agent, personal from decisions where tenant = ${tenant}`.execute(
      db,
    )
    t.equal(rows[0]?.record, records[0]?.text, 'the exact text')
    t.same(rows[0]?.leaf, records[0]?.leaf)
    t.equal(rows[0]?.user_agent, 'a"b\\c\nd{}')
    t.same(rows[0]?.personal, records[0]?.personalBytes)
    const audit = await collect(new Lists(db, tenant).all('audit_events', undefined, undefined))
    t.match(audit, [
      { event_type: 'test_event', event_data: { a: [1, 'x'] }, actor_name: 'somebody' },
    ])
    const gaps = await sql<{ count: string; reason: string }>`
      select count, reason from gaps where tenant = ${tenant}`.execute(db)
    t.same(gaps.rows, [{ count: '7', reason: 'spool_full' }])
  })

  await t.test(
    'what PostgreSQL cannot hold in a column does not keep a decision out',
    async (t) => {
      const tenant = 'nul'
      const decision = { ...decisionRecord({ userAgent: 'a\0b\ud800' }), tenant }
      const device = { hostname: 'x\0y', 'back\\slash\\u0000': '\udc00' }
      const records = shippedOf([{ ...decision, personal: { ...decision.personal, device } }])
      await sink.write(records[0]?.writer ?? '', records)
      const { rows } = await sql<{ user_agent: string; device: unknown; record: string }>`
      select user_agent, device, record from decisions where tenant = ${tenant}`.execute(db)
      t.equal(rows[0]?.user_agent, 'a\ufffdb\ufffd')
      t.same(rows[0]?.device, { hostname: 'x\ufffdy', 'back\\slash\\u0000': '\ufffd' })
    },
  )

  await t.test('a repeat changes nothing, and the cursor tells how far the store is', async (t) => {
    const tenant = 'repeats'
    const person = randomUUID()
    const records = shippedOf(
      [1, 2, 3].map(() => ({ ...decisionRecord({ person, violation: true }), tenant })),
    )
    const writer = records[0]?.writer ?? ''
    await sink.write(writer, records.slice(0, 2))
    await Promise.all([sink.write(writer, records), sink.write(writer, records)])
    await sink.write(writer, records.slice(0, 1))
    t.equal((await sink.cursors()).get(writer), 3)
    const page = await new Lists(db, tenant).decisions({})
    t.equal(page.items.length, 3)
    const violations = await new Lists(db, tenant).violations({})
    t.match(violations.items, [{ count: 3 }])
    t.equal(violations.items.length, 1)
  })

  await t.test('two recorders that begin together count a violation once', async (t) => {
    const tenant = 'together'
    const records = shippedOf([{ ...decisionRecord({ person: 'p', violation: true }), tenant }])
    const writer = records[0]?.writer ?? ''
    await Promise.all([1, 2, 3, 4].map(() => sink.write(writer, records)))
    const { items } = await new Lists(db, tenant).violations({})
    t.match(items, [{ count: 1 }])
  })

  await t.test(
    'a record that the store refuses is set aside whole, and the cursor goes on',
    async (t) => {
      const tenant = 'poison'
      const good = { ...decisionRecord(), tenant }
      const bad = { ...good, decision: { ...good.decision, decision: 'MAYBE' as 'ALLOW' } }
      const records = shippedOf([bad, good])
      const [poison, fine] = records
      const writer = poison?.writer ?? ''
      await t.rejects(sink.write(writer, records), { code: /^23/ })
      t.equal((await sink.cursors()).get(writer) ?? 0, 0, 'nothing of the batch is there')
      if (poison === undefined || fine === undefined) return
      await sink.setAside(poison, 'why')
      await sink.setAside(poison, 'why')
      await sink.write(writer, [fine])
      t.equal((await sink.cursors()).get(writer), 2)
      const { rows } = await sql<{ seq: string; record: string; leaf: Buffer; reason: string }>`
      select seq, record, leaf, reason from dead_letters where tenant = ${tenant}`.execute(db)
      t.same(rows, [{ seq: '1', record: poison.text, leaf: poison.leaf, reason: 'why' }])
    },
  )

  await t.test('violations: one a person, policy, service and day', async (t) => {
    const tenant = 'violations'
    const day = Date.UTC(2026, 10, 20, 12)
    const violation = (fields: DecisionFields) => ({
      ...decisionRecord({ time: day, violation: true, person: 'p1', ...fields }),
      tenant,
    })
    opened.length = 0
    await ship(sink, [
      violation({}),
      violation({ time: day + 60_000 }),
      violation({ time: day - 60_000 }),
      violation({ person: 'p2' }),
      violation({ policy: 'other' }),
      violation({ service: 'claude' }),
      violation({ time: day + 86_400_000 }),
      violation({ policy: null }),
      { ...decisionRecord({ time: day, person: 'p3' }), tenant },
    ])
    await ship(sink, [violation({ time: day + 120_000 })])
    t.same(
      opened,
      Array.from({ length: 6 }, () => 'high'),
      'each is told once, when it opens',
    )
    const { items } = await new Lists(db, tenant).violations({
      policy: 'no-secrets',
      service: 'chatgpt',
    })
    t.same(
      items.map((item) => [item['count'], item['first_seen'], item['last_seen']]),
      [
        [1, new Date(day + 86_400_000), new Date(day + 86_400_000)],
        [1, new Date(day), new Date(day)],
        [4, new Date(day - 60_000), new Date(day + 120_000)],
      ],
    )
    const facts = await sql<{ n: string }>`
      select count(*) as n from violation_facts where tenant = ${tenant}`.execute(db)
    t.equal(facts.rows[0]?.n, '9', 'every single one is a fact')
    t.match((await new Lists(db, tenant).violations({ severity: 'low' })).items, [])
    t.equal((await new Lists(db, tenant).violations({ user: 'MAYA' })).items.length, 6)
    const during = {
      since: new Date(day + 90_000).toISOString(),
      until: new Date(day + 100_000).toISOString(),
    }
    t.equal((await new Lists(db, tenant).violations(during)).items.length, 1, 'what lasted then')
  })

  await t.test('lists: every filter', async (t) => {
    const tenant = 'filters'
    const time = Date.UTC(2026, 10, 21)
    await ship(sink, [
      { ...decisionRecord({ time, user: 'ann', effect: 'ALLOW', policy: null }), tenant },
      { ...decisionRecord({ time: time + 1, user: 'bob', department: 'Sales' }), tenant },
      { ...decisionRecord({ time: time + 2, service: null, source: 'ide_plugin' }), tenant },
    ])
    const lists = new Lists(db, tenant)
    const people = async (filter: Record<string, string>): Promise<unknown[]> =>
      (await lists.decisions(filter)).items.map((item) => (item['user'] as { name: string }).name)
    t.same(await people({}), ['maya', 'bob', 'ann'], 'newest first')
    t.same(await people({ user: 'ANN' }), ['ann'])
    t.same(await people({ user: 'bob@acme.example' }), ['bob'])
    t.same(await people({ user: 'id-bob' }), ['bob'])
    t.same(await people({ department: 'Sales' }), ['bob'])
    t.same(await people({ decision: 'ALLOW' }), ['ann'])
    t.same(await people({ policy: 'no-secrets' }), ['maya', 'bob'])
    t.same(await people({ service: 'chatgpt' }), ['bob', 'ann'])
    t.same(await people({ service: 'chatgpt.com' }), ['maya', 'bob', 'ann'])
    t.same(await people({ source: 'ide_plugin' }), ['maya'])
    t.same(await people({ since: new Date(time + 1).toISOString() }), ['maya', 'bob'])
    t.same(await people({ until: new Date(time + 1).toISOString() }), ['ann'])
    t.same((await new Lists(db, 'nobody').decisions({})).items, [], 'tenants are apart')
    await t.rejects(lists.decisions({ cursor: 'nonsense' }), { code: 'INPUT_INVALID' })
  })

  await t.test(
    'pages have no gaps and no doubles, also among equal times and while rows come in',
    async (t) => {
      const tenant = 'pages'
      const time = Date.UTC(2026, 10, 22)
      const make = (count: number, at: number) =>
        Array.from({ length: count }, (_, index) => ({
          ...decisionRecord({ time: at, person: `q${at}-${index}`, violation: true }),
          tenant,
        }))
      const records = [...make(7, time), ...make(3, time + 1), ...make(5, time + 2)]
      await ship(sink, records)
      const lists = new Lists(db, tenant)
      for (const list of ['decisions', 'violations'] as const) {
        const id = list === 'decisions' ? 'decision_id' : 'violation_id'
        const seen: unknown[] = []
        let cursor: string | undefined
        let page = 0
        do {
          const next = await lists[list]({ limit: 4, ...(cursor === undefined ? {} : { cursor }) })
          seen.push(...next.items.map((item) => item[id]))
          cursor = next.next_cursor ?? undefined
          // Somebody is seen again, and somebody new.
          const again = records[page++]
          if (again !== undefined)
            await ship(sink, [
              {
                ...decisionRecord({ time: time + 50, person: again.person_key, violation: true }),
                tenant,
              },
              { ...decisionRecord({ time: time + 60, person: `new-${list}-${page}` }), tenant },
            ])
        } while (cursor !== undefined)
        t.equal(seen.length, new Set(seen).size, `${list}: no doubles`)
        t.equal(seen.length, 15, `${list}: no gaps`)
      }
    },
  )

  await t.test('exports: everything once, oldest first, within a time', async (t) => {
    const tenant = 'exports'
    const time = Date.UTC(2026, 10, 23)
    // More than one round of the cursor, many of them at the same time.
    const records = Array.from({ length: 2100 }, (_, index) => ({
      ...decisionRecord({ time: time + Math.floor(index / 900) }),
      tenant,
    }))
    await ship(sink, records)
    const lists = new Lists(db, tenant)
    const all = await collect(lists.all('decisions', undefined, undefined))
    t.equal(new Set(all.map((row) => row['decision_id'])).size, 2100)
    t.equal(all.length, 2100)
    t.match(all[0], { time: new Date(time) })
    const some = await collect(lists.all('decisions', new Date(time + 1), new Date(time + 2)))
    t.equal(some.length, 900)
  })

  await coverageContract(t, store, (records) => ship(sink, records))

  await t.test('reviews: one pending a key, answered once, approved for a while', async (t) => {
    const reviews = new Reviews(db, 'reviews', () => ids.next())
    const key = {
      person_key: 'p',
      person: 'maya',
      service_id: 'chatgpt',
      policy_id: 'risk',
      action: 'send_prompt',
      reason: 'look at it',
      decision_id: ids.next(),
    }
    const first = await reviews.open(key)
    t.equal(first.state, 'pending')
    const more = await Promise.all([1, 2, 3].map(() => reviews.open(key)))
    t.same(new Set(more.map((review) => review.review_id)), new Set([first.review_id]))
    const others = await Promise.all([
      reviews.open({ ...key, action: 'upload_file' }),
      reviews.open({ ...key, policy_id: null }),
      reviews.open({ ...key, person_key: 'q' }),
      reviews.open({ ...key, service_id: 'claude' }),
    ])
    t.equal(new Set([first, ...others].map((review) => review.review_id)).size, 5)
    const lists = new Lists(db, 'reviews')
    t.match(
      (await lists.reviews({ status: 'pending' })).items.find(
        (item) => item['review_id'] === first.review_id,
      ),
      { count: 4, person: 'maya', policy_id: 'risk' },
    )
    t.equal((await lists.reviews({ policy: 'risk', service: 'claude' })).items.length, 1)

    const answer = (id: string, status: 'approved' | 'denied', validMs: number) =>
      answerReview(db, 'reviews', id, {
        status,
        by: 'rita',
        comment: 'fine',
        validMs,
        exception_id: null,
      })
    const answered = await answer(first.review_id, 'approved', 60_000)
    t.match(answered, { status: 'approved', answered_by: 'rita', comment: 'fine' })
    t.same(await reviews.open(key), { review_id: first.review_id, state: 'approved' })
    t.same(await reviews.answersTo([first.review_id, others[0]?.review_id ?? '']), [
      { review_id: first.review_id, state: 'approved' },
    ])

    const short = others[0]?.review_id ?? ''
    await answer(short, 'approved', 0)
    t.match(await reviews.open({ ...key, action: 'upload_file' }), { state: 'pending' })
    t.same(
      (await lists.reviews({ status: 'expired' })).items.map((item) => item['review_id']),
      [short],
    )
    t.same(
      (await lists.reviews({ status: 'approved' })).items.map((item) => item['review_id']),
      [first.review_id],
    )
    const denied = others[2]?.review_id ?? ''
    await answer(denied, 'denied', 60_000)
    const again = await reviews.open({ ...key, person_key: 'q' })
    t.not(again.review_id, denied, 'after a denial the next one is a new question')
    t.equal(again.state, 'pending')
  })

  await t.test('tokens and keys are kept as hashes and found by what was shown once', async (t) => {
    const tenant = 'credentials'
    const credentials = new Credentials(db, tenant)
    const maya = await addPerson(store, tenant, { name: 'maya', email: 'Maya@Acme.example' })
    const token = await credentials.createToken(maya)
    const key = await credentials.createKey('ci', ['decisions:self'], maya)
    const { rows } = await sql<{ text: string; hash: Buffer }>`
      select t::text as text, token_hash as hash from proxy_tokens t where tenant = ${tenant}
      union all select k::text, key_hash from api_keys k where tenant = ${tenant}`.execute(db)
    t.same(
      rows.map(({ hash }) => hash),
      [hashOf(token), hashOf(key)],
    )
    t.notOk(rows.some(({ text }) => text.includes(token) || text.includes(key)))
    t.same(await credentials.verifyToken('MAYA@acme.EXAMPLE', token), { user_id: maya })
    t.equal(await credentials.verifyToken('bob', token), undefined, 'only under its own name')
    t.equal(await credentials.verifyToken('maya', `${token}x`), undefined)
    t.match(await credentials.findKey(key), {
      name: 'ci',
      scopes: ['decisions:self'],
      user: { id: maya, name: 'maya' },
    })
    t.equal(await new Credentials(db, 'other').findKey(key), undefined)
    await sql`update proxy_tokens set revoked_at = now() where tenant = ${tenant}`.execute(db)
    await sql`update api_keys set revoked_at = now() where tenant = ${tenant}`.execute(db)
    t.equal(await credentials.verifyToken('maya', token), undefined)
    t.equal(await credentials.findKey(key), undefined)
  })

  await t.test('people are found by name, e-mail and external id, whatever the case', async (t) => {
    const tenant = 'people'
    const directory = new StoredDirectory(db, tenant)
    const id = await addPerson(store, tenant, {
      name: 'Änne',
      email: 'Aenne@Acme.example',
      external_id: 'EXT-7',
      department: 'platform',
    })
    await sql`
      insert into departments (tenant, name, parent, allowed_ai_services) values
        (${tenant}, 'Engineering', 'Acme', '{chatgpt}'), (${tenant}, 'Platform', 'Engineering', '{}')`.execute(
      db,
    )
    await sql`insert into groups (tenant, name, prohibited_ai_services) values (${tenant}, 'Interns', '{claude}')`.execute(
      db,
    )
    await sql`insert into user_groups (tenant, user_id, group_name) values (${tenant}, ${id}, 'interns'), (${tenant}, ${id}, 'alumni')`.execute(
      db,
    )
    await sql`insert into user_roles (tenant, user_id, role_name, expires_at) values
      (${tenant}, ${id}, 'admin', now() - interval '1 day'), (${tenant}, ${id}, 'dev', null)`.execute(
      db,
    )
    for (const principal of [
      { login: 'ÄNNE' },
      { login: 'aenne@acme.EXAMPLE' },
      { login: 'ext-7' },
      { name: 'änne' },
      { email: 'AENNE@ACME.EXAMPLE' },
      { external_id: 'ext-7' },
      { user_id: id },
    ]) {
      const found = await directory.find(principal)
      t.equal(found?.user.id, id, JSON.stringify(principal))
    }
    for (const principal of [{ login: 'nobody' }, { user_id: 'no uuid' }, { login: "o'\0x" }])
      t.equal(await directory.find(principal), undefined, JSON.stringify(principal))
    const found = await directory.find({ login: 'Änne' })
    t.match(found?.user, {
      known: true,
      department: { name: 'Platform', path: ['Acme', 'Engineering', 'Platform'] },
      groups: ['Interns', 'alumni'],
      roles: ['dev'],
    })
    t.same(found?.allowed_services, new Set(['chatgpt']))
    t.same(found?.prohibited_services, new Set(['claude']))
    t.ok(
      ['Acme', 'Engineering', 'Platform', 'Interns', 'alumni'].every((unit) =>
        found?.units.has(unit),
      ),
    )
    t.equal(await new StoredDirectory(db, 'other').find({ login: 'Änne' }), undefined)
  })

  await t.test('a department that nobody has described is its name', async (t) => {
    const tenant = 'undescribed'
    await addPerson(store, tenant, { name: 'maya', department: 'Engineering' })
    const found = await new StoredDirectory(db, tenant).find({ login: 'maya' })
    t.same(found?.user.department, { name: 'Engineering', path: ['Engineering'] })
    t.ok(found?.units.has('Engineering'))
  })

  await t.test('devices are found by host name, whatever the case', async (t) => {
    const tenant = 'devices'
    await sql`insert into assets (tenant, hostname, crown_jewel, data_classification, last_scan)
      values (${tenant}, 'Lap-7', true, '{pii}', '2026-11-01T00:00:00Z')`.execute(db)
    const asset = await new StoredDirectory(db, tenant).asset('LAP-7')
    t.match(asset, { hostname: 'Lap-7', data_classification: ['pii'] })
    t.match(asset?.document, { crown_jewel: true, last_scan: '2026-11-01T00:00:00.000Z' })
    t.equal(await new StoredDirectory(db, tenant).asset('other'), undefined)
  })
}

async function ship(sink: RecordSink, records: readonly LedgerRecord[]): Promise<void> {
  const shipped = shippedOf(records)
  await sink.write(shipped[0]?.writer ?? '', shipped)
}

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const row of rows) all.push(row)
  return all
}

async function addPerson(
  { db }: Store,
  tenant: string,
  person: { name: string; email?: string; external_id?: string; department?: string },
): Promise<string> {
  const { rows } = await sql<{ user_id: string }>`
    insert into users (tenant, name, email, external_id, department)
    values (${tenant}, ${person.name}, ${person.email ?? null}, ${person.external_id ?? null}, ${person.department ?? null})
    returning user_id`.execute(db)
  return rows[0]?.user_id ?? ''
}
