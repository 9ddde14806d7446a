// A folder that is pushed: all of it becomes drafts, or nothing does, on each database; and what is wrong is told by file.

import type { Test } from 'tap'
import { CordonError } from '../../src/base/errors.ts'
import type { Actor } from '../../src/governance/audit.ts'
import { PolicyPush, type Pushed } from '../../src/governance/policy-push.ts'
import type { StoredFile } from '../../src/model/stored-policy.ts'
import { latestVersions } from '../../src/store/latest-versions.ts'
import type { Store } from '../../src/store/open.ts'
import { person, statement, TestDesk } from '../support/policy-desk.ts'
import { onEachStore } from '../support/stores.ts'

function pushOf(desk: TestDesk): PolicyPush {
  return new PolicyPush({
    life: desk.life,
    latest: (db) => latestVersions(db, desk.tenant),
    check: async (files) => desk.check(files),
    // The store has them wait for each other.
    inTurn: (write) => write(),
    revision: () => Promise.resolve(undefined),
  })
}

function file(id: string, more = ''): StoredFile {
  return { path: `${id}.cedar`, text: statement(id, more) }
}

async function refusal(act: () => Promise<unknown>): Promise<CordonError> {
  try {
    await act()
  } catch (error) {
    if (error instanceof CordonError) return error
    throw error
  }
  throw new Error('it was not refused')
}

const resultsOf = ({ files }: Pushed): readonly string[] => files.map(({ result }) => result)
const statesOf = ({ files }: Pushed): readonly (string | null)[] =>
  files.map(({ status }) => status)

async function idsOf(desk: TestDesk): Promise<readonly string[]> {
  return (await desk.life.shelf.list({ origin: 'store' })).items.map(({ policy_id: id }) => id)
}

async function activate(desk: TestDesk, id: string, approver: Actor): Promise<void> {
  await desk.approve({ policy_id: id }, approver)
  await desk.activation.activate([{ policy_id: id }], {}, undefined, approver)
}

onEachStore(async (t: Test, store: Store) => {
  const maya = person('maya')
  const ben = person('ben')

  await t.test('all or none, and each file that stands against it is named', async (t) => {
    const desk = new TestDesk(store.db)
    const push = pushOf(desk)
    await desk.life.create({ path: 'taken.cedar', text: statement('other') }, ben)
    desk.folder.push({ ...(await folderPolicy('of-folder')), id: 'of-folder' })
    const events = desk.events.length
    const files = [file('first'), file('taken'), file('of-folder'), file('last')]
    for (const more of [{}, { submit: true }, { dry_run: true }]) {
      const error = await refusal(() => push.push({ files, ...more }, maya))
      t.equal(error.code, 'CONFLICT')
      t.match(error.message, /nothing was pushed: 2 problems/)
      t.match(error.problems, [
        { file: 'taken.cedar', message: /belongs to the policy "other"/ },
        { file: 'of-folder.cedar', message: /a policy of a folder/ },
      ])
      t.same(await idsOf(desk), ['other', 'of-folder'].slice(0, 1), 'nothing was written')
    }
    t.equal(desk.events.length, events, 'and nothing is told')
    const done = await push.push({ files: [file('first'), file('last')] }, maya)
    t.same(resultsOf(done), ['created', 'created'])
    t.equal(desk.events.length, events + 2, 'what was written is')
  })

  await t.test('the same folder again changes nothing', async (t) => {
    const desk = new TestDesk(store.db)
    const push = pushOf(desk)
    const files = [file('a'), file('b')]
    const dry = await push.push({ files, dry_run: true }, maya)
    t.same(resultsOf(dry), ['created', 'created'])
    t.same(await idsOf(desk), [])
    await push.push({ files }, maya)
    const events = desk.events.length
    const again = await push.push({ files }, maya)
    t.same(resultsOf(again), ['unchanged', 'unchanged'])
    t.same(statesOf(again), ['draft', 'draft'])
    // What was pushed before is asked approval for; once.
    t.same(statesOf(await push.push({ files, submit: true }, maya)), ['review', 'review'])
    t.equal(desk.events.length, events + 2)
    t.same(statesOf(await push.push({ files, submit: true }, maya)), ['review', 'review'])
    t.equal(desk.events.length, events + 2)
    const changed = [file('a'), file('b', '@reason("other")\n')]
    const next = await push.push({ files: changed, submit: true }, maya)
    t.same(resultsOf(next), ['unchanged', 'changed'])
    t.same(
      next.files.map(({ version }) => version),
      ['1.0.0', '1.0.1'],
    )
  })

  await t.test('two pushes at once are one after the other', async (t) => {
    const desk = new TestDesk(store.db)
    const push = pushOf(desk)
    const files = Array.from({ length: 10 }, (_each, index) => file(`p${index}`))
    const both = await Promise.all([
      push.push({ files }, maya),
      push.push({ files: files.toReversed() }, ben),
    ])
    const results = both.map((each) => [...new Set(resultsOf(each))].join(','))
    t.ok(results.includes('created'), String(results))
    t.ok(results.includes('unchanged'), String(results))
    t.equal(desk.eventTypes().filter((type) => type === 'policy_created').length, 10)
  })

  await t.test('policies are locked by id, as by whoever else locks several', async (t) => {
    const desk = new TestDesk(store.db)
    const push = pushOf(desk)
    const ids = Array.from({ length: 10 }, (_each, index) => `p${index}`)
    await push.push({ files: ids.map((id) => file(id)), submit: true }, maya)
    for (const id of ids) await desk.approve({ policy_id: id }, ben)
    const names = ids.map((id) => ({ policy_id: id, version: '1.0.0' }))
    for (let round = 1; round <= 3; round++) {
      const files = ids.toReversed().map((id) => file(id, `@reason("${round}")\n`))
      const effective_from = new Date(desk.now + round * 86_400_000).toISOString()
      const [pushed] = await Promise.all([
        push.push({ files }, maya),
        desk.activation.activate(names, { effective_from }, undefined, ben),
      ])
      t.same(
        pushed.files.map(({ policy_id: id }) => id),
        ids.toReversed(),
        'told in the order in which they were given',
      )
    }
  })

  const skip = store.kind === 'embedded' && 'it does one thing at a time'
  await t.test(
    'what takes effect does not wait for a push of something else',
    { skip },
    async (t) => {
      const desk = new TestDesk(store.db)
      await pushOf(desk).push({ files: [file('hasty')], submit: true }, maya)
      await activate(desk, 'hasty', ben)
      const push = new PolicyPush({
        life: desk.life,
        latest: async (db) => {
          await desk.activation.archive({ policy_id: 'hasty' }, {}, undefined, ben, true)
          return latestVersions(db, desk.tenant)
        },
        check: async () => [],
        inTurn: (write) => write(),
        revision: () => Promise.resolve(undefined),
      })
      t.same(resultsOf(await push.push({ files: [file('long')] }, maya)), ['created'])
      t.equal((await desk.life.shelf.find({ policy_id: 'hasty' })).status, 'archived')
    },
  )

  await t.test('a draft that somebody writes meanwhile is not submitted', async (t) => {
    const desk = new TestDesk(store.db)
    await pushOf(desk).push({ files: [file('raced')] }, maya)
    const before = await latestVersions(store.db, desk.tenant)
    const push = new PolicyPush({
      life: desk.life,
      latest: async () => before,
      check: async () => [],
      inTurn: (write) => write(),
      revision: () => Promise.resolve(undefined),
    })
    const text = statement('raced', '@reason("untried")\n')
    await desk.life.edit({ policy_id: 'raced' }, { text }, undefined, ben)
    const error = await refusal(() => push.push({ files: [file('raced')], submit: true }, maya))
    t.equal(error.code, 'STALE')
    t.match(error.problems, [{ file: 'raced.cedar', message: /was changed since you read it/ }])
    t.equal((await desk.life.shelf.find({ policy_id: 'raced' })).status, 'draft')
  })

  await t.test('what is submitted was tried beside what stays in force', async (t) => {
    const desk = new TestDesk(store.db)
    const push = pushOf(desk)
    await push.push({ files: [file('old'), file('kept')], submit: true }, maya)
    for (const id of ['old', 'kept']) await activate(desk, id, ben)
    const tried: (readonly string[])[] = []
    desk.check = (files) => {
      const paths = files.map(({ path }) => path)
      tried.push(paths)
      return paths.includes('old.cedar') && paths.includes('new.cedar')
        ? [{ file: 'new.cedar', line: 1, message: 'stands in old.cedar already' }]
        : []
    }
    const files = [file('new'), file('kept')]
    const error = await refusal(() => push.push({ files, submit: true }, maya))
    t.equal(error.code, 'POLICY_INVALID')
    t.match(error.message, /beside 1 file in force that the folder does not have/)
    t.match(error.problems, [{ file: 'new.cedar' }])
    t.same(tried, [['new.cedar', 'kept.cedar', 'old.cedar']])
    t.same(await idsOf(desk), ['kept', 'old'])
    // Drafts may be what is to be once the old one is archived.
    t.same(resultsOf(await push.push({ files }, maya)), ['created', 'unchanged', 'removed'])
    t.same(tried.at(-1), ['new.cedar', 'kept.cedar'])
    // One that moves is not there twice.
    tried.length = 0
    await push.push({ files: [{ ...file('old'), path: 'moved.cedar' }] }, maya)
    t.same(tried, [['moved.cedar', 'kept.cedar']])
  })
})

async function folderPolicy(id: string): Promise<TestDesk['folder'][number]> {
  return {
    id,
    name: id,
    language: 'cedar',
    file: '/policies/of-folder.cedar',
    priority: 100,
    severity: 'medium',
    mode: 'enforce',
    scope: {},
  } as unknown as TestDesk['folder'][number]
}
