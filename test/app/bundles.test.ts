// Bundles as they are served, and as they are read from elsewhere, without a Cordon around them.

import { generateKeyPairSync } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { BundleSource } from '../../src/app/bundle-source.ts'
import { ServedBundle } from '../../src/app/served-bundle.ts'
import type { BundleSettings } from '../../src/config/bundles.ts'
import { openLog } from '../../src/observe/log.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { readBundle } from '../../src/policy/bundle/read-bundle.ts'
import { privateKeyOf, publicKeyOf } from '../../src/policy/bundle/signature.ts'
import { bundleForOpa, packStored } from '../../src/policy/bundle/stored-bundle.ts'
import type { PolicyRevisions, RevisionHead } from '../../src/store/policy-revisions.ts'

const PAIR = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

function stored(reason: string): ReturnType<typeof packStored> {
  const text = `package acme.bundle\n\ndeny contains "${reason}" if input.resource.ai\n`
  return packStored([{ path: 'bundle.rego', text }], [])
}

t.test('a change back is newer than what it takes back, wherever it is asked for', async (t) => {
  const [one, two] = [await stored('one'), await stored('two')]
  let head: RevisionHead = { revision: one.revision, number: 1, rejudge_number: 0 }
  const revisions = {
    head: async () => head,
    bundle: async (revision: string) => (revision === one.revision ? one : two).bundle,
  } as unknown as PolicyRevisions
  const key = join(t.testdir({ 'key.pem': PAIR.privateKey }), 'key.pem')
  const served = (): ServedBundle =>
    new ServedBundle(revisions, () => ({ key, key_id: '', scope: '' }))
  const verification = { key: publicKeyOf(PAIR.publicKey, 'public_key') }
  const serialOf = async (from: ServedBundle): Promise<number | undefined> => {
    const bytes = await (await from.current())?.bytes()
    return bytes === undefined ? undefined : (await readBundle(bytes, verification)).age.serial
  }
  const [here, there] = [served(), served()]
  t.equal(await serialOf(here), 1)
  const tag = (await here.current())?.etag
  head = { ...head, revision: two.revision, number: 2 }
  t.equal(await serialOf(there), 2)
  head = { ...head, revision: one.revision, number: 3 }
  t.equal(await serialOf(there), 3)
  t.equal(await serialOf(here), 3, 'one that was never asked for the second one tells the same')
  t.equal((await here.current())?.etag, (await there.current())?.etag)
  t.equal((await here.current())?.etag, tag, 'the same files have the same tag')
})

/** A server that answers when it is told to. */
async function serving(t: Test, answer: (response: ServerResponse, asked: number) => void) {
  let asked = 0
  const server = createServer((_incoming, response) => {
    asked += 1
    answer(response, asked)
  })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/bundle.tar.gz`
}

function sourceIn(dir: string, settings: Pick<BundleSettings, 'url' | 'public_key'>): BundleSource {
  return new BundleSource(
    {
      name: 'acme',
      allow_older: false,
      poll_min: 3_600_000,
      poll_max: 3_600_000,
      long_poll: 0,
      ...settings,
    },
    {
      dir,
      log: openLog({}, { write: () => true }),
      metrics: new Metrics(),
      take: () => Promise.resolve(),
      rejudge: () => undefined,
      onChanged: () => undefined,
    },
  )
}

t.test('where no key is configured any more nobody says how old a bundle is', async (t) => {
  const { bundle } = await stored('one')
  let bytes = await bundleForOpa(bundle, 5, { key: privateKeyOf(PAIR.privateKey, 'key') })
  const url = await serving(t, (response) => response.end(bytes))
  const dir = t.testdir()
  const signed = sourceIn(dir, { url, public_key: PAIR.publicKey })
  await signed.begin()
  await signed.close()
  bytes = await bundleForOpa(bundle, 6, undefined)
  const unsigned = sourceIn(dir, { url })
  t.type(await unsigned.begin(), 'string')
  await unsigned.close()
})

t.test('whoever asks for another look while one is under way gets one behind it', async (t) => {
  const { bundle } = await stored('one')
  const held = Promise.withResolvers<ServerResponse>()
  const again = Promise.withResolvers<void>()
  const url = await serving(t, (response, asked) => {
    if (asked === 2) held.resolve(response)
    else response.writeHead(200, { etag: '"1"' }).end(bundle)
    if (asked === 3) again.resolve()
  })
  const source = sourceIn(t.testdir(), { url })
  await source.begin()
  source.start()
  source.tryAgain()
  const response = await held.promise
  source.tryAgain()
  response.writeHead(304).end()
  await again.promise
  await source.close()
  t.pass()
})
