// Bundles: the same files are the same bytes, nothing reaches beyond its folder, and only what was signed passes.

import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { CordonError } from '../../../src/base/errors.ts'
import { ageOf, checkAge } from '../../../src/policy/bundle/age.ts'
import { packArchive, unpackArchive } from '../../../src/policy/bundle/archive.ts'
import { fileHash } from '../../../src/policy/bundle/file-hash.ts'
import { manifestOf, readManifest } from '../../../src/policy/bundle/manifest.ts'
import { readBundle } from '../../../src/policy/bundle/read-bundle.ts'
import { signatureOf, type Verification } from '../../../src/policy/bundle/signature.ts'
import { bundleForOpa, packStored, revisionOf } from '../../../src/policy/bundle/stored-bundle.ts'
import { type ArchiveFile, packTar, readTar } from '../../../src/policy/bundle/tar.ts'

const BOUNDS = { files: 100, fileBytes: 10_000 }
const POLICY = 'package acme.pii\n\ndeny if input.user.name == "x"\n'

function files(texts: Readonly<Record<string, string>>): ArchiveFile[] {
  return Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) }))
}

/** What a bundle is refused with; undefined: it passes. */
async function refusal(run: () => unknown): Promise<string | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    if (error instanceof CordonError && error.code === 'BUNDLE_INVALID') return error.message
    throw error
  }
}

t.test('files come out as they went in, and the same files are the same bytes', async (t) => {
  const long = `${'folder/'.repeat(30)}policy.rego`
  const packed = files({ 'a.rego': POLICY, [long]: 'long', 'zahlen/ä.cedar': 'ü', empty: '' })
  const unpacked = await unpackArchive(await packArchive(packed))
  t.same(
    unpacked.map(({ path, bytes }) => [path, bytes.toString()]),
    packed.map(({ path, bytes }) => [path, bytes.toString()]),
  )
  t.ok((await packArchive(packed)).equals(await packArchive(packed)))
})

/** A header with other fields than ours, its sum made right. */
function changed(tar: Buffer, at: number, text: string): Buffer {
  const copy = Buffer.from(tar)
  copy.write(text, at, 'latin1')
  copy.write('        ', 148, 'latin1')
  let total = 0
  for (const byte of copy.subarray(0, 512)) total += byte
  copy.write(`${total.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return copy
}

t.test('what could reach beyond its folder is refused', async (t) => {
  const tar = packTar(files({ 'policy.rego': POLICY }))
  for (const [name, bytes, why] of [
    ['climbing', changed(tar, 0, '../../etc/pw\0'), /no path below/],
    ['climbing inside', changed(tar, 0, 'a/../../b.rego\0'), /no path below/],
    ['dot inside', changed(tar, 0, 'a/./b.rego\0'), /no path below/],
    ['backslash', changed(tar, 0, 'a\\b.rego\0'), /no path below/],
    ['control characters', changed(tar, 0, 'a\nb.rego\0'), /no path below/],
    ['a symbolic link', changed(tar, 156, '2'), /is a symbolic link/],
    ['a hard link', changed(tar, 156, '1'), /is a link/],
    ['a device', changed(tar, 156, '3'), /is a device/],
    ['a pipe', changed(tar, 156, '6'), /is a pipe/],
    ['something unknown', changed(tar, 156, 'Z'), /no plain file/],
    ['a size that is none', changed(tar, 124, '9999'), /a size is malformed/],
    ['a size beyond the end', changed(tar, 124, '77777777777\0'), /in the middle/],
    ['a damaged header', Buffer.concat([Buffer.from('X'), tar.subarray(1)]), /damaged/],
    ['no end', tar.subarray(0, -1024), /before its end/],
    ['cut', tar.subarray(0, 520), /in the middle/],
    ['nothing', Buffer.alloc(0), /before its end/],
  ] as const)
    t.match(await refusal(() => readTar(Buffer.from(bytes), BOUNDS)), why, name)

  const twice = Buffer.concat([tar.subarray(0, -1024), tar])
  t.match(await refusal(() => readTar(twice, BOUNDS)), /stands in it twice/)
  const slashed = Buffer.concat([tar.subarray(0, -1024), changed(tar, 0, '/policy.rego\0')])
  t.match(await refusal(() => readTar(slashed, BOUNDS)), /stands in it twice/, 'under another name')
  t.match(await refusal(() => readTar(tar, { ...BOUNDS, files: 0 })), /more than 0 files/)
  t.match(await refusal(() => readTar(tar, { ...BOUNDS, fileBytes: 3 })), /larger than 3 bytes/)
})

t.test('an archive that unpacks to too much is not unpacked', async (t) => {
  const bomb = gzipSync(Buffer.alloc(300 * 1024 * 1024), { level: 1 })
  t.ok(bomb.length < 4 * 1024 * 1024)
  t.match(await refusal(() => unpackArchive(bomb)), /unpacks to more than/)
  t.match(await refusal(() => unpackArchive(Buffer.from('no archive'))), /no gzip archive/)
})

t.test('documents are hashed by what they say, everything else by its bytes', (t) => {
  const hash = (path: string, text: string): string | undefined =>
    fileHash(path, Buffer.from(text), 'SHA-256')
  t.equal(
    hash('data.json', '{"b": 1.0, "a": [true, null]}'),
    hash('x/data.json', ' {"a":[true,null],"b":1.0}\n'),
  )
  t.not(
    hash('data.json', '{"b": 1.0}'),
    hash('data.json', '{"b": 1}'),
    'numbers keep their spelling',
  )
  t.equal(hash('data.json', '{"a":"<&>"}'), hash('data.yaml', 'a: "<&>"'))
  t.not(hash('other.json', '{"a":1}'), hash('other.json', '{"a": 1}'))
  t.equal(fileHash('a', Buffer.from('x'), 'MD5'), undefined)
  t.equal(hash('a.rego', 'abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  t.end()
})

t.test('YAML that is enforced otherwise than it was signed is refused', async (t) => {
  const { privateKey, publicKey } = KEYS.ed
  const read = async (text: string): Promise<string | undefined> => {
    const bundle = await signed(files({ 'p.rego': POLICY, 'x/data.yaml': text }), privateKey)
    return refusal(() => readBundle(bundle, { key: publicKey }))
  }
  for (const text of ['a: yes', 'a: 010', 'on: 1', 'a: 1_000'])
    t.match(await read(text), /"x\/data.yaml" says one thing in YAML 1.1/, text)
  for (const text of ['a: .inf', '%YAML 1.1\n---\na: !!set {}'])
    t.match(
      await refusal(() => fileHash('data.yaml', Buffer.from(text), 'SHA-256')),
      /what JSON has not/,
      text,
    )
  for (const text of [
    'a: "yes"',
    'a: [true, 8, 1.5, null]',
    'a: 2026-01-02',
    'a: &b {c: d}\ne: *b',
  ])
    t.equal(await read(text), undefined, text)
})

const KEYS = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ec384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed: generateKeyPairSync('ed25519'),
}

async function signed(
  packed: readonly ArchiveFile[],
  key: KeyObject,
  more: { readonly keyId?: string; readonly scope?: string } = {},
): Promise<Buffer> {
  return packArchive([
    ...packed,
    { path: '.signatures.json', bytes: signatureOf(packed, { key, ...more }) },
  ])
}

t.test('a signed bundle is read with its key, of whatever kind', async (t) => {
  const packed = files({
    'p.rego': POLICY,
    'acme/data.json': '{"list": [1]}',
    '.manifest': '{"revision":"r1"}',
  })
  for (const [kind, { privateKey, publicKey }] of Object.entries(KEYS)) {
    const bundle = await signed(packed, privateKey)
    const read = await readBundle(bundle, { key: publicKey })
    t.equal(read.revision, 'r1', kind)
    t.same(
      read.files.map(({ path }) => path),
      ['p.rego', 'acme/data.json'],
    )
    const other = kind === 'rsa' ? KEYS.ec : KEYS.rsa
    t.match(await refusal(() => readBundle(bundle, { key: other.publicKey })), /does not fit/, kind)
  }
})

t.test('what is not exactly what was signed is refused', async (t: Test) => {
  const { privateKey, publicKey } = KEYS.ec
  const verification: Verification = { key: publicKey }
  const packed = files({ 'p.rego': POLICY, 'data.json': '{"acme":{"a":1}}' })
  const signature = { path: '.signatures.json', bytes: signatureOf(packed, { key: privateKey }) }
  const pack = (all: readonly ArchiveFile[]): Promise<Buffer> => packArchive(all)
  const [policy, data] = packed
  if (policy === undefined || data === undefined) return

  t.equal(
    await refusal(async () => readBundle(await pack([...packed, signature]), verification)),
    undefined,
  )
  const spaced = { ...data, bytes: Buffer.from('{ "acme": {"a": 1} }') }
  t.equal(
    await refusal(async () => readBundle(await pack([policy, spaced, signature]), verification)),
    undefined,
    'a document that says the same',
  )
  for (const [name, all, why] of [
    [
      'tampered',
      [{ ...policy, bytes: Buffer.from(`${POLICY} `) }, data, signature],
      /"p.rego" is not what was signed/,
    ],
    [
      'another document',
      [policy, { ...data, bytes: Buffer.from('{"acme":{"a":2}}') }, signature],
      /not what was signed/,
    ],
    [
      'one more',
      [policy, data, ...files({ 'more.rego': 'package more\n' }), signature],
      /"more.rego" is not in its signature/,
    ],
    [
      'one more that is no policy',
      [policy, data, ...files({ README: 'x' }), signature],
      /"README" is not in its signature/,
    ],
    ['one less', [policy, signature], /"data.json" was signed and is not in it/],
    ['not signed', [policy, data], /it is not signed/],
    ['no JSON', [policy, data, { path: '.signatures.json', bytes: Buffer.from('x') }], /no JSON/],
    [
      'no signature',
      [policy, data, { path: '.signatures.json', bytes: Buffer.from('{"signatures":[]}') }],
      /exactly one/,
    ],
  ] as const)
    t.match(await refusal(async () => readBundle(await pack(all), verification)), why, name)
  t.match(
    await refusal(async () => readBundle(await pack([...packed, signature]), undefined)),
    /it is signed, and no public_key/,
  )
})

t.test(
  'a signature is by the right key, for the right scope, and of an algorithm that fits',
  async (t) => {
    const packed = files({ 'p.rego': POLICY })
    const { privateKey, publicKey } = KEYS.rsa
    const bundle = await signed(packed, privateKey, { keyId: 'ops', scope: 'write' })
    const verdict = (more: Partial<Verification>): Promise<string | undefined> =>
      refusal(() => readBundle(bundle, { key: publicKey, ...more }))
    t.equal(await verdict({ keyId: 'ops', scope: 'write' }), undefined)
    t.equal(await verdict({ scope: 'write' }), undefined)
    t.match(await verdict({ keyId: 'other', scope: 'write' }), /by the key "ops"/)
    t.match(await verdict({ scope: 'read' }), /for the scope "write"/)
    t.match(await verdict({}), /for the scope "write"/)
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
    t.match(
      await refusal(() => readBundle(bundle, { key: stranger.publicKey, scope: 'write' })),
      /does not hold/,
    )

    const forged = (header: object): Promise<Buffer> => {
      const text = signatureOf(packed, { key: privateKey }).toString()
      const [token = ''] = (JSON.parse(text) as { signatures: string[] }).signatures
      const [, payload = '', signature = ''] = token.split('.')
      const head = Buffer.from(JSON.stringify(header)).toString('base64url')
      const json = JSON.stringify({ signatures: [`${head}.${payload}.${signature}`] })
      return packArchive([...packed, { path: '.signatures.json', bytes: Buffer.from(json) }])
    }
    for (const alg of ['none', 'HS256', 'ES256', 'RS256 '])
      t.match(
        await refusal(async () => readBundle(await forged({ alg }), { key: publicKey })),
        /does not fit/,
        alg,
      )
    t.match(
      await refusal(async () => readBundle(await forged({ alg: 'RS512' }), { key: publicKey })),
      /does not hold/,
    )
  },
)

t.test(
  'what a bundle holds besides policies stays out, what could vanish is refused',
  async (t) => {
    const read = await readBundle(
      await packArchive(
        files({
          '/data.json': '{}',
          '/acme/pii.rego': POLICY,
          '/acme/pii_test.rego': 'package acme.pii_test\n',
          '/policy.wasm': 'wasm',
          '/.manifest':
            '{"revision":"7","roots":["acme"],"rego_version":1,"metadata":{"cordon":{"rejudge":true}}}',
        }),
      ),
      undefined,
    )
    t.same(
      read.files.map(({ path }) => path),
      ['data.json', 'acme/pii.rego'],
    )
    t.equal(read.rejudge, true)
    for (const [texts, why] of [
      [{ 'patch.json': '{}' }, /delta bundle/],
      [{ 'policy.wasm': 'x' }, /without their sources/],
      [{ '.hidden/p.rego': POLICY }, /not read/],
      [{ 'compiled/p.rego': POLICY }, /not read/],
      [{ 'p.rego': POLICY, '.manifest': '{"roots":["other"]}' }, /acme\/pii, which its roots/],
      [{ 'data.json': '{"other":1}', '.manifest': '{"roots":["acme"]}' }, /do not allow/],
      [{ '.manifest': '{"rego_version":0}' }, /version 0/],
      [{ '.manifest': '{"file_rego_versions":{"/a.rego":0}}' }, /version 0/],
      [{ '.manifest': '{"roots":["a","a/b"]}' }, /overlap/],
      [{ '.manifest': '[]' }, /no JSON object/],
    ] as const)
      t.match(
        await refusal(async () => readBundle(await packArchive(files(texts)), undefined)),
        why,
      )
    const broken = [{ path: 'p.rego', bytes: Buffer.from([0x70, 0xff]) }]
    t.match(await refusal(async () => readBundle(await packArchive(broken), undefined)), /UTF-8/)
  },
)

t.test(
  'stored files have one revision, a manifest of their own, and tests that OPA is not given',
  async (t) => {
    const stored = [
      { path: 'b/data.json', text: '{"limits":{"a":1}}' },
      { path: 'a.rego', text: `# package not_this\n${POLICY}` },
      { path: 'a_test.rego', text: 'package acme.pii_test\n' },
      { path: 'a.test.yaml', text: 'cases: []\n' },
    ]
    t.equal(revisionOf(stored), revisionOf(stored.toReversed()))
    t.not(revisionOf(stored), revisionOf(stored.slice(1)))
    t.same(readManifest(manifestOf('r', stored)).roots, ['acme', 'b'])
    const { revision, bundle } = await packStored(stored, files({ 'manifest.json': '{}' }))
    t.equal(revision, revisionOf(stored))
    const offered = await unpackArchive(await bundleForOpa(bundle, 7, { key: KEYS.rsa.privateKey }))
    t.same(
      offered.map(({ path }) => path),
      ['.manifest', 'a.rego', 'b/data.json', '.signatures.json'],
    )
    t.equal(
      (
        await readBundle(await bundleForOpa(bundle, 7, { key: KEYS.rsa.privateKey }), {
          key: KEYS.rsa.publicKey,
        })
      ).revision,
      revision,
    )
  },
)

t.test('a bundle is not followed by one that its signer made before it', async (t) => {
  const now = Date.UTC(2026, 10, 28)
  const at = now / 1000
  const verdict = (next: object, inForce: object): Promise<string | undefined> =>
    refusal(() => checkAge(next, inForce, now))
  for (const [next, inForce, why] of [
    [{}, {}, undefined],
    [{ serial: 1 }, {}, undefined],
    [{ serial: 2 }, { serial: 2 }, undefined],
    [{ serial: 3, issued_at: at }, { serial: 2, issued_at: at }, undefined],
    [{ serial: 1 }, { serial: 2 }, /manifest is 1, there 2 \(allow_older/],
    [{}, { serial: 0 }, /has no metadata.cordon.serial/],
    [{ serial: 9 }, { issued_at: at }, /has no iat/],
    [{ issued_at: at - 1 }, { issued_at: at }, /is 2026-11-27T23:59:59.000Z, there 2026-11-28T00/],
    // One of the two is enough.
    [{ serial: 3, issued_at: at - 1 }, { serial: 2, issued_at: at }, /older/],
    [{ issued_at: at + 299 }, {}, undefined],
    [{ issued_at: at + 301 }, {}, /in the future/],
  ] as const) {
    const said = await verdict(next, inForce)
    if (why === undefined) t.equal(said, undefined, JSON.stringify([next, inForce]))
    else t.match(said, why)
  }
  t.same(ageOf({ serial: 1, issued_at: 'x' }), { serial: 1 })
  t.same(ageOf(undefined), {})
})

t.test('what the signer says is read from what was signed, and only from that', async (t) => {
  const { privateKey, publicKey } = KEYS.ec
  const packed = files({
    'p.rego': POLICY,
    '.manifest': '{"revision":"r","metadata":{"cordon":{"serial":7}}}',
  })
  t.same((await readBundle(await signed(packed, privateKey), { key: publicKey })).age, {
    serial: 7,
  })
  t.same((await readBundle(await packArchive(packed), undefined)).age, {}, 'nobody vouches')
  for (const serial of ['-1', '1.5', '"1"', '9007199254740993', 'null'])
    t.match(
      await refusal(() => readManifest(`{"metadata":{"cordon":{"serial":${serial}}}}`)),
      /serial in .manifest is no whole number/,
      serial,
    )
})

t.test('OPA is told which change it is, and never reads what is not enforced here', async (t) => {
  const stored = [
    { path: 'a.rego', text: POLICY },
    { path: 'acme/limits/data.yaml', text: 'most: 10\n' },
  ]
  const { bundle } = await packStored(stored, [])
  const signing = { key: KEYS.ec.privateKey }
  const read = await readBundle(await bundleForOpa(bundle, 12, signing), { key: KEYS.ec.publicKey })
  t.same(read.age, { serial: 12 })
  const other = await packStored([...stored, { path: 'acme/on/data.yml', text: 'on: yes\n' }], [])
  t.match(
    await refusal(() => bundleForOpa(other.bundle, 12, signing)),
    /"acme\/on\/data.yml" says one thing in YAML 1.1/,
  )
})
