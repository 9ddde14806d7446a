// What is shipped to run Cordon: image, compose file, Prometheus configuration and alerts.

import { execFile, execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { loadConfig } from '../src/config/load.ts'
import { Metrics } from '../src/observe/metrics.ts'

const root = join(import.meta.dirname, '..')
const prometheus = join(root, 'deploy/prometheus')
const run = promisify(execFile)

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

const { groups } = parse(read('deploy/prometheus/cordon-alerts.yml')) as {
  groups: { rules: Rule[] }[]
}
const rules = groups.flatMap((group) => group.rules)

t.test(
  'Prometheus takes its configuration and the alert rules',
  { skip: hasPromtool() ? false : 'promtool is not installed' },
  async (t) => {
    const promtool = (...args: string[]): Promise<unknown> =>
      run('promtool', args, { cwd: prometheus })
    await t.resolves(promtool('check', 'config', 'prometheus.yml'))
    await t.resolves(promtool('check', 'rules', 'cordon-alerts.yml'))
    await t.resolves(
      promtool('test', 'rules', 'cordon-alerts.test.yml'),
      'alerts fire when they should',
    )
  },
)

t.test('alerts watch metrics and labels that there are', async (t) => {
  const known = new Map(
    new Metrics({ processMetrics: false }).describe().map(({ name, labels }) => [name, labels]),
  )
  for (const { alert, expr, labels, annotations } of rules) {
    const watched = [...expr.matchAll(/\b(cordon_\w+)(?:\{([^}]*)\})?/g)]
    t.ok(watched.length > 0 || expr.startsWith('up{'), `${alert} watches something`)
    for (const [, name = '', selector = ''] of watched) {
      const metric = known.get(name.replace(/_(?:bucket|sum|count)$/, ''))
      t.ok(metric, `${alert}: ${name}`)
      for (const [, label = ''] of selector.matchAll(/(\w+) *[=!]/g))
        t.ok(metric?.includes(label), `${alert}: ${name} has the label ${label}`)
    }
    t.match(labels.severity, /^(?:critical|warning)$/, `${alert} has a severity`)
    t.ok(annotations.summary && annotations.description, `${alert} says what to do`)
  }
})

t.test('the compose file starts Cordon with settings that hold together', async (t) => {
  const { services, volumes } = parse(read('deploy/compose.yaml')) as {
    services: Record<
      string,
      {
        readonly environment?: Record<string, string>
        readonly depends_on?: Record<string, unknown>
        readonly ports?: string[]
        readonly volumes?: string[]
      }
    >
    volumes: Record<string, unknown>
  }
  const environment = services['cordon']?.environment ?? {}
  const env = Object.fromEntries(
    Object.entries({ ...imageEnvironment(), ...environment }).map(([name, value]) => [
      name,
      value.replaceAll(/\$\{(\w+)[^}]*\}/g, '$1'),
    ]),
  )
  const { config, warnings } = loadConfig({ env, cwd: t.testdir() })
  t.same(warnings, [], 'there is no variable that nothing reads')
  t.equal(new URL(config.database_url).hostname, 'timescaledb')
  t.equal(new URL(config.redis_url).hostname, 'redis')
  t.equal(config.proxy.anonymous, 'deny', 'nobody uses it who does not say who they are')
  for (const [name, service] of Object.entries(services)) {
    for (const other of Object.keys(service.depends_on ?? {}))
      t.ok(services[other], `${name}: ${other}`)
    for (const port of service.ports ?? [])
      t.match(port, /^127\.0\.0\.1:/, `${name} is published on this machine only`)
    for (const volume of service.volumes ?? []) {
      const [from = ''] = volume.split(':')
      const isThere = from.startsWith('.')
        ? existsSync(join(root, 'deploy', from))
        : from in volumes
      t.ok(isThere, `${name}: ${volume}`)
    }
  }
  const scrape = parse(read('deploy/prometheus/prometheus.yml')) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[]
  }
  const [observe] = config.observe.listen
  t.equal(
    scrape.scrape_configs[0]?.static_configs[0]?.targets[0],
    observe?.kind === 'tcp' ? `cordon:${observe.port}` : undefined,
    'Prometheus asks where Cordon answers',
  )
})

t.test('the image holds what the program reads, and runs it without privileges', async (t) => {
  const dockerfile = read('Dockerfile')
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, from = '']) =>
    from.split(' '),
  )
  for (const path of copied) t.ok(existsSync(join(root, path)), `${path} is there to be copied`)
  const sources = globSync('src/**/*.ts', { cwd: root }).map(read).join('\n')
  const shipped = [...sources.matchAll(/join\(PROGRAM_DIR, '([^'/]+)/g)].map(
    ([, name = '']) => name,
  )
  t.ok(shipped.length >= 3, 'policies, signatures and migrations are read')
  for (const name of new Set([...shipped, 'src', 'bin']))
    t.ok(copied.includes(name), `${name} is in the image`)
  const ignored = new Set(read('.dockerignore').split('\n'))
  for (const path of copied) t.notOk(ignored.has(basename(path)), `${path} is not ignored`)

  const [, last = ''] = dockerfile.split(/^FROM .* AS build$/m)
  const [, stage = ''] = last.split(/^FROM /m)
  t.match(stage, /^node:24/, 'on Node 24')
  t.match(dockerfile, /npm ci --omit=dev/)
  t.match(stage, /^USER cordon$/m)
  t.match(stage, /^VOLUME \/var\/lib\/cordon$/m)
  t.equal(imageEnvironment()['CORDON_DATA_DIR'], '/var/lib/cordon')
  t.match(stage, /^HEALTHCHECK [\s\S]*127\.0\.0\.1:9464\/healthz/m)
  t.match(stage, /^ENTRYPOINT \["node", "\/app\/src\/main\.ts"\]\nCMD \["start"\]$/m)
})

t.test('at run time the program imports nothing that only development installs', async (t) => {
  const { dependencies } = JSON.parse(read('package.json')) as {
    dependencies: Record<string, string>
  }
  const from = /(?:^|\s)(?:from|import)\s*\(?'([@\w][\w@/:.-]*)'/gm
  for (const file of globSync(['src/**/*.ts', 'migrations/*.ts'], { cwd: root })) {
    for (const [, module = ''] of read(file).matchAll(from)) {
      if (module.startsWith('node:')) continue
      const name = module.split('/', module.startsWith('@') ? 2 : 1).join('/')
      t.ok(name in dependencies, `${file}: ${name}`)
    }
  }
})

/** What `ENV` of the last stage sets. */
function imageEnvironment(): Record<string, string> {
  const [, block = ''] = /^ENV ((?:.*\\\n)*.*)$/m.exec(read('Dockerfile')) ?? []
  return Object.fromEntries(
    [...block.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
  )
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function hasPromtool(): boolean {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
