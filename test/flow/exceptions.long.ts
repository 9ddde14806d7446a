// Exceptions and reviews from outside, over one PostgreSQL: two gateways with a recorder each, and a control role.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { company, hire, keyWith, loginOf } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { ask, basic, StandIn } from '../support/through-proxy.ts'

const BANNED = 'http://openai.bad.test/'
const ASKED = 'http://asked.test/'

t.test('exceptions and reviews across processes', { skip: noPostgres() }, async (t) => {
  const postgres = await startPostgres()
  const standIn = await new StandIn().listen()
  const places = [new Place(), new Place(), new Place()] as const
  const [one, two, desk] = places
  const running: Running[] = []
  t.teardown(async () => {
    await Promise.all(running.map((each) => each.stop()))
    standIn.close()
    await postgres.stop()
    for (const place of places) place.remove()
  })
  const database_url = await postgres.database()
  const settings = {
    database_url,
    policy: {
      dirs: ['policies'],
      review: 'hold',
      hold_timeout: '60s',
      review_sla: '2s',
      review_escalate_to: ['ben'],
    },
  }
  for (const place of places) place.configure(company(place, standIn.port, settings))
  const start = async (place: Place, role: string): Promise<Running> => {
    const process = await place.start({ role })
    running.push(process)
    return process
  }
  const [control, first, second] = await Promise.all([
    start(desk, 'control'),
    start(one, 'gateway'),
    start(two, 'gateway'),
  ])
  await Promise.all([start(one, 'recorder'), start(two, 'recorder')])
  const gateways = [first, second]
  await hire(desk)
  await desk.done(['user', 'add', 'olga'])
  const [maya, ben, askKey, bossKey] = await Promise.all([
    loginOf(desk, 'maya'),
    loginOf(desk, 'ben'),
    keyWith(desk, 'exceptions:write,reviews:write,decisions:read', 'ben'),
    keyWith(desk, 'exceptions:write,reviews:write,decisions:read,ledger:read', 'olga'),
  ])
  const through = async (url: string, login: string): Promise<number[]> =>
    Promise.all(
      gateways.map(async ({ proxyPort }) => (await ask(proxyPort, url, { login })).status),
    )
  const both = (status: number) => (seen: number[]) => seen.every((each) => each === status)
  const granted = async (body: object): Promise<string> => {
    const made = await control.call('/v1/exceptions', askKey, body)
    t.equal(made.status, 201, JSON.stringify(made.body))
    const id = String(made.body['exception_id'])
    const yes = await control.call(`/v1/exceptions/${id}/approve`, bossKey, {})
    t.equal(yes.status, 200)
    return id
  }

  await t.test('approved, it holds in every gateway within two seconds; revoked too', async (t) => {
    t.ok(both(403)(await through(BANNED, maya)))
    const id = await granted({ user: 'maya', policy: 'banned', reason: 'a test' })
    const since = Date.now()
    await eventually(() => through(BANNED, maya), both(200))
    t.ok(Date.now() - since < 2000, `after ${Date.now() - since} ms`)
    t.ok(both(403)(await through(BANNED, ben)), 'nobody else')
    const own = await control.call(`/v1/exceptions/${id}/revoke`, bossKey, { reason: 'over' })
    t.equal(own.status, 200)
    const revokedAt = Date.now()
    await eventually(() => through(BANNED, maya), both(403))
    t.ok(Date.now() - revokedAt < 2000, `after ${Date.now() - revokedAt} ms`)
    const uses = await eventually(
      () => control.call(`/v1/exceptions/${id}/uses`, bossKey),
      ({ body: { items } }) => (items as unknown[]).length >= 2,
    )
    t.match((uses.body['items'] as object[])[0], { exception_id: id, decision: 'ALLOW' })
    const shown = await eventually(
      () => control.call(`/v1/exceptions/${id}`, bossKey),
      ({ body }) => Number(body['usage_count']) >= 2,
    )
    t.match(shown.body, { status: 'revoked', last_used: String })
  })

  await t.test('of so many uses exactly so many pass, whoever asks where', async (t) => {
    const id = await granted({
      user: 'maya',
      policy: 'banned',
      reason: 'a test',
      conditions: { max_uses: 25 },
    })
    await eventually(() => through('http://openai.bad.test/warm', maya), both(200))
    const before = standIn.received.length
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, place) =>
        ask(gateways[place % 2]?.proxyPort ?? 0, BANNED, { login: maya }),
      ),
    )
    const spent = (await control.call(`/v1/exceptions/${id}`, bossKey)).body
    t.match(spent, { usage_count: 25, status: 'expired' })
    const passed = answers.filter(({ status }) => status === 200).length
    t.equal(passed, standIn.received.length - before, 'what passed has arrived')
    const all = await eventually(
      () => control.call(`/v1/exceptions/${id}/uses?limit=1000`, bossKey),
      ({ body: { items } }) => (items as unknown[]).length >= 25,
    )
    t.equal((all.body['items'] as unknown[]).length, 25, 'and the ledger has each of them')
    t.ok(both(403)(await through(BANNED, maya)))
    const expired = await eventually(
      () => control.call(`/v1/audit-events?event_type=exception_expired&target_id=${id}`, bossKey),
      ({ body: { items } }) => (items as unknown[]).length > 0,
    )
    t.equal((expired.body['items'] as unknown[]).length, 1)
  })

  await t.test(
    'where the store is away no counted use passes, and one without a limit does',
    async (t) => {
      const counted = await granted({
        user: 'maya',
        policy: 'banned',
        reason: 'a test',
        conditions: { max_uses: 1000 },
      })
      await granted({ user: 'ben', service: 'bad-anthropic', reason: 'a test' })
      const free = 'http://anthropic.bad.test/'
      await eventually(() => through(BANNED, maya), both(200))
      await eventually(() => through(free, ben), both(200))
      postgres.pause()
      const [seen, others] = await Promise.all([through(BANNED, maya), through(free, ben)])
      postgres.resume()
      t.ok(both(403)(seen), 'fail closed')
      t.ok(both(200)(others))
      await eventually(() => through(BANNED, maya), both(200))
      await control.call(`/v1/exceptions/${counted}/revoke`, bossKey, { reason: 'over' })
    },
  )

  await t.test('a revocation ends what is open because of it', async (t) => {
    const id = await granted({ user: 'maya', policy: 'banned', reason: 'a test' })
    await eventually(() => through(BANNED, maya), both(200))
    const tunnel = connect(first.proxyPort, '127.0.0.1')
    tunnel.write(
      `CONNECT openai.bad.test:443 HTTP/1.1\r\nHost: openai.bad.test:443\r\nProxy-Authorization: ${basic(maya)}\r\n\r\n`,
    )
    const [head] = (await once(tunnel, 'data')) as [Buffer]
    t.match(head.toString('latin1'), /^HTTP\/1\.1 200 /)
    const ended = once(tunnel, 'close')
    await control.call(`/v1/exceptions/${id}/revoke`, bossKey, { reason: 'over' })
    const since = Date.now()
    tunnel.resume()
    await ended
    t.ok(Date.now() - since < 4000, `after ${Date.now() - since} ms`)
  })

  await t.test('a held request is let go by whoever is not its person, anywhere', async (t) => {
    const held = ask(first.proxyPort, ASKED, { login: maya })
    const { body } = await eventually(
      () => control.call('/v1/reviews?status=pending&user=maya', bossKey),
      ({ body: { items } }) => (items as unknown[]).length === 1,
    )
    const [review] = body['items'] as Record<string, unknown>[]
    t.match(review, { person_name: 'maya', service_id: 'asked', due_at: String })
    const id = String(review?.['review_id'])
    const escalated = await eventually(
      () => control.call(`/v1/reviews/${id}`, bossKey),
      ({ body: { escalation } }) => escalation === 1,
    )
    t.match(escalated.body, { assignee_name: 'ben', overdue: true })
    // It is counted behind the escalation.
    await eventually(
      async () => (await fetch(`${control.metrics}/metrics`)).text(),
      (metrics) => /^cordon_reviews_overdue 1$/m.test(metrics),
    )
    t.equal((await control.call('/v1/reviews?overdue=true&assignee=me', askKey)).status, 200)
    const mine = await keyWith(desk, 'reviews:write', 'maya')
    const refused = await control.call(`/v1/reviews/${id}`, mine, { decision: 'approve' })
    t.match(refused, { status: 403, body: { code: 'OWN_REQUEST' } })
    const plain = await keyWith(desk, 'reviews:write', 'olga')
    const wants = { decision: 'approve', exception: { conditions: { max_uses: 2 } } }
    t.equal((await control.call(`/v1/reviews/${id}`, plain, wants)).status, 403, 'no scope')
    const answered = await control.call(`/v1/reviews/${id}`, bossKey, wants)
    const answeredAt = Date.now()
    t.match(answered, { status: 200, body: { status: 'approved', exception_id: String } })
    t.equal((await held).status, 200)
    t.ok(Date.now() - answeredAt < 2000, `after ${Date.now() - answeredAt} ms`)
    await eventually(
      () => control.call(`/v1/exceptions/${String(answered.body['exception_id'])}`, bossKey),
      ({ body: { status } }) => status === 'approved',
    )
  })

  await t.test('the command line does the same, beside a Cordon that runs', async (t) => {
    const made = JSON.parse(
      await desk.done([
        'exception',
        'request',
        '--group',
        'interns',
        '--service',
        'open-chat',
        '--for',
        '7d',
        '--max-uses',
        '3',
        '--reason',
        'a course',
        '--json',
      ]),
    ) as Record<string, unknown>
    t.match(made, { status: 'pending', group: 'interns', lifts: 'everything' })
    const id = String(made['exception_id'])
    const own = await desk.cordon(['exception', 'approve', id])
    t.equal(own.code, 1, 'whoever runs it')
    t.match(own.err, /you asked for this exception: somebody else has to approve it/)
    const file = desk.write('olga.key', bossKey)
    t.match(await desk.done(['exception', 'approve', id, '--key', file]), /is approved/)
    t.match(await desk.done(['exception', 'list', '--status', 'approved']), id)
    t.match(await desk.done(['exception', 'show', id]), /interns/)
    const revoked = await desk.done(['exception', 'revoke', id, '--reason', 'over', '--json'])
    t.match(JSON.parse(revoked), { status: 'revoked' })
    t.equal((await desk.cordon(['exception', 'show', 'x'])).code, 2)
    t.equal((await desk.cordon(['review', 'deny', id])).code, 3, 'no such review')
    t.match(await desk.done(['review', 'list', '--status', 'all', '--json']), /"asked"/)
  })
})
