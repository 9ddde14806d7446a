// `cordon ca`, as it is typed: what is printed where, which files there are, what is refused.

import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readFolder } from '../../src/app/authority-folder.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { testAuthority } from '../support/authority.ts'
import { type Ran, run } from '../support/command-line.ts'
import { verified } from '../support/verify.ts'

const PASSPHRASE = { CORDON_CA_PASSPHRASE: 'a passphrase of this test' }

t.test('init prints the passphrase once, alone on stdout', async (t) => {
  const { dir, ca } = place(t, '[api.openai.com]')
  const made = await ca('init --owner Acme')
  t.equal(made.code, 0, made.err)
  t.match(made.out, /^(?:[a-z2-9]{4}-){7}[a-z2-9]{4}\n$/)
  t.match(made.err, /limited to 1 domains: openai\.com/)
  t.notMatch(made.err, made.out.trim())
  const folder = join(dir, '.cordon/ca')
  for (const file of readdirSync(folder))
    t.notMatch(readFileSync(join(folder, file), 'utf8'), made.out.trim(), file)

  const again = await ca('init')
  t.equal(again.code, 1)
  t.match(again.err, /already.*cordon ca rotate.*--force/)
  const rotated = await ca('rotate', { CORDON_CA_PASSPHRASE: made.out.trim() })
  t.equal(rotated.code, 0, rotated.err)
  t.match(rotated.err, /SIGHUP/)
  const before = readFileSync(join(folder, 'root.pem'), 'utf8')
  t.equal(
    (await ca('init --force', PASSPHRASE)).out,
    '',
    'a passphrase that was given is not printed',
  )
  t.not(readFileSync(join(folder, 'root.pem'), 'utf8'), before)
})

t.test('show and export tell what is there', async (t) => {
  const { dir, ca, configure } = place(t, '[api.openai.com]')
  t.equal((await ca('show')).code, 3)
  t.match((await ca('show')).err, /"cordon ca init"/)
  const made = await ca('init --json', PASSPHRASE)
  const shown = await ca('show --json')
  t.equal(shown.code, 0, shown.err)
  const view = JSON.parse(shown.out) as {
    readonly roots: readonly { fingerprint_sha256: string }[]
  }
  t.same(JSON.parse(made.out).roots, view.roots)
  t.match(view, {
    source: 'data_dir',
    roots: [{ subject: /^O=Cordon, CN=Cordon interception root/, not_after: /^\d{4}-/ }],
    issuing: { permitted_domains: ['openai.com'] },
    selected: { domains: 1, covered: 1, outside: [] },
    root_key_file: /root-[0-9a-f]{8}\.key\.pem$/,
    warnings: [],
  })
  configure('[api.openai.com, api.anthropic.com]')
  const wider = await ca('show')
  t.match(wider.out, /limited to +openai\.com\n/)
  t.match(wider.out, /2 domains, 1 of them covered\nnot covered +anthropic\.com\n/)
  t.match(wider.err, /warning: .*"cordon ca rotate" re-issues it/)
  t.equal((await ca('rotate', PASSPHRASE)).code, 0)
  t.match((await ca('show')).out, /2 domains, 2 of them covered/)

  t.equal((await ca('export --out trust.pem')).code, 0)
  const exported = readFileSync(join(dir, 'trust.pem'), 'utf8')
  t.equal(new X509Certificate(exported).fingerprint256, view.roots[0]?.fingerprint_sha256)
  t.equal(statSync(join(dir, 'trust.pem')).mode & 0o777, 0o644)
  t.notMatch(exported, /KEY/)
  t.equal((await ca('export')).out, exported)
  t.equal((await ca('export --out absent/trust.pem')).code, 3)
})

t.test('what is selected without bound, and by nobody, is said', async (t) => {
  const { ca, configure } = place(t, '[unknown]')
  t.match((await ca('init', PASSPHRASE)).err, /not limited: what is selected has no bound/)
  t.match((await ca('show')).out, /limited to +nothing\nselected +without bound/)
  configure('["*"]')
  t.match((await ca('rotate', PASSPHRASE)).err, /not limited: what is selected has \d{3} domains/)
  configure('[]', false)
  t.match((await ca('rotate', PASSPHRASE)).err, /may speak for nobody/)
  t.match((await ca('show')).out, /limited to +no host at all/)
})

t.test('the key of the root may be elsewhere; without it nothing is re-issued', async (t) => {
  const { dir, ca } = place(t, '[api.openai.com]')
  const made = await ca('init --json', PASSPHRASE)
  const { root_key_file: key } = JSON.parse(made.out) as { readonly root_key_file: string }
  renameSync(key, join(dir, 'away.pem'))
  t.match((await ca('show')).out, /root's key +not in data_dir\/ca/)
  t.match((await ca('rotate', PASSPHRASE)).err, /--key/)
  t.equal((await ca('rotate --key away.pem', PASSPHRASE)).code, 0)
  t.equal((await ca('rotate --key away.pem')).code, 2, 'nor without its passphrase')
  const wrong = await ca('rotate --key away.pem', { CORDON_CA_PASSPHRASE: 'quite another one' })
  t.equal(wrong.code, 3)
  t.match(wrong.err, /does not open the key/)
  const folder = join(dir, '.cordon/ca')
  const former = readFolder(folder, Date.now())
  const rotated = await ca('rotate --root --key away.pem --overlap 30d', PASSPHRASE)
  t.equal(rotated.code, 0, rotated.err)
  t.match(rotated.err, /go on for 30d/)
  const exported = (await ca('export')).out
  t.equal(exported.match(/BEGIN/g)?.length, 2, 'both roots')
  t.match((await ca('show')).out, /former root +O=Cordon/)
  const leaf = new Issuer(readFolder(folder, Date.now())).issue('api.openai.com')
  t.equal(await verified(leaf, 'api.openai.com', former.rootCert), true)
  t.equal(await verified(leaf, 'api.openai.com', exported), true)
})

t.test('a wrong call changes nothing', async (t) => {
  const { dir, ca } = place(t, '[api.openai.com]')
  t.equal((await ca('init', { CORDON_CA_PASSPHRASE: 'short' })).code, 2)
  t.equal((await ca('init --owner', { ...PASSPHRASE })).code, 2)
  const named = await run(['ca', 'init', '--owner', 'a\nb'], { cwd: dir, env: PASSPHRASE })
  t.equal(named.code, 2)
  t.equal((await ca('init', { CORDON_CA_PASSPHRASE_FILE: '/absent' })).code, 3)
  t.match((await ca('rotate', PASSPHRASE)).err, /"cordon ca init" makes one/)
  t.equal((await ca('rotate --overlap soon', PASSPHRASE)).code, 2)
  t.notOk(existsSync(join(dir, '.cordon/ca/root.pem')))
})

t.test('an authority from files is shown and exported, and not made here', async (t) => {
  const { dir, ca, configure } = place(t, '[api.openai.com]')
  const own = testAuthority(['openai.com'])
  writeFileSync(join(dir, 'own.crt'), own.chain + own.rootCert)
  writeFileSync(join(dir, 'own.key'), own.key, { mode: 0o600 })
  configure('[api.openai.com]', true, '{cert: own.crt, key: own.key}')
  t.match((await ca('show')).out, /root +O=Test/)
  t.equal((await ca('export')).out, own.rootCert)
  for (const command of ['init', 'rotate']) {
    const refused = await ca(command, PASSPHRASE)
    t.equal(refused.code, 1, command)
    t.match(refused.err, /that of proxy\.intercept\.ca\.cert/, command)
  }
})

interface Place {
  readonly dir: string
  readonly configure: (services: string, enabled?: boolean, ca?: string) => void
  readonly ca: (words: string, env?: Readonly<Record<string, string>>) => Promise<Ran>
}

function place(t: Test, services: string): Place {
  const dir = t.testdir()
  const configure: Place['configure'] = (list, enabled = true, ca = '{}') => {
    const intercept = `{enabled: ${enabled}, services: ${list}, ca: ${ca}}`
    writeFileSync(join(dir, 'cordon.yaml'), `proxy: {intercept: ${intercept}}\n`)
  }
  configure(services)
  return {
    dir,
    configure,
    ca: async (words, env = {}) => run(['ca', ...words.split(' ')], { cwd: dir, env }),
  }
}
