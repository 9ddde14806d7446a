// Whatever is done to a database is found, on every kind of it; and what Cordon itself does to it is no damage.

import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import { readPersonal, RecordEncoder } from '../../src/ledger/encode.ts'
import { openLedgerKeys } from '../../src/ledger/ledger-keys.ts'
import type { LedgerRecord, ShippedRecord } from '../../src/model/record.ts'
import { keyName } from '../../src/proof/key-chain.ts'
import { generateKey, type PublicKey, vkeyOf } from '../../src/proof/note.ts'
import { leafHash } from '../../src/proof/tree.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { RecordSink } from '../../src/store/records.ts'
import type { Tables } from '../../src/store/tables.ts'
import { verifyExport } from '../../src/verify/export-file.ts'
import { provedLines, signedLines } from '../../src/verify/export-lines.ts'
import { type Proof, verifyProof } from '../../src/verify/proof-file.ts'
import { proveStoredConsistency, proveStoredInclusion } from '../../src/verify/prove-store.ts'
import type { Report } from '../../src/verify/report.ts'
import { verifyStore } from '../../src/verify/store.ts'
import { checkpointOf, makeLedger, type TestLedger } from '../support/ledger-folder.ts'
import { noPostgres, noTimescale, startPostgres } from '../support/postgres.ts'
import {
  auditRecord,
  decisionRecord,
  ids,
  outcomeRecord,
  recorderOf,
  silent,
} from '../support/records.ts'

const START = Date.UTC(2026, 10, 1)
const migrationsDir = join(import.meta.dirname, '../../migrations')

t.setTimeout(900_000)

t.test('PostgreSQL', { skip: noPostgres() }, async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  await suite(t, await server.database())
})

t.test('TimescaleDB', { skip: noTimescale() }, async (t) => {
  const server = await startPostgres({ timescale: true })
  t.teardown(() => server.stop())
  await suite(t, await server.database())
})

t.test('the embedded database', async (t) => {
  await suite(t, '')
})

/** Records of every kind, decisions with a violation among them. */
function records(): LedgerRecord[] {
  return Array.from({ length: 40 }, (_, index): LedgerRecord => {
    const time = START + index * 1000
    if (index % 8 === 5) return auditRecord(`act ${index}`, time)
    if (index % 8 === 6)
      return {
        kind: 'gap',
        tenant: 'default',
        time,
        from: time - 9,
        to: time,
        count: 3,
        reason: 'spool_full',
      }
    const decision = decisionRecord({
      time,
      person: `person-${index % 3}`,
      user: `user${index % 3}`,
      violation: index % 4 === 0,
      userAgent: 'agent "x" \\ \u0001',
    })
    return index % 8 === 7 ? outcomeRecord(decision, { input_tokens: 12 }) : decision
  })
}

async function suite(t: Test, databaseUrl: string): Promise<void> {
  // Told before there is a folder (test/support/stores.ts).
  t.teardown(() => undefined)
  const dir = t.testdir()
  const dataDir = join(dir, 'data')
  const ledger = makeLedger(dataDir, [
    { stretches: [], each: records() },
    { stretches: [45, 33, 8] },
    { stretches: [], each: records().slice(0, 11) },
    // More than a page of rows, and more than nine tiles.
    { stretches: [7, 500, 30] },
  ])
  const store = await openStore({ databaseUrl, dataDir, migrationsDir, log: silent })
  t.teardown(() => store.close())
  await ship(store, ledger)
  const [one] = ledger.writers
  const writer = one?.writer ?? ''

  await t.test('a database that nobody touched is intact', async (t) => {
    const report = await verify(store)
    t.same(report.damage, [])
    t.match(report, { verdict: 'intact', records: 40 + 86 + 11 + 537 })
    t.match(
      report.writers.find((each) => each.writer === writer),
      { first_seq: 1, last_seq: 40, checkpoint: { size: 40 }, beyond_checkpoint: 0 },
    )
    const notes = ledger.writers.map((each) => ({ file: 'kept', note: checkpointOf(each) }))
    t.equal((await verify(store, notes)).verdict, 'intact')
  })

  // What an export is does not depend on the kind of database.
  const isOnce = databaseUrl === ''
  await t.test('an export proves itself, and any other line in it is found', async (t) => {
    const { signing } = openLedgerKeys(dataDir)
    const file = join(dir, 'export.ndjson')
    const put = (lines: readonly string[]): Promise<Report> => {
      writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
      return verifyExport(file, [], () => undefined)
    }
    for (const table of isOnce ? (['decisions', 'violations', 'audit_events'] as const) : []) {
      const from = new Date(START + 5000).toISOString()
      const wanted = { table, tenant: 'default', from, to: undefined }
      const lines: string[] = []
      for await (const part of signedLines(provedLines(store.db, wanted), signing, Date.now()))
        lines.push(part.trimEnd())
      const whole = await put(lines)
      t.same(whole.damage, [], table)
      t.ok(whole.records > 3, `${table}: ${whole.records} records`)
      const other = generateKey(signing.name)
      t.match(await verifyExport(file, [other], () => undefined), { verdict: 'damaged' })
      t.match(await verifyExport(file, [signing], () => undefined), { verdict: 'intact' })
      // Keys of one's own are put beside those of the ledger, and sign whatever was made of the rest.
      const inst = randomUUID()
      const key = generateKey(keyName(inst))
      const keyLine = JSON.stringify({
        installation: inst,
        keys: [{ vkey: vkeyOf(key), note: null }],
      })
      const signedByOther = async (changed: readonly string[]): Promise<Report> => {
        const own = async function* (): AsyncGenerator<string> {
          for (const line of changed) yield `${line}\n`
        }
        const forged: string[] = []
        for await (const part of signedLines(own(), key, Date.now())) forged.push(part.trimEnd())
        await put(forged)
        return verifyExport(file, [signing], () => undefined)
      }
      const body = lines.slice(0, -1)
      const withKey = body.toSpliced(1, 0, keyLine)
      const withoutRow = withKey.filter((line) => !line.startsWith(`{"row":${whole.records},`))
      t.equal(withoutRow.length, withKey.length - 1)
      t.match((await signedByOther(withoutRow)).damage, [{ what: /whose key was given/ }])
      // Without their checkpoint rows are vouched for by nobody but the exporter.
      const bare = body.map((line) => line.replace(/"checkpoint":".*"}$/, '"checkpoint":null}'))
      const unproved: string[] = []
      const lineByLine = async function* (): AsyncGenerator<string> {
        for (const line of bare) yield `${line}\n`
      }
      for await (const part of signedLines(lineByLine(), signing, Date.now()))
        unproved.push(part.trimEnd())
      t.match(await put(unproved), { verdict: 'unknown', damage: [], unjudged: [/no checkpoint/] })

      for (const [index, line] of lines.entries()) {
        if (index % 6 !== 0 && index < lines.length - 1) continue
        const spoiled = [
          lines.toSpliced(index, 1),
          lines.toSpliced(index, 1, line.replace(/[a-z](?=[^a-z]*$)/, 'Z')),
          lines.toSpliced(index, 0, line),
          index + 1 < lines.length ? lines.toSpliced(index, 2, lines[index + 1] ?? '', line) : [],
          lines.slice(0, index),
        ]
        for (const [way, each] of spoiled.entries())
          t.equal((await put(each)).verdict, 'damaged', `${table}: line ${index + 1}, ${way}`)
      }
      const [at, row = ''] =
        [...lines.entries()].find(([, line]) => line.includes('"row":2,')) ?? []
      if (at === undefined) throw new Error('there is no second row')
      const changed = row.replace(/"seq\\":(\d+),\\"time\\":1/, String.raw`"seq\":$1,\"time\":2`)
      t.match((await put(lines.toSpliced(at, 1, changed))).damage[0], {
        file: `export.ndjson line ${at + 1}`,
        what: /not the one that was written/,
      })
    }
  })

  for (const [name, { does, tells = {} }] of Object.entries(attacks(writer))) {
    await t.test(`${name} is found`, async (t) => {
      await spoiled(store, does, async (db) => {
        const report = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
        t.equal(report.verdict, 'damaged')
        t.match(report.damage[0], { writer, ...tells }, JSON.stringify(report.damage[0]))
      })
    })
  }

  if (isOnce)
    await t.test('every column is compared, but for those that are named here', (t) =>
      everyColumn(t, store, writer),
    )

  await t.test('a proof out of it holds by itself, and none is made of what was changed', (t) =>
    proofsHold(t, store, ledger),
  )

  await t.test('whatever is done to violations is found, but for what people write', (t) =>
    violationsAreFound(t, store),
  )

  await t.test('a removed writer, key or entry of the list is found', async (t) => {
    for (const does of [
      sql`with a as (delete from decisions where writer = ${writer}), b as (delete from outcomes where writer = ${writer}),
        c as (delete from audit_events where writer = ${writer}), d as (delete from gaps where writer = ${writer}),
        e as (delete from ledger_leaves where writer = ${writer}), f as (delete from ledger_checkpoints where writer = ${writer}),
        g as (delete from violation_facts where writer = ${writer}) delete from writers where writer = ${writer}`,
      sql`delete from ledger_roster where number = 1`,
      sql`delete from ledger_roster where number = 2`,
      sql`delete from ledger_roster where number = 3`,
      sql`update ledger_roster set note = replace(note, 'begun', 'ended') where number = 2`,
      sql`delete from ledger_keys`,
      sql`update ledger_keys set vkey = replace(vkey, '+A', '+B')`,
      sql`update ledger_keys set vkey = vkey || 'AAAA'`,
    ])
      await spoiled(store, [does], async (db) => {
        const { verdict } = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
        t.equal(verdict, 'damaged', does.compile(store.db).sql)
      })
  })

  await t.test(
    'a database that was rolled back is found by a checkpoint that was kept',
    async (t) => {
      const second = ledger.writers[1]
      if (second === undefined) throw new Error('there is no second writer')
      const gone = sql`writer = ${second.writer} and seq > 78`
      await spoiled(
        store,
        [
          sql`delete from decisions where ${gone}`,
          sql`delete from audit_events where ${gone}`,
          sql`delete from ledger_leaves where writer = ${second.writer} and tile > 2`,
          sql`update ledger_leaves set hashes = substring(hashes for 14 * 32) where writer = ${second.writer} and tile = 2`,
          sql`delete from ledger_checkpoints where writer = ${second.writer} and size > 78`,
          sql`update writers set seq = 78 where writer = ${second.writer}`,
        ],
        async (db) => {
          const plain = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
          t.equal(plain.verdict, 'intact', 'by itself it tells nothing')
          const { damage } = await verifyStore(
            { db, kind: 'embedded' },
            { ...OPTIONS, checkpoints: [{ file: 'kept', note: checkpointOf(second) }] },
          )
          t.match(damage[0], { writer: second.writer, seq: 79 })
        },
      )
    },
  )

  await t.test(
    'rows that retention has told of are no damage, and no more than those',
    async (t) => {
      const gone = sql`writer = ${writer} and seq <= 24`
      const count = 24 - 3 - 3 - 3
      const told = {
        ...auditRecord('retention', START + 100_000),
        event_type: 'retention_applied',
        data: {
          table: 'decisions',
          before: new Date(START + 30_000).toISOString(),
          rows: count,
          writers: [{ writer, up_to_seq: 24, rows: count }],
        },
      }
      // Another writer tells it.
      const later = makeLedger(join(dir, 'later'), [{ stretches: [], each: [told] }])
      await ship(store, later)
      const del = [
        sql`delete from violation_facts where false`,
        sql`delete from decisions where ${gone}`,
      ]
      await spoiled(store, del, async (db) => {
        const report = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
        t.same(report.damage, [])
        await sql`delete from outcomes where ${gone}`.execute(db)
        t.match((await verifyStore({ db, kind: 'embedded' }, OPTIONS)).damage[0], { writer })
      })
      await spoiled(
        store,
        [...del, sql`delete from decisions where writer = ${writer} and seq = 25`],
        async (db) => {
          t.match((await verifyStore({ db, kind: 'embedded' }, OPTIONS)).damage[0], {
            writer,
            seq: 25,
          })
        },
      )
    },
  )

  await t.test('evidence that was rolled back, or taken away, is found', async (t) => {
    const [, second] = ledger.writers
    if (second === undefined) throw new Error('there is no second writer')
    await spoiled(
      store,
      [sql`delete from ledger_checkpoints where writer = ${second.writer} and size > 45`],
      async (db) => {
        const report = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
        t.match(report, { verdict: 'unknown', unjudged: [/records 46 to 86, .* no checkpoint/] })
      },
    )
    await spoiled(
      store,
      ['ledger_keys', 'ledger_roster', 'ledger_leaves', 'ledger_checkpoints'].map(
        (table) => sql`truncate ${sql.table(table)}`,
      ),
      async (db) => {
        const report = await verifyStore(
          { db, kind: 'embedded' },
          { ...OPTIONS, checkpoints: [{ file: 'kept', note: checkpointOf(second) }] },
        )
        t.match(report.damage, [{ table: 'ledger_keys' }])
      },
    )
    if (databaseUrl === '') return
    // In one snapshot no leaf is there before its record.
    const put = (seq: number) =>
      sql`update writers set seq = ${seq} where writer = ${second.writer}`.execute(store.db)
    await sql`create table kept_checkpoints as select * from ledger_checkpoints where writer = ${second.writer} and size > 45`.execute(
      store.db,
    )
    await sql`delete from ledger_checkpoints where writer = ${second.writer} and size > 45`.execute(
      store.db,
    )
    await put(45)
    const report = await verify(store)
    await put(86)
    await sql`insert into ledger_checkpoints select * from kept_checkpoints`.execute(store.db)
    await sql`drop table kept_checkpoints`.execute(store.db)
    t.match(report.damage, [{ writer: second.writer, seq: 46, table: 'ledger_leaves' }])
    t.equal((await verify(store)).verdict, 'intact')
  })

  await t.test('a decision that was set aside for no reason is told', async (t) => {
    const does = [
      sql`insert into dead_letters (tenant, writer, seq, reason, leaf, record, personal)
        select tenant, writer, seq, 'x', leaf, record, personal from decisions where writer = ${writer} and seq = 20`,
      sql`delete from decisions where writer = ${writer} and seq = 20`,
    ]
    await spoiled(store, does, async (db) => {
      t.match(await verifyStore({ db, kind: 'embedded' }, OPTIONS), {
        verdict: 'unknown',
        unjudged: [/record 20 was set aside, although/],
        notes: [/record 20 was set aside/],
      })
    })
  })

  await t.test('an erased person is no damage where a record orders it', async (t) => {
    const erase = sql`update decisions set personal = null, user_name = null, user_email = null, ip_address = null,
      user_agent = null, device = null where writer = ${writer} and person_key = 'person-1'`
    await spoiled(store, [erase], async (db) => {
      t.match((await verifyStore({ db, kind: 'embedded' }, OPTIONS)).damage[0], {
        writer,
        what: /no record of an erasure/,
      })
    })
    const order = {
      ...auditRecord('erased', START + 200_000),
      event_type: 'person_erased',
      data: {
        erasure_id: randomUUID(),
        person_keys: ['person-1'],
        before: new Date(START + 200_000).toISOString(),
      },
    }
    await ship(store, makeLedger(join(dir, 'erased'), [{ stretches: [], each: [order] }]))
    await spoiled(store, [erase], async (db) => {
      const report = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
      t.same(report.damage, [])
      t.ok((report.writers.find((each) => each.writer === writer)?.erased ?? 0) > 5)
    })
  })
  // Last, because what it adds to the store stays.
  await t.test('what nobody has signed explains nothing, nor what a stranger has', async (t) => {
    const [, , third] = ledger.writers
    if (third === undefined) throw new Error('there is no third writer')
    const before = new Date(START + 60_000).toISOString()
    const told = {
      ...auditRecord('retention', START + 12_000),
      event_type: 'retention_applied',
      data: { table: 'decisions', before, rows: 1, writers: [{ writer, up_to_seq: 34, rows: 1 }] },
    }
    const erased = {
      ...auditRecord('erased', START + 13_000),
      event_type: 'person_erased',
      data: { erasure_id: randomUUID(), person_keys: ['person-2'], before },
    }
    const attempts = [
      sql`delete from decisions where writer = ${writer} and seq = 34`,
      sql`update decisions set personal = null, user_name = null, user_email = null, ip_address = null,
        user_agent = null, device = null where writer = ${writer} and seq = 3`,
    ]
    const look = async (keys: readonly PublicKey[], expected: object): Promise<void> => {
      for (const attempt of attempts)
        await spoiled(store, [attempt], async (db) => {
          t.match(await verifyStore({ db, kind: 'embedded' }, { ...OPTIONS, keys }), expected)
        })
    }
    await look([], { verdict: 'damaged' })
    const sink = new RecordSink({
      db: store.db,
      nextId: () => ids.next(),
      onViolation: () => undefined,
    })
    const added = [told, erased].map((record, index) =>
      shippedOf(record, third.writer, third.records + 1 + index),
    )
    await sink.write(third.writer, added)
    t.match(await verify(store), { verdict: 'intact', unjudged: [] })
    await look([], { verdict: 'unknown', damage: [], unjudged: [/no checkpoint/] })

    // A ledger of one's own in the same store, properly signed.
    await ship(store, makeLedger(join(dir, 'own'), [{ stretches: [], each: [told, erased] }]))
    const keysOf = (name: string): PublicKey => openLedgerKeys(join(dir, name)).signing
    await look([], { verdict: 'intact' })
    await look([keysOf('data')], { verdict: 'unknown', damage: [] })
    // What several data directories put into one store is judged with a key of each.
    await look(['data', 'later', 'erased', 'own'].map(keysOf), { verdict: 'intact', unjudged: [] })
  })
}

const OPTIONS = { checkpoints: [], keys: [], onProgress: () => undefined }

function verify(store: Store, checkpoints: { file: string; note: string }[] = []): Promise<Report> {
  return verifyStore(store, { ...OPTIONS, checkpoints })
}

async function ship(store: Pick<Store, 'db'>, { ledger }: TestLedger): Promise<void> {
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
  })
  const { recorder } = recorderOf(ledger, sink)
  await recorder.flush()
  await recorder.flush()
}

/** A record as it arrives. */
function shippedOf(record: LedgerRecord, writer: string, seq: number): ShippedRecord {
  const { record: bytes, personal } = new RecordEncoder().encode(record, { writer, seq })
  const text = bytes.toString('utf8')
  return {
    writer,
    seq,
    leaf: leafHash(bytes),
    text,
    record: JSON.parse(text) as ShippedRecord['record'],
    personal: readPersonal(personal),
    personalBytes: personal,
  }
}

/** Columns that say nothing of what was recorded; `joined` only makes the recorder read again. */
const FREE: Readonly<Record<string, readonly string[]>> = {
  violations: [
    'status',
    'assigned_to',
    'resolution_notes',
    'resolved_at',
    'notification_sent',
    'escalated',
    'escalated_at',
  ],
  writers: ['updated_at', 'joined'],
}

async function everyColumn(t: Test, store: Store, writer: string): Promise<void> {
  const rows: Readonly<Record<string, ReturnType<typeof sql>>> = {
    decisions: sql`writer = ${writer} and seq = 1`,
    outcomes: sql`writer = ${writer} and seq = 8`,
    audit_events: sql`writer = ${writer} and seq = 6`,
    gaps: sql`writer = ${writer} and seq = 7`,
    violation_facts: sql`writer = ${writer} and seq = 1`,
    violations: sql`person_key = 'person-0'`,
    writers: sql`writer = ${writer}`,
    ledger_keys: sql`number = 1`,
    ledger_roster: sql`number = 1`,
    ledger_checkpoints: sql`writer = ${writer}`,
    ledger_leaves: sql`writer = ${writer} and tile = 0`,
  }
  for (const [table, row] of Object.entries(rows)) {
    const { rows: columns } = await sql<{ name: string; type: string }>`
      select column_name as name, udt_name as type from information_schema.columns
      where table_schema = 'public' and table_name = ${table}`.execute(store.db)
    t.ok(columns.length > 1, table)
    for (const { name, type } of columns) {
      const column = sql.ref(name)
      const value = name === 'decision' ? sql`'ALLOW'` : OTHERS[type]?.(column)
      if (value === undefined) throw new Error(`${table}.${name}: how is ${type} changed?`)
      const change = sql`update ${sql.table(table)} set ${column} = ${value} where ${row}`
      await spoiled(store, [change], async (db) => {
        const { verdict } = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
        const isFree = FREE[table]?.includes(name) === true
        t.equal(verdict, isFree ? 'intact' : 'damaged', `${table}.${name}`)
      })
    }
  }
}

/** Another value of a type. */
const OTHERS: Readonly<
  Record<string, (column: ReturnType<typeof sql.ref>) => ReturnType<typeof sql>>
> = {
  text: (column) =>
    sql`case when ${column} = 'open' then 'resolved' else coalesce(${column}, '') || 'x' end`,
  bool: (column) => sql`not coalesce(${column}, false)`,
  int4: (column) => sql`coalesce(${column}, 0) + 1000`,
  int8: (column) => sql`coalesce(${column}, 0) + 1000`,
  float8: (column) => sql`coalesce(${column}, 0) + 0.5`,
  timestamptz: (column) => sql`coalesce(${column}, now()) + interval '1 second'`,
  date: (column) => sql`${column} + 1`,
  uuid: () => sql`'01a21fc8-462b-75a4-88f8-0ddf1de48293'::uuid`,
  jsonb: () => sql`'{"x":1}'::jsonb`,
  _text: () => sql`'{x}'::text[]`,
  bytea: (column) => sql`coalesce(${column}, '\\x'::bytea) || '\\x00'::bytea`,
}

async function proofsHold(t: Test, store: Store, { writers }: TestLedger): Promise<void> {
  const verdict = (proof: Proof): string => verifyProof(proof, 'proof.json', []).verdict
  for (const { writer, records: last } of writers)
    for (const seq of [1, 7, 8, last]) {
      const proof = await proveStoredInclusion(store.db, 'default', { writer, seq })
      t.match(proof, { writer, seq, tree_size: last })
      t.equal(verdict(proof), 'intact', `${writer}:${seq}`)
    }
  const [one, second] = writers
  const { rows } = await sql<{ id: string; old: string }>`
    select (select decision_id from decisions where writer = ${one?.writer} and seq = 20) as id,
      (select note from ledger_checkpoints where writer = ${second?.writer} and size = 45) as old`.execute(
    store.db,
  )
  const { id = '', old = '' } = rows[0] ?? {}
  const wanted = { decisionId: id }
  t.match(await proveStoredInclusion(store.db, 'default', wanted), { writer: one?.writer, seq: 20 })
  const { proof, left } = await proveStoredConsistency(store.db, old, undefined)
  t.same(left, [])
  t.match(proof.trees, [{ writer: second?.writer, old_size: 45, new_size: 86 }])
  t.equal(verdict(proof), 'intact')
  await t.rejects(proveStoredInclusion(store.db, 'other', wanted), { code: 'NOT_FOUND' })
  const changes = [
    sql`update decisions set record = replace(record, 'because', 'therefor') where decision_id = ${id}`,
    sql`update ledger_leaves set hashes = overlay(hashes placing decode(repeat('ab', 32), 'hex') from 33) where writer = ${one?.writer} and tile = 0`,
    sql`update ledger_checkpoints set note = replace(note, 'time 2', 'time 3') where writer = ${one?.writer}`,
  ]
  for (const change of changes)
    await spoiled(store, [change], async (db) => {
      await t.rejects(proveStoredInclusion(db, 'default', wanted))
    })
}

async function violationsAreFound(t: Test, store: Store): Promise<void> {
  const { rows } = await sql<{ id: string; other: string; facts: string }>`
    select (select violation_id from violations where person_key = 'person-0') as id,
      (select violation_id from violations where person_key = 'person-1') as other,
      (select count(*) from violation_facts f join violations v using (tenant, violation_id) where v.person_key = 'person-0') as facts`.execute(
    store.db,
  )
  const { id = '', other = '' } = rows[0] ?? {}
  t.ok(Number(rows[0]?.facts) > 3, 'it has several facts, of more than one writer')
  const of = sql`violation_id = ${id}`
  const changed: Readonly<Record<string, ReturnType<typeof sql>>> = {
    count: sql`count + 1`,
    first_seen: sql`first_seen - interval '1 millisecond'`,
    last_seen: sql`last_seen + interval '1 millisecond'`,
    last_decision_id: sql`'01a21fc8-462b-75a4-88f8-0ddf1de48293'`,
    person_key: sql`'person-9'`,
    policy_id: sql`'another'`,
    service_id: sql`'another'`,
    user_id: sql`'nobody'`,
    user_name: sql`'nobody'`,
    user_department: sql`null`,
    violation_type: sql`'another'`,
    policy_name: sql`'another'`,
    severity: sql`'low'`,
    resource_type: sql`'another'`,
    resource_name: sql`'another'`,
  }
  for (const [column, value] of Object.entries(changed))
    await spoiled(
      store,
      [sql`update violations set ${sql.ref(column)} = ${value} where ${of}`],
      async (db) => {
        const { damage } = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
        t.match(damage, [{ table: 'violations', row: id, column }], column)
        t.equal(damage.length, 1, column)
      },
    )
  const fact = sql`ctid in (select ctid from violation_facts where ${of} order by time limit 1)`
  const attempts: Readonly<Record<string, { does: ReturnType<typeof sql>[]; tells: object }>> = {
    'a row that was removed': {
      does: [sql`delete from violations where ${of}`],
      tells: { table: 'violations', row: id, what: /is missing/ },
    },
    'all rows': {
      does: [sql`delete from violations`],
      tells: { table: 'violations', what: /is missing/ },
    },
    'a row that was inserted': {
      does: [
        sql`insert into violations (tenant, violation_id, day, person_key, policy_id, service_id, violation_type, severity, count,
            first_seen, last_seen, last_decision_id)
          select tenant, '01a21fc8-462b-75a4-88f8-0ddf1de48293', day, 'person-9', policy_id, service_id, violation_type, severity, count,
            first_seen, last_seen, last_decision_id from violations where ${of}`,
      ],
      tells: {
        table: 'violations',
        row: '01a21fc8-462b-75a4-88f8-0ddf1de48293',
        what: /was inserted/,
      },
    },
    'a name that was taken away': {
      does: [sql`update violations set user_name = null where ${of}`],
      tells: { table: 'violations', row: id, what: /no record of an erasure/ },
    },
    'another day': {
      does: [sql`update violations set day = day - 1 where ${of}`],
      tells: { table: 'violations', row: id },
    },
    'a day that is none': {
      does: [sql`update violations set day = 'infinity' where ${of}`],
      tells: { table: 'violations', row: id },
    },
    'a time that is none': {
      does: [sql`update violations set last_seen = 'infinity' where ${of}`],
      tells: { table: 'violations', row: id, column: 'last_seen' },
    },
    'a fact that was given to another person': {
      does: [sql`update violation_facts set violation_id = ${other} where ${of} and ${fact}`],
      tells: { table: 'violation_facts', column: 'violation_id' },
    },
    'a fact that was given to nobody': {
      does: [
        sql`update violation_facts set violation_id = '01a21fc8-462b-75a4-88f8-0ddf1de48293' where ${of} and ${fact}`,
      ],
      tells: { table: 'violations', row: '01a21fc8-462b-75a4-88f8-0ddf1de48293' },
    },
  }
  for (const [name, { does, tells }] of Object.entries(attempts))
    await spoiled(store, does, async (db) => {
      const { damage } = await verifyStore({ db, kind: 'embedded' }, OPTIONS)
      t.ok(
        damage.some((each) => isLike(each, tells)),
        `${name}: ${JSON.stringify(damage)}`,
      )
    })
  const theirs = sql`update violations set status = 'resolved', assigned_to = ${id}, resolution_notes = 'it was a test',
    resolved_at = now(), notification_sent = true, escalated = true, escalated_at = now()`
  await spoiled(store, [theirs], async (db) => {
    t.same((await verifyStore({ db, kind: 'embedded' }, OPTIONS)).damage, [])
  })
}

function isLike(damage: object, wanted: object): boolean {
  const known = damage as Readonly<Record<string, unknown>>
  return Object.entries(wanted).every(([name, value]) =>
    value instanceof RegExp ? value.test(String(known[name])) : known[name] === value,
  )
}

class Undone extends Error {}

/** Calls within a transaction that is undone: each attack begins with the sound database. */
async function spoiled(
  { db }: Store,
  does: readonly ReturnType<typeof sql>[],
  look: (db: Kysely<Tables>) => Promise<void>,
): Promise<void> {
  await db
    .transaction()
    .execute(async (transaction) => {
      for (const statement of does) await statement.execute(transaction)
      await look(transaction)
      throw new Undone()
    })
    .catch((error: unknown) => {
      if (!(error instanceof Undone)) throw error
    })
}

interface Attack {
  readonly does: readonly ReturnType<typeof sql>[]
  readonly tells?: object
}

function attacks(writer: string): Readonly<Record<string, Attack>> {
  const at = (seq: number) => sql`writer = ${writer} and seq = ${seq}`
  const column = (
    table: string,
    seq: number,
    name: string,
    value: ReturnType<typeof sql>,
  ): Attack => ({
    does: [sql`update ${sql.table(table)} set ${sql.ref(name)} = ${value} where ${at(seq)}`],
    tells: { seq, table, column: name },
  })
  return {
    'a changed decision': column('decisions', 1, 'decision', sql`'ALLOW'`),
    'a changed reason': column('decisions', 20, 'reason', sql`'another'`),
    'a changed time, by a microsecond': {
      does: [sql`update decisions set time = time + interval '1 microsecond' where ${at(20)}`],
      tells: { seq: 20 },
    },
    'a changed user': column('decisions', 36, 'user_id', sql`'nobody'`),
    'a changed personal column': column('decisions', 36, 'user_name', sql`'nobody'`),
    'a changed document': column('decisions', 2, 'findings', sql`'[{"type":"email"}]'::jsonb`),
    'a changed number': column('decisions', 2, 'confidence', sql`0.999999999`),
    'a changed tenant': {
      does: [sql`update decisions set tenant = 'other' where ${at(2)}`],
      tells: { seq: 2 },
    },
    'a changed outcome': column('outcomes', 8, 'bytes_in', sql`11`),
    'tokens that were taken away': column('outcomes', 16, 'input_tokens', sql`null`),
    'a changed event': column('audit_events', 6, 'action', sql`'another'`),
    'a changed actor': column('audit_events', 38, 'actor_name', sql`'nobody'`),
    'a changed gap': column('gaps', 7, 'count', sql`2`),
    'a changed record': {
      does: [
        sql`update decisions set record = replace(record, 'because', 'therefor') where ${at(20)}`,
      ],
      tells: { seq: 20, column: 'record' },
    },
    'a changed record with column and leaf beside it': {
      does: [
        sql`update decisions set record = replace(record, 'because', 'therefor'), reason = 'therefor',
          leaf = sha256('\\x00'::bytea || convert_to(replace(record, 'because', 'therefor'), 'UTF8')) where ${at(20)}`,
      ],
      tells: { seq: 20 },
    },
    'a changed record with its leaf among the leaves': {
      does: [
        sql`update ledger_leaves set hashes = overlay(hashes placing
          (select sha256('\\x00'::bytea || convert_to(replace(record, 'because', 'therefor'), 'UTF8')) from decisions where ${at(20)})
          from 19 * 32 + 1) where writer = ${writer} and tile = 0`,
        sql`update decisions set record = replace(record, 'because', 'therefor'), reason = 'therefor',
          leaf = sha256('\\x00'::bytea || convert_to(replace(record, 'because', 'therefor'), 'UTF8')) where ${at(20)}`,
      ],
    },
    'another personal part': column('decisions', 4, 'personal', sql`'\\x0011'::bytea`),
    'a personal part that was taken away': {
      does: [
        sql`update decisions set personal = null, user_name = null, user_email = null, ip_address = null,
        user_agent = null where ${at(4)}`,
      ],
      tells: { seq: 4 },
    },
    'a removed decision, the first': {
      does: [
        sql`delete from decisions where ${at(1)}`,
        sql`delete from violation_facts where ${at(1)}`,
      ],
      tells: { seq: 1 },
    },
    'a removed decision': {
      does: [sql`delete from decisions where ${at(20)}`],
      tells: { seq: 20 },
    },
    'a removed outcome, the last': {
      does: [sql`delete from outcomes where ${at(40)}`],
      tells: { seq: 40 },
    },
    'a removed record with its leaf': {
      does: [
        sql`delete from decisions where ${at(20)}`,
        sql`update ledger_leaves set hashes = overlay(hashes placing decode(repeat('00', 32), 'hex') from 19 * 32 + 1)
          where writer = ${writer} and tile = 0`,
      ],
      tells: { seq: 20 },
    },
    'an inserted record, under a number that is not there': {
      does: [
        sql`insert into decisions select * from decisions where ${at(20)} and false`,
        inserted('seq + 1000'),
      ],
      tells: { seq: 1020 },
    },
    'an inserted record, under a number that is there': {
      does: [inserted('seq', `time + interval '1 second'`)],
      tells: { seq: 20 },
    },
    'a record that is moved to another table': {
      does: [
        sql`insert into dead_letters (tenant, writer, seq, reason, leaf, record, personal)
          select tenant, writer, seq, 'x', leaf, record, personal from decisions where ${at(20)}`,
      ],
      tells: { seq: 20 },
    },
    'a reordered pair': {
      does: [
        sql`update decisions set seq = -1 where ${at(20)}`,
        sql`update decisions set seq = 20 where ${at(19)}`,
        sql`update decisions set seq = 19 where ${at(-1)}`,
      ],
    },
    'a tail that is cut below the checkpoint': {
      does: [
        sql`delete from decisions where writer = ${writer} and seq > 34`,
        sql`delete from outcomes where writer = ${writer} and seq > 34`,
        sql`delete from audit_events where writer = ${writer} and seq > 34`,
        sql`delete from gaps where writer = ${writer} and seq > 34`,
        sql`delete from violation_facts where writer = ${writer} and seq > 34`,
        sql`update ledger_leaves set hashes = substring(hashes for 2 * 32) where writer = ${writer} and tile = 1`,
        sql`update writers set seq = 34 where writer = ${writer}`,
      ],
      tells: { seq: 35 },
    },
    'a removed tile': {
      does: [sql`delete from ledger_leaves where writer = ${writer} and tile = 0`],
      tells: { seq: 1 },
    },
    'a removed checkpoint': {
      does: [sql`delete from ledger_checkpoints where writer = ${writer}`],
    },
    'a changed checkpoint': {
      does: [
        sql`update ledger_checkpoints set note = replace(note, 'time 2', 'time 3') where writer = ${writer}`,
      ],
    },
    'a cursor that was set back': {
      does: [sql`update writers set seq = 20 where writer = ${writer}`],
    },
    'a cursor that nothing can have': {
      does: [sql`update writers set seq = 9000000000000000 where writer = ${writer}`],
    },
    'a gap at a time that is none': column('gaps', 7, 'time', sql`'infinity'`),
    "a writer's cursor under another tenant": {
      does: [sql`update writers set tenant = 'other' where writer = ${writer}`],
      tells: { table: 'writers', column: 'tenant' },
    },
    "a writer's cursor under a second tenant": {
      does: [sql`insert into writers (tenant, writer, seq) values ('other', ${writer}, 3)`],
      tells: { table: 'writers', column: 'tenant' },
    },
    'a gap without times': {
      does: [
        sql`update gaps set record = regexp_replace(record, ',"from":.*', '}') where ${at(7)}`,
      ],
      tells: { seq: 7, table: 'gaps' },
    },
    'a seal that is called none': {
      does: [sql`update ledger_checkpoints set is_seal = not is_seal where writer = ${writer}`],
      tells: { table: 'ledger_checkpoints', column: 'is_seal' },
    },
    'an invented risk': column('decisions', 2, 'risk_factors', sql`'{"x":1}'::jsonb`),
    'an invented class of data': column(
      'decisions',
      2,
      'data_classification',
      sql`'{secret}'::text[]`,
    ),
    'an invented source': column('audit_events', 6, 'source', sql`'x'`),
    'an invented framework': column('audit_events', 6, 'frameworks', sql`'{x}'::text[]`),
    'an invented relevance': column('audit_events', 6, 'compliance_relevant', sql`true`),
    'a removed violation': {
      does: [sql`delete from violation_facts where ${at(9)}`],
      tells: { seq: 9, table: 'violation_facts' },
    },
    'a changed violation': column('violation_facts', 9, 'severity', sql`'low'`),
    'an invented violation': {
      does: [
        sql`insert into violation_facts (tenant, time, violation_id, decision_id, person_key, violation_type, policy_id, severity, writer, seq)
          select tenant, time, decision_id, decision_id, person_key, 'policy', primary_policy_id, 'high', writer, seq
          from decisions where ${at(20)}`,
      ],
      tells: { seq: 20, table: 'violation_facts' },
    },
  }

  function inserted(seq: string, time = 'time'): ReturnType<typeof sql> {
    return sql`insert into decisions (tenant, time, decision_id, request_id, user_known, person_key, action, resource_type,
      resource_known, resource_ai, decision, reason, policies_evaluated, obligations, mode, revision, source, findings, writer, seq, leaf, record)
      select tenant, ${sql.raw(time)}, decision_id, request_id, user_known, person_key, action, resource_type, resource_known,
        resource_ai, decision, reason, policies_evaluated, obligations, mode, revision, source, findings, writer,
        ${sql.raw(seq)}, leaf, record from decisions where ${at(20)}`
  }
}
