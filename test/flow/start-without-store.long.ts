// A gateway that starts while its store is away: it comes up with what was in force last, and what it decided meanwhile
// is in the store afterwards, each decision once.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { company, hire, keyWith } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { readiness } from '../support/running.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const PATIENCE_MS = 60_000

function policy(reason: string): string {
  return `@id("stored")
@priority("900")
@reason("${reason}")
forbid (principal, action, resource == Cordon::Service::"open-chat");
`
}

async function activate(
  cordon: Running,
  [maya, ben]: readonly [string, string],
  text: string,
): Promise<void> {
  const pushed = await cordon.call('/v1/policies/push', maya, {
    files: [{ path: 'stored.cedar', text }],
    submit: true,
  })
  const [file] = pushed.body['files'] as { policy_id: string; version: string }[]
  const at = `/v1/policies/stored/versions/${file?.version ?? ''}`
  const approved = await cordon.approve(at, ben)
  if (approved.status !== 200) throw new Error(JSON.stringify([pushed.body, approved.body]))
  const active = await cordon.call(`${at}/activate`, ben, {})
  if (active.status !== 200) throw new Error(JSON.stringify(active.body))
}

async function revisionIn(cordon: Running): Promise<string> {
  const { body } = await readiness(cordon)
  return /sha256:[0-9a-f]{64}/.exec(body)?.[0] ?? body
}

t.test('the store is away at the start', { skip: noPostgres(), timeout: 600_000 }, async (t) => {
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const standIn = await new StandIn().listen()
  t.teardown(() => standIn.close())
  const place = new Place()
  let cordon: Running | undefined
  t.teardown(async () => {
    await cordon?.stop()
    place.remove()
  })
  const url = await postgres.database()
  place.configure(company(place, standIn.port, { database_url: url }))

  let asked = 0
  const reason = async (): Promise<string> => {
    const { status, body } = await ask(cordon?.proxyPort ?? 0, 'http://chat.open.test/')
    asked += 1
    return status === 403 ? (/"message":"([^"]*?) \(decision/.exec(body)?.[1] ?? body) : `${status}`
  }

  await t.test('whoever has never met a store does not start', async (t) => {
    const stranger = new Place()
    t.teardown(() => stranger.remove())
    stranger.configure(company(stranger, 1, { database_url: url.replace(/:\d+\//, ':1/') }))
    const { code, err } = await stranger.cordon(['start'])
    t.equal(code, 3)
    t.match(err, /STORE_UNAVAILABLE|the store cannot be used: .*ECONNREFUSED/)
    t.match(err, /has never met a store/)
  })

  cordon = await place.start()
  await hire(place)
  const keys = [
    await keyWith(place, 'policies:write', 'maya'),
    await keyWith(place, 'policies:approve', 'ben'),
  ] as const

  await t.test('nothing of the store was ever in force: folders decide', async (t) => {
    await cordon?.stop()
    await postgres.kill()
    cordon = await place.start()
    t.match(cordon.said, /the store is away: what was in force here last is begun with/)
    t.equal((await ask(cordon.proxyPort, 'http://openai.bad.test/')).status, 403)
    t.equal(await reason(), '200')
    await postgres.start()
    await cordon.hear(/the store is back/, PATIENCE_MS)
  })

  await activate(cordon, keys, policy('first'))
  await eventually(reason, (text) => text === 'first')
  await cordon.stop()
  await postgres.kill()

  await t.test('what the store had in force is in force', async (t) => {
    cordon = await place.start()
    t.equal(await reason(), 'first')
    const { status, body } = await readiness(cordon)
    t.equal(status, 200)
    t.match(body, /"store","ok":true,"detail":"away since before the start: .*ECONNREFUSED/)
    t.match(body, /"stored_policies","ok":true,"detail":"[^"]*in force as before: sha256:/)
    // And again, after the worst end.
    await cordon.stop('SIGKILL')
    cordon = await place.start()
    t.equal(await reason(), 'first')
  })

  await t.test('a gateway of its own comes up too; who has no traffic waits', async (t) => {
    await cordon?.stop()
    const control = await place.cordon(['start', '--role', 'control'])
    t.equal(control.code, 3)
    t.match(control.err, /the store cannot be used/)
    cordon = await place.start({ role: 'gateway' })
    t.equal(await reason(), 'first')
    await cordon.stop()
    cordon = await place.start()
    t.equal(await reason(), 'first')
  })

  await t.test('it catches up, and nothing is lost or there twice', async (t) => {
    await postgres.start()
    await cordon?.hear(/the store is back: what waited for it begins/, PATIENCE_MS)
    const rows = await eventually(
      async () =>
        (await cordon?.export())?.filter(
          (row) => (row['resource'] as { id?: string }).id === 'open-chat',
        ),
      (found) => (found?.length ?? 0) >= asked,
      PATIENCE_MS,
    )
    t.equal(rows?.length, asked)
    t.equal(new Set(rows?.map((row) => row['decision_id'])).size, asked)
    if (cordon === undefined) return
    await eventually(
      async () => (await readiness(cordon as Running)).body,
      (body) => !body.includes('away'),
    )
    await activate(cordon, keys, policy('second'))
    await eventually(reason, (text) => text === 'second')
  })

  await t.test('a server that hangs is away, too', async () => {
    await cordon?.stop()
    postgres.pause()
    try {
      cordon = await place.start()
      t.equal(await reason(), 'second')
    } finally {
      postgres.resume()
    }
    await cordon.hear(/the store is back/, PATIENCE_MS)
  })

  await t.test('what lies on the disk must be what it says it is', async (t) => {
    if (cordon === undefined) return
    await eventually(
      async () => (await readiness(cordon as Running)).body,
      (body) => !body.includes('away'),
    )
    await cordon.stop()
    await postgres.kill()
    cordon = await place.start()
    const revision = await revisionIn(cordon)
    await cordon.stop()
    const folder = join(place.dataDir, 'policies', revision.replace('sha256:', ''))
    writeFileSync(join(folder, 'stored.cedar'), policy('forged'))
    cordon = await place.start()
    t.equal(await reason(), 'second', 'a folder is made again from its bundle')
    await cordon.stop()
    writeFileSync(join(folder, 'bundle.tar.gz'), 'forged')
    const { code, err } = await place.cordon(['start'])
    t.equal(code, 3)
    t.match(err, /the stored policies cannot be had .* none that were in force here before/)
    await postgres.start()
    cordon = await place.start()
    t.equal(await reason(), 'second', 'and from the store, once it is back')
  })
})
