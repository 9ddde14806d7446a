// `cordon check`: every kind of bad input is told with its place, and nothing starts.

import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../support/command-line.ts'
import { POLICIES, SERVICES } from '../support/company.ts'
import { withoutOpa } from '../support/policy-folder.ts'

const noOpa = withoutOpa()

/** A folder with these files beside a configuration that is right but for what is given. */
function folder(
  t: Test,
  settings: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>> = {},
): string {
  // A socket's path is short, so this lies in no deep folder.
  const dir = mkdtempSync(join(tmpdir(), 'cordon-check-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const config = {
    api: { listen: '127.0.0.1:0' },
    observe: { listen: '127.0.0.1:0' },
    policy: { dirs: ['policies'] },
    ...settings,
    proxy: { listen: '127.0.0.1:0', ...(settings['proxy'] as object | undefined) },
  }
  const all = { 'cordon.yaml': JSON.stringify(config), 'policies/a.cedar': POLICIES, ...files }
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text)
  }
  return dir
}

t.test('what is right is said to be, and nothing is made', async (t) => {
  const dir = folder(t, {})
  const { code, out, err } = await run(['check'], { cwd: dir })
  t.equal(code, 0)
  t.match(out, /^ok: \d+ AI services, 4 policies/)
  t.match(err, /^(?:warning: .*\n)*$/, 'only warnings')
  t.notOk(existsSync(join(dir, '.cordon')))
})

t.test('each kind of bad input is told with file, line and column, and ends with 1', async (t) => {
  const cases: readonly (readonly [
    string,
    Record<string, unknown>,
    Record<string, string>,
    RegExp,
  ])[] = [
    [
      'an unknown setting',
      {},
      { 'cordon.yaml': 'proxy:\n  lisen: 127.0.0.1:1\n' },
      /^\S+cordon\.yaml:2:3: unknown setting proxy\.lisen \(did you mean "listen"\?\)$/m,
    ],
    [
      'a wrong value',
      {},
      { 'cordon.yaml': 'policy:\n  mode: enforc\n' },
      /^\S+cordon\.yaml:2:9: policy\.mode must be one of enforce, warn, audit$/m,
    ],
    ['broken YAML', {}, { 'cordon.yaml': 'policy: [\n' }, /^\S+cordon\.yaml:\d+:\d+: /m],
    [
      'trust without interception',
      { proxy: { trust: ['ca.pem'] } },
      {},
      /cordon\.yaml:\d+:\d+: proxy\.trust: has no effect while proxy\.intercept\.enabled is false/,
    ],
    [
      'a parent that is not used',
      { proxy: { no_upstream: ['x'] } },
      {},
      /proxy\.no_upstream: has no effect without/,
    ],
    [
      'an open relay',
      { proxy: { listen: '0.0.0.0:0' } },
      {},
      /proxy\.listen: is not a loopback address/,
    ],
    [
      'an unknown signature key',
      { signatures: { dirs: ['s'] } },
      { 's/x.yaml': 'services:\n  - id: x\n    domain: [x.test]\n' },
      /^\S+x\.yaml:3:5: unknown key "domain" \(did you mean "domains"\?\)$/m,
    ],
    [
      'a pattern that is none',
      { signatures: { dirs: ['s'] } },
      { 's/x.yaml': 'services:\n  - id: x\n    name: X\n    user_agents: ["("]\n' },
      /^\S+x\.yaml:4:19: an item of user_agents must be an RE2 expression$/m,
    ],
    [
      'no such policy folder',
      { policy: { dirs: ['absent'] } },
      {},
      /absent: cannot be read as a policy folder/,
    ],
    [
      'Cedar that does not parse',
      {},
      { 'policies/b.cedar': '\nforbid (principal, action resource);' },
      /^\S+b\.cedar:2:\d+: /m,
    ],
    [
      'Cedar that reads what may be absent',
      {},
      { 'policies/b.cedar': 'forbid (principal, action, resource) when { resource.ai };' },
      /^\S+b\.cedar:1:\d+: .*(?:has|optional|attribute)/m,
    ],
    [
      'an id used twice',
      {},
      { 'policies/b.cedar': '@id("banned") forbid (principal, action, resource);' },
      /^\S+b\.cedar:1:1: the id "banned" stands in \S+a\.cedar(?::\d+)? already$/m,
    ],
    [
      'a priority out of range',
      {},
      { 'policies/b.cedar': '@priority("1001") forbid (principal, action, resource);' },
      /b\.cedar:1:1: .*priority/,
    ],
    [
      'an htpasswd line',
      { proxy: { htpasswd: 'users' } },
      { users: '# people\nmaya:plain\n' },
      /^\S+users:2:1: /m,
    ],
    [
      'an htpasswd file that is not there',
      { proxy: { htpasswd: 'users' } },
      {},
      /users: proxy\.htpasswd: cannot be read \(ENOENT\)/,
    ],
    [
      'a socket in no folder',
      { proxy: { listen: 'unix:no/proxy.sock' } },
      {},
      /^proxy\.listen: \S+proxy\.sock cannot be made/m,
    ],
    [
      'an access log in no folder',
      { proxy: { access_log: 'cordon.yaml/access.log' } },
      {},
      /proxy\.access_log: /,
    ],
    [
      'one address twice',
      { proxy: { listen: '127.0.0.1:59999' }, api: { listen: '127.0.0.1:59999' } },
      {},
      /^api\.listen: 127\.0\.0\.1:59999 is an address of proxy\.listen already$/m,
    ],
  ]
  for (const [what, settings, files, expected] of cases) {
    const { code, out, err } = await run(['check'], { cwd: folder(t, settings, files) })
    t.equal(code, 1, what)
    t.match(err, expected, what)
    t.equal(out, '', what)
  }
})

t.test('Rego is checked as OPA checks it', { skip: noOpa }, async (t) => {
  const refused = await run(['check'], {
    cwd: folder(t, {}, { 'policies/r.rego': 'package a\n\ndeny if nonsense(1)\n' }),
  })
  t.equal(refused.code, 1)
  t.match(refused.err, /r\.rego:3:\d+: .*nonsense/)
})

t.test('a port that somebody has is told', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { code, err } = await run(['check'], {
    cwd: folder(t, { proxy: { listen: `127.0.0.1:${port}` } }),
  })
  server.close()
  t.equal(code, 1)
  t.match(err, /^proxy\.listen: 127\.0\.0\.1:\d+ cannot be listened on \(EADDRINUSE\)$/m)
})

t.test('what is legal and rarely meant is a warning, and no failure', async (t) => {
  const dir = folder(
    t,
    {},
    {
      'policies/b.cedar':
        'forbid (principal, action, resource == Cordon::Service::"chatgtp");\n@id("never") forbid (principal, action, resource) when { false };\n',
    },
  )
  const { code, out, err } = await run(['check'], { cwd: dir })
  t.equal(code, 0)
  t.match(out, /warnings?\n$/)
  t.match(
    err,
    /^warning: \S+b\.cedar: b\.cedar:1: scope\.services names "chatgtp", which is not known \(did you mean "chatgpt"\?\)$/m,
  )
  t.match(err, /^warning: \S+b\.cedar:2:\d+: .*/m)
  const json = JSON.parse((await run(['check', '--json'], { cwd: dir })).out) as {
    ok: boolean
    warnings: unknown[]
    problems: unknown[]
  }
  t.match(json, { ok: true, problems: [] })
  t.ok(json.warnings.length >= 2)
})

t.test('a deny that hangs on what may be absent is a warning', { skip: noOpa }, async (t) => {
  const rego = `# METADATA
# scope: package
# custom:
#   cordon:
#     id: r
#     scope: {actions: [send_promt]}
package r

deny contains "no" if not input.resource.known
`
  const { code, err } = await run(['check'], { cwd: folder(t, {}, { 'policies/r.rego': rego }) })
  t.equal(code, 0)
  t.match(err, /^warning: \S+r\.rego:9:\d+: "not input\.resource\.known" also holds where/m)
  t.match(
    err,
    /^warning: \S+r\.rego: r: scope\.actions names "send_promt", which is not known \(did you mean "send_prompt"\?\)$/m,
  )
})

t.test('--effective tells what would be enforced for whom', async (t) => {
  const dir = folder(
    t,
    {
      policy: { dirs: ['policies'], mode: 'warn', default: { unknown_ai: 'deny' } },
      signatures: { dirs: ['s'] },
    },
    {
      's/ours.yaml': `${SERVICES}  - {id: lent, name: Lent, domains: [lent.test], approved_for: [Engineering], prohibited_for: [interns]}\n`,
    },
  )
  const { code, out } = await run(['check', '--effective'], { cwd: dir })
  t.equal(code, 0)
  t.match(out, /^mode warn: nothing is refused; combining priority_tiers/)
  t.match(
    out,
    /^ *800 +no-interns +warn +group interns, service open-chat *$/m,
    'enforce, weakened by the point',
  )
  t.match(out, /^ *500 +frowned +warn +category frowned *$/m)
  t.match(out, /^ *unknown_ai +allow \(would be deny\) +\d+ *$/m)
  t.match(out, /^\d+ of \d+ AI services are monitor-only/m)
  t.match(out, /^ *Engineering +lent *$/m)
  const { effective } = JSON.parse(
    (await run(['check', '--effective', '--json'], { cwd: dir })).out,
  ) as { effective: Record<string, unknown> }
  t.match(effective, {
    mode: 'warn',
    mode_until: null,
    default: { unknown_ai: 'deny', prohibited: 'deny' },
    services: { by_status: { approved: 3, review_required: 1 } },
    units: [
      { unit: 'Engineering', approved: ['lent'], prohibited: [] },
      { unit: 'interns', approved: [], prohibited: ['lent'] },
    ],
  })
})
