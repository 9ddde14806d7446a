// The stored policies of a node: it follows the head, keeps the last good revision, and tells what it refuses.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { StoredPolicies } from '../../src/app/stored-policies.ts'
import { CordonError } from '../../src/base/errors.ts'
import { openLog } from '../../src/observe/log.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { packStored } from '../../src/policy/bundle/stored-bundle.ts'
import type { RevisionHead } from '../../src/store/policy-revisions.ts'

/** A store with a head and bundles, and a node over it. */
function set(t: Test, dir: string = t.testdir()) {
  const bundles = new Map<string, Buffer>()
  const store: { head: RevisionHead | undefined; away: boolean } = { head: undefined, away: false }
  const taken: string[] = []
  let rejudged = 0
  let refuses: string | undefined
  const node = (): StoredPolicies =>
    new StoredPolicies({
      revisions: {
        head: () => (store.away ? Promise.reject(new Error('away')) : Promise.resolve(store.head)),
        bundle: (revision) =>
          store.away ? Promise.reject(new Error('away')) : Promise.resolve(bundles.get(revision)),
      },
      dir: join(dir, 'policies'),
      log: openLog({ role: 'test' }, { write: () => undefined }),
      metrics: new Metrics({ processMetrics: false }),
      take: (folder) => {
        if (refuses !== undefined)
          return Promise.reject(
            new CordonError('POLICY_INVALID', 'refused', {
              problems: [{ file: 'a.rego', line: 3, column: 1, message: refuses }],
            }),
          )
        taken.push(folder)
        return Promise.resolve()
      },
      rejudge: () => (rejudged += 1),
      onChanged: () => undefined,
    })
  const publish = async (text: string, rejudge = false): Promise<string> => {
    const { revision, bundle } = await packStored([{ path: 'a.rego', text }], [])
    bundles.set(revision, bundle)
    const number = (store.head?.number ?? 0) + 1
    store.head = {
      number,
      revision,
      rejudge_number: rejudge ? number : (store.head?.rejudge_number ?? 0),
    }
    return revision
  }
  return {
    node,
    store,
    bundles,
    taken,
    publish,
    dir: join(dir, 'policies'),
    rejudged: () => rejudged,
    refuse: (why: string | undefined) => (refuses = why),
  }
}

const short = (revision: string): string => revision.replace('sha256:', '')

t.test('a node follows the head, and judges again only where a change asks for it', async (t) => {
  const { node, publish, taken, rejudged, store } = set(t)
  const policies = node()
  await policies.look()
  t.same(taken, [], 'nothing was ever in force')
  const first = await publish('package a\n')
  await policies.look()
  await policies.look()
  t.match(taken, [new RegExp(short(first))])
  t.equal(taken.length, 1)
  t.equal(rejudged(), 0)
  const second = await publish('package b\n', true)
  await publish('package c\n')
  await policies.look()
  t.equal(taken.length, 2, 'of two changes the last one')
  t.equal(rejudged(), 1, 'and what the one between asked for')
  t.not(policies.state().revision, second)
  store.head = { ...(store.head as RevisionHead), number: 9, rejudge_number: 9 }
  await policies.look()
  t.equal(taken.length, 2, 'the same revision is not loaded again')
  t.equal(rejudged(), 2)
  t.equal(policies.state().number, 9)
})

t.test(
  'what is refused leaves the last good one in force, and is told with its place',
  async (t) => {
    const { node, publish, refuse, taken } = set(t)
    const policies = node()
    const good = await publish('package a\n')
    await policies.look()
    const bad = await publish('package bad\n')
    refuse('the id stands there twice')
    await policies.look()
    t.match(policies.state(), { revision: good, wanted: bad, problems: [{ line: 3 }] })
    t.match(policies.check(), {
      ok: true,
      detail: /refused: a.rego:3:1: the id stands there twice/,
    })
    refuse(undefined)
    await policies.look()
    t.equal(policies.state().revision, good, 'it is not tried at every look')
    policies.tryAgain()
    await policies.look()
    t.match(policies.state(), { revision: bad, wanted: null, problems: [] })
    t.equal(taken.length, 2)
  },
)

t.test(
  'a bundle that is not what its name says is refused; one that is gone is waited for',
  async (t) => {
    const { node, publish, bundles, taken, store } = set(t)
    const policies = node()
    const first = await publish('package a\n')
    const other = await packStored([{ path: 'a.rego', text: 'package evil\n' }], [])
    const right = bundles.get(first)
    bundles.set(first, other.bundle)
    await policies.look()
    t.match(policies.check(), { detail: /holds other files/ })
    t.same(taken, [])
    bundles.delete(first)
    policies.tryAgain()
    await policies.look()
    t.match(policies.check().detail, /refused|any more/)
    if (right !== undefined) bundles.set(first, right)
    policies.tryAgain()
    await policies.look()
    t.equal(policies.state().revision, first)
    store.away = true
    await policies.look()
    t.match(policies.check(), { ok: true, detail: /cannot be looked at: away/ })
  },
)

t.test('a start without the store begins with what was in force last, whole', async (t) => {
  const { node, publish, store, dir } = set(t)
  const policies = node()
  const first = await publish('package a\n')
  await policies.look()
  const folder = join(dir, short(first))
  t.ok(existsSync(join(folder, 'a.rego')))
  store.away = true
  // What somebody did to the folder is undone from the bundle.
  writeFileSync(join(folder, 'a.rego'), 'package evil\n')
  const [found, ...more] = await node().candidates()
  t.same(more, [])
  t.equal(found?.head.revision, first)
  t.equal(found?.folder, folder)
  rmSync(dir, { recursive: true })
  await t.rejects(node().candidates(), /away/, 'and without either there is no start')
})

t.test('that nothing was ever in force is known, and not concluded', async (t) => {
  const { node, publish, store, dir } = set(t)
  t.same(await node().candidates(), [])
  store.away = true
  t.same(await node().candidates(), [], 'as the store said last')
  store.away = false
  const note = readFileSync(join(dir, 'current.json'))
  await publish('package a\n')
  await node().look()
  store.away = true
  t.equal((await node().candidates()).length, 1)
  // As after a process that ended before it had noted what it began to enforce.
  writeFileSync(join(dir, 'current.json'), note)
  await t.rejects(node().candidates(), /has none that were in force here before/)
})

t.test('old revisions go, the last five stay', async (t) => {
  const { node, publish, dir } = set(t)
  const policies = node()
  for (let index = 0; index < 9; index++) {
    await publish(`package a${index}\n`)
    await policies.look()
  }
  const folders = readdirSync(dir).filter((name) => /^[0-9a-f]{64}$/.test(name))
  t.equal(folders.length, 5)
  t.ok(folders.includes(short(policies.state().revision ?? '')))
  t.same(
    readdirSync(dir).filter((name) => name.startsWith('.')),
    [],
    'no draft is left',
  )
})
