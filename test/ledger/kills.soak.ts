// A hundred lives of one ledger folder, each ended by SIGKILL: at named points of writing, proving and shipping,
// and at moments that a seed draws. Nothing that was acknowledged is missing in the store, nothing is there twice,
// and the ledger verifies. `CORDON_SEED=<seed>` repeats the choices of a run.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { cordon } from '../support/cordon.ts'
import { Dice } from '../support/dice.ts'
import type { PointName } from '../support/doomed-disk.ts'
import type { Doom } from '../support/doomed.ts'
import { census, missingFrom } from '../support/ledger-census.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'

const DOOMED = join(import.meta.dirname, '../support/doomed.ts')
const KILLS = 100
const LOOK_EVERY = 10
const COUNT = 2000
/** A segment has 16 MiB: so that a life comes to the end of one. */
const LONG = { count: 2600, padding: 8000 }
const SETTLED_MS = 60_000

/** Where a life may end, and which time it comes there: so that the load has begun. */
const PLAN: readonly {
  readonly at: PointName | 'before commit' | 'between commit and cursor' | 'whenever'
  readonly nth: readonly [number, number]
  readonly fsync?: 'record'
  readonly long?: true
}[] = [
  { at: 'whenever', nth: [1, 1] },
  { at: 'mid-frame', nth: [3, 60] },
  { at: 'after write', nth: [3, 60] },
  { at: 'between commit and cursor', nth: [1, 2] },
  { at: 'whenever', nth: [1, 1] },
  { at: 'after sync', nth: [2, 40], fsync: 'record' },
  { at: 'before sync', nth: [2, 40], fsync: 'record' },
  { at: 'before commit', nth: [1, 2] },
  { at: 'before a write', nth: [2, 60] },
  { at: 'new segment without a head', nth: [1, 1] },
  { at: 'whenever', nth: [1, 1] },
  { at: 'mid-head of a new segment', nth: [1, 1] },
  { at: 'seal half written', nth: [1, 1], long: true },
  { at: 'mid-edition', nth: [2, 2], fsync: 'record' },
  { at: 'edition written', nth: [1, 1], fsync: 'record' },
  { at: 'leaves half written', nth: [1, 1], long: true },
  { at: 'leaves named', nth: [1, 1], long: true },
  { at: 'checkpoint half written', nth: [1, 1], long: true },
  { at: 'checkpoint before its name', nth: [1, 1], long: true },
  { at: 'checkpoint named', nth: [1, 1], long: true },
  { at: 'seal before its name', nth: [1, 1], long: true },
  { at: 'seal named', nth: [1, 1], long: true },
]

const BIRTH: readonly PointName[] = [
  'key half written',
  'key named',
  'installation named',
  'public key named',
  'entry in the list half written',
  'entry in the list named',
  'checkpoint half written',
  'checkpoint named',
]

const skip = noPostgres()

t.setTimeout(1_200_000)

t.test(`${KILLS} kills of one folder`, { skip, timeout: 1_200_000 }, async (t) => {
  const dice = new Dice()
  t.comment(`CORDON_SEED=${dice.seed}`)
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const databaseUrl = await postgres.database()
  const dataDir = join(t.testdir(), 'data')
  mkdirSync(dataDir)
  const owed = new Set<string>()
  let killed = 0
  for (let life = 0; killed < KILLS; life++) {
    const { at, nth, fsync, long } = PLAN[life % PLAN.length] ?? { at: 'whenever', nth: [1, 1] }
    const doom: Doom = {
      dataDir,
      databaseUrl,
      fsync: fsync ?? dice.of(['batch', 'record']),
      ...(long === true ? LONG : { count: COUNT, padding: 0 }),
    }
    const before = owed.size
    const isDead =
      at === 'whenever'
        ? await live(doom, owed, dice.between(1, COUNT - 1))
        : await live({ ...doom, end: { at, nth: dice.between(...nth), part: dice.next() } }, owed)
    killed += isDead ? 1 : 0
    if (!isDead) t.comment(`it lived on: ${at}, ${owed.size - before} acknowledged`)
    if (life % LOOK_EVERY !== LOOK_EVERY - 1 && killed < KILLS) continue
    await live({ ...doom, count: 1 }, owed)
    const found = await census(databaseUrl)
    const name = `after ${killed} kills`
    t.same(missingFrom(found, { owed, passed: new Set() }), [], `${name} nothing is missing`)
    t.same(found.doubled, [], `${name} nothing is there twice`)
    t.same(found.holes, [], `${name} the numbers are without holes`)
    t.equal(found.told, 0, `${name} nobody speaks of a loss`)
    await verifies(t, [join(dataDir, 'ledger')], name)
  }
  await verifies(t, ['--database'], 'the store', { CORDON_DATABASE_URL: databaseUrl })
  t.comment(`${killed} kills, ${owed.size} acknowledged: 0 missing, 0 doubled`)
  t.ok(owed.size > 50_000, `${owed.size} decisions were owed`)
})

t.test(
  'a writer that dies while it begins hinders no other',
  { skip, timeout: 300_000 },
  async (t) => {
    const dice = new Dice()
    t.comment(`CORDON_SEED=${dice.seed}`)
    const postgres = await startPostgres()
    t.teardown(() => postgres.stop())
    for (const at of BIRTH) {
      const databaseUrl = await postgres.database()
      const dataDir = join(t.testdir(), 'data')
      mkdirSync(dataDir)
      const doom: Doom = { dataDir, databaseUrl, fsync: 'batch', count: 20, padding: 0 }
      const owed = new Set<string>()
      const end = { at, nth: 1, part: dice.next() }
      t.ok(await live({ ...doom, isInline: true, end }, owed), `${at}: it died`)
      t.notOk(await live(doom, owed), `${at}: the next one does its work`)
      const found = await census(databaseUrl)
      t.same(missingFrom(found, { owed, passed: new Set() }), [], `${at}: nothing is missing`)
      t.same(found.doubled.concat(found.holes), [], `${at}: nothing is there twice`)
      await verifies(t, [join(dataDir, 'ledger')], at)
    }
  },
)

/** One process; whether it was killed. What it acknowledged is owed. `atMost`: killed as soon as it has acknowledged so many. */
async function live(doom: Doom, owed: Set<string>, atMost = Infinity): Promise<boolean> {
  const child = spawn(execPath, [DOOMED, JSON.stringify(doom)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const late = setTimeout(() => child.kill('SIGABRT'), SETTLED_MS)
  const ended = endOf(child)
  let heard = 0
  for await (const line of createInterface({ input: child.stdout })) {
    // The last line may have been cut off.
    if (/^[0-9a-f-]{36}$/.test(line)) owed.add(line)
    heard += 1
    if (heard === atMost) child.kill('SIGKILL')
  }
  const { code, signal } = await ended
  clearTimeout(late)
  if (signal !== 'SIGKILL' && code !== 0)
    throw new Error(`a life ended with ${String(code ?? signal)}: ${JSON.stringify(doom)}`)
  return signal === 'SIGKILL'
}

async function endOf(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  return { code, signal }
}

async function verifies(
  t: Test,
  args: readonly string[],
  name: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { code, out, err } = await cordon(['ledger', 'verify', ...args], { env })
  t.equal(code, 0, `${name} the ledger verifies${code === 0 ? '' : `: ${out}${err}`}`)
}
