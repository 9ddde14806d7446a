// Where an authority comes from: the folder of its own, files, a signer command; what is refused, and how it is told.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { env } from 'node:process'
import t, { type Test } from 'tap'
import {
  createAuthority,
  type Making,
  readFolder,
  rotateIssuing,
  rotateRoot,
} from '../../src/app/authority-folder.ts'
import {
  type AuthorityOptions,
  limitOf,
  loadAuthority,
  type LoadedAuthority,
} from '../../src/app/authority.ts'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { createIssuing } from '../../src/tls/create.ts'
import { Issuer } from '../../src/tls/issuer.ts'
import { testAuthority } from '../support/authority.ts'
import { verified } from '../support/verify.ts'

const DAY_MS = 86_400_000
const PATH = { PATH: env['PATH'] ?? '' }

t.test('an authority of our own: made, read, and limited to what is selected', async (t) => {
  const dir = join(t.testdir(), 'ca')
  const { keyFile } = createAuthority(making(dir, { domains: ['openai.com'] }))
  const authority = readFolder(dir, Date.now())
  const issuer = new Issuer(authority)
  t.same(issuer.constrainedTo, ['openai.com'])
  t.equal(
    await verified(issuer.issue('api.openai.com'), 'api.openai.com', authority.rootCert),
    true,
  )
  const root = new X509Certificate(authority.rootCert)
  t.match(root.subject, /^O=Acme\nCN=Acme interception root [0-9a-f]{8}$/)
  const issuing = new X509Certificate(authority.chain)
  t.ok(issuing.validToDate.getTime() <= Date.now() + 366 * DAY_MS)

  t.match(readFileSync(keyFile, 'utf8'), /^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
  t.same(readdirSync(dir).toSorted(), ['issuing.pem', keyFile.slice(dir.length + 1), 'root.pem'])
  for (const file of readdirSync(dir))
    t.equal(statSync(join(dir, file)).mode & 0o777, file === 'root.pem' ? 0o644 : 0o600, file)
  t.equal(statSync(dir).mode & 0o777, 0o700)
})

t.test('re-issuing needs the key of the root and its passphrase, and keeps the root', async (t) => {
  const dir = join(t.testdir(), 'ca')
  const { keyFile } = createAuthority(making(dir, { domains: ['openai.com'] }))
  const before = readFolder(dir, Date.now())
  const wider = making(dir, { domains: ['anthropic.com', 'openai.com'] })
  const closed = await said(() =>
    rotateIssuing({ ...wider, passphrase: 'another passphrase' }, undefined),
  )
  t.equal(closed.split('\n')[0], `${keyFile}: the passphrase does not open the key`)
  const other = createAuthority(making(join(t.testdirName, 'other')))
  t.match(await said(() => rotateIssuing(wider, other.keyFile)), /not the key of the root/)
  t.match(await said(() => rotateIssuing(wider, join(dir, 'absent.pem'))), /--key/)
  t.same(readFolder(dir, Date.now()), before, 'what failed has changed nothing')

  rotateIssuing({ ...wider, owner: undefined }, undefined)
  const after = readFolder(dir, Date.now())
  t.equal(after.rootCert, before.rootCert)
  t.not(after.key, before.key)
  t.match(new X509Certificate(after.chain).subject, /^O=Acme\n/)
  const leaf = new Issuer(after).issue('claude.anthropic.com')
  t.equal(await verified(leaf, 'claude.anthropic.com', before.rootCert), true)
})

t.test('a new root is trusted by whoever trusts the former one, for a time', async (t) => {
  const dir = join(t.testdir(), 'ca')
  createAuthority(making(dir, { domains: ['openai.com'] }))
  const former = readFolder(dir, Date.now())
  rotateRoot(making(dir, { domains: ['openai.com'] }), undefined, 10 * DAY_MS)
  const now = readFolder(dir, Date.now())
  const [newRoot = '', oldRoot = ''] = now.rootCert.split(/(?<=-----END CERTIFICATE-----\n)/)
  t.equal(oldRoot, former.rootCert)
  t.not(newRoot, former.rootCert)
  const leaf = new Issuer(now).issue('api.openai.com')
  t.equal(await verified(leaf, 'api.openai.com', newRoot), true, 'the new one alone')
  t.equal(await verified(leaf, 'api.openai.com', former.rootCert), true, 'the former one alone')
  t.ok(leaf.notAfter > Date.now() + 80 * DAY_MS, 'the overlap does not shorten leaves')

  rotateIssuing(making(dir, { domains: ['openai.com'] }), undefined)
  const again = readFolder(dir, Date.now())
  const reissued = new Issuer(again).issue('api.openai.com')
  t.equal(
    await verified(reissued, 'api.openai.com', former.rootCert),
    true,
    'after re-issuing, too',
  )

  const later = readFolder(dir, Date.now() + 11 * DAY_MS)
  t.equal(later.rootCert, newRoot, 'then the former root is not handed out any more')
  t.not(later.chain, again.chain)
})

t.test('what is missing, open to others or expired is refused with what to do', async (t) => {
  const config = configOf(t, '')
  await t.rejects(loadAuthority(config, [], { env: {} }), { message: /"cordon ca init" makes one/ })
  const dir = join(config.data_dir, 'ca')
  createAuthority(making(dir))
  chmodSync(join(dir, 'issuing.pem'), 0o644)
  t.match(await said(async () => loadAuthority(config, [], { env: {} })), /chmod 600/)
  chmodSync(join(dir, 'issuing.pem'), 0o600)
  const later = { env: {}, now: Date.now() + 400 * DAY_MS }
  const expired = await said(async () => loadAuthority(config, [], later))
  t.match(expired, /has expired.*"cordon ca rotate" re-issues it/)
  const roots = readFileSync(join(dir, 'root.pem'))
  writeFileSync(join(dir, 'root.pem'), testAuthority().rootCert)
  t.match(await said(async () => loadAuthority(config, [], { env: {} })), /is not of/)
  writeFileSync(join(dir, 'root.pem'), 'nonsense')
  await t.rejects(loadAuthority(config, [], { env: {} }), { code: 'AUTHORITY_INVALID' })
  writeFileSync(join(dir, 'root.pem'), roots)
  t.equal((await loadAuthority(config, [], { env: {} })).source, 'data_dir')
})

t.test(
  'what an authority does not cover is told, with the command that re-issues it',
  async (t) => {
    const config = configOf(t, '')
    const dir = join(config.data_dir, 'ca')
    createAuthority(making(dir, { domains: ['openai.com'] }))
    const load = async (
      domains: readonly string[] | undefined,
      now = Date.now(),
    ): Promise<LoadedAuthority> => loadAuthority(config, domains, { env: {}, now })
    t.same((await load(['openai.com'])).warnings, [])
    const wider = await load(['anthropic.com', 'openai.com'])
    t.same(wider.outside, ['anthropic.com'])
    t.match(wider.warnings, [/anthropic\.com \(1 of 2 domains\); "cordon ca rotate" re-issues it/])
    t.match((await load(undefined)).warnings, [/has no bound/])
    const soon = await load(['openai.com'], Date.now() + 350 * DAY_MS)
    t.match(soon.warnings, [/expires on/])
    t.equal(soon.renewAt, soon.notAfter)
    rotateIssuing(making(dir), undefined)
    t.match((await load(['openai.com'])).warnings, [/not limited to domains.*cordon ca rotate/])
    t.match((await load(undefined)).warnings, [/can speak for any host$/])
  },
)

t.test('a hundred domains are written into it, more are not', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => `d${index}.example`)
  t.same(limitOf(hundred), hundred)
  t.equal(limitOf([...hundred, 'one.more']), undefined)
  t.equal(limitOf(undefined), undefined)
  t.same(limitOf([]), ['invalid'], 'nothing selected is not everything')
  const issuer = new Issuer(testAuthority(hundred))
  t.equal(issuer.mayIssue('a.d99.example'), true)
  t.equal(
    (await verified(issuer.issue('d7.example'), 'd7.example', testAuthority().rootCert)) === true,
    false,
  )
})

t.test(
  'files of ones own: with or without a root behind, and whatever is wrong with them',
  async (t) => {
    const made = testAuthority(['openai.com'])
    const load = async (
      files: { readonly cert: string; readonly key: string; readonly mode?: number },
      options: Partial<AuthorityOptions> = {},
    ): Promise<LoadedAuthority> => {
      const config = configOf(t, 'ca: {cert: own.crt, key: own.key}')
      writeFileSync(join(config.data_dir, '../own.crt'), files.cert)
      writeFileSync(join(config.data_dir, '../own.key'), files.key)
      chmodSync(join(config.data_dir, '../own.key'), files.mode ?? 0o640)
      return loadAuthority(config, ['openai.com'], { env: {}, ...options })
    }
    const whole = await load({ cert: made.chain + made.rootCert, key: made.key })
    t.equal(whole.source, 'files')
    t.same(whole.authority, { rootCert: made.rootCert, chain: made.chain, key: made.key })
    const rootless = await load({ cert: made.chain, key: made.key })
    t.equal(rootless.authority.rootCert, made.chain, 'what is nearest to a root')
    t.equal(rootless.authority.chain, made.chain)
    const rootKey = made.root.key.export({ type: 'pkcs8', format: 'pem' }).toString()
    const alone = await load({ cert: made.rootCert, key: rootKey })
    t.equal(alone.authority.chain, '', 'a root that issues by itself')
    const leaf = new Issuer(alone.authority).issue('any.test')
    t.equal(await verified(leaf, 'any.test', made.rootCert), true)
    t.match(alone.warnings, [/not limited/])

    const other = testAuthority()
    const old = testAuthority(undefined, Date.now() - 400 * DAY_MS)
    const early = testAuthority(undefined, Date.now() + 5 * DAY_MS)
    const end = new Issuer(made).issue('openai.com')
    const below = createIssuing(
      { certificate: new X509Certificate(made.chain), key: createPrivateKey(made.key) },
      'Test',
      undefined,
      Date.now(),
    )
    const belowKey = below.key.export({ type: 'pkcs8', format: 'pem' }).toString()
    const cases: readonly (readonly [
      string,
      { cert: string; key: string; mode?: number },
      RegExp,
    ])[] = [
      ['no certificate', { cert: 'x', key: made.key }, /holds no certificate/],
      ['no key', { cert: made.chain, key: 'x' }, /holds no private key/],
      ['another key', { cert: made.chain, key: other.key }, /is not the key of .*CN=Test/],
      ['a leaf', { cert: end.cert, key: end.key }, /CA:TRUE[\s\S]*keyCertSign/],
      ['expired', { cert: old.chain, key: old.key }, /has expired/],
      ['not yet valid', { cert: early.chain, key: early.key }, /is not valid before/],
      [
        'another root',
        { cert: made.chain + other.rootCert, key: made.key },
        /not signed by the certificate that follows/,
      ],
      [
        'too deep',
        { cert: below.certificate + made.chain, key: belowKey },
        /allows no 1 authorities/,
      ],
      ['for all to read', { cert: made.chain, key: made.key, mode: 0o644 }, /chmod 600/],
    ]
    for (const [name, files, expected] of cases) {
      t.match(await said(async () => load(files)), expected, name)
    }
  },
)

t.test('an encrypted key of ones own opens with the passphrase of the environment', async (t) => {
  const config = configOf(t, '')
  const { keyFile } = createAuthority(making(join(config.data_dir, 'ca')))
  const own = {
    ...config.proxy.intercept,
    ca: { cert: join(config.data_dir, 'ca/root.pem'), key: keyFile, signer: '' },
  }
  const settings = { ...config, proxy: { ...config.proxy, intercept: own } }
  t.match(await said(async () => loadAuthority(settings, [], { env: {} })), /CORDON_CA_PASSPHRASE/)
  const passphrase = making('').passphrase
  const loaded = await loadAuthority(settings, [], { env: { CORDON_CA_PASSPHRASE: passphrase } })
  t.equal(loaded.authority.chain, '')
  writeFileSync(join(config.data_dir, 'pass'), `${passphrase}\n`)
  const file = { CORDON_CA_PASSPHRASE_FILE: join(config.data_dir, 'pass') }
  t.ok(await loadAuthority(settings, [], { env: file }))
  await t.rejects(
    loadAuthority(settings, [], { env: { ...file, CORDON_CA_PASSPHRASE: passphrase } }),
    /both set/,
  )
})

t.test('a signer certifies a key that never left this machine; its answer is kept', async (t) => {
  const root = testAuthority()
  const dir = t.testdirName
  const config = configOf(t, `ca: {signer: 'sh ${dir}/sign ${dir}'}`, {
    'root.pem': root.rootCert,
    'root.key': root.root.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    sign: SIGNER,
  })
  const load = async (
    domains: readonly string[],
    options: Partial<AuthorityOptions> = {},
  ): Promise<LoadedAuthority> =>
    loadAuthority(config, domains, { env: { ...PATH, CORDON_DATABASE_URL: 'private' }, ...options })
  t.match(await said(async () => load(['openai.com'], { ask: false })), /not certified/)
  const first = await load(['openai.com'])
  t.equal(first.source, 'signer')
  t.same(new Issuer(first.authority).constrainedTo, ['openai.com'], 'as the request asked')
  const leaf = new Issuer(first.authority).issue('api.openai.com')
  t.equal(await verified(leaf, 'api.openai.com', root.rootCert), true)
  const asked = (): number => readdirSync(dir).filter((file) => file.startsWith('asked')).length
  t.equal(readFileSync(join(dir, 'asked1'), 'utf8'), 'openai.com\n', 'and the environment')
  t.notOk(existsSync(join(dir, 'leaked')), 'our own variables are not handed on')

  t.same((await load(['openai.com'])).authority, first.authority)
  t.equal(asked(), 1, 'kept')
  t.equal(statSync(join(config.data_dir, 'ca/signed.pem')).mode & 0o777, 0o600)
  t.ok(first.renewAt < first.notAfter)
  const renewed = await load(['openai.com'], { now: first.renewAt + 1 })
  t.not(renewed.authority.key, first.authority.key)
  t.equal(asked(), 2, 'after two thirds of its life')
  await load(['anthropic.com', 'openai.com'])
  t.equal(asked(), 3, 'and for another domain')
  await load(['openai.com'], { again: true })
  t.equal(asked(), 4, 'and when told so')
})

t.test(
  'a signer that fails, hangs, says too much or nonsense is told, and what it said before serves on',
  async (t) => {
    const bad: readonly (readonly [string, RegExp])[] = [
      ['echo no >&2; exit 7', /ended with 7: no/],
      ['sleep 60 & sleep 60', /did not answer within 300 ms/],
      ['yes', /wrote more than|did not answer/],
      ['echo nothing', /holds no certificate/],
      ['cat', /holds no certificate/],
      ['/absent/command', /ended with 127/],
    ]
    for (const [command, expected] of bad) {
      const config = configOf(t, `ca: {signer: ${JSON.stringify(command)}}`)
      const failed = await said(async () =>
        loadAuthority(config, [], { env: PATH, timeLimitMs: 300 }),
      )
      t.match(failed, expected, command)
      const made = testAuthority(['openai.com'])
      mkdirSync(join(config.data_dir, 'ca'), { recursive: true })
      const kept = join(config.data_dir, 'ca/signed.pem')
      writeFileSync(kept, made.key + made.chain + made.rootCert, { mode: 0o600 })
      const loaded = await loadAuthority(config, ['anthropic.com'], { env: PATH, timeLimitMs: 300 })
      t.equal(loaded.authority.key, made.key, command)
      t.match(loaded.warnings, [/is used until/, /anthropic\.com/], command)
    }
  },
)

/** Signs what it is asked to with OpenSSL, as a company's CA would. */
const SIGNER = `
n=1; while [ -e "$1/asked$n" ]; do n=$((n + 1)); done
echo "$CORDON_CA_PERMITTED" > "$1/asked$n"
[ -n "$CORDON_DATABASE_URL" ] && touch "$1/leaked"
openssl x509 -req -days 90 -CA "$1/root.pem" -CAkey "$1/root.key" -copy_extensions copyall 2>/dev/null
cat "$1/root.pem"
`

/** What is refused with AUTHORITY_INVALID, as the command line tells it. */
async function said(attempt: () => unknown): Promise<string> {
  try {
    await attempt()
    return 'nothing was refused'
  } catch (error) {
    if (!(error instanceof CordonError) || error.code !== 'AUTHORITY_INVALID') throw error
    return [...error.problems.map(formatProblem), error.message].join('\n')
  }
}

function making(dir: string, rest: Partial<Making> = {}): Making {
  const made = { dir, owner: 'Acme', domains: undefined, now: Date.now() }
  return { ...made, passphrase: 'a passphrase of this test', ...rest }
}

function configOf(t: Test, intercept: string, files: Record<string, string> = {}): Config {
  const dir = t.testdir({
    ...files,
    'cordon.yaml': `proxy: {intercept: {enabled: true, services: [api.openai.com], ${intercept}}}\n`,
    data: {},
  })
  return loadConfig({ env: { CORDON_DATA_DIR: 'data' }, cwd: dir }).config
}
