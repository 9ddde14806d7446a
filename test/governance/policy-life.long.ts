// The life of stored policies, the same over every database: who may do what, what takes effect when, and that every
// change is told.

import { sql } from 'kysely'
import type { Actor } from '../../src/governance/audit.ts'
import type { Store } from '../../src/store/open.ts'
import { person, statement, TestDesk } from '../support/policy-desk.ts'
import { onEachStore } from '../support/stores.ts'

const DAY_MS = 86_400_000
const maya = person('maya')
const ben = person('ben')

onEachStore(async (t, { db }: Store) => {
  const open = (): TestDesk => new TestDesk(db)

  await t.test('from a draft to what is in force', async (t) => {
    const desk = open()
    const { life, activation } = desk
    const made = await life.create(
      {
        text: statement('one'),
        change_summary: 'first',
        git: { commit: 'a'.repeat(40), branch: 'main' },
      },
      maya,
    )
    t.match(made, {
      policy_id: 'one',
      version: '1.0.0',
      status: 'draft',
      edition: 1,
      git: { commit: 'a'.repeat(40), branch: 'main' },
      contributors: [{ id: maya.id }],
    })
    const name = { policy_id: 'one', version: '1.0.0' }
    const edited = await life.edit(
      name,
      { text: statement('one', '@priority("900")\n') },
      [1],
      maya,
    )
    t.match(edited, { edition: 2, metadata: { priority: 900 } })
    t.equal((await life.submit(name, undefined, undefined, maya)).status, 'review')
    t.match(await desk.approve(name, ben, 'looks right'), {
      status: 'approved',
      approved_by: { id: ben.id },
    })
    const done = await activation.activate([name], { comment: 'go' }, undefined, maya)
    t.match(done, { revision: 'sha256:1', versions: [{ status: 'active' }] })
    t.match(desk.published, [[{ path: 'one.cedar', text: edited.text }]])
    t.match(await life.shelf.show('one'), { status: 'active', version: '1.0.0', priority: 900 })

    t.same(desk.eventTypes(), [
      'policy_created',
      'policy_edited',
      'policy_submitted',
      'policy_approved',
      'policy_activated',
    ])
    const [created, changed, , approved] = desk.events
    t.match(created, {
      target: { type: 'policy', id: 'one' },
      actor: { id: maya.id },
      data: { version: '1.0.0' },
      changes: { after: { status: 'draft', text: { bytes: made.text_bytes } } },
      personal: { data: { comment: 'first', git_branch: 'main' } },
    })
    t.same(changed?.changes, {
      before: {
        text: { sha256: made.text_sha256, bytes: made.text_bytes },
        metadata: { priority: 100 },
      },
      after: {
        text: { sha256: edited.text_sha256, bytes: edited.text_bytes },
        metadata: { priority: 900 },
      },
    })
    t.same(approved?.changes, { before: { status: 'review' }, after: { status: 'approved' } })
    t.notMatch(JSON.stringify(desk.events), 'forbid', 'texts are in the versions')
    for (const { personal: _, ...record } of desk.events)
      t.notMatch(JSON.stringify(record), /maya|looks right/, 'who it was can be erased')
  })

  await t.test('nobody approves what they wrote any of', async (t) => {
    const desk = open()
    const { life } = desk
    await life.create({ text: statement('mine') }, maya)
    await life.edit(
      { policy_id: 'mine' },
      { text: statement('mine', '@priority("7")\n') },
      [1],
      ben,
    )
    await life.submit({ policy_id: 'mine' }, undefined, undefined, ben)
    await t.rejects(life.approve({ policy_id: 'mine' }, undefined, undefined, maya), {
      code: 'OWN_VERSION',
    })
    await t.rejects(life.approve({ policy_id: 'mine' }, undefined, undefined, ben), {
      code: 'OWN_VERSION',
    })
    // Removed and added again: another id, the same person.
    for (const again of [person('Maya'), { type: 'user', login: 'os:maya' } satisfies Actor])
      await t.rejects(life.approve({ policy_id: 'mine' }, undefined, undefined, again), {
        code: 'OWN_VERSION',
      })
    t.equal(desk.eventTypes().filter((type) => type === 'policy_approval_refused').length, 4)
    t.match(desk.events.at(-1), { result: 'failure', actor: { type: 'user' } })
    // Sent back and written by a third: the first two stay authors.
    await life.reject({ policy_id: 'mine' }, 'too weak', undefined, person('zoe'), true)
    const lee = person('lee')
    const { edition } = await life.shelf.version({ policy_id: 'mine' })
    await life.edit({ policy_id: 'mine' }, { text: statement('mine') }, [edition], lee)
    await life.submit({ policy_id: 'mine' }, undefined, undefined, lee)
    for (const author of [maya, ben, lee])
      await t.rejects(life.approve({ policy_id: 'mine' }, undefined, undefined, author), {
        code: 'OWN_VERSION',
      })
    const approved = await desk.approve({ policy_id: 'mine' }, person('zoe'))
    t.equal(approved.status, 'approved')
    // A copy of what nobody has approved has its authors, and keeps them when it is edited.
    await life.create({ text: statement('copied') }, maya)
    await life.addVersion('copied', {}, ben)
    const text = statement('copied', '@priority("8")\n')
    await life.edit({ policy_id: 'copied', version: '1.0.1' }, { text }, [1], ben)
    await life.addVersion('copied', { text: statement('copied') }, ben)
    for (const version of ['1.0.1', '1.0.2']) {
      await life.submit({ policy_id: 'copied', version }, undefined, undefined, ben)
      await t.rejects(
        life.approve({ policy_id: 'copied', version }, undefined, undefined, maya),
        { code: 'OWN_VERSION' },
        version,
      )
    }
    // Once it has been approved, a copy of it is its maker's.
    await desk.approve({ policy_id: 'copied', version: '1.0.2' }, lee)
    await life.addVersion('copied', { text: statement('copied') }, ben)
    const copy = { policy_id: 'copied', version: '1.0.3' }
    await life.submit(copy, undefined, undefined, ben)
    t.equal((await desk.approve(copy, maya)).status, 'approved')
    // Whoever sets its dates writes it too.
    await life.create({ text: statement('dated') }, maya)
    await life.setDates({ policy_id: 'dated' }, { expires_at: inDays(9) }, undefined, ben, false)
    await life.submit({ policy_id: 'dated' }, undefined, undefined, maya)
    await t.rejects(life.approve({ policy_id: 'dated' }, undefined, undefined, ben), {
      code: 'OWN_VERSION',
    })
    const nobody: Actor = { type: 'integration', name: 'a key of nobody' }
    await t.rejects(life.create({ text: statement('no-one') }, nobody), { code: 'FORBIDDEN' })
  })

  await t.test('an approval is of the edition that somebody looked at', async (t) => {
    const { life } = open()
    const name = { policy_id: 'looked-at', version: '1.0.0' }
    await life.create({ text: statement('looked-at') }, maya)
    await life.submit(name, undefined, undefined, maya)
    await t.rejects(life.approve(name, undefined, undefined, ben), {
      code: 'UNSEEN',
      message: /edition 2 .*--edition 2, If-Match: "2"/,
    })
    // What Ben looked at is taken back, written anew and submitted again.
    await life.reject(name, undefined, undefined, maya, false)
    const text = statement('looked-at', '@mode("audit")\n')
    await life.edit(name, { text }, undefined, maya)
    await life.submit(name, undefined, undefined, maya)
    await t.rejects(life.approve(name, undefined, [2], ben), {
      code: 'STALE',
      problems: [{ pointer: '/status' }, { pointer: '/text' }, { pointer: '/metadata' }],
    })
    t.equal((await life.shelf.version(name)).status, 'review')
    t.match(await life.approve(name, undefined, [5], ben), { status: 'approved' })
    // Or another version comes in its place, in an edition of the same number.
    const { policy_id } = name
    for (const priority of [1, 2]) {
      const text = statement('looked-at', `@priority("${priority}")\n`)
      const { version } = await life.addVersion(policy_id, { text }, maya)
      await life.submit({ policy_id, version }, undefined, undefined, maya)
      if (priority === 1) await life.reject({ policy_id, version }, undefined, [2], maya, false)
    }
    await t.rejects(life.approve({ policy_id }, undefined, [2], ben), {
      code: 'UNSEEN',
      message: /another version .* edition 2 too: .* looked-at@1\.0\.2/,
    })
    const last = { policy_id, version: '1.0.2' }
    t.match(await life.approve(last, undefined, [2], ben), { status: 'approved' })
  })

  await t.test('each state allows what it allows', async (t) => {
    const desk = open()
    const { life, activation } = desk
    const name = { policy_id: 'states', version: '1.0.0' }
    const edit = () =>
      life.edit(name, { text: statement('states', '@priority("1")\n') }, undefined, maya)
    const submit = () => life.submit(name, undefined, undefined, maya)
    const approve = () => desk.approve(name, ben)
    const activate = () => activation.activate([name], {}, undefined, ben)
    const refuses = async (acts: readonly (() => Promise<unknown>)[], state: string) => {
      for (const act of acts) await t.rejects(act(), { code: 'CONFLICT' }, state)
    }
    await life.create({ text: statement('states') }, maya)
    await refuses([approve, activate], 'a draft')
    await submit()
    await refuses([edit, submit, activate], 'in review')
    await t.rejects(life.reject(name, undefined, undefined, ben, false), { code: 'FORBIDDEN' })
    t.equal((await life.reject(name, 'mine again', undefined, maya, false)).status, 'draft')
    await submit()
    await approve()
    await refuses([edit, submit, approve], 'approved')
    await t.rejects(life.reject(name, undefined, undefined, maya, false), { code: 'FORBIDDEN' })
    await activate()
    await refuses([edit, submit, approve, activate], 'active')
    await activation.archive(name, {}, undefined, ben, true)
    await refuses([edit, submit, approve, activate], 'archived')
    await refuses([() => activation.archive(name, {}, undefined, ben, true)], 'archived')
    t.same(desk.published.at(-1), [])
  })

  await t.test(
    'whoever edits says what they saw, and is told what was changed since',
    async (t) => {
      const { life } = open()
      await life.create({ text: statement('seen') }, maya)
      const name = { policy_id: 'seen', version: '1.0.0' }
      const text = (priority: number) => statement('seen', `@priority("${priority}")\n`)
      const both = await Promise.allSettled([
        life.edit(name, { text: text(1) }, [1], maya),
        life.edit(name, { text: text(2) }, [1], ben),
      ])
      t.same(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
      await t.rejects(life.edit(name, { text: text(3) }, [1], ben), {
        code: 'STALE',
        problems: [
          { pointer: '/text', message: /edition 2, edit/ },
          { pointer: '/metadata', message: /edition 2/ },
        ],
      })
      const { edition, contributors } = await life.edit(name, { text: text(3) }, [7, 2], ben)
      t.equal(edition, 3)
      const same = await life.edit(name, { text: text(3) }, [3], person('zoe'))
      t.same([same.edition, same.contributors], [3, contributors], 'nothing changed, nobody wrote')
    },
  )

  await t.test('versions rise, and a policy stays what it is', async (t) => {
    const { life } = open()
    await life.create({ text: statement('rise'), version: '1.4.0' }, maya)
    await t.rejects(life.create({ text: statement('rise') }, ben), { code: 'CONFLICT' })
    t.equal((await life.addVersion('rise', {}, maya)).version, '1.4.1')
    for (const version of ['1.4.1', '1.0.0', '1.4.1-rc.1', 'next'])
      await t.rejects(life.addVersion('rise', { version }, maya), { code: 'INPUT_INVALID' })
    const many = await Promise.allSettled(
      Array.from({ length: 5 }, () => life.addVersion('rise', {}, maya)),
    )
    t.same(
      many
        .map((each) => (each.status === 'fulfilled' ? each.value.version : 'refused'))
        .toSorted((a, b) => (a < b ? -1 : 1)),
      ['1.4.2', '1.4.3', '1.4.4', '1.4.5', '1.4.6'],
      'side by side each has its own',
    )
    await t.rejects(life.addVersion('rise', { text: statement('fall') }, maya), {
      code: 'INPUT_INVALID',
      problems: [{ pointer: '/policy_id' }],
    })
    await t.rejects(life.create({ text: statement('RISE'), path: 'Rise.cedar' }, maya), {
      code: 'CONFLICT',
      problems: [{ pointer: '/path' }],
    })
    await t.rejects(life.shelf.version({ policy_id: 'rise', version: '9.9.9' }), {
      code: 'NOT_FOUND',
    })
    await t.rejects(life.shelf.show('none'), { code: 'NOT_FOUND' })
  })

  await t.test('policies of folders are shown, and changed by their files only', async (t) => {
    const desk = open()
    desk.folder.push({
      id: 'of-folder',
      name: 'Of a folder',
      language: 'rego',
      file: '/etc/policies/of.rego',
      line: 3,
      priority: 100,
      severity: 'medium',
      mode: 'warn',
      scope: {},
      reads: [''],
    })
    const { life, activation } = desk
    const where = { code: 'CONFLICT', message: /\/etc\/policies\/of\.rego:3/ }
    await t.rejects(life.create({ text: statement('of-folder') }, maya), where)
    await t.rejects(life.addVersion('of-folder', {}, maya), where)
    await t.rejects(life.edit({ policy_id: 'of-folder' }, {}, undefined, maya), where)
    await t.rejects(life.submit({ policy_id: 'of-folder' }, undefined, undefined, maya), where)
    await t.rejects(activation.rollBack('of-folder', {}, maya), where)
    await t.rejects(activation.activate([{ policy_id: 'of-folder' }], {}, undefined, maya), where)
    await life.create({ text: statement('a') }, maya)
    await life.create({ text: statement('z') }, maya)
    const { items } = await life.shelf.list({})
    t.same(
      items.map(({ policy_id: id, origin, status }) => [id, origin, status]),
      [
        ['a', 'store', 'draft'],
        ['of-folder', 'folder', 'active'],
        ['z', 'store', 'draft'],
      ],
    )
    t.same((await life.shelf.list({ status: 'active' })).items.map(idOf), ['of-folder'])
    t.same((await life.shelf.list({ origin: 'store', q: 'Z' })).items.map(idOf), ['z'])
    const pages: string[] = []
    let cursor: string | undefined
    do {
      const page = await life.shelf.list({ limit: 1, ...(cursor === undefined ? {} : { cursor }) })
      pages.push(...page.items.map(idOf))
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
    t.same(pages, ['a', 'of-folder', 'z'])
    await t.rejects(life.shelf.list({ cursor: '!' }), { code: 'INPUT_INVALID' })
    t.match(await life.shelf.show('of-folder'), { origin: 'folder', versions: [] })
  })

  await t.test('what stands against it is told at once, and nothing changes', async (t) => {
    const desk = open()
    const { life, activation } = desk
    await desk.approved({ text: statement('bad') }, maya, ben)
    desk.check = () => [
      { file: 'bad.cedar', line: 3, column: 1, message: 'is not valid' },
      { file: 'bad.test.yaml', line: 1, column: 1, message: 'the test x fails' },
    ]
    desk.conflicts = [{ file: 'bad', message: 'contradicts "other"' }]
    await t.rejects(activation.activate([{ policy_id: 'bad' }], {}, undefined, ben), {
      code: 'ACTIVATION_REFUSED',
      problems: [{ message: 'is not valid' }, { message: /test x/ }, { message: /contradicts/ }],
    })
    t.equal((await life.shelf.show('bad')).status, 'approved')
    t.same(desk.published, [])
    desk.conflicts = []
    desk.check = () => []
    await activation.activate([{ policy_id: 'bad' }], {}, undefined, ben)
    desk.check = (files) => (files.length === 0 ? [{ file: 'x', message: 'would be missing' }] : [])
    await t.rejects(activation.archive({ policy_id: 'bad' }, {}, undefined, ben, true), {
      code: 'ACTIVATION_REFUSED',
    })
    const invalid = await life.create({ text: statement('draft') }, maya)
    desk.check = () => [{ file: 'draft.cedar', line: 1, column: 2, message: 'no' }]
    await t.rejects(life.submit({ policy_id: 'draft' }, undefined, undefined, maya), {
      code: 'POLICY_INVALID',
      problems: [{ pointer: '/text', line: 1 }],
    })
    t.same(await life.validate({ policy_id: 'draft', version: invalid.version }), [
      { file: 'draft.cedar', line: 1, column: 2, message: 'no' },
    ])
  })

  await t.test('what belongs together is submitted one after the other', async (t) => {
    const desk = open()
    const { life, activation } = desk
    const paths: (readonly string[])[] = []
    // The policy needs the library, the test needs the policy.
    desk.check = (files) => {
      const has = (end: string): boolean => files.some(({ path }) => path.endsWith(end))
      paths.push(files.map(({ path }) => path))
      if (has('calls.rego') && !has('lib/dates.rego'))
        return [{ file: 'calls.rego', message: 'no such function' }]
      return has('calls_test.rego') && !has('calls.rego')
        ? [{ file: 'calls_test.rego', message: 'the test fails' }]
        : []
    }
    const lib = { text: 'package lib.dates\n\nyear := 2026\n', path: 'lib/dates.rego' }
    const policy = {
      text: 'package acme.calls\n\ndeny if data.lib.dates.year > 1\n',
      path: 'calls.rego',
    }
    const test = { text: 'package acme.calls_test\n\ntest_it if true\n', path: 'calls_test.rego' }
    for (const file of [lib, policy, test]) await life.create(file, maya)
    await t.rejects(life.submit({ policy_id: 'acme.calls' }, undefined, undefined, maya), {
      code: 'POLICY_INVALID',
    })
    for (const id of [lib.path, 'acme.calls', test.path]) {
      await life.submit({ policy_id: id }, undefined, undefined, maya)
      await desk.approve({ policy_id: id }, ben)
    }
    t.notOk(
      paths.some((each) => each.includes(test.path)),
      'tests are run before it takes effect',
    )
    await t.rejects(
      activation.activate(
        [{ policy_id: test.path }, { policy_id: 'acme.calls' }],
        {},
        undefined,
        ben,
      ),
      { code: 'ACTIVATION_REFUSED' },
    )
    const all = [test.path, 'acme.calls', lib.path].map((id) => ({ policy_id: id }))
    await activation.activate(all, {}, undefined, ben)
    t.same(paths.at(-1), ['calls.rego', 'calls_test.rego', 'lib/dates.rego'])
  })

  await t.test('several take effect together, all or none', async (t) => {
    const desk = open()
    const { life, activation } = desk
    await desk.approved({ text: statement('left') }, maya, ben)
    await desk.approved({ text: statement('right') }, maya, ben)
    await life.create({ text: statement('draft') }, maya)
    const names = (...ids: string[]) => ids.map((id) => ({ policy_id: id }))
    await t.rejects(activation.activate(names('left', 'draft'), {}, undefined, ben), {
      code: 'CONFLICT',
    })
    await t.rejects(activation.activate(names('left', 'left'), {}, undefined, ben), {
      code: 'INPUT_INVALID',
    })
    t.same(desk.published, [])
    await activation.activate(names('right', 'left'), { rejudge: true }, undefined, ben)
    t.same(
      desk.published.map((files) => files.map(({ path }) => path)),
      [['left.cedar', 'right.cedar']],
      'one revision',
    )
    t.same(desk.rejudged, [true])
  })

  await t.test('changes of what is in force come one after the other', async (t) => {
    const desk = open()
    const names = Array.from({ length: 6 }, (_, index) => `p${index}`)
    for (const id of names) await desk.approved({ text: statement(id) }, maya, ben)
    // Each is tried for a while, so that all of them are tried with nothing in force.
    desk.check = async () => {
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
      return []
    }
    await Promise.all(
      names.map((id) => desk.activation.activate([{ policy_id: id }], {}, undefined, ben)),
    )
    t.same(
      desk.published.map(({ length }) => length),
      [1, 2, 3, 4, 5, 6],
      'each has what the one before made',
    )
    await desk.life.addVersion('p0', {}, maya)
    await desk.life.submit({ policy_id: 'p0' }, undefined, undefined, maya)
    await desk.approve({ policy_id: 'p0' }, ben)
    const twice = await Promise.allSettled(
      [1, 2].map(() => desk.activation.activate([{ policy_id: 'p0' }], {}, undefined, ben)),
    )
    t.same(twice.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'], 'once')
  })

  await t.test('rolled back: what was in force before is so again', async (t) => {
    const desk = open()
    const { life, activation } = desk
    await desk.approved({ text: statement('roll') }, maya, ben)
    await t.rejects(activation.rollBack('roll', {}, ben), { code: 'CONFLICT' })
    await activation.activate([{ policy_id: 'roll' }], {}, undefined, ben)
    await t.rejects(activation.rollBack('roll', {}, ben), { code: 'CONFLICT' })
    await life.addVersion('roll', { text: statement('roll', '@priority("9")\n') }, maya)
    await life.submit({ policy_id: 'roll' }, undefined, undefined, maya)
    await desk.approve({ policy_id: 'roll' }, ben)
    await activation.activate([{ policy_id: 'roll' }], {}, undefined, ben)
    t.match(desk.events.at(-1), { data: { version: '1.0.1', replaces: '1.0.0' } })
    // Tests and conflicts do not stand against it; that it loads, it must.
    desk.conflicts = [{ file: 'x', message: 'a conflict' }]
    const done = await activation.rollBack('roll', { comment: 'too strict' }, ben)
    t.match(done.versions, [{ version: '1.0.0', status: 'active' }])
    t.match(await life.shelf.show('roll'), { status: 'active', version: '1.0.0', priority: 100 })
    t.equal((await life.shelf.version({ policy_id: 'roll', version: '1.0.1' })).status, 'archived')
    t.match(desk.events.at(-1), {
      event_type: 'policy_rolled_back',
      data: { replaces: '1.0.1' },
      personal: { data: { comment: 'too strict' } },
    })
    t.match((await activation.rollBack('roll', {}, ben)).versions, [{ version: '1.0.1' }])
    await activation.archive({ policy_id: 'roll' }, {}, undefined, ben, true)
    t.match((await activation.rollBack('roll', { to: '1.0.0' }, ben)).versions, [
      { version: '1.0.0' },
    ])
    await life.addVersion('roll', {}, maya)
    await activation.archive({ policy_id: 'roll', version: '1.0.2' }, {}, undefined, maya, false)
    await t.rejects(activation.rollBack('roll', { to: '1.0.2' }, ben), {
      message: /never active/,
    })
  })

  await t.test('dates are carried out when they come, once', async (t) => {
    const desk = open()
    const { life, activation } = desk
    // Behind the database's clock, so that the test sets the time.
    const start = Date.parse('2026-01-01T00:00:00Z')
    desk.now = start
    await desk.approved({ text: statement('later') }, maya, ben)
    const scheduled = await activation.activate(
      [{ policy_id: 'later' }],
      { effective_from: at(start + DAY_MS), expires_at: at(start + 2 * DAY_MS) },
      undefined,
      ben,
    )
    t.match(scheduled, { revision: null, versions: [{ status: 'approved' }] })
    await activation.carryOutDue()
    t.same(desk.published, [], 'not yet')
    // Two processes over the same store.
    const other = new TestDesk(db, desk.tenant)
    other.now = desk.now = start + DAY_MS
    await Promise.all([activation.carryOutDue(), other.activation.carryOutDue()])
    t.equal(desk.published.length + other.published.length, 1)
    t.equal((await life.shelf.show('later')).status, 'active')
    const told = [...desk.events, ...other.events].filter(
      ({ event_type: type }) => type === 'policy_activated',
    )
    t.match(told, [{ actor: { type: 'system', name: 'policy clock' } }])
    other.now = desk.now = start + 2 * DAY_MS
    await Promise.all([activation.carryOutDue(), other.activation.carryOutDue()])
    t.equal((await life.shelf.show('later')).status, 'archived')
    t.match(
      [...desk.published, ...other.published].filter(({ length }) => length === 0),
      [[]],
    )
    await t.rejects(activation.rollBack('later', {}, ben), { message: /ended at/ })
    // One that is moved while it is tried is not carried out.
    await desk.approved(
      { text: statement('moved'), effective_from: at(start + 3 * DAY_MS) },
      maya,
      ben,
    )
    desk.now = start + 3 * DAY_MS
    desk.check = async () => {
      const date = { effective_from: at(start + 9 * DAY_MS) }
      await life.setDates({ policy_id: 'moved' }, date, undefined, ben, true)
      return []
    }
    await activation.carryOutDue()
    t.match(await life.shelf.version({ policy_id: 'moved' }), {
      status: 'approved',
      due_problem: null,
    })
    desk.check = () => []
    const again = await activation.rollBack('later', { expires_at: null }, ben)
    t.match(again.versions, [{ status: 'active', expires_at: null }])

    const past = { effective_from: at(start) }
    await t.rejects(activation.activate([{ policy_id: 'later' }], past, undefined, ben), {
      code: 'INPUT_INVALID',
    })
    await t.rejects(
      life.setDates({ policy_id: 'later' }, { expires_at: '2026-01-01' }, undefined, ben, true),
      { code: 'INPUT_INVALID' },
      'a time has a zone',
    )
  })

  await t.test(
    'after a time without any process, dates are carried out as they came',
    async (t) => {
      const desk = open()
      const { life, activation } = desk
      const start = Date.parse('2026-01-01T00:00:00Z')
      desk.now = start
      const dated = async (id: string, from: number, until: number | null) => {
        await desk.approved(
          {
            text: statement(id),
            effective_from: at(from),
            expires_at: until === null ? null : at(until),
          },
          maya,
          ben,
        )
      }
      await dated('begins', start + DAY_MS, null)
      await dated('is-over', start + DAY_MS, start + 2 * DAY_MS)
      await dated('fails', start + DAY_MS, null)
      await dated('comes', start + 9 * DAY_MS, null)
      // An older version does not take the place of a newer one because of a date.
      await desk.approved({ text: statement('older') }, maya, ben)
      await activation.activate(
        [{ policy_id: 'older' }],
        { effective_from: at(start + DAY_MS) },
        undefined,
        ben,
      )
      await life.addVersion('older', {}, maya)
      await life.submit({ policy_id: 'older' }, undefined, undefined, maya)
      await desk.approve({ policy_id: 'older' }, ben)
      await activation.activate([{ policy_id: 'older' }], {}, undefined, ben)
      desk.check = (files) =>
        files.some(({ path }) => path === 'fails.cedar')
          ? [{ file: 'fails.cedar', line: 1, column: 1, message: 'is not valid' }]
          : []
      desk.now = start + 3 * DAY_MS
      await activation.carryOutDue()
      const status = async (id: string) => (await life.shelf.show(id)).status
      t.equal(await status('begins'), 'active', 'the one that fails does not keep it')
      t.equal(await status('is-over'), 'archived')
      t.equal(await status('fails'), 'approved')
      t.equal(await status('comes'), 'approved')
      t.match(await life.shelf.show('older'), { status: 'active', version: '1.0.1' })
      t.match(await life.shelf.version({ policy_id: 'older', version: '1.0.0' }), {
        status: 'approved',
        effective_from: null,
      })
      t.match(await life.shelf.version({ policy_id: 'fails' }), { due_problem: /is not valid/ })
      const refusals = () =>
        desk.events.filter(
          ({ event_type: type, target }) =>
            type === 'policy_activation_refused' && target?.id === 'fails',
        )
      t.match(refusals(), [{ result: 'failure', data: { reasons: [/is not valid/] } }])
      await sql`update policy_versions set due_retry_at = null where tenant = ${desk.tenant}`.execute(
        db,
      )
      await activation.carryOutDue()
      t.equal(refusals().length, 1, 'the same is told once')
      desk.check = () => []
      await activation.carryOutDue()
      t.equal(await status('fails'), 'approved', 'tried again in a minute')
      await sql`update policy_versions set due_retry_at = now() where tenant = ${desk.tenant}`.execute(
        db,
      )
      await activation.carryOutDue()
      t.equal(await status('fails'), 'active')
      t.match(await life.shelf.version({ policy_id: 'fails' }), { due_problem: null })
    },
  )

  await t.test(
    'a change is told even if the ledger took it late, or the process ended',
    async (t) => {
      const desk = open()
      desk.ledger = 'full'
      await desk.life.create({ text: statement('late') }, maya)
      t.same(desk.events, [])
      desk.ledger = 'open'
      await sql`update policy_events set made_at = now() - interval '1 minute' where tenant = ${desk.tenant}`.execute(
        db,
      )
      const other = new TestDesk(db, desk.tenant)
      await Promise.all([desk.activation.carryOutDue(), other.activation.carryOutDue()])
      const told = [...desk.events, ...other.events]
      t.same(
        told.map(({ event_type: type }) => type),
        ['policy_created'],
      )
      const { rows } = await sql`select from policy_events where tenant = ${desk.tenant}`.execute(
        db,
      )
      t.equal(rows.length, 0)
    },
  )

  await t.test('no event keeps others from being told, nor dates from being kept', async (t) => {
    const desk = open()
    const { life, activation } = desk
    const start = Date.parse('2026-01-01T00:00:00Z')
    desk.now = start
    const text = (letter: string) =>
      statement('large', `@description("${letter.repeat(20_000)}")\n`)
    await life.create({ text: text('a'), effective_from: at(start + DAY_MS) }, maya)
    await life.edit({ policy_id: 'large' }, { text: text('b') }, [1], maya)
    await life.submit({ policy_id: 'large' }, undefined, undefined, maya)
    await desk.approve({ policy_id: 'large' }, ben)
    t.match(desk.events[1]?.changes, {
      before: { metadata: { description: { sha256: /^[0-9a-f]{64}$/, bytes: 20_002 } } },
      after: { metadata: { description: { sha256: /^[0-9a-f]{64}$/, bytes: 20_002 } } },
    })
    // As a former release kept it, one that cannot be read, and one behind them.
    const [event] = desk.events.splice(0)
    const large = { ...event, event_type: 'too_large', changes: { after: 'x'.repeat(300_000) } }
    for (const [id, record] of [
      ['1', '{'],
      ['2', JSON.stringify(large)],
      ['3', JSON.stringify(event)],
    ] as const)
      await sql`
        insert into policy_events (tenant, event_id, record, made_at)
        values (${desk.tenant}, ${`00000000-0000-4000-8000-00000000000${id}`}, ${record}, now() - interval '1 minute')`.execute(
        db,
      )
    desk.now = start + DAY_MS
    await t.rejects(activation.carryOutDue(), SyntaxError)
    t.match(await life.shelf.show('large'), { status: 'active' })
    t.same(desk.eventTypes(), ['policy_activated', 'too_large', 'policy_created'])
    t.match(desk.events[1], {
      event_id: event?.event_id,
      actor: { id: maya.id },
      target: { type: 'policy', id: 'large' },
      data: { version: '1.0.0', left_out: { sha256: /^[0-9a-f]{64}$/ } },
      personal: { actor_name: 'maya' },
    })
    t.equal(desk.events[1]?.changes, undefined)
  })

  await t.test('compared: the text, metadata and dates', async (t) => {
    const { life } = open()
    await life.create({ text: statement('cmp') }, maya)
    await life.addVersion(
      'cmp',
      { text: statement('cmp', '@priority("900")\n@mode("warn")\n') },
      maya,
    )
    const compared = await life.shelf.compare('cmp', undefined, undefined)
    t.match(compared, {
      from: '1.0.0',
      to: '1.0.1',
      from_edition: 1,
      to_edition: 1,
      changed: { priority: { from: 100, to: 900 }, mode: { from: 'enforce', to: 'warn' } },
    })
    t.equal(
      compared.diff,
      [
        '--- cmp.cedar 1.0.0',
        '+++ cmp.cedar 1.0.1',
        '@@ -1,2 +1,4 @@',
        ' @id("cmp")',
        '+@priority("900")',
        '+@mode("warn")',
        ' forbid (principal, action, resource == Cordon::Service::"cmp");',
        '',
      ].join('\n'),
    )
    t.same((await life.shelf.compare('cmp', '1.0.1', '1.0.1')).diff, '')
  })

  await t.test('ten thousand versions come in pages', async (t) => {
    const desk = open()
    const { life } = desk
    await life.create({ text: statement('many') }, maya)
    await sql`
      insert into policy_versions (tenant, policy_id, version, number, status, rule_content, rule_metadata, contributors)
      select tenant, policy_id, '1.0.' || n, n + 1, 'archived', rule_content, rule_metadata, contributors
      from policy_versions, generate_series(1, 9999) n where tenant = ${desk.tenant}`.execute(db)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await life.shelf.listVersions('many', {
        limit: 1000,
        ...(cursor === undefined ? {} : { cursor }),
      })
      seen.push(...page.items.map(({ version }) => version))
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
    t.equal(seen.length, 10_000)
    t.equal(new Set(seen).size, 10_000)
    t.same([seen[0], seen.at(-1)], ['1.0.9999', '1.0.0'])
    await t.rejects(life.addVersion('many', {}, maya), { code: 'CONFLICT', message: /10000/ })
  })
})

function at(ms: number): string {
  return new Date(ms).toISOString()
}

function inDays(days: number): string {
  return at(Date.now() + days * DAY_MS)
}

function idOf({ policy_id: id }: { readonly policy_id: string }): string {
  return id
}
