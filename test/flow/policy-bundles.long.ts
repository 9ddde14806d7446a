// OPA itself on both ends: bundles that it built and signed are enforced here, and ours are verified and run there.

import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { env } from 'node:process'
import t from 'tap'
import { BundleServer } from '../support/bundle-server.ts'
import { company, keyWith } from '../support/company.ts'
import { hire } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { toolchain, withoutOpa } from '../support/policy-folder.ts'
import { freePort } from '../support/postgres.ts'
import { readiness } from '../support/running.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const missing = withoutOpa()
const OPA = toolchain().find() ?? ''

function policy(reason: string): string {
  return `# METADATA
# scope: package
# custom: {cordon: {id: from-bundle, priority: 900}}
package acme.bundle

deny contains data.acme.words.reason if input.resource.id == "open-chat"

deny contains "${reason}" if input.resource.id == "other-chat"
`
}

/** What `opa build -b` makes of these, signed where there is a key. */
function build(
  dir: string,
  files: Readonly<Record<string, string>>,
  signing: readonly string[] = [],
): Buffer {
  const source = join(dir, `source-${Math.random().toString(36).slice(2)}`)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(source, name, '..'), { recursive: true })
    writeFileSync(join(source, name), text)
  }
  const out = join(dir, 'bundle.tar.gz')
  execFileSync(OPA, ['build', '-b', '.', '-o', out, '--revision', 'r', ...signing], { cwd: source })
  return readFileSync(out)
}

t.test('bundles that OPA made', { skip: missing, timeout: 900_000 }, async (t) => {
  const place = await new Place().withStore()
  const standIn = await new StandIn().listen()
  const server = await new BundleServer().listen()
  let cordon: Running | undefined
  t.teardown(async () => {
    await cordon?.stop()
    server.close()
    standIn.close()
    place.remove()
  })
  const keys = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const privateKey = place.write('private.pem', keys.privateKey)
  place.write('public.pem', keys.publicKey)
  place.write('token', 'a-token\n')
  const claims = place.write('claims.json', '{"scope":"write"}')
  const signing = ['--signing-key', privateKey, '--claims-file', claims]
  // Spellings that a signature must not stumble over.
  const words = (reason: string): string =>
    `{"reason": ${JSON.stringify(reason)}, "numbers": [1.0, 1e3, 12345678901234567890, -0], "signs": "<&> \u2028 é \\u0007 😀"}`
  const offer = (reason: string, more: readonly string[] = signing): void =>
    server.offer(
      build(
        place.dir,
        { 'bundle.rego': policy(reason), 'acme/words/data.json': words(reason) },
        more,
      ),
    )
  place.configure(
    company(place, standIn.port, {
      policy: {
        dirs: ['policies'],
        bundles: [
          {
            name: 'acme',
            url: `http://127.0.0.1:${server.port}/bundles/acme.tar.gz`,
            token_file: 'token',
            public_key: 'public.pem',
            scope: 'write',
            poll_min: '200ms',
            poll_max: '400ms',
            long_poll: '10s',
          },
        ],
      },
    }),
  )
  const reason = async (host = 'chat.open.test'): Promise<string> => {
    const { status, body } = await ask(cordon?.proxyPort ?? 0, `http://${host}/`)
    return status === 403
      ? (/"message":"([^"]*?) \(decision/.exec(body)?.[1] ?? body)
      : String(status)
  }

  server.offer(Buffer.from('nothing'))
  const failed = await place.cordon(['start'])
  t.equal(failed.code, 1)
  t.match(
    failed.err,
    /"acme" cannot be had from .*never had before: the bundle is refused: it is no gzip/,
  )

  offer('first')
  cordon = await place.start()
  t.equal(await reason(), 'first')
  t.equal(await reason('chat.other.test'), 'first')
  t.match(server.asked.at(-1), { prefer: /modes=snapshot/ })

  const from = Date.now()
  offer('second')
  await eventually(reason, (text) => text === 'second')
  t.ok(Date.now() - from < 10_000, 'a long poll is answered at once')
  // What is in force is asked for again a moment later.
  await eventually(
    () => Promise.resolve(server.asked.at(-1)?.['if-none-match']),
    (etag) => etag === server.etag,
  )
  t.match(server.asked.at(-1), { prefer: 'modes=snapshot;wait=10' })

  for (const [name, bytes, why] of [
    ['not signed', () => build(place.dir, { 'bundle.rego': policy('x') }), /it is not signed/],
    [
      'for another scope',
      () => build(place.dir, { 'bundle.rego': policy('x') }, ['--signing-key', privateKey]),
      /for the scope/,
    ],
    [
      'with a policy that is wrong',
      () => build(place.dir, { 'bundle.rego': policy('x').replace('900', '9000') }, signing),
      /priority/,
    ],
    [
      'with an id that is here already',
      () =>
        build(place.dir, { 'bundle.rego': policy('x').replace('from-bundle', 'banned') }, signing),
      /\bbanned\b\W+ stands in/,
    ],
  ] as const) {
    const before = cordon.said.length
    server.offer(bytes())
    await cordon.hear(/a bundle is refused/, 20_000, before)
    t.match(cordon.said.slice(before), why, name)
    t.equal(await reason(), 'second', 'the last good one stays in force')
    t.match((await readiness(cordon)).body, /bundle_acme","ok":true,"detail":"refused: /)
  }
  const { code, err } = await place.cordon(['policy', 'status'])
  t.equal(code, 1)
  t.match(err, /bundle acme: .*banned/)

  await cordon.stop()
  const { port } = server
  server.close()
  cordon = await place.start()
  t.equal(await reason(), 'second', 'a start without the server')
  await eventually(
    async () => (await readiness(cordon)).body,
    (text) => text.includes('"detail":"away: '),
  )
  const again = await new BundleServer().listen(port)
  t.teardown(() => again.close())
  again.offer(
    build(
      place.dir,
      { 'bundle.rego': policy('third'), 'acme/words/data.json': words('third') },
      signing,
    ),
  )
  await eventually(reason, (text) => text === 'third')
})

t.test('OPA runs what is active in the store', { skip: missing, timeout: 900_000 }, async (t) => {
  const place = await new Place().withStore()
  let cordon: Running | undefined
  t.teardown(async () => {
    await cordon?.stop()
    place.remove()
  })
  const keys = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  place.write('private.pem', keys.privateKey)
  place.configure(
    company(place, 1, {
      policy: {
        dirs: ['policies'],
        bundle_signing: { key: 'private.pem', key_id: 'cordon', scope: 'read' },
      },
    }),
  )
  cordon = await place.start()
  await hire(place)
  const [maya, ben, reader, nobody] = await Promise.all([
    keyWith(place, 'policies:write', 'maya'),
    keyWith(place, 'policies:approve', 'ben'),
    keyWith(place, 'policies:read'),
    keyWith(place, 'decisions:read'),
  ])
  const get = (etag?: string, prefer?: string): Promise<Response> =>
    fetch(`${cordon?.api ?? ''}/v1/bundles/cordon.tar.gz`, {
      headers: {
        authorization: `Bearer ${reader}`,
        ...(etag === undefined ? {} : { 'if-none-match': etag }),
        ...(prefer === undefined ? {} : { prefer }),
      },
    })
  t.equal((await get()).status, 404)
  t.equal((await cordon.call('/v1/bundles/cordon.tar.gz', nobody)).status, 403)
  t.equal((await cordon.call('/v1/bundles/other.tar.gz', reader)).status, 404)

  const activate = async (text: string): Promise<void> => {
    const made = await cordon?.call('/v1/policies/push', maya, {
      files: [
        { path: 'bundle.rego', text },
        { path: 'acme/words/data.json', text: '{"reason":"stored"}' },
        { path: 'bundle_test.rego', text: 'package acme.bundle_test\n\ntest_it if true\n' },
      ],
      submit: true,
    })
    t.equal(made?.status, 200, JSON.stringify(made?.body))
    const files = (made?.body['files'] ?? []) as {
      policy_id: string
      version: string
      status: string
    }[]
    const written = files.filter(({ status }) => status === 'review')
    for (const { policy_id: id, version } of written) {
      const path = `/v1/policies/${encodeURIComponent(id)}/versions/${version}`
      t.equal((await cordon?.approve(path, ben))?.status, 200)
    }
    const [first, ...also] = written
    const done = await cordon?.call(
      `/v1/policies/${encodeURIComponent(first?.policy_id ?? '')}/versions/${first?.version ?? ''}/activate`,
      ben,
      { also: also.map(({ policy_id, version }) => ({ policy_id, version })) },
    )
    t.equal(done?.status, 200, JSON.stringify(done?.body))
  }
  await activate(policy('one'))
  const first = await get()
  t.equal(first.status, 200)
  t.equal(first.headers.get('content-type'), 'application/vnd.openpolicyagent.bundles')
  const etag = first.headers.get('etag') ?? ''
  t.match(etag, /^"[0-9a-f]{32}"$/)
  const same = await get(etag)
  t.equal(same.status, 304)
  t.equal(same.headers.get('content-type'), 'application/vnd.openpolicyagent.bundles')
  t.equal(same.headers.get('etag'), etag)
  const began = Date.now()
  t.equal((await get(etag, 'modes=snapshot,delta;wait=1')).status, 304)
  t.ok(Date.now() - began >= 900, 'it waited for a change')

  // The real client, which verifies and waits.
  const opaPort = await freePort()
  place.write(
    'opa.yaml',
    JSON.stringify({
      services: {
        cordon: { url: cordon.api, credentials: { bearer: { token: reader } } },
      },
      keys: { cordon: { algorithm: 'ES256', key: keys.publicKey } },
      bundles: {
        cordon: {
          service: 'cordon',
          resource: '/v1/bundles/cordon.tar.gz',
          signing: { keyid: 'cordon', scope: 'read' },
          polling: { min_delay_seconds: 1, max_delay_seconds: 2, long_polling_timeout_seconds: 10 },
        },
      },
    }),
  )
  const opa = spawn(
    OPA,
    [
      'run',
      '--server',
      '--addr',
      `127.0.0.1:${opaPort}`,
      '--config-file',
      join(place.dir, 'opa.yaml'),
      '--disable-telemetry',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...env } },
  )
  let said = ''
  opa.stderr.on('data', (part: Buffer) => {
    said += part.toString()
  })
  t.teardown(() => opa.kill('SIGKILL'))
  const decide = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${opaPort}/v1/data/acme/bundle/deny`, {
      method: 'POST',
      body: JSON.stringify({ input: { resource: { id: 'other-chat' } } }),
    }).catch(() => undefined)
    return response === undefined ? '' : response.text()
  }
  await eventually(decide, (text) => text.includes('"one"')).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${said}`)
  })
  await activate(policy('two'))
  await eventually(decide, (text) => text.includes('"two"'))
  t.notMatch(said, /"level":"error"/)
  const health = await fetch(`http://127.0.0.1:${opaPort}/health?bundles`)
  t.equal(health.status, 200)

  // The path that OPA's documentation uses.
  const plain = await fetch(`${cordon.api}/bundles/cordon.tar.gz`, {
    headers: { authorization: `Bearer ${reader}` },
  })
  t.equal(plain.status, 200)

  await t.test('a folder and the store in both directions', async (t) => {
    const pull = (args: readonly string[]) =>
      place.cordon(['policy', 'pull', join(place.dir, 'work'), ...args])
    const push = (args: readonly string[]) =>
      place.cordon(['policy', 'push', join(place.dir, 'work'), ...args])
    const pulled = await pull([])
    t.equal(pulled.code, 0, pulled.err)
    t.match(pulled.out, /3 written, 0 unchanged, 0 removed; sha256:/)
    t.match((await push([])).out, /0 created, 0 changed, 3 unchanged, 0 removed/)
    t.match((await pull([])).out, /0 written, 3 unchanged/)
    const file = join(place.dir, 'work/bundle.rego')
    writeFileSync(file, policy('three'))
    const refused = await pull([])
    t.equal(refused.code, 1)
    t.match(refused.err, /bundle.rego: was changed here/)
    t.match((await push(['--dry-run'])).out, /changed\s+from-bundle[^]*nothing was written/)
    const pushed = await push(['--commit', 'a'.repeat(40), '--branch', 'main', '--json'])
    t.match(JSON.parse(pushed.out), { files: [{ policy_id: /./, result: /./ }, {}, {}] })
    t.match((await push([])).out, /0 created, 0 changed, 3 unchanged/, 'once is enough')
    const shown = JSON.parse(
      (await place.cordon(['policy', 'show', 'from-bundle', '--json'])).out,
    ) as {
      versions: { git: unknown }[]
    }
    t.same(shown.versions[0]?.git, { commit: 'a'.repeat(40), branch: 'main' })
    const forced = await pull(['--force'])
    t.equal(forced.code, 0, forced.err)
    t.match(forced.out, /1 written, 2 unchanged/, 'what was written over is told')
    t.match(readFileSync(file, 'utf8'), /"two"/)
    const remote = await place.cordon([
      'policy',
      'pull',
      join(place.dir, 'elsewhere'),
      '--url',
      cordon?.api ?? '',
      '--key-file',
      place.write('reader.key', `${reader}\n`),
    ])
    t.equal(remote.code, 0, remote.err)
    t.match(remote.out, /3 written/)
    writeFileSync(file, policy('four').replace('900', 'nine'))
    const wrong = await push([])
    t.equal(wrong.code, 1)
    t.match(wrong.err, /bundle.rego:3:?\d*:? .*priority|bundle.rego.*priority/)
  })
})
