// Commands that need the store: the same whether Cordon runs or not.

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import t, { type Test } from 'tap'
import { run, type Ran } from '../support/command-line.ts'
import { company } from '../support/company.ts'
import { eventually, linesOf, Place, type Running } from '../support/cordon.ts'
import { filesHolding } from '../support/files-holding.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const standIn = await new StandIn().listen()
const place = await new Place().withStore()
place.configure(company(place, standIn.port))
let cordon: Running | undefined
const secrets: string[] = []

t.teardown(async () => {
  await cordon?.stop()
  standIn.close()
  place.remove()
})

const command = (...args: string[]): Promise<Ran> =>
  run([...args, '--config', place.file], { cwd: place.dir })

/** Everything once, with names of its own. */
async function everything(t: Test, name: string): Promise<void> {
  const departments = place.write(
    `${name}/departments.csv`,
    `parent,name,allowed_ai_services\n,${name},\n${name},${name}-lab,open-chat;asked\n`,
  )
  const users = place.write(
    `${name}/users.csv`,
    `name,email,department,groups\n${name}-1,${name}-1@acme.example,${name}-lab,staff;${name}\n${name}-2,,${name},\n`,
  )
  const imported = await command('context', 'import', departments, users, '--json')
  t.equal(imported.code, 0, imported.err)
  t.match(JSON.parse(imported.out), [
    { kind: 'departments', created: 2, updated: 0, unchanged: 0, refused: 0 },
    { kind: 'users', created: 2, updated: 0, unchanged: 0, refused: 0 },
  ])
  const added = await command(
    'user',
    'add',
    `${name}-3`,
    '--email',
    `${name}-3@acme.example`,
    '--group',
    'staff',
  )
  t.equal(added.code, 0, added.err)
  const token = await command('token', 'create', '--user', `${name}-1`)
  t.equal(token.code, 0)
  t.match(token.out, /^cdt_[\w-]{43}\n$/, 'nothing else on stdout')
  t.match(token.err, /shown once/)

  const key = await command(
    'key',
    'create',
    '--name',
    name,
    '--scope',
    'decisions:write,decisions:read',
    '--json',
  )
  t.equal(key.code, 0)
  const created = JSON.parse(key.out) as { key: string; scopes: string[] }
  t.match(created, { key: /^cdk_[\w-]{43}$/, scopes: ['decisions:write', 'decisions:read'] })
  secrets.push(token.out.trim(), created.key)
}

/** What is refused leaves nothing behind. */
async function refusals(t: Test, name: string): Promise<void> {
  const departments = join(place.dir, `${name}/departments.csv`)
  const again = await command('context', 'import', departments)
  t.match(again.out, /departments +0 +0 +2 +0/, 'twice is once')

  const bad = place.write(
    `${name}/bad/users.csv`,
    `name,email\n${name}-3,${name}-3@acme.example\n${name}-4,${name}-1@acme.example\n`,
  )
  const refused = await command('context', 'import', bad)
  t.equal(refused.code, 1)
  t.match(
    refused.err,
    new RegExp(
      `users\\.csv:3:1: "${name}-1@acme\\.example" is the name, e-mail or external id of ${name}-1`,
    ),
  )
  t.match(refused.out, /users +0 +0 +0 +1/, 'all or nothing')
  const columns = await command(
    'context',
    'import',
    place.write(`${name}/odd/users.csv`, 'name,emial\nx,y\n'),
  )
  t.equal(columns.code, 1)
  t.match(columns.err, /users\.csv:1:\d+: .*emial.*did you mean "email"/)

  const taken = await command('user', 'add', `${name.toUpperCase()}-3@acme.example`)
  t.equal(taken.code, 1)

  t.equal((await command('token', 'create', '--user', 'nobody')).code, 3)
  t.equal((await command('user', 'add', `${name}-4`)).code, 0, 'the name of a refused line is free')
}

/** Rules that hold for keys; each is refused before anything is made. */
async function keyRules(t: Test): Promise<void> {
  for (const scope of [
    'decisions:self',
    'policies:write',
    'policies:approve',
    'reviews:write',
    'exceptions:write',
  ]) {
    const { code, err, out } = await command('key', 'create', '--name', 'x', '--scope', scope)
    t.equal(code, 2, scope)
    t.match(err, /add --user/, scope)
    t.equal(out, '')
  }
  const unknown = await command('key', 'create', '--name', 'x', '--scope', 'decision:write')
  t.equal(unknown.code, 2)
  t.match(unknown.err, /no scope "decision:write" \(did you mean "decisions:write"\?\)/)
}

t.test('while nothing runs', async (t) => {
  // Every one of them boots the database: two kinds of change, the rest is shown while Cordon runs.
  const departments = place.write(
    'idle/departments.csv',
    'name,parent,allowed_ai_services\nidle,,\nidle-lab,idle,open-chat;asked\n',
  )
  const users = place.write('idle/users.csv', 'name,department\nidle-1,idle-lab\n')
  t.equal((await command('context', 'import', departments, users)).code, 0)
  const token = await command('token', 'create', '--user', 'idle-1')
  t.match(token.out, /^cdt_/)
  secrets.push(token.out.trim())
  const mode = await command('mode', 'audit', '--for', '20m', '--json')
  t.equal(mode.code, 0)
  const { until } = JSON.parse(mode.out) as { until: string }
  const minutes = (Date.parse(until) - Date.now()) / 60_000
  t.ok(minutes > 15 && minutes <= 20)
  const events = linesOf((await command('ledger', 'export', '--table', 'audit_events')).out)
  t.same(
    events.map(({ event_type: type }) => type),
    ['context_imported', 'context_imported', 'proxy_token_created', 'mode_changed'],
    'everything is audited, in order',
  )
  t.match(events.at(-1), {
    severity: 'critical',
    actor_type: 'system',
    event_data: { mode: 'audit' },
  })
})

t.test('while Cordon runs', async (t) => {
  cordon = await place.start()
  t.equal(statSync(join(place.dataDir, 'control.sock')).mode & 0o777, 0o600)
  t.equal(statSync(place.dataDir).mode & 0o777, 0o700)
  const denied = async (): Promise<number> =>
    (await ask(cordon?.proxyPort ?? 0, 'http://openai.bad.test/')).status
  t.equal(await denied(), 200, 'the mode that was set before the start holds')
  const effective = await command('check', '--effective')
  t.equal(effective.code, 0, effective.err)
  t.match(effective.out, /^mode audit until \S+ \(break-glass\): nothing is refused/)
  t.match(effective.out, /^ *idle-lab +asked, open-chat *$/m)
  await command('mode', 'enforce', '--for', '1m')
  t.equal(await denied(), 403)
  await everything(t, 'busy')
  await refusals(t, 'busy')
  await keyRules(t)
  const login = `busy-1:${secrets.at(-2) ?? ''}`
  t.equal(
    (await ask(cordon.proxyPort, 'http://asked.test/', { login })).status,
    200,
    'approved for the department, known at once',
  )
  t.equal((await ask(cordon.proxyPort, 'http://asked.test/')).status, 403)
})

t.test('exports: both formats, a time span, and what a decision has at least', async (t) => {
  const rows = await eventually(
    async () => linesOf((await command('ledger', 'export')).out),
    ({ length }) => length >= 4,
  )
  t.equal(rows.length, 4)
  for (const row of rows)
    t.match(row, {
      decision_id: /^[0-9a-f-]{36}$/,
      time: /^\d{4}-\d\d-\d\dT/,
      decision: /^(?:ALLOW|DENY|REVIEW)$/,
      reason: String,
      source: 'proxy',
      action: String,
      resource: {
        id: String,
        name: String,
        host: String,
        path: String,
        known: true,
        ai: true,
        category: String,
      },
      mode: /^(?:enforce|audit)$/,
      findings: [],
    })
  for (const row of rows) {
    t.ok('name' in (row['user'] as object) && 'department' in (row['user'] as object))
    t.ok('primary_policy_id' in row)
  }
  const csv = (await command('ledger', 'export', '--format', 'csv')).out.split('\n')
  t.match(csv[0], /(?:^|,)decision_id,.*user\.name,.*resource\.host,/)
  t.equal(csv.length, rows.length + 2)
  const audit = ['ledger', 'export', '--table', 'audit_events']
  const events = linesOf((await command(...audit)).out)
  const cells: Record<string, string>[] = parse((await command(...audit, '--format', 'csv')).out, {
    columns: true,
  })
  t.same(
    cells.map(({ event_data: data = '' }) => (data === '' ? null : JSON.parse(data))),
    events.map(({ event_data: data }) => data),
    'whatever keys the first one has, those of none are lost',
  )
  const now = new Date(Date.now() + 1000).toISOString()
  t.equal((await command('ledger', 'export', '--from', now)).out, '')
  t.equal(linesOf((await command('ledger', 'export', '--to', now)).out).length, rows.length)
  const violations = linesOf((await command('ledger', 'export', '--table', 'violations')).out)
  t.match(violations, [
    { policy_id: 'banned', severity: 'high' },
    { policy_id: null, severity: 'medium' },
  ])
})

t.test('coverage: a table and JSON', async (t) => {
  const told = async (...args: string[]): Promise<Told> =>
    JSON.parse((await command('coverage', '--json', ...args)).out) as Told
  const report = await eventually(told, ({ requests }) => requests >= 1)
  t.ok(report.bytes > 0)
  t.equal(report.by, 'reason')
  const services = await told('--by', 'service')
  t.equal(services.bytes, report.bytes)
  t.ok(services.items.some(({ name }) => name === 'asked'))
  const table = await command('coverage', '--by', 'department')
  t.equal(table.code, 0, table.err)
  t.match(table.out, /department +share +bytes +requests +content +metadata +sni +none/)
  t.match(table.err, /bytes with AI services; content [\d.]+%/)
  t.match((await command('coverage')).out, /visibility +reason +share +bytes +requests/)
  const before = await told('--from', '2020-01-01T00:00:00Z', '--to', '2020-01-02T00:00:00Z')
  t.equal(before.bytes, 0)
  for (const args of [
    ['--from', 'yesterday'],
    ['--by', 'colour'],
    ['--from', '2020-01-01T00:00:00Z'],
  ])
    t.equal((await command('coverage', ...args)).code, 2, args.join(' '))
})

interface Told {
  readonly requests: number
  readonly bytes: number
  readonly by: string
  readonly items: readonly { readonly name: string }[]
}

t.test('stopped again, everything is still there, and no secret lies anywhere', async (t) => {
  await cordon?.stop()
  const rows = linesOf((await command('ledger', 'export', '--table', 'audit_events')).out)
  t.equal(rows.filter(({ event_type: type }) => type === 'user_added').length, 2)
  const report = JSON.parse((await command('coverage', '--json')).out) as Told
  t.ok(report.bytes > 0, 'reports come from the store itself')
  t.same(filesHolding(place.dir, secrets), [])
})
