// Following decisions: exactly once each, whatever order transactions end in, over real databases.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { type FeedPosition, positionText, readPosition } from '../../src/store/feed-position.ts'
import { DecisionFeed, type FeedGap, trimFeed } from '../../src/store/feed.ts'
import type { Filter } from '../../src/store/filters.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import type { Tables } from '../../src/store/tables.ts'
import { arrive } from '../support/arrivals.ts'
import { noPostgres, noTimescale, startPostgres } from '../support/postgres.ts'
import { embeddedStore } from '../support/stores.ts'

const silent = pino({ level: 'silent' })
const migrationsDir = join(import.meta.dirname, '../../migrations')

for (const { name, skip, timescale } of [
  { name: 'PostgreSQL', skip: noPostgres(), timescale: false },
  { name: 'TimescaleDB', skip: noTimescale(), timescale: true },
]) {
  t.test(name, { skip }, async (t) => {
    const server = await startPostgres({ timescale })
    t.teardown(() => server.stop())
    const databaseUrl = await server.database()
    const store = await openStore({ databaseUrl, dataDir: t.testdir(), migrationsDir, log: silent })
    t.teardown(() => store.close())
    await contract(t, store)
    await concurrently(t, store)
  })
}

t.test('the embedded database', async (t) => {
  await contract(t, await embeddedStore(t))
})

/** A reader that keeps nothing but the text of its position, as a client that comes back. */
class Reader {
  readonly feed: DecisionFeed
  readonly filter: Filter
  readonly seen: string[] = []
  readonly gaps: FeedGap[] = []
  position: string

  constructor(feed: DecisionFeed, position: FeedPosition, filter: Filter = {}) {
    this.feed = feed
    this.filter = filter
    this.position = positionText(position)
  }

  /** One page; whether there may be more. Cut: as if the connection broke behind so many events of it. */
  async page(cut = Infinity): Promise<boolean> {
    const from = readPosition(this.position, 'position')
    const { items, position, more, gap } = await this.feed.read(from, this.filter)
    if (gap !== undefined) this.gaps.push(gap)
    const taken = items.slice(0, cut)
    this.seen.push(...taken.map(({ decision }) => String(decision['decision_id'])))
    this.position =
      taken.length < items.length ? (taken.at(-1)?.id ?? this.position) : positionText(position)
    return more || taken.length < items.length
  }

  async all(): Promise<string[]> {
    while (await this.page());
    return this.seen
  }
}

async function contract(t: Test, { db }: Store): Promise<void> {
  await t.test('what arrives is told once, in order, and from any event on', async (t) => {
    const tenant = 'order'
    const feed = new DecisionFeed(db, tenant)
    const start = await feed.newest()
    const first = await within(db, (part) => arrive(part, [{ tenant }, { tenant }, { tenant }]))
    const second = await within(db, (part) => arrive(part, [{ tenant }]))
    await within(db, (part) => arrive(part, [{ tenant: 'another' }]))
    const wanted = [...first, ...second]
    const { items, position, more } = await feed.read(start, {})
    t.same(
      items.map(({ decision }) => decision['decision_id']),
      wanted,
    )
    t.notOk(more)
    t.match(items[0]?.decision, { user: { name: 'maya' }, resource: { host: 'chatgpt.com' } })
    for (const [index, { id }] of items.entries()) {
      const behind = new Reader(feed, readPosition(id, 'id'))
      t.same(await behind.all(), wanted.slice(index + 1), `behind event ${index}`)
    }
    t.same(await new Reader(feed, position).all(), [], 'nothing twice')
  })

  await t.test('more than a page, and a batch larger than one', async (t) => {
    const tenant = 'pages'
    const feed = new DecisionFeed(db, tenant)
    const start = await feed.newest()
    const wanted: string[] = []
    for (const size of [450, 1, 0, 199, 1, 1, 200])
      if (size > 0)
        wanted.push(
          ...(await within(db, (part) =>
            arrive(
              part,
              Array.from({ length: size }, () => ({ tenant })),
            ),
          )),
        )
    const reader = new Reader(feed, start)
    t.same(await reader.all(), wanted)
    const cut = new Reader(feed, start)
    while (await cut.page(70));
    t.same(cut.seen, wanted, 'cut behind every seventieth event')
  })

  await t.test('a filter leaves out, and loses nothing of what it wants', async (t) => {
    const tenant = 'filter'
    const feed = new DecisionFeed(db, tenant)
    const start = await feed.newest()
    const rows = Array.from({ length: 700 }, (_, index) => ({
      tenant,
      decision: index % 350 === 349 ? ('DENY' as const) : ('ALLOW' as const),
    }))
    const made = await within(db, (part) => arrive(part, rows))
    const reader = new Reader(feed, start, { decision: 'DENY' })
    t.same(await reader.all(), [made[349], made[699]])
    t.same(await new Reader(feed, start, { q: 'because -chatgpt' }).all(), [])
    t.equal((await new Reader(feed, start, { q: '"backend api" or chatgpt' }).all()).length, 700)
  })

  await t.test('the last ones and what follows: no seam', async (t) => {
    const tenant = 'last'
    const feed = new DecisionFeed(db, tenant)
    const made = await within(db, (part) =>
      arrive(
        part,
        [1, 2, 3].map((ago) => ({ tenant, time: Date.now() - 4000 + ago * 1000 })),
      ),
    )
    const { decisions, position } = await feed.last(2, {})
    t.same(
      decisions.map(({ decision }) => decision['decision_id']),
      made.slice(1),
    )
    const later = await within(db, (part) => arrive(part, [{ tenant }]))
    t.same(await new Reader(feed, position).all(), later)
  })

  await t.test('from a time on, and late ones too', async (t) => {
    const tenant = 'since'
    const feed = new DecisionFeed(db, tenant)
    const made = await within(db, (part) => arrive(part, [{ tenant }, { tenant }]))
    t.same(await new Reader(feed, await feed.since(new Date(Date.now() - 60_000))).all(), made)
    const ahead = await feed.since(new Date(Date.now() + 3_600_000))
    t.same(await new Reader(feed, ahead).all(), [])
  })

  await t.test('what is no longer kept is told, and then the rest', async (t) => {
    const tenant = 'trimmed'
    const feed = new DecisionFeed(db, tenant)
    const start = await feed.newest()
    await within(db, (part) => arrive(part, [{ tenant }]))
    await sql`update ledger_batches set at = now() - interval '8 days' where tenant = ${tenant}`.execute(
      db,
    )
    t.equal(await trimFeed(db, new Date(Date.now() - 7 * 86_400_000)), 1)
    t.equal(await trimFeed(db, new Date(Date.now() - 7 * 86_400_000)), 0)
    const kept = await within(db, (part) => arrive(part, [{ tenant }]))
    const late = new Reader(feed, start)
    t.same(await late.all(), kept)
    t.match(late.gaps, [{ reason: 'expired', asked: positionText(start) }])
    const again = new Reader(feed, readPosition(late.position, 'position'))
    await again.all()
    t.same(again.gaps, [], 'once')
    const old = new Reader(feed, await feed.since(new Date(Date.now() - 30 * 86_400_000)))
    t.same(await old.all(), kept)
    t.match(old.gaps, [{ reason: 'expired' }], 'for one who asks by time too')
  })

  await t.test('a position of another database is told', async (t) => {
    const feed = new DecisionFeed(db, 'other')
    const reader = new Reader(feed, { seen: '900000000000000:900000000000000:' })
    t.same(await reader.all(), [])
    t.match(reader.gaps, [{ reason: 'unknown' }])
    const made = await within(db, (part) => arrive(part, [{ tenant: 'other' }]))
    t.same(await reader.all(), made, 'and it goes on')
  })

  await t.test('what a backup brought from the future is forgotten', async (t) => {
    await sql`insert into ledger_batches (tenant, position, writer, first_seq, last_seq, time_from, time_to)
      values ('future', '900000000000000', ${randomUUID()}, 1, 1, now(), now())`.execute(db)
    t.equal(await trimFeed(db, new Date(0)), 1)
  })
}

/** What needs several connections. */
async function concurrently(t: Test, { db }: Store): Promise<void> {
  await t.test(
    'a transaction that ends after a later one is neither lost nor waited for',
    async (t) => {
      const tenant = 'late'
      const feed = new DecisionFeed(db, tenant)
      const reader = new Reader(feed, await feed.newest())
      const early = await begin(db)
      const ofEarly = await arrive(early.db, [{ tenant }])
      const middle = new Reader(feed, await feed.newest())
      const ofLater = await within(db, (part) => arrive(part, [{ tenant }, { tenant }]))
      t.same(await reader.all(), ofLater, 'the later one is told at once')
      await early.commit()
      t.same(
        await reader.all(),
        [...ofLater, ...ofEarly],
        'the earlier one follows, and nothing twice',
      )
      t.same(
        (await middle.all()).toSorted(),
        [...ofEarly, ...ofLater].toSorted(),
        'for one who came between too',
      )
    },
  )

  await t.test('whatever order, whenever readers break off: exactly once', async (t) => {
    const tenant = 'random'
    const seed = Math.floor(Math.random() * 2 ** 31)
    t.comment(`seed ${seed}`)
    const next = mulberry(seed)
    const feed = new DecisionFeed(db, tenant)
    const readers = [
      new Reader(feed, await feed.newest()),
      new Reader(feed, await feed.newest(), { decision: 'DENY' }),
    ]
    const wanted: { id: string; denied: boolean }[] = []
    const running: { end: (commit: boolean) => Promise<void> }[] = []
    for (let step = 0; step < 400; step++) {
      const dice = next()
      if (dice < 0.4 && running.length < 6) {
        const open = await begin(db)
        const rows = Array.from({ length: 1 + Math.floor(next() * 4) }, () => ({
          tenant,
          decision: next() < 0.3 ? ('DENY' as const) : ('ALLOW' as const),
        }))
        const made = await arrive(open.db, rows)
        running.push({
          end: async (commit) => {
            await (commit ? open.commit() : open.rollback())
            if (commit)
              wanted.push(
                ...made.map((id, index) => ({ id, denied: rows[index]?.decision === 'DENY' })),
              )
          },
        })
      } else if (dice < 0.7) {
        const [ended] = running.splice(Math.floor(next() * running.length), 1)
        await ended?.end(next() < 0.8)
      } else {
        await readers[Math.floor(next() * readers.length)]?.page(next() < 0.5 ? 1 : Infinity)
      }
    }
    for (const { end } of running) await end(true)
    const [everything, denied] = readers
    const all = await everything?.all()
    t.same(all?.toSorted(), wanted.map(({ id }) => id).toSorted())
    t.same(
      (await denied?.all())?.toSorted(),
      wanted
        .filter((each) => each.denied)
        .map(({ id }) => id)
        .toSorted(),
    )
    t.ok(wanted.length > 50, 'enough happened')
  })
}

function within<T>(db: Kysely<Tables>, work: (part: Kysely<Tables>) => Promise<T>): Promise<T> {
  return db.transaction().execute(work)
}

interface OpenTransaction {
  readonly db: Kysely<Tables>
  commit(): Promise<void>
  rollback(): Promise<void>
}

/** A transaction that stays open on a connection of its own. */
async function begin(db: Kysely<Tables>): Promise<OpenTransaction> {
  const transaction = await db.startTransaction().execute()
  return {
    db: transaction,
    commit: async () => {
      await transaction.commit().execute()
    },
    rollback: async () => {
      await transaction.rollback().execute()
    },
  }
}

/** Numbers from 0 to 1 by a seed (mulberry32). */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
