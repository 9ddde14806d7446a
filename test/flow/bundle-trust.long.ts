// Whether a bundle that was signed is still believed: an older one that is served in place of a newer one, and a public
// key that has changed while the server says that nothing has.

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BundleServer } from '../support/bundle-server.ts'
import { company } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'
import { toolchain, withoutOpa } from '../support/policy-folder.ts'
import { readiness } from '../support/running.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const OPA = toolchain().find() ?? ''
const HOUR_S = 3600
const now = Math.floor(Date.now() / 1000)

interface Built {
  readonly key: string
  readonly iat?: number
  readonly exp?: number
  readonly serial?: number
}

/** What `opa build` makes and signs: a policy that refuses with this reason. */
function build(place: Place, reason: string, { key, iat, exp, serial }: Built): Buffer {
  const source = join(place.dir, `source-${reason}`)
  mkdirSync(source, { recursive: true })
  writeFileSync(
    join(source, 'bundle.rego'),
    `# METADATA
# scope: package
# custom: {cordon: {id: from-bundle, priority: 900}}
package acme.bundle

deny contains "${reason}" if input.resource.id == "open-chat"
`,
  )
  writeFileSync(
    join(source, '.manifest'),
    JSON.stringify({
      revision: reason,
      roots: ['acme'],
      ...(serial === undefined ? {} : { metadata: { cordon: { serial } } }),
    }),
  )
  const claims = place.write('claims.json', JSON.stringify({ iat, exp }))
  const out = join(place.dir, 'bundle.tar.gz')
  execFileSync(
    OPA,
    ['build', '-b', '.', '-o', out, '--signing-key', key, '--claims-file', claims],
    { cwd: source },
  )
  return readFileSync(out)
}

t.test('a bundle that was signed once', { skip: withoutOpa(), timeout: 600_000 }, async (t) => {
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
  const pair = (name: string): { readonly key: string; readonly pem: string } => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    return { key: place.write(`${name}.pem`, privateKey), pem: publicKey }
  }
  const first = pair('first')
  const second = pair('second')
  place.write('public.pem', first.pem)
  const configure = (more: object = {}): void =>
    place.configure(
      company(place, standIn.port, {
        policy: {
          dirs: ['policies'],
          bundles: [
            {
              name: 'acme',
              url: `http://127.0.0.1:${server.port}/bundle.tar.gz`,
              token: 'a-token',
              public_key: 'public.pem',
              poll_min: '200ms',
              poll_max: '400ms',
              ...more,
            },
          ],
        },
      }),
    )
  configure()
  const reason = async (): Promise<string> => {
    const { status, body } = await ask(cordon?.proxyPort ?? 0, 'http://chat.open.test/')
    return status === 403 ? (/"message":"([^"]*?) \(decision/.exec(body)?.[1] ?? body) : `${status}`
  }
  const offer = (name: string, built: Omit<Built, 'key'>, key = first.key): void =>
    server.offer(build(place, name, { key, ...built }))
  const takes = async (name: string, built: Omit<Built, 'key'>): Promise<void> => {
    offer(name, built)
    await eventually(reason, (text) => text === name)
  }
  const refuses = async (name: string, built: Omit<Built, 'key'>, why: RegExp): Promise<void> => {
    if (cordon === undefined) return
    const [before, inForce] = [cordon.said.length, await reason()]
    offer(name, built)
    await cordon.hear(/a bundle is refused/, 20_000, before)
    t.match(cordon.said.slice(before), why, name)
    t.equal(await reason(), inForce, 'the last good one stays in force')
  }

  offer('plain', {})
  cordon = await place.start()
  t.equal(await reason(), 'plain')
  await takes('other', {})
  await takes('plain', {})

  await t.test('an older one is not taken in place of a newer one', async (t) => {
    await takes('hour', { iat: now - HOUR_S })
    await takes('now', { iat: now })
    await refuses('hour', { iat: now - HOUR_S }, /it is older than the one in force: iat in its/)
    await refuses('plain', {}, /it has no iat in its signature, and the one in force has/)
    await refuses('future', { iat: now + 2 * HOUR_S }, /it was signed in the future/)
    await refuses('over', { iat: now, exp: now - HOUR_S }, /its signature expired at/)
    t.match((await readiness(cordon as Running)).body, /bundle_acme","ok":true,"detail":"refused: /)
    await takes('four', { iat: now, serial: 4 })
    await refuses(
      'three',
      { iat: now + 1, serial: 3 },
      /metadata.cordon.serial in its manifest is 3/,
    )
    await takes('five', { iat: now, serial: 5 })
  })

  await t.test('a start remembers, also where the bundle is gone from the disk', async (t) => {
    offer('four', { iat: now, serial: 4 })
    await cordon?.stop()
    cordon = await place.start()
    await cordon.hear(/a bundle is refused/)
    t.equal(await reason(), 'five')
    await cordon.stop()
    const { sha256 } = JSON.parse(
      readFileSync(join(place.dataDir, 'bundles/acme/current.json'), 'utf8'),
    ) as { sha256: string }
    writeFileSync(join(place.dataDir, 'bundles/acme', sha256, 'bundle.tar.gz'), 'damaged')
    const { code, err } = await place.cordon(['start'])
    t.equal(code, 1)
    t.match(
      err,
      /the last good one cannot be used \(it is damaged\): .*older than the one in force/,
    )
  })

  await t.test('unless the settings say so', async (t) => {
    configure({ allow_older: true })
    cordon = await place.start()
    t.equal(await reason(), 'four')
    await cordon.stop()
    configure()
    cordon = await place.start()
    t.equal(await reason(), 'four')
    await refuses('three', { iat: now, serial: 3 }, /is 3, there 4/)
    await takes('five', { iat: now, serial: 5 })
  })

  await t.test('a key that has changed holds at once, whatever the server says', async (t) => {
    if (cordon === undefined) return
    server.tag = '"the same"'
    // It has been asked for once with the tag that stays.
    await eventually(
      () => Promise.resolve(server.asked.at(-1)?.['if-none-match']),
      (etag) => etag === '"the same"',
    )
    let from = cordon.said.length
    place.write('public.pem', second.pem)
    await cordon.hear(/public_key has changed, and the bundle in force does not hold/, 20_000, from)
    t.equal(await reason(), 'five', 'there is nothing better')
    t.match((await readiness(cordon)).body, /refused: in force although it does not hold under/)
    t.equal((await place.cordon(['policy', 'status'])).code, 1)

    from = cordon.said.length
    place.write('public.pem', first.pem)
    await cordon.reload()
    await cordon.hear(/public_key has changed; the bundle in force holds under it/, 20_000, from)
    await eventually(
      async () => (await readiness(cordon as Running)).body,
      (body) => !body.includes('refused'),
    )

    place.write('public.pem', second.pem)
    offer('six', { iat: now, serial: 6 }, second.key)
    await eventually(reason, (text) => text === 'six')
    t.notMatch((await readiness(cordon)).body, /refused/)
  })
})
