// A person is erased from a Cordon that runs: nothing in its folder or its tables names them any more, everything
// still verifies, and what is not theirs is as it was.

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { company, hire, keyWith } from '../support/company.ts'
import { eventually, linesOf, Place } from '../support/cordon.ts'
import { filesHolding } from '../support/files-holding.ts'

const mark = randomBytes(6).toString('hex')
/** Everything that tells who it is; each of them is in a record. */
const hers = {
  name: `zelda${mark}`,
  email: `zelda${mark}@acme.example`,
  address: '203.0.113.77',
  agent: `agent-${mark}`,
  device: `laptop-${mark}`,
}
const place = await new Place().withStore()
place.configure(company(place, 9, { ledger: { archive: { dir: 'archive' } } }))
const cordon = await place.start()
await hire(place)
await place.done(['user', 'add', hers.name, '--email', hers.email, '--department', 'Engineering'])
const write = await keyWith(place, 'decisions:write')
await keyWith(place, 'reviews:write', hers.name)

t.teardown(async () => {
  await cordon.stop()
  place.remove()
})

async function ask(user: string | undefined, url: string, address = '198.51.100.9'): Promise<void> {
  const { status } = await cordon.call('/v1/decisions', write, {
    ...(user === undefined ? {} : { user: { name: user } }),
    action: 'send_prompt',
    resource: { url, method: 'POST' },
    context: {
      ip_address: user === hers.name ? hers.address : address,
      ...(user === hers.name
        ? {
            user_agent: hers.agent,
            device: { hostname: hers.device },
            geo_location: `home of ${mark}`,
          }
        : {}),
    },
  })
  t.equal(status, 200)
}

t.test('erased from a Cordon that runs', async (t) => {
  for (const user of [hers.name, 'ben'])
    for (const url of [
      'https://openai.bad.test/v1/chat',
      `https://asked.test/u/${user}`,
      'https://chat.open.test/',
    ])
      await ask(user, url)
  const before = await eventually(
    () => cordon.export(),
    (rows) => rows.length === 6,
  )
  t.equal(before.filter((row) => (row['user'] as { name: string }).name === hers.name).length, 3)
  const dir = place.dataDir
  t.ok(filesHolding(dir, Object.values(hers)).length > 0, 'she is there')

  const shown = await place.cordon(
    ['ledger', 'erase', '--user', hers.email.toUpperCase(), '--reason', 'request 17'],
    { input: 'n\n' },
  )
  t.equal(shown.code, 1, 'not without being asked')
  t.match(shown.out, /decisions +3/)
  const named = await place.cordon([
    'ledger',
    'erase',
    '--user',
    hers.name,
    '--reason',
    `request of ${hers.name}`,
    '--yes',
  ])
  t.equal(named.code, 2, 'a reason names nobody')

  const done = await place.cordon([
    'ledger',
    'erase',
    '--user',
    hers.name,
    '--reason',
    'request 17',
    '--yes',
  ])
  t.equal(done.code, 0, done.err)
  t.comment(done.out, done.err)
  const status = await place.cordon(['ledger', 'erase', '--status'])
  t.equal(status.code, 0, status.out)
  const gone = await place.cordon(['user', 'remove', hers.name])
  t.equal(gone.code, 0, gone.err)
  t.same(filesHolding(dir, Object.values(hers)), [])
  const after = await cordon.export()
  t.equal(after.length, 6)
  t.same(
    after.filter(({ user }) => (user as { name: string }).name === 'ben'),
    before.filter(({ user }) => (user as { name: string }).name === 'ben'),
  )
  const verified = await place.cordon(['ledger', 'verify'])
  t.equal(verified.code, 0, verified.err + verified.out)
  const events = linesOf(await place.done(['ledger', 'export', '--table', 'audit_events']))
  t.match(events.at(-2), { event_type: 'person_erased', event_data: { reason: 'request 17' } })
})
