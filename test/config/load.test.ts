import { join } from 'node:path'
import t from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import { loadConfig } from '../../src/config/load.ts'

t.test('a checkout without a file starts with the promised defaults', async (t) => {
  const { config, file, warnings } = loadConfig({ env: {}, cwd: t.testdir() })
  t.equal(file, undefined)
  t.same(warnings, [])
  t.match(config, {
    tenant: 'default',
    database_url: '',
    proxy: {
      anonymous: 'allow',
      clients: ['127.0.0.0/8', '::1/128'],
      workers: 'auto',
      listen: [{ kind: 'tcp', host: '127.0.0.1', port: 3128 }],
    },
    policy: {
      combining: 'priority_tiers',
      review: 'refuse',
      hold_timeout: 60_000,
      mode: 'enforce',
      on_error: 'deny',
    },
    ledger: {
      fsync: 'batch',
      record: 'ai',
      spool_limit: 1024 ** 3,
      when_full: 'refuse',
      url_paths: true,
    },
  })
  t.equal(config.proxy.limits.header_bytes, 32_768)
})

t.test('paths are relative to what names them', async (t) => {
  const dir = t.testdir({ etc: { 'cordon.yaml': 'data_dir: data\nsignatures: {dirs: [extra]}\n' } })
  const fromFile = loadConfig({ file: 'etc/cordon.yaml', env: {}, cwd: dir })
  t.equal(fromFile.config.data_dir, join(dir, 'etc/data'))
  t.same(fromFile.config.signatures.dirs, [join(dir, 'etc/extra')])
  const fromEnv = loadConfig({
    file: 'etc/cordon.yaml',
    env: { CORDON_DATA_DIR: 'there' },
    cwd: dir,
  })
  t.equal(
    fromEnv.config.data_dir,
    join(dir, 'there'),
    'the environment wins, relative to the working directory',
  )
  t.equal(loadConfig({ env: {}, cwd: dir }).config.data_dir, join(dir, '.cordon'))
})

t.test('the environment takes lists, maps, secrets from files and booleans', async (t) => {
  const dir = t.testdir({ secret: 'postgres://u:p@h/db\n' })
  const { config, warnings } = loadConfig({
    cwd: dir,
    env: {
      CORDON_PROXY__EGRESS__PORTS: '80, 8080',
      CORDON_PROXY__CLIENTS: '["10.0.0.0/8"]',
      CORDON_PROXY__RESOLVE: '{"api.openai.com:443":"127.0.0.1:18443"}',
      CORDON_DATABASE_URL_FILE: 'secret',
      CORDON_LEDGER__URL_PATHS: 'false',
      CORDON_PORT_8181_TCP: 'tcp://x',
      CORDON_SERVICE_HOST: '10.0.0.1',
      CORDON_PROXY__LISTENN: 'x',
      HOME: '/nowhere',
    },
  })
  t.same(config.proxy.egress.ports, [80, 8080])
  t.same(config.proxy.clients, ['10.0.0.0/8'])
  t.equal(config.proxy.resolve.get('api.openai.com:443'), '127.0.0.1:18443')
  t.equal(config.database_url, 'postgres://u:p@h/db')
  t.equal(config.ledger.url_paths, false)
  t.same(warnings, ['CORDON_PROXY__LISTENN: no such setting (did you mean CORDON_PROXY__LISTEN?)'])
})

const refused: { name: string; yaml?: string; env?: Record<string, string>; says: RegExp }[] = [
  {
    name: 'an unknown key, with the nearest name',
    yaml: 'proxy:\n  lisen: x',
    says: /cordon\.yaml:2:3: unknown setting proxy\.lisen \(did you mean "listen"\?\)/,
  },
  {
    name: 'a key on the wrong level',
    yaml: 'idle: 1m',
    says: /did you mean "proxy\.limits\.idle"/,
  },
  {
    name: 'a word that is none of the choices',
    yaml: 'policy: {mode: strict}',
    says: /:1:16: policy\.mode must be one of enforce, warn, audit/,
  },
  {
    name: 'a size without a unit',
    yaml: 'ledger: {spool_limit: 5}',
    says: /ledger\.spool_limit must be a size with a unit/,
  },
  { name: 'broken YAML', yaml: 'proxy: [', says: /cordon\.yaml:\d+:\d+:/ },
  { name: 'a key given twice', yaml: 'tenant: a\ntenant: b', says: /cordon\.yaml:2:1/ },
  {
    name: 'a map where a list must be',
    yaml: 'proxy: {clients: {a: b}}',
    says: /proxy\.clients must be a list of networks/,
  },
  {
    name: 'a network that is none',
    yaml: 'proxy: {clients: [300.0.0.0/8]}',
    says: /"300\.0\.0\.0\/8" is none/,
  },
  {
    name: 'interception before it exists',
    yaml: 'proxy: {intercept: {enabled: true}}',
    says: /interception comes with a later release/,
  },
  {
    name: 'a setting without effect',
    yaml: 'proxy: {no_upstream: [example.com]}',
    says: /no_upstream: has no effect without proxy\.upstream/,
  },
  {
    name: 'a hold time limit where nothing is held',
    yaml: 'policy: {hold_timeout: 5s}',
    says: /hold_timeout: has no effect unless/,
  },
  {
    name: 'an exposed listener open to everybody',
    yaml: 'proxy: {listen: "0.0.0.0:3128"}',
    says: /proxy\.listen: is not a loopback address/,
  },
  {
    name: 'an open relay',
    yaml: 'proxy: {listen: "0.0.0.0:3128", clients: ["0.0.0.0/0"]}',
    says: /open relay/,
  },
  {
    name: 'a value of the environment',
    env: { CORDON_POLICY__REVIEW: 'maybe' },
    says: /^CORDON_POLICY__REVIEW: must be one of refuse, allow, hold/,
  },
  {
    name: 'a secret given twice',
    env: { CORDON_REDIS_URL: 'redis://x', CORDON_REDIS_URL_FILE: 'y' },
    says: /CORDON_REDIS_URL_FILE: is set beside/,
  },
  {
    name: 'a secret file that is not there',
    env: { CORDON_REDIS_URL_FILE: 'nowhere' },
    says: /nowhere: ENOENT/,
  },
]

t.test('refuses, naming the place:', async (t) => {
  for (const { name, yaml, env = {}, says } of refused) {
    const cwd = t.testdir(yaml === undefined ? {} : { 'cordon.yaml': yaml })
    const problems = problemsOf(() => loadConfig({ env, cwd }))
    t.match(problems.join('\n'), says, name)
  }
})

t.test(
  'everybody may come to an exposed listener where everybody must show who they are',
  async (t) => {
    const cwd = t.testdir({ 'cordon.yaml': 'proxy: {listen: "0.0.0.0:3128", anonymous: deny}' })
    t.same(loadConfig({ env: {}, cwd }).config.proxy.clients, ['0.0.0.0/0', '::/0'])
  },
)

t.test('a file that was named must be there', async (t) => {
  t.throws(() => loadConfig({ file: 'no.yaml', env: {}, cwd: t.testdir() }), { code: 'NOT_FOUND' })
})

function problemsOf(run: () => unknown): string[] {
  try {
    run()
    return []
  } catch (error) {
    return error instanceof CordonError ? error.problems.map(formatProblem) : [String(error)]
  }
}
