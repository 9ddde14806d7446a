// Exceptions and reviews as rows, in each of the databases: counted exactly, told to those who look, decided once.

import { sql } from 'kysely'
import { IdSource } from '../../src/base/ids.ts'
import type { Actor } from '../../src/governance/audit.ts'
import { Exceptions, type ExceptionRequest } from '../../src/governance/exceptions.ts'
import { ReviewDesk } from '../../src/governance/reviews.ts'
import { personKey } from '../../src/model/person.ts'
import type { AuditRecord } from '../../src/model/record.ts'
import {
  claimUses,
  exceptionChanges,
  findException,
  insertException,
} from '../../src/store/exceptions.ts'
import { Lists } from '../../src/store/lists.ts'
import { RecordSink } from '../../src/store/records.ts'
import { Reviews } from '../../src/store/reviews.ts'
import { decisionRecord, shippedOf } from '../support/records.ts'
import { onEachStore } from '../support/stores.ts'

const ids = new IdSource()
const TENANT = 'default'
const key = (person: string): string => personKey(Buffer.alloc(32, 1), TENANT, person)

onEachStore(async (t, store) => {
  const { db } = store
  const events: AuditRecord[] = []
  let ledgerIsFull = false
  const parts = {
    db,
    tenant: TENANT,
    nextId: () => ids.next(),
    now: Date.now,
    personKey: key,
    pseudonymous: false,
    reviewValidMs: 60_000,
    reviewSlaMs: 3_600_000,
    reviewEscalateTo: ['olga', 'nobody'],
    audit: (record: AuditRecord) => {
      if (ledgerIsFull) return Promise.reject(new Error('full'))
      events.push(record)
      return Promise.resolve()
    },
    nameable: () =>
      Promise.resolve({ policies: new Set(['pii', 'uploads']), services: new Set(['chatgpt']) }),
    onExceptionsChanged: () => Promise.resolve(),
    onReviewAnswered: () => undefined,
  }
  const exceptions = new Exceptions(parts)
  const desk = new ReviewDesk(parts, exceptions)
  const reviews = new Reviews(
    db,
    TENANT,
    () => ids.next(),
    () => 3_600_000,
  )
  const lists = new Lists(db, TENANT)

  await sql`insert into departments (tenant, name, parent) values (${TENANT}, 'Company', null), (${TENANT}, 'Sales', 'Company')`.execute(
    db,
  )
  await sql`insert into groups (tenant, name) values (${TENANT}, 'pilots')`.execute(db)
  const users = new Map<string, string>()
  for (const [name, department] of [
    ['maya', 'Sales'],
    ['ben', 'Sales'],
    ['olga', null],
  ]) {
    const { rows } = await sql<{ user_id: string }>`
      insert into users (tenant, name, email, department) values (${TENANT}, ${name}, ${`${name ?? ''}@acme.example`}, ${department}) returning user_id`.execute(
      db,
    )
    users.set(name ?? '', rows[0]?.user_id ?? '')
  }
  await sql`insert into user_groups (tenant, user_id, group_name) values (${TENANT}, ${users.get('ben')}, 'pilots')`.execute(
    db,
  )
  const as = (name: string): Actor => ({ type: 'user', id: users.get(name) ?? '', name })
  const request = (more: Partial<ExceptionRequest> = {}): ExceptionRequest => ({
    user: 'maya',
    policy: 'pii',
    reason: 'a test',
    ...more,
  })
  const approved = async (more: Partial<ExceptionRequest> = {}): Promise<string> => {
    const made = await exceptions.request(request(more), as('ben'))
    await exceptions.approve(String(made['exception_id']), undefined, as('olga'))
    return String(made['exception_id'])
  }

  await t.test('four eyes: not who asked, not whom it is for', async (t) => {
    const made = await exceptions.request(request({ user: 'MAYA@acme.example' }), as('ben'))
    const id = String(made['exception_id'])
    t.match(made, {
      status: 'pending',
      user: { id: users.get('maya'), name: 'maya' },
      policy_id: 'pii',
      lifts: 'policy',
      exception_type: 'permanent',
      usage_count: 0,
    })
    const refused = { code: 'OWN_REQUEST' }
    await t.rejects(exceptions.approve(id, undefined, as('ben')), refused, 'who asked')
    await t.rejects(exceptions.approve(id, undefined, as('maya')), refused, 'whom it is for')
    const account = { type: 'user', login: 'os:Maya' } as const
    await t.rejects(exceptions.approve(id, undefined, account), refused, 'by another name')
    const machine = { type: 'integration', name: 'robot' } as const
    await t.rejects(exceptions.approve(id, undefined, machine), { code: 'FORBIDDEN' })
    t.match(await exceptions.approve(id, 'fine', as('olga')), {
      status: 'approved',
      approved_by: users.get('olga'),
      comment: 'fine',
    })
    await t.rejects(exceptions.approve(id, undefined, as('olga')), { code: 'CONFLICT' })
    await t.rejects(exceptions.deny(id, 'no', as('olga')), { code: 'CONFLICT' })
    t.match(await exceptions.revoke(id, 'over', as('ben')), {
      status: 'revoked',
      revocation_reason: 'over',
    })
    await t.rejects(exceptions.revoke(id, 'over', as('ben')), { code: 'CONFLICT' })
    t.equal(await exceptions.approve(ids.next(), undefined, as('olga')), undefined)

    for (const more of [{ department: 'company' }, { group: 'PILOTS' }]) {
      const wide = await exceptions.request(
        { policy: 'pii', reason: 'a test', ...more },
        as('olga'),
      )
      t.match(wide, 'department' in more ? { department: 'Company' } : { group: 'pilots' })
      const wideId = String(wide['exception_id'])
      await t.rejects(exceptions.approve(wideId, undefined, as('ben')), refused, 'one of them')
      t.match(await exceptions.deny(wideId, 'too wide', as('ben')), { status: 'denied' })
    }
  })

  const add = async (name: string): Promise<Actor & { readonly id: string }> => {
    const { rows } = await sql<{ user_id: string }>`
      insert into users (tenant, name) values (${TENANT}, ${name}) returning user_id`.execute(db)
    return { type: 'user', id: rows[0]?.user_id ?? '', name }
  }

  await t.test('who was removed and added again is who asked', async (t) => {
    const before = await add('Rosa')
    const made = await exceptions.request(request(), before)
    const id = String(made['exception_id'])
    await sql`delete from users where user_id = ${before.id}`.execute(db)
    const again = await add('Rosa')
    t.not(again.id, before.id)
    await t.rejects(exceptions.approve(id, undefined, again), { code: 'OWN_REQUEST' })
    await sql`delete from users where user_id = ${again.id}`.execute(db)
    t.match(await exceptions.deny(id, 'enough', as('olga')), { status: 'denied' })
  })

  await t.test('what cannot be is refused, with every fault and its place', async (t) => {
    const pointers = async (wanted: ExceptionRequest): Promise<readonly string[]> => {
      try {
        await exceptions.request(wanted, as('ben'))
        return []
      } catch (error) {
        const { problems } = error as { problems: { pointer: string }[] }
        return problems.map(({ pointer }) => pointer)
      }
    }
    t.same(await pointers({ reason: '' }), ['', '', '/reason'])
    t.same(
      await pointers(
        request({
          user: 'nobody',
          department: 'Nowhere',
          policy: 'pi',
          service: 'nothing',
          from: 'soon',
          until: '2020-01-01T00:00:00Z',
          conditions: {
            max_uses: 0,
            hours: { from: 8, to: 8 },
            weekdays: [8],
            data_types: ['No'],
            actions: [],
          },
        }),
      ),
      [
        '/user',
        '/policy',
        '/service',
        '/from',
        '/until',
        '/conditions/max_uses',
        '/conditions/hours',
        '/conditions/weekdays/0',
        '/conditions/data_types/0',
        '/conditions/actions',
        '/department',
      ],
    )
    t.same(await pointers(request({ lifts: 'everything' })), ['/lifts'])
    t.same(await pointers({ user: 'maya', service: 'ai.unknown.example', reason: 'r' }), [])
    t.same(await pointers(request({ reason: 'a\u001b[2J' })), ['/reason'])
  })

  await t.test('uses are counted exactly, however many count at the same time', async (t) => {
    const id = await approved({ conditions: { max_uses: 20 } })
    const other = await approved({ policy: 'uploads', conditions: { max_uses: 5 } })
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, place) =>
        claimUses(db, TENANT, place % 4 === 0 ? [id, other] : [id]),
      ),
    )
    const passed = answers.filter((each) => each === undefined).length
    t.equal(passed, 20)
    const both = answers.filter((each, place) => place % 4 === 0 && each === undefined).length
    t.equal((await findException(db, TENANT, id))?.usage_count, 20)
    t.equal((await findException(db, TENANT, other))?.usage_count, both, 'of none or of both')
    t.match(await exceptions.show(id), { status: 'expired', usage_count: 20, last_used: Date })
    const unknown = ids.next()
    t.equal(await claimUses(db, TENANT, [unknown]), unknown)
    const revoked = await approved({ conditions: { max_uses: 5 } })
    await exceptions.revoke(revoked, 'over', as('ben'))
    t.equal(await claimUses(db, TENANT, [revoked]), revoked, 'no longer in force')
  })

  await t.test('without a limit the records count, each once', async (t) => {
    const id = await approved()
    const sink = new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
    const made = shippedOf(
      [1, 2, 3].map(() => ({
        ...decisionRecord({ effect: 'ALLOW' }),
        excepted: { exceptions: [id, 'no id'], policies: ['pii'] },
      })),
    )
    const [first] = made
    if (first === undefined) throw new Error('there are records')
    await sink.write(first.writer, made)
    await sink.write(first.writer, made)
    t.match(await findException(db, TENANT, id), { usage_count: 3, last_used: Date })
  })

  await t.test(
    'who looks learns of every change, in whatever order transactions end',
    async (t) => {
      const begin = await exceptionChanges(db, TENANT)
      t.ok(begin.live.length > 0)
      const id = await approved()
      const seen = await exceptionChanges(db, TENANT, begin.position)
      t.ok(seen.live.some(({ exception_id: each }) => each === id))
      await exceptions.revoke(id, 'over', as('ben'))
      const then = await exceptionChanges(db, TENANT, seen.position)
      t.ok(then.ended.includes(id))
      t.ok(then.revoked.includes(id))
      if (store.kind === 'embedded') return
      // One that begins first and ends last.
      const slow = Promise.withResolvers<undefined>()
      const late = ids.next()
      const writing = db.transaction().execute(async (transaction) => {
        await insertException(transaction, TENANT, {
          exception_id: late,
          reason: 'r',
          justification: '',
          user_id: users.get('maya') ?? null,
          person_key: null,
          department: null,
          group_name: null,
          policy_id: 'pii',
          ai_service_id: null,
          lifts: 'policy',
          conditions: null,
          requested_by: 'os:maya',
          requester_key: null,
          effective_from: null,
          effective_until: null,
          review_id: null,
        })
        await slow.promise
      })
      const quick = await exceptionChanges(db, TENANT, then.position)
      slow.resolve(undefined)
      await writing
      await db
        .updateTable('exceptions' as never)
        .set({ status: 'approved' } as never)
        .where('exception_id' as never, '=', late as never)
        .execute()
      const after = await exceptionChanges(db, TENANT, quick.position)
      t.ok(after.live.some(({ exception_id: each }) => each === late))
    },
  )

  await t.test('what is over is expired once, with its event', async (t) => {
    const id = await approved({ until: new Date(Date.now() + 3_600_000).toISOString() })
    t.match(await exceptions.show(id), { status: 'approved' })
    await sql`update exceptions set effective_until = now() - interval '1 ms' where exception_id = ${id}`.execute(
      db,
    )
    t.match(await exceptions.show(id), { status: 'expired', exception_type: 'temporary' })
    events.length = 0
    const counts = await Promise.all([exceptions.expire(), exceptions.expire()])
    const own = events.filter(({ target }) => target?.id === id)
    t.equal(own.length, 1)
    t.match(own[0], {
      event_type: 'exception_expired',
      changes: { before: { status: 'approved' }, after: { status: 'expired' } },
    })
    t.ok(counts.reduce((sum, count) => sum + count, 0) >= 1)
    t.equal(await exceptions.expire(), 0)
    t.match(await findException(db, TENANT, id), { status: 'expired', expired_at: Date })
  })

  await t.test('nothing changes unrecorded', async (t) => {
    const made = await exceptions.request(request(), as('ben'))
    const id = String(made['exception_id'])
    ledgerIsFull = true
    await t.rejects(exceptions.approve(id, undefined, as('olga')), /full/)
    t.match(await exceptions.show(id), { status: 'pending' })
    await t.rejects(exceptions.request(request({ reason: 'unseen' }), as('ben')), /full/)
    ledgerIsFull = false
    const { items } = await lists.exceptions({ limit: 1000 })
    t.notOk(items.some(({ reason }) => reason === 'unseen'))
  })

  await t.test('lists: filters, pages, newest first', async (t) => {
    const all = await lists.exceptions({ limit: 1000 })
    const paged: unknown[] = []
    let cursor: string | undefined
    do {
      const page = await lists.exceptions({ limit: 3, ...(cursor === undefined ? {} : { cursor }) })
      paged.push(...page.items)
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
    t.same(paged, all.items)
    for (const user of ['maya', 'MAYA@acme.example', users.get('maya') ?? ''])
      t.ok((await lists.exceptions({ user, limit: 1000 })).items.length > 3, user)
    t.equal((await lists.exceptions({ user: 'ben' })).items.length, 0)
    t.ok(
      (await lists.exceptions({ status: 'denied' })).items.every(
        ({ status }) => status === 'denied',
      ),
    )
    t.equal((await lists.exceptions({ group: 'pilots' })).items.length, 1)
  })

  const review = async (more: object = {}): Promise<string> => {
    const person = users.get('maya') ?? ''
    const { review_id: id } = await reviews.open({
      person_key: key(person),
      person,
      service_id: 'chatgpt',
      policy_id: null,
      action: `act_${ids.next().replaceAll('-', '_')}`,
      reason: 'look at it',
      decision_id: ids.next(),
      ...more,
    })
    return id
  }

  await t.test('a review is assigned, and answered by somebody else', async (t) => {
    const id = await review()
    t.match(await desk.show(id), {
      status: 'pending',
      person_name: 'maya',
      assignee: null,
      overdue: false,
      due_at: Date,
    })
    await t.rejects(desk.assign(id, 'maya', as('olga')), { code: 'OWN_REQUEST' })
    await t.rejects(desk.assign(id, 'nobody', as('olga')), { code: 'INPUT_INVALID' })
    t.match(await desk.assign(id, 'BEN', as('olga')), { assignee_name: 'ben' })
    t.equal((await lists.reviews({ assignee: 'ben' })).items.length, 1)
    t.ok((await lists.reviews({ user: 'maya', limit: 1000 })).items.length > 0)
    await t.rejects(desk.answer(id, { decision: 'approve' }, as('maya')), { code: 'OWN_REQUEST' })
    events.length = 0
    t.match(await desk.answer(id, { decision: 'approve', comment: 'fine' }, as('ben')), {
      status: 'approved',
      answered_by: users.get('ben'),
      comment: 'fine',
      valid_until: Date,
    })
    t.match(events, [
      {
        event_type: 'review_answered',
        action: 'approve',
        changes: { before: { status: 'pending' }, after: { status: 'approved' } },
        personal: { data: { comment: 'fine' } },
      },
    ])
    await t.rejects(desk.answer(id, { decision: 'deny' }, as('ben')), { code: 'CONFLICT' })
    await t.rejects(desk.assign(id, null, as('ben')), { code: 'CONFLICT' })
    t.equal(await desk.answer(ids.next(), { decision: 'deny' }, as('ben')), undefined)

    const stranger = await review({
      person: 'olga@acme.example',
      person_key: key('olga@acme.example'),
    })
    await t.rejects(
      desk.answer(stranger, { decision: 'approve' }, as('olga')),
      { code: 'OWN_REQUEST' },
      'a login that the directory did not know then',
    )
    t.match(await desk.answer(stranger, { decision: 'deny' }, as('olga')), { status: 'denied' })
  })

  await t.test('who was removed and added again does not answer their own request', async (t) => {
    const before = await add('Vera')
    const held = decisionRecord({ user: 'Vera', person: key(before.id), effect: 'REVIEW' })
    const shipped = shippedOf([held])
    const sink = new RecordSink({ db, nextId: () => ids.next(), onViolation: () => undefined })
    await sink.write(shipped[0]?.writer ?? '', shipped)
    const hers = { person: before.id, person_key: key(before.id) }
    const own = await review({ ...hers, decision_id: held.decision.decision_id })
    const unrecorded = await review(hers)
    const approve = { decision: 'approve' } as const
    const refused = { code: 'OWN_REQUEST' }
    const account = { type: 'user', login: 'os:vera' } as const
    await t.rejects(desk.answer(own, approve, account), refused, 'by an account')
    await sql`delete from users where user_id = ${before.id}`.execute(db)
    const again = await add('Vera')
    t.not(again.id, before.id)
    for (const actor of [again, account])
      await t.rejects(desk.answer(own, approve, actor), refused, 'by the name of the record')
    t.match(await desk.answer(own, approve, as('olga')), { status: 'approved' })
    await t.rejects(desk.answer(unrecorded, approve, as('olga')), {
      ...refused,
      message: /deny it/,
    })
    t.match(await desk.answer(unrecorded, { decision: 'deny' }, as('olga')), { status: 'denied' })
    await sql`delete from users where user_id = ${again.id}`.execute(db)
  })

  await t.test('of a pseudonym no row tells who it is, whoever acted', async (t) => {
    const masked = { ...parts, pseudonymous: true }
    const shownExceptions = new Exceptions(masked)
    const shownDesk = new ReviewDesk(masked, shownExceptions)
    const shownLists = new Lists(db, TENANT, () => true)
    const holdsNoName = (view: unknown, what: string): void => {
      const text = JSON.stringify(view)
      t.notMatch(text, users.get('maya') ?? '', `${what}: no id`)
      t.notMatch(text, /maya/i, `${what}: no name`)
    }
    const own = await exceptions.request(request({ reason: 'mine' }), as('maya'))
    const ownId = String(own['exception_id'])
    holdsNoName(await shownExceptions.deny(ownId, 'not needed', as('maya')), 'denied')
    const account = { type: 'user', login: 'os:Maya' } as const
    const other = await exceptions.request(request({ reason: 'mine' }), account)
    const otherId = String(other['exception_id'])
    await exceptions.approve(otherId, undefined, as('olga'))
    t.match(await shownExceptions.revoke(otherId, 'not needed', account), {
      approved_by_name: 'olga',
      revoked_by: /^person-/,
    })
    const id = await review()
    await desk.assign(id, 'ben', as('maya'))
    t.match(await shownDesk.answer(id, { decision: 'deny' }, as('maya')), {
      assignee_name: 'ben',
      answered_by: /^person-/,
      answered_by_name: null,
    })
    holdsNoName(await shownDesk.show(id), 'a review')
    const page = await shownLists.exceptions({ limit: 1000 })
    for (const each of [ownId, otherId])
      holdsNoName(
        page.items.find(({ exception_id: one }) => one === each),
        'in a list',
      )
    const { items } = await shownLists.reviews({ limit: 1000 })
    holdsNoName(
      items.find(({ review_id: one }) => one === id),
      'in a list',
    )
  })

  await t.test('an answer that becomes an exception: both, or neither', async (t) => {
    const id = await review()
    await t.rejects(desk.answer(id, { decision: 'deny', exception: {} }, as('ben')), {
      code: 'INPUT_INVALID',
    })
    const past = { until: '2020-01-01T00:00:00Z' }
    const late = desk.answer(id, { decision: 'approve', exception: past }, as('ben'))
    t.match(await late.catch((error: unknown) => error), {
      code: 'INPUT_INVALID',
      problems: [{ pointer: '/exception/until' }],
    })
    t.match(await desk.show(id), { status: 'pending' })
    const answered = await desk.answer(
      id,
      { decision: 'approve', exception: { conditions: { max_uses: 3 } } },
      as('ben'),
    )
    t.match(answered, { status: 'approved', valid_until: null, exception_id: String })
    t.match(await exceptions.show(String(answered?.['exception_id'])), {
      status: 'approved',
      user: { name: 'maya' },
      service_id: 'chatgpt',
      policy_id: null,
      lifts: 'defaults',
      requested_by: users.get('maya'),
      approved_by: users.get('ben'),
      review_id: id,
      conditions: { max_uses: 3 },
    })
    t.match((await lists.reviews({ status: 'approved', limit: 1000 })).items, [{}, {}])
    const address = await review({ person: '10.1.2.3', person_key: key('10.1.2.3') })
    await t.rejects(desk.answer(address, { decision: 'approve', exception: {} }, as('ben')), {
      code: 'CONFLICT',
    })
  })

  await t.test('what nobody answers in time is escalated, step by step', async (t) => {
    const id = await review()
    t.equal(await desk.escalate(), 0)
    const late = (ms: number) =>
      sql`update reviews set due_at = now() - ${ms} * interval '1 millisecond' where review_id = ${id}`.execute(
        db,
      )
    await late(1000)
    t.match(await desk.count(), { overdue: 1 })
    t.equal((await lists.reviews({ overdue: 'true' })).items.length, 1)
    events.length = 0
    t.equal(
      (await Promise.all([desk.escalate(), desk.escalate()])).reduce((sum, each) => sum + each),
      1,
      'by one of them',
    )
    t.match(await desk.show(id), {
      escalation: 1,
      escalated_at: Date,
      assignee_name: 'olga',
      assigned_by: 'escalation',
      overdue: true,
    })
    t.match(events, [{ event_type: 'review_escalated', severity: 'warning' }])
    t.equal(await desk.escalate(), 0, 'not before another time has gone by')
    await late(3_600_001)
    t.equal(await desk.escalate(), 1)
    t.match(await desk.show(id), { escalation: 2, assignee_name: 'olga' }, 'nobody has that name')
    await late(99 * 3_600_000)
    t.equal(await desk.escalate(), 0, 'there is nobody above')

    // As a gateway of the former release opens one.
    const former = await review()
    await sql`update reviews set due_at = null where review_id = ${former}`.execute(db)
    await desk.escalate()
    t.match(await desk.show(former), { due_at: Date })
  })

  await t.test('the queue: oldest first, in pages', async (t) => {
    const { items } = await lists.reviews({ order: 'oldest', limit: 1000 })
    const paged: unknown[] = []
    let cursor: string | undefined
    do {
      const page = await lists.reviews({
        order: 'oldest',
        limit: 2,
        ...(cursor === undefined ? {} : { cursor }),
      })
      paged.push(...page.items)
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
    t.same(paged, items)
    t.same(items, (await lists.reviews({ limit: 1000 })).items.toReversed())
  })
})
