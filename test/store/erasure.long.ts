// Erasing a person from the tables, the same in every database: what was theirs is gone, what is others' is as it was.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { auditRecord as eventOf } from '../../src/governance/audit.ts'
import { type ErasureOrder, PERSON_ERASED } from '../../src/model/erasure.ts'
import { formerPersonKey, personKey, pseudonymOf } from '../../src/model/person.ts'
import type { AuditRecord, DecisionRecord, LedgerRecord } from '../../src/model/record.ts'
import { compress } from '../../src/store/compression.ts'
import { countRows, eraseRows } from '../../src/store/erase-rows.ts'
import {
  erasureStates,
  folderDone,
  folderSeen,
  openOrders,
  ordersFor,
} from '../../src/store/erasures.ts'
import { decideException, insertException } from '../../src/store/exceptions.ts'
import { placeHold } from '../../src/store/holds.ts'
import { openStore, type Store, type StoreOptions } from '../../src/store/open.ts'
import { findPerson, keysBehind } from '../../src/store/people-found.ts'
import { RecordSink } from '../../src/store/records.ts'
import { Reviews } from '../../src/store/reviews.ts'
import { meansOf } from '../../src/store/series.ts'
import type { Tables } from '../../src/store/tables.ts'
import { statement, TestDesk } from '../support/policy-desk.ts'
import { noPostgres, noTimescale, startPostgres } from '../support/postgres.ts'
import { decisionRecord, ids, shippedOf, silent } from '../support/records.ts'

const migrationsDir = join(import.meta.dirname, '../../migrations')
const SECRET = Buffer.alloc(32, 7)
const DAY_MS = 86_400_000
/** The reviews are made by the store's clock. */
const now = Date.now() + 3_600_000

t.test('the embedded database', async (t) => {
  // Told before there is a folder (test/support/stores.ts).
  t.teardown(() => undefined)
  await contract(t, { databaseUrl: '', dataDir: t.testdir(), migrationsDir, log: silent })
})

t.test('PostgreSQL', { skip: noPostgres() }, async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const databaseUrl = await server.database()
  const options = { databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent }
  await contract(t, options)
  await raceContract(t, options)
})

t.test('TimescaleDB', { skip: noTimescale() }, async (t) => {
  const server = await startPostgres({ timescale: true })
  t.teardown(() => server.stop())
  const databaseUrl = await server.database()
  const options = { databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent }
  await contract(t, options, async (db) => {
    const signal = new AbortController().signal
    const count = await compress(db, await meansOf(db), new Date(now), signal)
    t.ok(count > 10, 'chunks are compressed')
  })
})

async function contract(
  t: Test,
  options: StoreOptions,
  age?: (db: Kysely<Tables>) => Promise<void>,
): Promise<void> {
  const store = await openStore(options)
  t.teardown(() => store.close())
  const { db } = store

  await t.test(
    'what was hers is gone, the records stay, and others are as they were',
    async (t) => {
      const place = placeIn(store, 'erased')
      const { tenant, zelda, ben, key } = place
      await place.ship([
        ...Array.from({ length: 600 }, (_, index) =>
          zelda({ time: now - 40 * DAY_MS + index * 1_800_000 }),
        ),
        ...Array.from({ length: 50 }, (_, index) => ben({ time: now - 20 * DAY_MS + index })),
        place.event({ actor: { type: 'user', id: 'id-zelda', name: 'zelda' } }),
        place.event({ actor: { type: 'user', id: 'id-ben', name: 'ben' } }),
        place.event({
          actor: { type: 'user', id: 'id-ben', name: 'ben' },
          target: { type: 'user', id: 'id-zelda', name: 'zelda' },
          personalData: { note: 'about zelda' },
        }),
      ])
      const [poison] = shippedOf([zelda({ time: now - 1 })])
      if (poison === undefined) return
      await place.sink.setAside(poison, 'SQLSTATE 22000')
      const reviews = new Reviews(db, tenant, () => ids.next())
      for (const person of ['zelda', 'ben'])
        await reviews.open({
          person_key: place.keyOf(person),
          person: `id-${person}`,
          service_id: 'chatgpt',
          policy_id: null,
          action: 'send_prompt',
          reason: 'look',
          decision_id: randomUUID(),
        })
      for (const person of ['zelda', 'ben'])
        await insertException(db, tenant, {
          exception_id: ids.next(),
          reason: `for ${person}`,
          justification: `${person} asked`,
          user_id: randomUUID(),
          person_key: place.keyOf(person),
          department: null,
          group_name: null,
          policy_id: 'p',
          ai_service_id: null,
          lifts: 'policy',
          conditions: null,
          requested_by: 'os:operator',
          requester_key: null,
          effective_from: null,
          effective_until: null,
          review_id: null,
        })
      await age?.(db)
      const before = await contentsOf(db, tenant)
      const order = place.order([key])
      t.same(await countRows(db, order), {
        decisions: 600,
        audit_events: 2,
        dead_letters: 1,
        violations: 13,
        reviews: 1,
        exceptions: 1,
        policy_versions: 0,
        policy_conflicts: 0,
        policy_events: 0,
        legal_holds: 0,
      })
      await place.ship([place.orderRecord(order)])
      const [open] = await openOrders(db)
      t.match(open, order)
      if (open === undefined) return
      const erased = await eraseRows(db, open, store.kind === 'embedded')
      t.match(erased, {
        decisions: 600,
        audit_events: 2,
        dead_letters: 1,
        reviews: 1,
        exceptions: 1,
      })
      t.same(await openOrders(db), [])

      const after = await contentsOf(db, tenant)
      const named = new RegExp('zelda(?!-key)|zelda@|10\\.1\\.2\\.3|laptop-z|agent-z', 'u')
      t.same(
        after.filter((row) => named.test(withoutText(row))).map(withoutText),
        [],
        'no column names her',
      )
      const stays = (rows: readonly string[]): string[] => rows.filter((row) => !isHers(row))
      t.same(stays(after), stays(before), 'what is not hers is as it was')
      t.equal(after.length, before.length + 1, 'no record went; the order came')
      const kept = new Set(after.map(textsOf))
      t.same(
        before.map(textsOf).filter((text) => !kept.has(text)),
        [],
        'texts and leaves are the same',
      )
      t.match(await eraseRows(db, open, false), { decisions: 0, audit_events: 0, reviews: 0 })
      t.match((await erasureStates(db, tenant))[0], {
        erasure_id: order.erasure_id,
        reason: 'request 17',
        store_done_at: Date,
      })
    },
  )

  await t.test(
    'what she did: her words go, and the pseudonym stands where she stood',
    async (t) => {
      const place = placeIn(store, 'acts')
      const { tenant, keyOf } = place
      await sql`insert into person_secrets (tenant, secret) values (${tenant}, ${SECRET})`.execute(
        db,
      )
      const zelda = { type: 'user', id: randomUUID(), name: 'zelda' } as const
      const account = { type: 'user', login: 'os:zelda' } as const
      const gone = { type: 'user', id: randomUUID(), name: 'Zelda' } as const
      const ben = { type: 'user', id: randomUUID(), name: 'ben' } as const
      for (const { id, name } of [zelda, ben])
        await sql`insert into users (tenant, user_id, name) values (${tenant}, ${id}, ${name})`.execute(
          db,
        )
      const desk = new TestDesk(db, tenant)
      // So that the events of it wait in the store.
      desk.ledger = 'full'
      const git = { branch: 'zelda/uploads' }
      await desk.life.create({ text: statement('hers'), change_summary: 'zelda wrote', git }, zelda)
      await desk.life.submit({ policy_id: 'hers' }, 'zelda asks', undefined, account)
      await desk.approve({ policy_id: 'hers' }, ben, 'ben agrees')
      // Removed from the directory since.
      await desk.life.create({ text: statement('old'), change_summary: 'zelda wrote' }, gone)
      await desk.life.create({ text: statement('his'), change_summary: 'ben wrote' }, ben)
      await desk.life.submit({ policy_id: 'his' }, undefined, undefined, ben)
      await desk.approve({ policy_id: 'his' }, zelda, 'zelda agrees')
      const exception = (requested_by: string, requester: string) =>
        insertException(db, tenant, {
          exception_id: ids.next(),
          reason: `${requester} asks`,
          justification: `${requester} needs it`,
          user_id: randomUUID(),
          person_key: keyOf('lee'),
          department: null,
          group_name: null,
          policy_id: 'p',
          ai_service_id: null,
          lifts: 'policy',
          conditions: null,
          requested_by,
          requester_key: keyOf(`requester ${requester}`),
          effective_from: null,
          effective_until: null,
          review_id: null,
        })
      const said = (by: string, text: string) => ({ by, text })
      const hers = await exception(zelda.id, 'zelda')
      await decideException(db, tenant, hers.exception_id, 'approved', said(ben.id, 'ben says yes'))
      await exception(gone.id, 'zelda')
      const his = await exception(ben.id, 'ben')
      await decideException(
        db,
        tenant,
        his.exception_id,
        'denied',
        said('os:Zelda', 'zelda says no'),
      )
      const review = (by: string, name: string) =>
        sql`
      insert into reviews (tenant, review_id, person_key, person, service_id, policy_id, action, reason, status, first_decision_id,
        answered_at, answered_by, comment, assigned_by, assigned_at)
      values (${tenant}, ${ids.next()}, ${keyOf('lee')}, 'lee', 'chatgpt', '', ${ids.next()}, 'look', 'denied', ${randomUUID()}, now(), ${by},
        ${`${name} answers`}, ${by}, now())`.execute(db)
      await review(zelda.id, 'zelda')
      await review(ben.id, 'ben')
      for (const { id, name } of [zelda, ben])
        await sql`
        insert into policy_conflicts (tenant, policy_a_id, policy_b_id, conflict_type, conflict_details, severity, resolved, resolution_notes,
          resolved_by, resolved_at, fingerprint)
        values (${tenant}, 'hers', 'his', 'scope_overlap', '{}', 'low', true, ${`${name} meant it`}, ${id}, now(), ${ids.next()})`.execute(
          db,
        )
      await placeHold(db, tenant, {
        hold_id: ids.next(),
        name: 'case 7',
        person_keys: null,
        time_from: null,
        time_to: null,
        reason: 'court',
        created_by: 'zelda',
      })

      const { keys } = await findPerson({ db, tenant, personKey: keyOf }, { user: 'zelda' })
      const counted = {
        reviews: 1,
        exceptions: 3,
        policy_versions: 3,
        policy_conflicts: 1,
        policy_events: 4,
        legal_holds: 1,
      }
      const order = place.order(keys)
      t.match(await countRows(db, order), counted)
      await place.ship([place.orderRecord(order)])
      const open = (await openOrders(db)).find((each) => each.tenant === tenant)
      if (open === undefined) return t.fail('no order')
      t.match(await eraseRows(db, open, false), counted)
      t.match(
        await countRows(db, order),
        Object.fromEntries(Object.keys(counted).map((table) => [table, 0])),
      )
      t.match((await erasureStates(db, tenant))[0]?.erased, counted, 'the report tells it')
      const rows: string[] = []
      for (const table of [...Object.keys(counted), 'policies'])
        for (const { row } of (
          await sql<{ row: string }>`
          select to_jsonb(x)::text as row from ${sql.table(table)} x where tenant = ${tenant}`.execute(
            db,
          )
        ).rows)
          rows.push(row)
      const all = rows.join('\n')
      // An event is a record whose text is kept: ids are no names.
      const others = rows.filter((row) => !row.includes('event_id')).join('\n')
      t.notMatch(all, /zelda/i)
      t.notMatch(others, new RegExp(`${zelda.id}|${gone.id}`))
      for (const who of [zelda.id, 'os:zelda', 'os:Zelda', gone.id, 'zelda'])
        t.ok(all.includes(pseudonymOf(keyOf(who)) ?? 'none'), who)
      for (const words of ['ben agrees', 'ben wrote', 'ben says yes', 'ben asks', 'ben answers'])
        t.ok(all.includes(words), words)
      t.ok(all.includes('ben meant it'))
      const { rows: orphans } = await sql`
      select 1 from policies p join policy_versions v on v.tenant = p.tenant and v.policy_id = p.policy_id
      where p.tenant = ${tenant} and p.comments is distinct from v.change_summary`.execute(db)
      t.same(orphans, [], 'a policy shows what its version says')

      // Two people stay two.
      desk.ledger = 'open'
      const submit = await desk.life.submit({ policy_id: 'old' }, undefined, undefined, ben)
      const renamed = { ...gone, name: 'somebody' }
      for (const author of [gone, renamed, account])
        await t.rejects(
          desk.life.approve({ policy_id: 'old' }, undefined, [submit.edition], author),
          { code: 'OWN_VERSION' },
        )
      t.match(await desk.life.shelf.version({ policy_id: 'hers' }), {
        contributors: [{ id: /^person-/, name: null }],
        change_summary: null,
        git: null,
        history: [{ act: 'create' }, { act: 'submit' }, { act: 'approve', comment: 'ben agrees' }],
      })
    },
  )

  await t.test('records that come after the order, and are older, come without her', async (t) => {
    const place = placeIn(store, 'late')
    const { tenant, zelda, ben, key } = place
    await place.ship([place.orderRecord(place.order([key]))])
    const [late, afterwards] = [zelda({ time: now - 5000 }), zelda({ time: now + 5000 })]
    await place.ship([late, ben({ time: now - 5000 }), afterwards])
    t.equal(place.told(), 1, 'whoever has the segment is told')
    const { rows } = await sql<{
      decision_id: string
      user_name: string | null
      personal: unknown
    }>`
      select decision_id, user_name, personal from decisions where tenant = ${tenant} order by time, user_name`.execute(
      db,
    )
    t.match(rows, [
      { user_name: 'ben' },
      { decision_id: late.decision.decision_id, user_name: null, personal: null },
      { decision_id: afterwards.decision.decision_id, user_name: 'zelda', personal: Buffer },
    ])
    const [poison] = shippedOf([zelda({ time: now - 1 })])
    if (poison === undefined) return
    await place.sink.setAside(poison, 'why')
    const dead = await sql<{ personal: unknown }>`
      select personal from dead_letters where tenant = ${tenant}`.execute(db)
    t.same(dead.rows, [{ personal: null }])
    const violations = await sql<{ user_name: string | null }>`
      select user_name from violations where tenant = ${tenant} and person_key = ${key}`.execute(db)
    t.same(violations.rows, [{ user_name: null }])
  })

  await t.test('a store that is filled from segments learns of orders in them', async (t) => {
    const place = placeIn(store, 'replayed')
    const { tenant, zelda, key } = place
    const order = place.order([key])
    await place.ship([zelda({ time: now - 1000 }), place.orderRecord(order)])
    const open = (await openOrders(db)).filter((each) => each.tenant === tenant)
    t.match(open, [order], 'the order waits to be followed')
    for (const each of open) await eraseRows(db, each, false)
    const { rows } = await sql`
      select 1 from decisions where tenant = ${tenant} and personal is not null`.execute(db)
    t.same(rows, [])
  })

  await t.test(
    'who it is: by every name, by keys of both releases, by address and pseudonym',
    async (t) => {
      const place = placeIn(store, 'found')
      const { tenant, zelda, ben, key, keyOf } = place
      const parts = { db, tenant, personKey: keyOf }
      const userId = randomUUID()
      await sql`insert into users (tenant, user_id, name, email, external_id)
      values (${tenant}, ${userId}, 'zelda', 'zelda@acme.example', 'e-17')`.execute(db)
      const before = formerPersonKey(tenant, userId)
      const stranger = keyOf('zelda')
      const other = keyOf('another-id')
      const unnamed = { input: { ...(ben({}).input as object), user: { known: false } } }
      await place.ship([
        zelda({ time: now, person: before }),
        // Before she was in the directory, and written differently.
        { ...zelda({ time: now, person: stranger }), ...unnamed },
        {
          ...zelda({ time: now, person: keyOf('ZELDA') }),
          ...unnamed,
          personal: { login: 'ZELDA' },
        },
        // Somebody else of that name.
        { ...zelda({ time: now, person: other }), input: { ...(ben({}).input as object) } },
        {
          ...ben({ time: now, person: keyOf('192.0.2.7') }),
          ...unnamed,
          personal: { ip_address: '192.0.2.7' },
        },
        {
          ...ben({ time: now, person: keyOf('ben') }),
          personal: { user: { name: 'ben' }, ip_address: '192.0.2.7' },
        },
      ])
      for (const user of ['Zelda', 'ZELDA@acme.example', 'E-17', userId]) {
        const { keys, user_id: id } = await findPerson(parts, { user })
        t.equal(id, userId, user)
        for (const wanted of [keyOf(userId), before, stranger, keyOf('ZELDA')])
          t.ok(keys.includes(wanted), `${user}: ${wanted}`)
        t.notOk(keys.includes(other), 'another id is another person')
        t.notOk(keys.includes(formerPersonKey(tenant, 'zelda')), 'no key that names her by itself')
      }
      const byAddress = await findPerson(parts, { address: '192.0.2.7' })
      t.same(byAddress.keys, [keyOf('192.0.2.7')], 'not who used it by name')
      t.same(
        (await findPerson(parts, { login: 'nobody' })).keys,
        ['nobody', 'os:nobody'].map(keyOf),
      )
      t.same((await findPerson(parts, { person: key })).keys, [key])
      const pseudonym = pseudonymOf(stranger) ?? ''
      t.match(pseudonym, /^person-[a-z2-7]{12}$/)
      t.same((await findPerson(parts, { person: pseudonym.toUpperCase() })).keys, [stranger])
      t.same(await keysBehind(db, tenant, 'person-aaaaaaaaaaaa'), [])
      await t.rejects(findPerson(parts, { person: 'zelda' }), { code: 'INPUT_INVALID' })
      await t.rejects(findPerson(parts, {}), { code: 'INPUT_INVALID' })
      await t.rejects(findPerson(parts, { user: 'a', login: 'b' }), { code: 'INPUT_INVALID' })
      await t.rejects(findPerson(parts, { user: ' ' }), { code: 'INPUT_INVALID' })
    },
  )

  await t.test('done everywhere: when each data directory has told so', async (t) => {
    const place = placeIn(store, 'folders')
    const { tenant, key } = place
    const [one, two] = [randomUUID(), randomUUID()]
    const order = place.order([key])
    await folderSeen(db, tenant, one)
    await place.ship([place.orderRecord(order)])
    await folderSeen(db, tenant, two)
    await folderSeen(db, tenant, one)
    const own = async (installation: string): Promise<unknown[]> =>
      (await ordersFor(db, installation)).filter((each) => each.tenant === tenant)
    t.match(await own(one), [order])
    await folderDone(db, order, one, { records: 3, segments: 1 })
    await folderDone(db, order, one, { records: 1, segments: 1 })
    t.same(await own(one), [])
    t.match(await own(two), [order])
    const [state] = await erasureStates(db, tenant)
    const told = new Map(
      state?.folders.map((folder) => [
        folder.installation,
        [folder.done_at !== null, folder.records],
      ]),
    )
    t.same(told.get(one), [true, 4])
    t.same(told.get(two), [false, 0])
    t.equal(told.size, 2)
  })
}

/** A recorder's transaction that began before the order does not know it. */
async function raceContract(t: Test, options: StoreOptions): Promise<void> {
  await t.test('a transaction that is older than the order is waited for', async (t) => {
    const store = await openStore(options)
    t.teardown(() => store.close())
    const place = placeIn(store, 'race')
    const { tenant, key } = place
    await place.ship([place.zelda({ time: now - 2000 })])
    const other = new Client({ connectionString: options.databaseUrl })
    await other.connect()
    t.teardown(() => other.end())
    await other.query('begin')
    const copy = `insert into decisions select (jsonb_populate_record(d, jsonb_build_object('seq', 99))).* from decisions d where tenant = $1`
    await other.query(copy, [tenant])
    await place.ship([place.orderRecord(place.order([key]))])
    const open = (await openOrders(store.db)).find((each) => each.tenant === tenant)
    if (open === undefined) return t.fail('no order')
    const erasing = eraseRows(store.db, open, false)
    const first = await Promise.race([
      erasing.then(() => 'done'),
      new Promise((resolve) => setTimeout(resolve, 300, 'waits')),
    ])
    t.equal(first, 'waits')
    await other.query('commit')
    t.match(await erasing, { decisions: 2 })
  })
}

interface Fields {
  readonly time?: number
  readonly person?: string
}

function placeIn(store: Store, tenant: string) {
  let told = 0
  const keyOf = (person: string): string => personKey(SECRET, tenant, person)
  const key = keyOf('zelda')
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
    onErased: () => (told += 1),
  })
  const parts = { tenant, nextId: () => ids.next(), now: () => now - 3000, personKey: keyOf }
  const of = (user: string, { time = now, person = keyOf(user) }: Fields): DecisionRecord => {
    const made = decisionRecord({ user, time, person, violation: true, userAgent: `agent-${user}` })
    return {
      ...made,
      tenant,
      personal: {
        ...made.personal,
        ip_address: user === 'zelda' ? '10.1.2.3' : '10.9.9.9',
        device: { hostname: user === 'zelda' ? 'laptop-z' : 'laptop-b' },
        geo_location: user,
      },
    }
  }
  return {
    tenant,
    key,
    keyOf,
    sink,
    told: () => told,
    zelda: (fields: Fields) => of('zelda', fields),
    ben: (fields: Fields) => of('ben', fields),
    event: (act: Partial<Parameters<typeof eventOf>[1]>): AuditRecord => {
      const event = eventOf(parts, {
        event_type: 'test_event',
        actor: { type: 'system', name: 'test' },
        action: 'test',
        result: 'success',
        ...act,
      })
      // The key of a person in these tests is that of the name.
      return JSON.parse(
        JSON.stringify(event)
          .replaceAll(keyOf('id-zelda'), key)
          .replaceAll(keyOf('id-ben'), keyOf('ben')),
      ) as AuditRecord
    },
    order: (keys: readonly string[]): ErasureOrder => ({
      tenant,
      erasure_id: ids.next(),
      person_keys: keys,
      before: now,
    }),
    orderRecord: ({ before, tenant: _tenant, ...order }: ErasureOrder): AuditRecord =>
      eventOf(parts, {
        event_type: PERSON_ERASED,
        actor: { type: 'system', name: 'test' },
        action: 'erase',
        result: 'success',
        data: { ...order, before: new Date(before).toISOString(), reason: 'request 17' },
      }),
    ship: async (records: readonly LedgerRecord[]): Promise<void> => {
      for (let from = 0; from < records.length; from += 500) {
        const shipped = shippedOf(records.slice(from, from + 500))
        await sink.write(shipped[0]?.writer ?? '', shipped)
      }
    },
  }
}

/** Every row of the tables that name people, as JSON. */
async function contentsOf(db: Kysely<Tables>, tenant: string): Promise<string[]> {
  const all: string[] = []
  for (const table of [
    'decisions',
    'audit_events',
    'dead_letters',
    'violations',
    'violation_facts',
    'reviews',
    'exceptions',
  ]) {
    const { rows } = await sql<{ row: string }>`
      select to_jsonb(x)::text as row from ${sql.table(table)} x where tenant = ${tenant}`.execute(
      db,
    )
    all.push(...rows.map(({ row }) => row))
  }
  return all.toSorted()
}

function isHers(row: string): boolean {
  return row.includes(personKey(SECRET, 'erased', 'zelda')) || row.includes(PERSON_ERASED)
}

/** Ids are no names; the text of a record cannot change. */
function withoutText(row: string): string {
  const {
    record: _record,
    user_id: _user,
    actor_id: _actor,
    target_id: _target,
    ...rest
  } = JSON.parse(row) as Record<string, unknown>
  return JSON.stringify(rest)
}

function textsOf(row: string): string {
  const { record, leaf, writer, seq } = JSON.parse(row) as Record<string, unknown>
  return JSON.stringify([record, leaf, writer, seq])
}
