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
    name: 'interception settings without interception',
    yaml: 'proxy: {intercept: {services: ["*"]}}',
    says: /intercept\.services: has no effect while proxy\.intercept\.enabled is false/,
  },
  {
    name: 'trust in origins that nobody opens',
    yaml: 'proxy: {trust: [ca.pem]}',
    says: /proxy\.trust: has no effect while proxy\.intercept\.enabled is false/,
  },
  {
    name: 'a signer beside own files',
    yaml: 'proxy: {intercept: {enabled: true, ca: {signer: sign, cert: a.pem, key: b.pem}}}',
    says: /ca\.cert: has no effect beside proxy\.intercept\.ca\.signer/,
  },
  {
    name: 'an authority without its key',
    yaml: 'proxy: {intercept: {enabled: true, ca: {cert: a.pem}}}',
    says: /ca\.cert: has no effect without proxy\.intercept\.ca\.key; .*cordon ca init/,
  },
  {
    name: 'an origin with a certificate and no key',
    yaml: 'proxy: {intercept: {enabled: true, origins: [{host: a.test, cert: a.pem}]}}',
    says: /cordon\.yaml:1:\d+: proxy\.intercept\.origins must be .*where cert and key stand together/,
  },
  {
    name: 'an origin that is told nothing',
    yaml: 'proxy: {intercept: {enabled: true, origins: [{host: a.test}]}}',
    says: /origins must be .*with ca, or cert and key/,
  },
  {
    name: 'an origin that is no host',
    yaml: 'proxy: {intercept: {enabled: true, origins: [{host: "https://a.test", ca: a.pem}]}}',
    says: /origins must be .*where host is a host or \*\.host/,
  },
  {
    name: 'an origin port that is none',
    yaml: 'proxy: {intercept: {enabled: true, origins: [{host: "a.test:70000", ca: a.pem}]}}',
    says: /origins must be .*where host is a host or \*\.host/,
  },
  {
    name: 'the same origin twice',
    yaml: 'proxy: {intercept: {enabled: true, origins: [{host: a.test, ca: a}, {host: A.test., ca: b}]}}',
    says: /origins: "a\.test" stands there twice/,
  },
  {
    name: 'memory for less than one body',
    yaml: 'proxy: {limits: {inspect_memory: 1MiB}}',
    says: /inspect_memory: is smaller than proxy\.limits\.body_inspect_bytes/,
  },
  {
    name: 'a contact that nobody can follow',
    yaml: 'proxy: {contact: "javascript:alert(1)"}',
    says: /proxy\.contact must be empty, a mail address or an https URL/,
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

t.test('origins have files of their own, relative to what names them', async (t) => {
  const cwd = t.testdir({
    'cordon.yaml': `proxy:
  contact: helpdesk@acme.example
  intercept:
    enabled: true
    origins:
      - { host: "*.Models.acme.example", ca: ca.pem }
      - { host: mtls.api.openai.com:443, cert: c.pem, key: /k/c.key }
`,
  })
  const { proxy } = loadConfig({ env: {}, cwd }).config
  t.equal(proxy.contact, 'helpdesk@acme.example')
  t.same(proxy.intercept.origins, [
    { host: '*.models.acme.example', ca: join(cwd, 'ca.pem') },
    { host: 'mtls.api.openai.com', port: 443, cert: join(cwd, 'c.pem'), key: '/k/c.key' },
  ])
  const env = {
    CORDON_PROXY__CONTACT: 'https://help.acme.example/ai',
    CORDON_PROXY__INTERCEPT__ENABLED: 'true',
    CORDON_PROXY__INTERCEPT__SERVICES: 'chatgpt,*.acme.example',
    CORDON_PROXY__INTERCEPT__ORIGINS: '[{"host":"a.test","ca":"ca.pem"}]',
  }
  const fromEnv = loadConfig({ env, cwd: t.testdir({}) }).config.proxy
  t.equal(fromEnv.contact, 'https://help.acme.example/ai')
  t.same(fromEnv.intercept.services, ['chatgpt', '*.acme.example'])
  t.match(fromEnv.intercept.origins, [{ host: 'a.test' }])
})

t.test(
  'interception is switched off by one word, and what it needs stays written down',
  async (t) => {
    const { config } = loadConfig({
      env: {},
      cwd: t.testdir({
        'cordon.yaml':
          'proxy: {trust: [a.pem], intercept: {enabled: false, services: ["*"], never: [a.b]}}',
      }),
    })
    t.match(config.proxy.intercept, { enabled: false, services: ['*'], never: ['a.b'] })
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
