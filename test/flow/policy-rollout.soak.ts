// Stored policies reach every node: within seconds, whole, under load, and whatever a node does meanwhile.

import { connect, type Socket } from 'node:net'
import t from 'tap'
import { Publisher } from '../../src/governance/publisher.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { openStore } from '../../src/store/open.ts'
import { PolicyRevisions } from '../../src/store/policy-revisions.ts'
import { company, keyWith, loginOf } from '../support/company.ts'
import { hire } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { toolchain, withoutOpa } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { readiness } from '../support/running.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const missing = noPostgres() || withoutOpa()
/** On a machine that does other things too. */
const PATIENCE_MS = 90_000

/** Two policies, in both languages, that say which revision they are of; neither refuses anything. */
function revisionNamed(name: string): { readonly path: string; readonly text: string }[] {
  return [
    {
      path: 'one.rego',
      text: `# METADATA
# scope: package
# custom: {cordon: {id: one, mode: warn, scope: {categories: [chat]}}}
package stored.one

deny contains "${name}1" if input.resource.host == "chat.open.test"
`,
    },
    {
      path: 'two.cedar',
      text: `@id("two")
@mode("warn")
@reason("${name}2")
forbid (principal, action, resource in Cordon::Category::"chat");
`,
    },
  ]
}

/** One that refuses. */
function denying(reason: string): { readonly path: string; readonly text: string }[] {
  return [
    {
      path: 'deny.cedar',
      text: `@id("deny")
@priority("900")
@reason("${reason}")
forbid (principal, action, resource in Cordon::Category::"chat");
`,
    },
  ]
}

t.test('stored policies reach the nodes', { skip: missing, timeout: 900_000 }, async (t) => {
  const postgres = await startPostgres()
  const standIn = await new StandIn((incoming, response) => {
    if (incoming.url?.startsWith('/stream') === true) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: {"n":1}\n\n')
    } else response.end('ok')
  }).listen()
  const [gate, desk] = [new Place(), new Place()]
  const running: Running[] = []
  const sockets: Socket[] = []
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await Promise.all(running.map((each) => each.stop()))
    standIn.close()
    await postgres.stop()
    gate.remove()
    desk.remove()
  })
  const database = await postgres.database()
  for (const place of [gate, desk])
    place.configure(
      company(place, standIn.port, {
        database_url: database,
        policy: { dirs: ['policies'], mode: 'enforce' },
        proxy: { workers: 2 },
      }),
    )
  const [gateway, control] = await Promise.all([
    gate.start({ role: 'gateway' }),
    desk.start({ role: 'control' }),
  ])
  running.push(gateway, control)
  await hire(desk)
  const [maya, key] = await Promise.all([
    loginOf(desk, 'maya'),
    keyWith(desk, 'policies:read,decisions:read'),
  ])

  const store = await openStore({
    databaseUrl: database,
    dataDir: desk.dataDir,
    migrationsDir: 'migrations',
    log: { warn: () => undefined } as never,
  })
  t.teardown(() => store.close())
  const revisions = new PolicyRevisions(store.db, 'default')
  const publisher = new Publisher({
    revisions,
    load: () => ({
      dirs: [],
      combining: RULES,
      toolchain: toolchain(),
      builtins: createHostBuiltins(),
      cacheDir: `${desk.dir}/cache`,
    }),
  })
  const publish = (name: string): Promise<{ readonly revision: string }> =>
    publisher.publish(revisionNamed(name), { rejudge: false }, store.db)
  /** What the policies warn of, or refuse with; `200` where they say nothing. */
  const reason = async (): Promise<string> => {
    const { status, headers, body } = await ask(gateway.proxyPort, 'http://chat.open.test/', {
      login: maya,
    })
    const denied = /"message":"([^"]*?) \(decision/.exec(body)?.[1]
    return denied ?? String(headers['x-cordon-warning'] ?? status)
  }
  const becomes = (wanted: string): Promise<string> =>
    eventually(reason, (text) => text === wanted, PATIENCE_MS)
  const rollout = async () => (await control.call('/v1/policies/status', key)).body

  await t.test('a new revision is in force on every node', async (t) => {
    t.equal(await reason(), '200')
    const { revision } = await publish('A')
    t.equal(await eventually(reason, (text) => text !== '200', PATIENCE_MS), 'A1; A2')
    const status = await eventually(
      rollout,
      ({ nodes }) =>
        (nodes as { current: boolean }[]).filter(({ current }) => current).length === 2,
    )
    t.match(status, { head: { revision, number: 1 }, nodes: [{ revision }, { revision }] })
  })

  await t.test(
    'fifty swaps under load: each request sees one revision, and none fails',
    async (t) => {
      const seen = new Map<string, number>()
      const load = { goes: true }
      const asking = Array.from({ length: 3 }, async () => {
        while (load.goes) {
          const text = await reason().catch((error: unknown) => String(error))
          seen.set(text, (seen.get(text) ?? 0) + 1)
        }
      })
      for (let swap = 0; swap < 50; swap++) {
        const { revision } = await publish(swap % 2 === 0 ? 'B' : 'C')
        await eventually(
          async () => (await revisions.nodes()).map((node) => node.revision),
          (all) => all.every((one) => one === revision),
          PATIENCE_MS,
        )
      }
      load.goes = false
      await Promise.all(asking)
      t.same(
        [...seen.keys()].filter((text) => !['A1; A2', 'B1; B2', 'C1; C2'].includes(text)),
        [],
        JSON.stringify([...seen]),
      )
      t.ok((seen.get('B1; B2') ?? 0) > 0 && (seen.get('C1; C2') ?? 0) > 0)
    },
  )

  await t.test('a reload and a revision do not undo each other', async (t) => {
    await publish('D')
    await becomes('D1; D2')
    t.match(await gateway.reload(), /"msg":"reloaded"/)
    t.equal(await reason(), 'D1; D2')
  })

  await t.test(
    'a revision that does not fit a node is refused there, and told everywhere',
    async (t) => {
      gate.write(
        'policies/twin.cedar',
        '@id("two")\n@priority("1")\n@mode("audit")\nforbid (principal, action, resource);\n',
      )
      t.match(
        await gateway.reload(),
        /reload refused/,
        'nor does a folder that clashes with the store',
      )
      gate.write(
        'policies/twin.cedar',
        '@id("three")\n@priority("1")\n@mode("audit")\nforbid (principal, action, resource);\n',
      )
      t.match(await gateway.reload(), /"msg":"reloaded"/)
      const clash = [
        ...revisionNamed('E'),
        { path: 'clash.cedar', text: '@id("three")\nforbid (principal, action, resource);\n' },
      ]
      await publisher.publish(clash, { rejudge: false }, store.db)
      await gateway.hear(/stored policies are refused/)
      t.equal(await reason(), 'D1; D2', 'the last good one stays')
      t.match(
        (await readiness(gateway)).body,
        /"stored_policies","ok":true,"detail":"sha256:\w+ is refused: .*three/,
      )
      const { nodes } = await eventually(rollout, ({ nodes: all }) =>
        JSON.stringify(all).includes('three'),
      )
      t.match(
        (nodes as { role: string }[]).find(({ role }) => role === 'gateway'),
        { current: false, problems: [{ message: /the id "three" stands in/ }] },
      )
      const { code, err, out } = await eventually(
        () => desk.cordon(['policy', 'status']),
        ({ out: text }) => /control\s+current/.test(text),
        PATIENCE_MS,
      )
      t.equal(code, 1)
      t.match(err, /refuses sha256:[0-9a-f]{12}: .*three/)
      t.match(out, /gateway\s+refuses/)
      // Whatever is published next is taken.
      await publish('F')
      await becomes('F1; F2')
    },
  )

  await t.test('what is open is judged again where the change says so', async (t) => {
    await publisher.publish([], { rejudge: false }, store.db)
    await becomes('200')
    const stream = connect(gateway.proxyPort, '127.0.0.1')
    sockets.push(stream)
    let heard = ''
    stream.on('data', (part: Buffer) => {
      heard += part.toString()
    })
    stream.write(
      `GET http://chat.open.test/stream HTTP/1.1\r\nHost: chat.open.test\r\nProxy-Authorization: Basic ${Buffer.from(maya).toString('base64')}\r\n\r\n`,
    )
    await eventually(
      async () => heard,
      (text) => text.includes('"n":1'),
    )
    await publisher.publish(denying('G'), { rejudge: false }, store.db)
    await becomes('G')
    t.notMatch(heard, /"G /, 'a change that does not ask for it leaves what is open')
    await publisher.publish(denying('H'), { rejudge: true }, store.db)
    await eventually(
      async () => heard,
      (text) => text.includes('0\r\n\r\n'),
    )
    const [, id = ''] =
      /data: \{"error":\{"message":"H \(decision ([-0-9a-f]{36})\)"/.exec(heard) ?? []
    t.not(id, '')
    running.push(await gate.start({ role: 'recorder' }))
    const { body } = await eventually(
      () => control.call(`/v1/decisions/${id}`, key),
      ({ status }) => status === 200,
      // Behind everything that was decided since the gateway started.
      2 * PATIENCE_MS,
    )
    t.match(body, { decision: 'DENY', reason: 'H', user: { name: 'maya' } })
  })
})
