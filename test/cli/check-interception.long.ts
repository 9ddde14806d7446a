// `cordon check` on interception: how much is opened, and who waits for something that stays shut.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../support/command-line.ts'
import { withoutOpa } from '../support/policy-folder.ts'

const REGO = `# METADATA
# scope: package
# custom:
#   cordon:
#     id: tool-owners
#     scope: {categories: [code_assistant], services: [cursor]}
package house

deny contains "no" if input.content.finding_types[_] == "email"
`

const INSPECT = `# METADATA
# scope: package
# custom:
#   cordon: {id: look-inside, scope: {services: [claude]}}
package look

# obligations contains {"type": "redact"}
obligations contains {"type": "inspect"} if input.resource.ai
`

const CEDAR = `@id("hide") @obligations("[{\\"type\\":\\"redact\\"}]") @decision("none")
permit (principal, action, resource == Cordon::Service::"claude");
@id("prompts") forbid (principal, action == Cordon::Action::"send_prompt", resource == Cordon::Service::"claude");`

const ELSEWHERE = `# METADATA
# scope: package
# custom:
#   cordon: {id: elsewhere, scope: {services: [claude], sources: [browser_plugin]}}
package elsewhere

deny if input.content.truncated
`

const POLICIES = {
  'policies/r.rego': REGO,
  'policies/i.rego': INSPECT,
  'policies/e.rego': ELSEWHERE,
  'policies/b.cedar': CEDAR,
}

/** One that may speak for any host, so that the settings alone decide what is said. */
const authority = t.testdir({})
const ca = authorityIn(authority)

async function checked(
  t: Test,
  proxy: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
) {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-check-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const config = {
    api: { listen: '127.0.0.1:0' },
    observe: { listen: '127.0.0.1:0' },
    policy: { dirs: ['policies'] },
    proxy: { listen: '127.0.0.1:0', ...proxy },
    signatures: { dirs: ['s'] },
  }
  const all = {
    'cordon.yaml': JSON.stringify(config),
    's/y.yaml': '- {id: figma-ai, approval_status: prohibited, mode: enforce}\n',
    'policies/a.cedar': 'permit (principal, action, resource);',
    ...files,
  }
  for (const folder of ['policies', 's']) mkdirSync(join(dir, folder))
  for (const [name, text] of Object.entries(all)) writeFileSync(join(dir, name), text)
  return run(['check', ...args], { cwd: dir })
}

const open = (services: readonly string[], more: object = {}) => ({
  intercept: { enabled: true, services, ca, ...more },
})

t.test('it tells how much is opened, and whether the authority is bounded', async (t) => {
  const few = await checked(t, open(['chatgpt', 'models.acme.example', '10.1.2.3']))
  t.match(few.out, /^ok: .*, \d+ hosts intercepted, 2 host patterns intercepted/)
  t.notMatch(few.err, /not name-constrained/)
  t.match(few.err, /proxy\.intercept\.ca: the interception authority is not limited to domains/)
  t.match(few.err, /"10\.1\.2\.3" is an address/)
  const effective = await checked(t, open(['chatgpt']), {}, ['--effective'])
  t.match(
    effective.out,
    /^interception on: \d+ AI services on \d+ hosts and 2 patterns; an authority constrained to \d+ domains; of \d+ services known by their path 0 are seen$/m,
  )
  const all = await checked(t, open(['*']), {}, ['--effective', '--json'])
  t.match(JSON.parse(all.out), {
    effective: { interception: { enabled: true, unknown_hosts: false, name_constrained: false } },
  })
  t.match(
    all.err,
    /cordon\.yaml:1:\d+: proxy\.intercept\.services: the hosts lie in \d+ registrable domains, more than 100: an authority for them is not name-constrained/,
  )
  const unknown = await checked(t, open(['unknown']))
  t.match(unknown.err, /the hosts have no bound: an authority for them is not name-constrained/)
  t.match((await checked(t, open([]))).err, /services: selects nothing: no connection is opened/)
})

t.test('a word that means nothing is an error at its place', async (t) => {
  const { code, err } = await checked(t, open(['chatgtp'], { never: ['a b'] }))
  t.equal(code, 1)
  t.match(
    err,
    /^\S+cordon\.yaml:1:\d+: proxy\.intercept\.services: "chatgtp" .*did you mean "chatgpt"/m,
  )
  t.match(err, /^\S+cordon\.yaml:1:\d+: proxy\.intercept\.never: "a b" is no host/m)
})

t.test('going past the shipped list is told, unless a certificate can be shown', async (t) => {
  const dir = t.testdir({})
  const [cert, key] = makeCertificate(dir, 'own')
  const services = ['desktop.chatgpt.com', 'mtls.api.openai.com', 'mtls.api.x.ai']
  const origins = [{ host: 'mtls.api.x.ai', cert, key }]
  const { code, err } = await checked(t, open(services, { origins }))
  t.equal(code, 0, err)
  t.match(err, /"desktop\.chatgpt\.com" is on the shipped list because its clients refuse/)
  t.match(err, /"mtls\.api\.openai\.com" is on the shipped list because its clients show/)
  t.notMatch(err, /mtls\.api\.x\.ai/)
})

t.test('files for origins are looked at', async (t) => {
  const dir = t.testdir({ 'no.pem': 'nothing' })
  const [cert, key] = makeCertificate(dir, 'own')
  const [, other] = makeCertificate(dir, 'other')
  const none = join(dir, 'no.pem')
  const origins = [
    { host: 'a.test', ca: join(dir, 'absent.pem') },
    { host: 'b.test', ca: none },
    { host: 'c.test', cert, key: none },
    { host: 'd.test', cert, key: other },
    { host: 'e.test', ca: cert, cert, key },
  ]
  const { code, err } = await checked(t, { ...open(['a.test'], { origins }), trust: [none, cert] })
  t.equal(code, 1)
  t.match(err, /absent\.pem: proxy\.intercept\.origins: cannot be read \(ENOENT\)/)
  t.match(err, /no\.pem: proxy\.intercept\.origins: holds no certificate in PEM/)
  t.match(err, /no\.pem: proxy\.intercept\.origins: cannot be used as a key/)
  t.match(err, /other\.key: proxy\.intercept\.origins: is not the key of \S+own\.pem/)
  t.match(err, /no\.pem: proxy\.trust: holds no certificate in PEM/)
  t.match(err, /^cordon: 5 problems$/m)
})

t.test('policies that wait for what stays shut are told', { skip: withoutOpa() }, async (t) => {
  const off = await checked(t, {}, POLICIES, ['--effective'])
  t.match(off.out, /^interception off: what is inside TLS is not seen$/m)
  t.match(
    off.err,
    /^warning: proxy\.intercept\.enabled: is false: .* nothing to prompts, tool-owners, so there they cannot match$/m,
  )
  t.match(
    off.err,
    /figma-ai is prohibited, and only its path tells it from the rest of www\.figma\.com/,
  )
  const obliged = [/look-inside: obliges to inspect/, /hide: obliges to redact/]
  const reads = [
    /tool-owners: reads content, which is not seen for cursor: it can never match at the proxy until/,
    /prompts: reads the action send_prompt, which is not seen for claude/,
  ]
  for (const says of obliged) t.match(off.err, says)

  const shut = await checked(t, open(['chatgpt']), POLICIES)
  for (const says of [...obliged, ...reads]) t.match(shut.err, says)
  t.match(shut.err, /cannot be performed for claude: an ALLOW becomes DENY/)
  t.notMatch(shut.err, /intercept\.enabled|elsewhere/)

  const seen = await checked(t, open(['cursor', 'claude', 'figma-ai']), POLICIES)
  t.notMatch(seen.err, /tool-owners|look-inside|hide|prompts|figma-ai/)
})

t.test('interception without an authority is an error that names the command', async (t) => {
  const ca = { cert: '', key: '' }
  const { code, err } = await checked(t, open(['chatgpt'], { ca }))
  t.equal(code, 1)
  t.match(err, /^\S+cordon\.yaml:1:\d+: proxy\.intercept\.enabled: .*"cordon ca init"/m)
})

function authorityIn(dir: string): { readonly cert: string; readonly key: string } {
  const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
  const [cert, key] = makeCertificate(
    dir,
    'ca',
    extensions.flatMap((text) => ['-addext', text]),
  )
  chmodSync(key, 0o600)
  return { cert, key }
}

/** The files of a certificate and of its key. */
function makeCertificate(
  dir: string,
  name: string,
  more: readonly string[] = [],
): readonly [string, string] {
  const [cert, key] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  execFileSync(
    'openssl',
    ['req', '-x509', ...kind, '-subj', '/CN=a.test', ...more, '-keyout', key, '-out', cert],
    {
      stdio: 'ignore',
    },
  )
  return [cert, key]
}
