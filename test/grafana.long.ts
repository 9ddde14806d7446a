// The dashboard: every query of it runs, against a real database as the role that it runs as, and against the metrics
// that the program exports.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import { parse } from 'yaml'
import { versionOf } from '../bench/support/servers.ts'
import { pseudonymOf } from '../src/model/person.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { openStore } from '../src/store/open.ts'
import { RecordSink } from '../src/store/records.ts'
import { noPostgres, noTimescale, startPostgres } from './support/postgres.ts'
import { decisionRecord, ids, outcomeRecord, shippedOf, silent } from './support/records.ts'

const root = join(import.meta.dirname, '..')
const grafana = join(root, 'deploy/grafana')

interface DataSource {
  readonly type: string
  readonly uid: string
}
interface Target {
  readonly refId: string
  readonly datasource: DataSource
  readonly expr?: string
  readonly rawSql?: string
}
interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly datasource?: DataSource
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
  readonly targets?: readonly Target[]
}
interface Variable {
  readonly name: string
  readonly type: string
  readonly query: string
  readonly datasource?: DataSource
}

const dashboard = JSON.parse(readFileSync(join(grafana, 'dashboards/cordon.json'), 'utf8')) as {
  uid: string
  schemaVersion: number
  panels: Panel[]
  templating: { list: Variable[] }
}
const { panels } = dashboard
const variables = new Map(dashboard.templating.list.map((each) => [each.name, each]))
const targets = panels.flatMap((panel) =>
  (panel.targets ?? []).map((target) => ({ title: panel.title, ...target })),
)

t.test('panels and variables fit together', (t) => {
  t.equal(
    new Set(panels.map(({ id }) => id)).size,
    panels.length,
    'every panel has an id of its own',
  )
  t.ok(targets.length > 20)
  const kinds = { prometheus: 'prometheus', 'grafana-postgresql-datasource': 'store' }
  for (const { title, datasource } of [
    ...targets,
    ...[...variables.values()].flatMap(({ name, datasource: source }) =>
      source === undefined ? [] : [{ title: name, datasource: source }],
    ),
  ]) {
    const name = kinds[datasource.type as keyof typeof kinds]
    t.equal(datasource.uid, `\${${name}}`, `${title} asks a data source that can be chosen`)
    t.match(variables.get(name), { type: 'datasource', query: datasource.type }, title)
  }
  const texts = [
    ...targets.map(({ title, expr, rawSql }) => [title, expr ?? rawSql ?? ''] as const),
    ...[...variables.values()].map(({ name, query }) => [name, query] as const),
  ]
  for (const [title, text] of texts)
    for (const [, name = ''] of text.matchAll(/\$\{?(\w+)/g))
      t.ok(name.startsWith('__') || variables.has(name), `${title}: $${name}`)
  const cells = new Set<string>()
  for (const { title, gridPos } of panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        if (x >= 24 || cells.has(`${x} ${y}`)) t.fail(`${title} lies over another panel`)
        cells.add(`${x} ${y}`)
      }
  t.end()
})

t.test('what Grafana is provisioned with is what the dashboard asks for', (t) => {
  const { datasources } = parse(
    readFileSync(join(grafana, 'provisioning/datasources/cordon.yaml'), 'utf8'),
  ) as { datasources: { type: string; uid: string; user?: string; url: string }[] }
  const wanted = [...variables.values()].filter(({ type }) => type === 'datasource')
  t.same(
    datasources.map(({ type }) => type).toSorted(),
    wanted.map(({ query }) => query).toSorted(),
  )
  const { services } = parse(readFileSync(join(root, 'deploy/compose.yaml'), 'utf8')) as {
    services: Record<string, { profiles?: string[]; volumes: string[] }>
  }
  for (const { url } of datasources)
    t.ok(services[url.replace(/^http:\/\//, '').replace(/:\d+$/, '')], `${url} is a service`)
  const { providers } = parse(
    readFileSync(join(grafana, 'provisioning/dashboards/cordon.yaml'), 'utf8'),
  ) as { providers: { options: { path: string } }[] }
  const mounted = services['grafana']?.volumes.map((volume) => volume.split(':')[1])
  t.ok(mounted?.includes(providers[0]?.options.path), 'the folder of dashboards is mounted')
  t.same(services['grafana']?.profiles, ['grafana'], 'only who asks for it gets it')
  t.end()
})

t.test('metrics and labels that it draws are there', async (t) => {
  const known = new Map(
    new Metrics({ processMetrics: false }).describe().map(({ name, labels }) => [name, labels]),
  )
  const rules: object[] = []
  for (const { title, expr } of targets) {
    if (expr === undefined) continue
    const names = [...expr.matchAll(/\b(cordon_\w+)(?:\{([^}]*)\})?/g)]
    t.ok(names.length > 0, `${title} draws something`)
    for (const [, name = '', selector = ''] of names) {
      const labels = known.get(name.replace(/_(?:bucket|sum|count)$/, ''))
      t.ok(labels, `${title}: ${name}`)
      const used = [
        ...[...selector.matchAll(/(\w+) *[=!]/g)].map(([, label = '']) => label),
        ...[...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/, */)),
      ]
      for (const label of used.filter((each) => each !== 'le'))
        t.ok(labels?.includes(label), `${title}: ${name} has the label ${label}`)
    }
    rules.push({
      record: `panel:${rules.length}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1d'),
    })
  }
  if (versionOf('promtool', ['--version']) === undefined) return
  const file = join(t.testdir(), 'rules.json')
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules }] }))
  t.doesNotThrow(() =>
    execFileSync('promtool', ['check', 'rules', '--lint=none', file], { stdio: 'pipe' }),
  )
})

for (const { name, skip, timescale } of [
  { name: 'PostgreSQL', skip: noPostgres(), timescale: false },
  { name: 'TimescaleDB', skip: noTimescale(), timescale: true },
]) {
  t.test(`every query runs in ${name}, as one who sees no names`, { skip }, async (t) => {
    const server = await startPostgres({ timescale })
    t.teardown(() => server.stop())
    const databaseUrl = await server.database()
    const store = await openStore({
      databaseUrl,
      dataDir: t.testdir(),
      migrationsDir: join(root, 'migrations'),
      log: silent,
    })
    const sink = new RecordSink({
      db: store.db,
      nextId: () => ids.next(),
      onViolation: () => undefined,
    })
    const person = 'ab'.repeat(32)
    const made = [
      decisionRecord({ person, violation: true }),
      decisionRecord({ person, effect: 'ALLOW', policy: null, department: "O'Brien" }),
      decisionRecord({ person, effect: 'ALLOW', policy: null, service: null, host: 'llm.example' }),
    ]
    const [, warned] = made
    if (warned !== undefined) Object.assign(warned.decision, { would_be: 'DENY' })
    const records = shippedOf(
      made.flatMap((decision) => [
        decision,
        outcomeRecord(decision, {
          visibility: 'metadata',
          visibility_reason: 'not_read',
          format: 'ollama',
        }),
      ]),
    )
    await sink.write(records[0]?.writer ?? '', records)
    await store.close()

    for (const password of ['first', "it's another"])
      execFileSync(
        'psql',
        [
          '-v',
          'ON_ERROR_STOP=1',
          '-v',
          `password=${password}`,
          '-f',
          join(grafana, 'reader.sql'),
          databaseUrl,
        ],
        { stdio: 'pipe' },
      )
    const reader = new URL(databaseUrl)
    reader.username = 'cordon_reader'
    const client = new Client({ connectionString: reader.href })
    await client.connect()
    t.teardown(() => client.end())
    const range = ["now() - interval '2 days'", "now() + interval '1 hour'"]
    const filled = (text: string): string =>
      text
        .replaceAll(/\$__timeFilter\((min\(\w+\)|\w+)\)/g, `$1 between ${range[0]} and ${range[1]}`)
        .replaceAll('${tenant:sqlstring}', "'default'")
        .replaceAll('${department:sqlstring}', "'Engineering','O''Brien',''")
    for (const { title, rawSql } of targets) {
      if (rawSql === undefined) continue
      const text = filled(rawSql)
      t.notMatch(text, /\$/, `${title}: every macro is known`)
      const { rows } = await client.query<Record<string, unknown>>(text)
      t.ok(rows.length > 0, `${title} shows something`)
      if ('person' in (rows[0] ?? {}) && title === 'Top people')
        t.equal(rows[0]?.['person'], pseudonymOf(person), 'people as everywhere else')
    }
    for (const { name, type, query } of variables.values()) {
      if (type !== 'query') continue
      t.ok((await client.query(filled(query))).rows.length > 0, `${name} can be chosen`)
    }
    for (const forbidden of [
      'select user_name from decisions',
      'select ip_address from decisions',
      'select record from decisions',
      'select * from users',
      'select * from api_keys',
      'delete from writers',
    ])
      await t.rejects(client.query(forbidden), { code: /42501|25006/ }, forbidden)
  })
}
