// A stored policy through the whole program: by its API and its command line, to what is enforced and back.

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../support/command-line.ts'
import { hire, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'

const SERVICES = `
vendor: Test
services:
  - {id: open-chat, name: Open Chat, service_type: chat, protocol: openai, domains: [chat.open.test], approval_status: approved}
`
const FOLDER = `@id("of-folder")
forbid (principal, action, resource == Cordon::Service::"nothing");
`
const policy = (id: string, more = ''): string =>
  `@id("${id}")\n@reason("${id} says no")\n${more}forbid (principal, action, resource == Cordon::Service::"open-chat");\n`

t.test('the life of a stored policy', async (t) => {
  const place = await new Place().withStore()
  t.teardown(() => place.remove())
  place.write('signatures/ours.yaml', SERVICES)
  const folderFile = place.write('policies/ours.cedar', FOLDER)
  place.configure({ signatures: { dirs: ['signatures'] }, policy: { dirs: ['policies'] } })
  await hire(place)
  const cordon = await place.start()
  t.teardown(() => cordon.stop())
  const maya = await keyWith(place, 'policies:write', 'maya')
  const ben = await keyWith(place, 'policies:approve', 'ben')
  const reader = await keyWith(place, 'policies:read')
  const asking = await keyWith(place, 'decisions:write')
  const decide = async (): Promise<unknown> => {
    const { body } = await cordon.call('/v1/decisions', asking, {
      action: 'send_prompt',
      resource: { url: 'http://chat.open.test/' },
    })
    return body['decision']
  }
  const send = (method: string, path: string, key: string, body?: unknown, etag?: string) =>
    ask(cordon, method, path, key, body, etag)

  await t.test('by the API, enforced within seconds', async (t) => {
    t.equal(await decide(), 'ALLOW')
    const made = await send('POST', '/v1/policies', maya, { text: policy('no-chat') })
    t.match(made, {
      status: 201,
      etag: '"1"',
      location: '/v1/policies/no-chat/versions/1.0.0',
      body: { policy_id: 'no-chat', status: 'draft', contributors: [{ name: 'maya' }] },
    })
    const at = '/v1/policies/no-chat/versions/1.0.0'
    const text = policy('no-chat', '@priority("800")\n')
    t.equal((await send('PUT', at, maya, { text })).status, 428)
    t.equal((await send('PUT', at, maya, { text }, '"7"')).status, 412)
    t.equal((await send('PUT', at, maya, { text }, 'W/"1"')).status, 412, 'weak tags match nothing')
    t.match(await send('PUT', at, maya, { text }, '"1"'), { status: 200, etag: '"2"' })
    t.match(await send('PUT', at, maya, { text: policy('no-chat') }, '"1"'), {
      status: 412,
      body: { code: 'STALE', errors: [{ pointer: '/text' }, { pointer: '/metadata' }] },
    })
    t.equal((await send('POST', `${at}/validate`, reader)).status, 403, 'it runs code')
    t.match(await send('POST', `${at}/validate`, maya), { status: 200, body: { valid: true } })
    t.equal((await send('POST', `${at}/approve`, ben)).status, 409)
    t.equal((await send('POST', `${at}/submit`, maya, {})).status, 200)
    t.equal((await send('POST', `${at}/approve`, maya)).status, 403, 'no such scope')
    for (const edition of [undefined, '*'])
      t.match(await send('POST', `${at}/approve`, ben, {}, edition), {
        status: 428,
        body: { code: 'UNSEEN', detail: /edition 3/ },
      })
    t.match(await send('POST', `${at}/approve`, ben, { comment: 'fine' }, '"2"'), { status: 412 })
    t.match(await send('POST', `${at}/approve`, ben, { comment: 'fine' }, '"3"'), { status: 200 })
    t.match(await send('POST', `${at}/activate`, ben), {
      status: 200,
      body: { revision: /^sha256:/, versions: [{ status: 'active' }] },
    })
    await eventually(decide, (decision) => decision === 'DENY')
    t.match(await send('GET', '/v1/policies', reader), {
      status: 200,
      body: {
        items: [
          { policy_id: 'no-chat', origin: 'store', priority: 800 },
          { policy_id: 'of-folder', origin: 'folder', path: folderFile },
        ],
        next_cursor: null,
      },
    })
    t.match(await send('POST', `${at}/archive`, ben, { rejudge: true }), { status: 200 })
    await eventually(decide, (decision) => decision === 'ALLOW')
    t.match(await send('POST', '/v1/policies/no-chat/rollback', ben, { comment: 'after all' }), {
      status: 200,
      body: { versions: [{ status: 'active' }] },
    })
    await eventually(decide, (decision) => decision === 'DENY')
  })

  await t.test('who may, and what is refused with its place', async (t) => {
    const both = (
      await place.done(
        'key create --name both --scope policies:write,policies:approve --user maya'.split(' '),
      )
    ).trim()
    const nobody = await keyWith(place, 'admin')
    t.match(await send('POST', '/v1/policies', reader, { text: policy('x') }), { status: 403 })
    t.match(await send('POST', '/v1/policies', nobody, { text: policy('x') }), { status: 403 })
    t.match(await send('POST', '/v1/policies', maya, { text: FOLDER }), {
      status: 409,
      body: { detail: new RegExp(`${folderFile}:1`) },
    })
    t.match(await send('POST', '/v1/policies', maya, { text: 'forbid (' }), {
      status: 422,
      body: { errors: [{ pointer: '/text', detail: /^policy\.cedar:1:/ }] },
    })
    t.match(await send('POST', '/v1/policies', maya, { text: policy('x'), extra: 1 }), {
      status: 400,
      body: { errors: [{ pointer: '/extra' }] },
    })
    const long = policy('x', `// ${'x'.repeat(300_000)}\n`)
    t.match(await send('POST', '/v1/policies', maya, { text: long }), {
      status: 400,
      body: { errors: [{ pointer: '/text', detail: /256 KiB/ }] },
    })
    t.equal((await send('GET', '/v1/policies/none', reader)).status, 404)
    const name = `lib/${'d'.repeat(150)}.rego`
    t.match(
      await send('POST', '/v1/policies', maya, { text: 'package lib.d\n\nx := 1\n', path: name }),
      { status: 201 },
    )
    t.match(await send('GET', `/v1/policies/${encodeURIComponent(name)}`, reader), {
      status: 200,
      body: { type: 'library' },
    })
    t.equal((await send('POST', '/v1/policies', both, { text: policy('own') })).status, 201)
    const own = '/v1/policies/own/versions/1.0.0'
    t.equal((await send('POST', `${own}/submit`, both)).status, 200)
    t.match(await send('POST', `${own}/approve`, both), {
      status: 403,
      body: { code: 'OWN_VERSION' },
    })
  })

  await t.test('by the command line', async (t) => {
    const file = join(place.dir, 'strict.cedar')
    writeFileSync(file, policy('strict', '@priority("900")\n'))
    const keyFile = place.write('ben.key', `${ben}\n`)
    t.match(await place.done(['policy', 'create', file]), /^strict 1\.0\.0 is a draft/)
    t.match(await place.done(['policy', 'submit', 'strict']), /is in review, edition 2/)
    const own = await place.cordon(['policy', 'approve', 'strict'])
    t.equal(own.code, 1)
    t.match(own.err, /you wrote some of "strict" 1\.0\.0/)
    t.equal((await place.cordon(['policy', 'activate', 'strict'])).code, 1)
    const approve = ['policy', 'approve', 'strict', '--key', keyFile]
    const unseen = await place.cordon(approve)
    t.equal(unseen.code, 2)
    t.match(unseen.err, /edition 2 now \(--edition 2/)
    t.match(await place.done([...approve, '--edition', '2']), /is approved/)
    // Behind the start of a command, also on a machine that has much to do.
    const soon = new Date(Date.now() + 15_000).toISOString()
    t.match(await place.done(['policy', 'activate', 'strict', '--at', soon]), /becomes active at/)
    await eventually(
      async () =>
        JSON.parse(await place.done(['policy', 'show', 'strict', '--json'])) as { status: string },
      ({ status }) => status === 'active',
      60_000,
    )
    writeFileSync(file, policy('strict', '@priority("901")\n'))
    t.match(await place.done(['policy', 'edit', 'strict', file]), /^strict 1\.0\.1 is a new draft/)
    t.match(
      await place.done(['policy', 'compare', 'strict']),
      /^1\.0\.0, edition \d -> 1\.0\.1, edition 1\npriority: 900 -> 901\n[^]*\n--- strict/,
    )
    t.match(await place.done(['policy', 'validate', 'strict']), /is valid/)
    const bad = join(place.dir, 'bad.cedar')
    writeFileSync(bad, policy('bad').replace('resource ==', 'resource in'))
    t.equal((await place.cordon(['policy', 'validate', file])).code, 0)
    writeFileSync(
      bad,
      '@id("bad")\nforbid (principal, action, resource) when { context.bytes > 1 };\n',
    )
    const refused = await place.cordon(['policy', 'validate', bad])
    t.equal(refused.code, 1)
    t.match(refused.err, /bad|policy\.cedar:2/)
    const rows = JSON.parse(await place.done(['policy', 'list', '--json'])) as {
      id: string
      origin: string
    }[]
    t.match(
      rows.filter(({ id }) => id === 'strict' || id === 'of-folder'),
      [
        { id: 'of-folder', origin: 'folder', status: 'active' },
        { id: 'strict', origin: 'store', status: 'active', version: '1.0.0' },
      ],
    )
    t.match(await place.done(['policy', 'show', 'strict@1.0.0']), /approved by: ben/)
  })

  await t.test('at a terminal a version is shown, and what was shown is approved', async (t) => {
    const file = join(place.dir, 'shown.cedar')
    // With a character that turns what stands behind it around.
    writeFileSync(file, policy('shown', '@mode("audit")\n@description("no\u202eth")\n'))
    await place.done(['policy', 'create', file, '--summary', 'only looks'])
    await place.done(['policy', 'submit', 'shown'])
    const args = ['policy', 'approve', 'shown', '--key', place.write('ben.key', ben)]
    const answer = (input: string) =>
      run([...args, '--config', place.file], { input, isTerminal: true })
    const no = await answer('\n')
    t.equal(no.code, 1)
    t.match(no.out, /^shown 1\.0\.0, written by os:.*: only looks\n[^]*no\\u\{202e\}th/)
    t.match(no.err, /Approve edition 2 of shown 1\.0\.0\? \[y\/N\] shown 1\.0\.0 was not approved/)
    const yes = await answer('y\n')
    t.equal(yes.code, 0, yes.err)
    t.match(yes.out, /shown 1\.0\.0 is approved\n$/)
    t.match(await answer('y\n'), { code: 1, err: /is approved: only what is in review/ })
  })

  await t.test('at a terminal nothing is left out that nobody has approved', async (t) => {
    const file = join(place.dir, 'twice.cedar')
    const until = '2099-01-01T00:00:00.000Z'
    writeFileSync(file, policy('twice', '@description("first")\n@priority("7")\n'))
    await place.done(['policy', 'create', file])
    writeFileSync(file, policy('twice', '@description("second")\n@priority("7")\n'))
    await place.done(['policy', 'edit', 'twice', file, '--as', '1.0.1', '--until', until])
    await place.done(['policy', 'submit', 'twice@1.0.1'])
    const key = place.write('ben.key', ben)
    const asked = await run(['policy', 'approve', 'twice', '--key', key, '--config', place.file], {
      input: '\n',
      isTerminal: true,
    })
    t.match(asked.out, `twice 1.0.1, written by os:`)
    t.match(asked.out, `, until ${until}\n`)
    t.ok(asked.out.endsWith(policy('twice', '@description("second")\n@priority("7")\n')), asked.out)
  })

  await t.test('a commit is recorded where the file is as it was committed', async (t) => {
    const dir = join(place.dir, 'repo')
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', dir, '-c', 'user.name=t', '-c', 'user.email=t@t.test', ...args], {
        encoding: 'utf8',
      }).trim()
    const file = place.write('repo/committed.cedar', policy('committed', '@mode("audit")\n'))
    git('init', '--quiet', '--initial-branch', 'rules')
    git('add', '.')
    git('commit', '--quiet', '-m', 'first')
    await place.done(['policy', 'create', file, '--git'])
    const shown = JSON.parse(
      await place.done(['policy', 'show', 'committed@1.0.0', '--json']),
    ) as object
    t.match(shown, { git: { commit: git('rev-parse', 'HEAD'), branch: 'rules' } })
    writeFileSync(file, policy('committed'))
    const refused = await place.cordon(['policy', 'edit', 'committed', file, '--git'])
    t.equal(refused.code, 2)
    t.match(refused.err, /commit it first/)
  })

  await t.test('every change is an audit event, and nothing runs while it is off', async (t) => {
    const kept = await eventually(
      () => cordon.export('audit_events'),
      (rows) => rows.some(({ event_type: type }) => type === 'policy_rolled_back'),
    )
    const of = (type: string) => kept.filter(({ event_type: found }) => found === type)
    t.match(of('policy_created')[0], {
      target_id: 'no-chat',
      actor_name: 'maya',
      changes: { after: { status: 'draft' } },
    })
    t.match(
      of('policy_created').find(({ target_id: id }) => id === 'strict'),
      {
        actor_name: /^os:/,
        actor_id: null,
      },
    )
    t.ok(of('policy_approval_refused').length >= 2)
    t.equal(await cordon.stop(), 0)
    t.match(await place.done(['policy', 'show', 'strict']), /1\.0\.1/, 'over its own store')
    const own = await place.cordon(['policy', 'submit', 'strict'])
    t.equal(own.code, 0, own.err)
    t.equal((await place.cordon(['policy', 'approve', 'strict'])).code, 1, 'the same author')
  })
})

async function ask(
  cordon: Running,
  method: string,
  path: string,
  key: string,
  body?: unknown,
  etag?: string,
) {
  const response = await fetch(`${cordon.api}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(etag === undefined ? {} : { 'if-match': etag }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return {
    status: response.status,
    etag: response.headers.get('etag'),
    location: response.headers.get('location'),
    body: (await response.json()) as Record<string, unknown>,
  }
}
