// A person is erased from a Cordon that runs: nothing in its folder or its tables names them any more, everything
// still verifies, and what is not theirs is as it was.

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
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
const ledger = { archive: { dir: 'archive' } }
place.configure(company(place, 9, { ledger }))
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

t.test('people by pseudonym, and who it was only for a reason', async (t) => {
  for (const user of [hers.name, 'ben', undefined])
    for (const url of [
      'https://openai.bad.test/v1/chat',
      `https://asked.test/u/${user ?? 'x'}`,
      'https://chat.open.test/',
    ])
      await ask(user, url)
  await eventually(
    () => cordon.export(),
    (rows) => rows.length === 9,
  )
  place.configure(company(place, 9, { ledger: { ...ledger, pseudonymous: true } }))
  await cordon.reload()
  const read = await keyWith(place, 'decisions:read,ledger:read,reviews:write', 'ben')
  const paths = ['decisions', 'violations', 'reviews', 'audit-events', 'interception/failures']
  let pseudonym = ''
  for (const path of paths) {
    const { status, body } = await cordon.call(`/v1/${path}?limit=1000`, read)
    t.equal(status, 200, path)
    const text = JSON.stringify(body)
    for (const told of [...Object.values(hers), 'ben', '198.51.100.9'])
      t.notOk(text.includes(`"${told}"`), `${path}: ${told}`)
    pseudonym ||= /person-[a-z2-7]{12}/.exec(text)?.[0] ?? ''
  }
  t.match(pseudonym, /^person-/)
  for (const table of ['decisions', 'violations', 'audit_events'])
    for (const told of [...Object.values(hers), '198.51.100.9'])
      t.notOk(JSON.stringify(await cordon.export(table)).includes(told), `${table}: ${told}`)
  const named = await cordon.call(`/v1/decisions?user=${hers.name}`, read)
  t.equal(named.status, 400, 'a filter does not tell a name')
  const filtered = await cordon.call(`/v1/decisions?user=${pseudonym}`, read)
  t.equal((filtered.body['items'] as unknown[]).length, 3)

  const path = `/v1/people/${pseudonym}/reveal`
  t.equal((await cordon.call(path, read, { reason: 'case 4' })).status, 403, 'no right to')
  const both = await keyWith(place, 'directory:read,ledger:read')
  t.equal((await cordon.call(path, both, { reason: 'case 4' })).status, 403, 'of nobody')
  const officer = await keyWith(place, 'directory:read,ledger:read', 'ben')
  t.equal((await cordon.call(path, officer, {})).status, 400, 'no reason')
  t.equal((await cordon.call(path, officer, { reason: ' ' })).status, 400)
  const revealed = await cordon.call(path, officer, { reason: 'case 4' })
  t.equal(revealed.status, 200)
  t.match(revealed.body, { pseudonym, seen: String })
  t.equal(
    (await cordon.call('/v1/people/person-aaaaaaaaaaaa/reveal', officer, { reason: 'x' })).status,
    404,
  )
  t.equal((await place.cordon(['ledger', 'reveal', pseudonym, '--reason', 'case 5'])).code, 0)
  const events = await eventually(
    async () =>
      (await cordon.export('audit_events')).filter(
        (event) => event['event_type'] === 'person_revealed',
      ),
    (found) => found.length === 2,
  )
  t.match(events, [
    { actor_type: 'user', result: 'success', event_data: { reason: 'case 4' } },
    { actor_type: 'system', result: 'success', event_data: { reason: 'case 5' } },
  ])
  t.equal(events[0]?.['target_name'], pseudonym)
  place.configure(company(place, 9, { ledger }))
  await cordon.reload()
})

t.test('erased from a Cordon that runs', async (t) => {
  const before = await cordon.export()
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
  const twice = await place.cordon([
    'ledger',
    'erase',
    '--user',
    hers.name,
    '--reason',
    'again',
    '--yes',
  ])
  t.equal(twice.code, 0, 'twice is harmless')
  const gone = await place.cordon(['user', 'remove', hers.name])
  t.equal(gone.code, 0, gone.err)
  t.same(filesHolding(dir, Object.values(hers)), [])
  const after = await cordon.export()
  t.equal(after.length, before.length)
  t.same(
    after.filter(({ user }) => (user as { name: string }).name === 'ben'),
    before.filter(({ user }) => (user as { name: string }).name === 'ben'),
  )
  const verified = await place.cordon(['ledger', 'verify'])
  t.equal(verified.code, 0, verified.err + verified.out)
  const events = linesOf(await place.done(['ledger', 'export', '--table', 'audit_events']))
  t.match(
    events.findLast((event) => event['event_type'] === 'person_erased'),
    { event_type: 'person_erased', event_data: { reason: 'again' } },
  )
  const nobody = await place.cordon([
    'ledger',
    'erase',
    '--user',
    hers.name,
    '--reason',
    'x',
    '--yes',
  ])
  t.equal(nobody.code, 1, 'nobody goes by that name any more')
})

t.test(
  'erased while no Cordon runs, and by somebody who was taken out of the directory',
  async (t) => {
    await place.done(['user', 'remove', 'ben'])
    t.equal(await cordon.stop(), 0)
    const done = await place.cordon([
      'ledger',
      'erase',
      '--user',
      'BEN',
      '--reason',
      'r 2',
      '--yes',
    ])
    t.equal(done.code, 0, done.err)
    const address = await place.cordon([
      'ledger',
      'erase',
      '--address',
      '198.51.100.9',
      '--reason',
      'r 3',
      '--yes',
      '--json',
    ])
    t.equal(address.code, 0, address.err)
    t.match(JSON.parse(address.out), { erased: { decisions: 3 }, folders: [{ done_at: String }] })
    t.equal((await place.cordon(['ledger', 'erase', '--status'])).code, 0)
    t.same(filesHolding(place.dataDir, ['ben@acme.example', '198.51.100.9']), [])
    const archive = join(place.dir, 'archive')
    if (existsSync(archive)) t.same(filesHolding(archive, ['ben@acme.example', '198.51.100.9']), [])
    for (const args of [
      ['ledger', 'verify'],
      ['ledger', 'verify', '--database'],
    ]) {
      const verified = await place.cordon(args)
      t.equal(verified.code, 0, verified.err + verified.out)
    }
  },
)
