// Roles apart, over one PostgreSQL: a gateway with its recorder on one folder, control on another.

import t from 'tap'
import { company, hire, keyWith, loginOf } from '../support/company.ts'
import { cordon, eventually, Place, type Running } from '../support/cordon.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const missing = noPostgres()

t.test('a role apart needs a database that processes can share', async (t) => {
  const place = new Place()
  t.teardown(() => place.remove())
  place.configure({})
  const { code, err } = await cordon(['start', '--role', 'gateway', '--config', place.file])
  t.equal(code, 1)
  t.match(err, /role gateway needs a database that processes can share: set database_url/)
})

t.test('gateway, recorder and control work as one', { skip: missing }, async (t) => {
  const postgres = await startPostgres()
  const standIn = await new StandIn().listen()
  const [gate, desk] = [new Place(), new Place()]
  const running: Running[] = []
  t.teardown(async () => {
    await Promise.all(running.map((each) => each.stop()))
    standIn.close()
    await postgres.stop()
    gate.remove()
    desk.remove()
  })
  const database = await postgres.database()
  const more = {
    database_url: database,
    policy: { dirs: ['policies'], review: 'hold', hold_timeout: '60s' },
  }
  for (const place of [gate, desk]) place.configure(company(place, standIn.port, more))

  // They migrate at the same moment, which one of them wins.
  const [gateway, control] = await Promise.all([
    gate.start({ role: 'gateway' }),
    desk.start({ role: 'control' }),
  ])
  running.push(gateway, control)
  t.ok(gateway.proxyPort > 0)
  t.equal(gateway.api, '', 'the gateway has no API')
  t.equal(control.proxyPort, 0, 'control has no proxy')
  await hire(desk)
  const [maya, key] = await Promise.all([
    loginOf(desk, 'maya'),
    keyWith(desk, 'reviews:write,decisions:read', 'ben'),
  ])

  const denied = await ask(gateway.proxyPort, 'http://openai.bad.test/', { login: maya })
  t.equal(denied.status, 403)
  const id = String(denied.headers['x-cordon-decision-id'])
  t.equal((await control.call(`/v1/decisions/${id}`, key)).status, 404, 'nobody has shipped it yet')
  running.push(await gate.start({ role: 'recorder' }))
  const { body } = await eventually(
    () => control.call(`/v1/decisions/${id}`, key),
    ({ status }) => status === 200,
  )
  t.match(body, { user: { name: 'maya' }, decision: 'DENY' })

  const held = ask(gateway.proxyPort, 'http://asked.test/held', { login: maya })
  const reviews = await eventually(
    () => control.call('/v1/reviews?status=pending', key),
    ({ body: { items } }) => (items as unknown[]).length === 1,
  )
  const [review] = reviews.body['items'] as { review_id: string }[]
  t.equal(
    (await control.call(`/v1/reviews/${review?.review_id ?? ''}`, key, { decision: 'approve' }))
      .status,
    200,
  )
  t.equal((await held).status, 200, 'the answer reached the other process')

  await desk.done(['mode', 'audit', '--for', '10m'])
  await eventually(
    () => ask(gateway.proxyPort, 'http://openai.bad.test/', { login: maya }),
    ({ status }) => status === 200,
  )

  const second = await gate.cordon(['start', '--role', 'gateway'])
  t.equal(second.code, 3)
  t.match(second.err, /the role gateway of \S+ is in use by process \d+/)
  const beside = await gate.cordon(['start'])
  t.equal(beside.code, 3, 'all beside a role')
  t.match(beside.err, /is in use by process \d+/)
})
