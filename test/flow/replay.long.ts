// A draft over what a Cordon has recorded: by the API, by the command line beside it and without it, and from an export.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Ran, run } from '../support/command-line.ts'
import { company, hire, keyWith, POLICIES } from '../support/company.ts'
import { eventually, MAIN, Place } from '../support/cordon.ts'

const STRICTER = `${POLICIES}
@id("no-other-chat") @priority("700") @reason("the other one is not for us")
forbid (principal, action, resource == Cordon::Service::"other-chat");
@id("her-name") @priority("10")
forbid (principal, action, resource == Cordon::Service::"asked")
when { principal has name && principal.name == "maya" };
`

/** A thread begins, and loads the policies. */
const PATIENCE_MS = 60_000
/** A page that was read is soon replayed. */
const SOON_MS = 3000

const place = await new Place().withStore()
place.configure(company(place, 9))
const cordon = await place.start()
await hire(place)
const [write, key, policiesOnly, reader] = await Promise.all([
  keyWith(place, 'decisions:write'),
  keyWith(place, 'decisions:read,policies:write', 'maya'),
  keyWith(place, 'policies:write', 'maya'),
  keyWith(place, 'decisions:read,policies:read'),
])
mkdirSync(join(place.dir, 'stricter'))
place.write('stricter/all.cedar', STRICTER)

t.teardown(async () => {
  await cordon.stop()
  place.remove()
})

/** In this process: a command of its own takes seconds to begin. */
const command = (args: readonly string[], input?: Buffer | string): Promise<Ran> =>
  run([...args, '--config', place.file], input === undefined ? {} : { input })

const ask = (user: string, host: string): Promise<{ readonly body: Record<string, unknown> }> =>
  cordon.call('/v1/decisions', write, {
    user: { email: `${user}@acme.example` },
    action: 'send_prompt',
    resource: { url: `https://${host}/u/${user}/chat`, method: 'POST' },
  })
for (let round = 0; round < 5; round++) {
  for (const [user, host] of [
    ['maya', 'chat.other.test'],
    ['ben', 'chat.other.test'],
    ['ben', 'chat.open.test'],
    ['maya', 'frowned.test'],
    ['maya', 'watched.test'],
    ['maya', 'asked.test'],
  ] as const)
    await ask(user, host)
}
await eventually(
  () => cordon.export(),
  (lines) => lines.length === 30,
)

interface Job {
  readonly replay_id: string
  readonly state: string
  readonly error: unknown
  readonly report: Record<string, unknown> | null
}

async function ended(id: unknown): Promise<Job> {
  const { body } = await eventually(
    () => cordon.call(`/v1/replays/${String(id)}`, key),
    (answer) => answer.body['state'] !== 'running',
    PATIENCE_MS,
  )
  return body as unknown as Job
}

const CHANGES = {
  decisions: 30,
  compared: 30,
  cannot_tell: 0,
  changed: 15,
  newly_denied: 15,
  newly_allowed: 0,
  matrix: { ALLOW: { DENY: 10 }, REVIEW: { DENY: 5 } },
}

t.test('the policies in force decide as they did, monitored services too', async (t) => {
  const { status, body } = await cordon.call('/v1/replays', key, {})
  t.equal(status, 202)
  const job = await ended(body['replay_id'])
  t.match(job, {
    state: 'complete',
    error: null,
    report: { decisions: 30, changed: 0, identical: 30, cannot_tell: 0 },
  })
})

t.test('files of a draft, by department, service and person', async (t) => {
  const { body } = await cordon.call('/v1/replays', key, {
    policies: { files: [{ path: 'all.cedar', text: STRICTER }], alone: true },
  })
  const job = await ended(body['replay_id'])
  t.match(job, {
    state: 'complete',
    report: {
      ...CHANGES,
      by: {
        service: {
          items: [
            { name: 'other-chat', newly_denied: 10 },
            { name: 'asked', newly_denied: 5 },
          ],
        },
        user: {
          items: [
            { name: 'maya', newly_denied: 10 },
            { name: 'ben', newly_denied: 5 },
          ],
        },
      },
      samples: { frequent: [{ to: 'DENY', new_policy_id: 'no-other-chat', count: 10 }] },
    },
  })
  const listed = await cordon.call('/v1/replays', key)
  t.match(listed.body, { items: [{ replay_id: body['replay_id'], report: null }] })
  await eventually(
    () => cordon.export('audit_events'),
    (events) => events.some((event) => event['event_type'] === 'policy_replayed'),
  )
})

t.test('a stored version, as it would be once it is active', async (t) => {
  const author = await keyWith(place, 'policies:write', 'maya')
  const text =
    '@id("stored") @version("1.0.0") forbid (principal, action, resource == Cordon::Service::"other-chat");'
  const created = await cordon.call('/v1/policies', author, { text })
  t.equal(created.status, 201, JSON.stringify(created.body))
  const { status, body } = await cordon.call('/v1/policies/stored/versions/1.0.0/replay', key, '')
  t.equal(status, 202)
  t.match(await ended(body['replay_id']), {
    state: 'complete',
    report: { policies: 5, newly_denied: 10, changed: 10, cannot_tell: 0 },
  })
  const alone = await command(['policy', 'replay', '--version', 'stored@1.0.0', '--json'])
  t.match(JSON.parse(alone.out), { policies: 5, newly_denied: 10, changed: 10 })
  t.equal((await command(['policy', 'replay', '--version', 'stored@2.0.0'])).code, 3)
})

t.test('a draft that is not valid fails with its places', async (t) => {
  const { body } = await cordon.call('/v1/replays', key, {
    policies: { files: [{ path: 'all.cedar', text: 'forbid (principal, action' }], alone: true },
  })
  const job = await ended(body['replay_id'])
  t.match(job, {
    state: 'failed',
    error: { code: 'POLICY_INVALID', problems: [{ file: 'all.cedar' }] },
  })
})

t.test('what cannot be asked is told', async (t) => {
  for (const [body, status] of [
    [{ policies: { files: [{ path: '../x.cedar', text: 'x' }] } }, 400],
    [{ policies: { policy_id: 'no-such', version: '1.0.0' } }, 404],
    [{ policies: { policy_id: 'banned' } }, 400],
    [{ policies: { alone: true } }, 400],
    [{ from: '2026-02-01T00:00:00Z', to: '2026-01-01T00:00:00Z' }, 400],
    [{ dirs: ['/etc'] }, 400],
  ] as const)
    t.equal((await cordon.call('/v1/replays', key, body)).status, status, JSON.stringify(body))
  t.equal((await cordon.call('/v1/replays', policiesOnly, {})).status, 403)
  t.match(await cordon.call('/v1/replays', reader, {}), {
    status: 403,
    body: { detail: /policies:write or policies:approve, and decisions:read$/ },
  })
  t.equal((await cordon.call('/v1/replays', reader)).status, 200)
  const gone = await cordon.call('/v1/replays/0199aaaa-0000-7000-8000-000000000001', key)
  t.equal(gone.status, 404)
  t.match(gone.body['detail'], /memory of the Cordon/)
})

t.test('one that is cancelled keeps what it has seen', async (t) => {
  const { body } = await cordon.call('/v1/replays', key, {})
  const response = await fetch(`${cordon.api}/v1/replays/${String(body['replay_id'])}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${key}` },
  })
  t.equal(response.status, 200)
  const job = await ended(body['replay_id'])
  t.match(job.state, /^(?:cancelled|complete)$/)
})

t.test(
  'the command line says the same, beside a Cordon that runs and from an export',
  async (t) => {
    const draft = join(place.dir, 'stricter')
    const beside = await command(['policy', 'replay', draft, '--json'])
    t.equal(beside.code, 0, beside.err)
    t.match(JSON.parse(beside.out), { ended: 'complete', ...CHANGES })
    const { out: table } = await command(['policy', 'replay', draft])
    t.match(table, /15 newly denied/)
    t.match(table, /other-chat/)

    const file = join(place.dir, 'week.ndjson')
    writeFileSync(file, (await command(['ledger', 'export'])).out)
    const proved = join(place.dir, 'proved.ndjson')
    writeFileSync(proved, (await command(['ledger', 'export', '--proof'])).out)
    const gates = ['--fail-on', 'newly_denied>14', '--fail-on', 'cannot_tell']
    for (const source of [file, proved]) {
      const gated = await command([
        'policy',
        'replay',
        draft,
        '--json',
        '--export',
        source,
        ...gates,
      ])
      t.equal(gated.code, 1, gated.err)
      t.match(JSON.parse(gated.out), { ...CHANGES, failed: ['newly_denied>14'] })
    }
    const from = ['policy', 'replay', draft, '--export', '-']
    t.match(JSON.parse((await command([...from, '--json'], readFileSync(file))).out), CHANGES)
    t.equal((await command(from, 'a,b\n')).code, 3, 'a table is no export that can be replayed')
    const wrong = await command([...from, '--fail-on', 'newly_denid>0'], '')
    t.equal(wrong.code, 2)
    t.match(wrong.err, /did you mean "newly_denied"/)
  },
)

t.test('Ctrl-C prints what was seen so far', async (t) => {
  const args = ['policy', 'replay', join(place.dir, 'stricter'), '--export', '-', '--json']
  const child = spawn(process.execPath, [MAIN, ...args, '--config', place.file])
  const printed = [text(child.stdout), text(child.stderr)] as const
  // More than a page, and nobody says that it has ended.
  const { out: lines } = await command(['ledger', 'export'])
  for (let round = 0; round < 20; round++) child.stdin.write(lines)
  child.stdin.on('error', () => undefined)
  await eventually(
    () => Promise.resolve(child.stdin.writableLength),
    (left) => left === 0,
    PATIENCE_MS,
  )
  await sleep(SOON_MS)
  child.kill('SIGINT')
  const [code] = (await once(child, 'close')) as [number | null]
  const [out, err] = await Promise.all(printed)
  t.equal(code, 3, err)
  const report = JSON.parse(out) as { readonly ended: string; readonly decisions: number }
  t.equal(report.ended, 'cancelled')
  t.ok(report.decisions >= 500 && report.decisions <= 600, String(report.decisions))
  t.match(err, /cancelled; so far: \d+ decisions/)
})

t.test('a policy in warn tells what it would have changed', async (t) => {
  const { status, body } = await cordon.call('/v1/policies/frowned/shadow', key)
  t.equal(status, 200)
  t.match(body, {
    policy_id: 'frowned',
    changed: 5,
    newly_denied: 5,
    matrix: { ALLOW: { DENY: 5 } },
    by: {
      department: { items: [{ name: 'Engineering', newly_denied: 5 }] },
      service: { items: [{ name: 'frowned', newly_denied: 5 }] },
      user: { items: [{ name: 'maya', newly_denied: 5 }] },
    },
  })
  t.equal((body['newest'] as unknown[]).length, 5)
  const all = await command(['policy', 'shadow', '--json'])
  const lines = JSON.parse(all.out) as Record<string, unknown>[]
  t.same(
    new Map(lines.map(({ policy_id: id, newly_denied: denied }) => [id, denied])),
    new Map([
      ['banned', 5],
      ['frowned', 5],
    ]),
  )
  t.match((await command(['policy', 'shadow', 'frowned'])).out, /5 newly denied/)
})

t.test('without a Cordon that runs the command opens the store', async (t) => {
  await cordon.stop()
  const draft = join(place.dir, 'stricter')
  const { code, out, err } = await command(['policy', 'replay', draft, '--json'])
  t.equal(code, 0, err)
  t.match(JSON.parse(out), CHANGES)
})
