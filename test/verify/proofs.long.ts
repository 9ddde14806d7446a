// Proofs as files, from every record of a real ledger; and the procedure by hand that the guide shows.

import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { consistencyRanges, inclusionRanges, RangeRoots } from '../../src/proof/proof-ranges.ts'
import { consistencyProof, inclusionProof, leafHash, rootOf, Tree } from '../../src/proof/tree.ts'
import type { InclusionProof } from '../../src/verify/proof-file.ts'
import { run } from '../support/command-line.ts'
import { makeLedger } from '../support/ledger-folder.ts'

const dir = t.testdir()
const ledger = makeLedger(join(dir, 'data'), [
  { stretches: [6, 9, 7] },
  { stretches: [4], beyond: 2 },
])
writeFileSync(join(dir, 'cordon.yaml'), stringify({ data_dir: 'data' }))
const [first, second] = ledger.writers
const cordon = (...args: string[]) => run(['ledger', ...args], { cwd: dir })

t.test('ranges make the proofs of the definition, from any frontier on', async (t) => {
  const leaves = Array.from({ length: 40 }, (_, index) => leafHash(Buffer.from([index])))
  for (let size = 1; size <= leaves.length; size++)
    for (const begun of [0, 5, 16, 23].filter((each) => each < size)) {
      const before = new Tree()
      for (const leaf of leaves.slice(0, begun)) before.append(leaf)
      for (let index = begun; index < size; index += 3) {
        const [paths, growth] = [inclusionRanges(index, size), consistencyRanges(index + 1, size)]
        const roots = new RangeRoots([...paths, ...growth], {
          size: begun,
          frontier: [...before.frontier],
        })
        for (const leaf of leaves.slice(begun, size)) roots.append(leaf)
        const all = leaves.slice(0, size)
        if (!rootOf(all).equals(roots.root() ?? Buffer.alloc(0))) t.fail(`root ${size}`)
        t.same(
          roots.rootsOf(paths),
          inclusionProof(all, index),
          `${index} of ${size} from ${begun}`,
        )
        t.same(roots.rootsOf(growth), consistencyProof(all, index + 1))
      }
    }
})

t.test('a proof of every record holds, and a changed one does not', async (t) => {
  const writer = first?.writer ?? ''
  for (const seq of [1, 6, 7, 15, 16, 22]) {
    const { code, out, err } = await cordon('prove', `${writer}:${seq}`)
    t.equal(code, 0, err)
    const proof = JSON.parse(out) as InclusionProof
    const verified = async (other: object): Promise<number> => {
      writeFileSync(join(dir, 'proof.json'), JSON.stringify({ ...proof, ...other }))
      return (await cordon('verify', 'proof.json', '--key', 'data/ledger/keys/0001.vkey')).code
    }
    t.equal(await verified({}), 0, `record ${seq}`)
    for (const other of [
      { record: proof.record.replace('"time":1', '"time":2') },
      { seq: seq + 1 },
      { leaf_index: seq },
      { tree_size: proof.tree_size + 1 },
      { path: proof.path.slice(1) },
      { path: [...proof.path, proof.leaf_hash] },
      { leaf_hash: proof.path[0] },
      { checkpoint: proof.checkpoint.replace('time 2', 'time 3') },
      { keys: [] },
      { personal: 'AAAA' },
      { writer: second?.writer },
    ])
      t.equal(await verified(other), 1, `record ${seq}: ${JSON.stringify(other).slice(0, 60)}`)
  }
})

t.test('a decision is found by its id; what is not covered or not there is told', async (t) => {
  const path = join(first?.folder ?? '', '0000000000000007.seg')
  const [, id = ''] = /"decision_id":"([0-9a-f-]+)"/.exec(readFileSync(path, 'latin1')) ?? []
  const found = await cordon('prove', id)
  t.match(JSON.parse(found.out), { cordon_proof: 'inclusion', writer: first?.writer })
  t.match(await cordon('prove', `${second?.writer}:6`), {
    code: 1,
    err: /covered by no checkpoint/,
  })
  t.match(await cordon('prove', `${second?.writer}:7`), { code: 3, err: /not among the records/ })
  t.match(await cordon('prove', id.replace(/./g, 'a')), { code: 2 })
  t.match(await cordon('prove', 'a:b'), { code: 2, err: /neither the id of a decision/ })
})

t.test('growth is proved between statements, across a change of keys', async (t) => {
  t.equal((await cordon('checkpoint', '--out', 'old.ck')).code, 0)
  t.match(await cordon('checkpoint', '--out', 'old.ck'), { code: 1, err: /is there already/ })
  const rotated = await cordon('rotate-key')
  t.equal(rotated.code, 0, rotated.err)
  makeLedger(join(dir, 'data'), [{ stretches: [3] }])
  t.equal((await cordon('checkpoint', '--out', 'new.ck')).code, 0)
  for (const notes of [['old.ck', 'new.ck'], ['old.ck']]) {
    const { code, out, err } = await cordon('prove', '--consistency', ...notes)
    t.equal(code, 0, err)
    writeFileSync(join(dir, 'grown.json'), out)
    t.match(await cordon('verify', 'grown.json'), { code: 0 }, notes.join(' '))
    const spoiled = JSON.parse(out) as { trees: { path: string[]; old_size: number }[] }
    const grown = spoiled.trees.find(({ path }) => path.length > 0)
    grown?.path.push(`${'A'.repeat(43)}=`)
    writeFileSync(join(dir, 'grown.json'), JSON.stringify(spoiled))
    t.match(await cordon('verify', 'grown.json'), { code: 1 }, 'another path')
  }
  t.match(await cordon('prove', '--consistency', 'new.ck', 'old.ck'), { code: 1 })
  t.match(await cordon('verify', '--checkpoint', 'old.ck', '--checkpoint', 'new.ck'), { code: 0 })
  t.match(await cordon('verify', '--key', 'data/ledger/keys/0001.vkey'), { code: 0 })
  t.match(JSON.parse((await cordon('keys', '--json')).out), [
    { number: 1, in_force: false },
    { number: 2, in_force: true },
  ])
})

t.test('what was left out of a proof is told', async (t) => {
  const path = join(first?.folder ?? '', '0000000000000007.seg')
  const [, id = ''] = /"decision_id":"([0-9a-f-]+)"/.exec(readFileSync(path, 'latin1')) ?? []
  const proof = JSON.parse((await cordon('prove', id)).out) as InclusionProof
  t.type(proof.personal, 'string')
  writeFileSync(join(dir, 'left-out.json'), JSON.stringify({ ...proof, personal: null }))
  t.match(await cordon('verify', 'left-out.json'), {
    code: 0,
    out: /^note: the record was written with a personal part, which is not here: erased, or left out$/m,
  })
})

t.test('nothing is printed that a terminal would follow instead of showing it', async (t) => {
  const name = '\u001b[2K\rintact: all of it\u202e\u009b1A'
  for (const folder of [first?.folder ?? '', ledger.ledger, join(ledger.ledger, 'writers')]) {
    writeFileSync(join(folder, name), '')
    const { code, out } = await cordon('verify')
    t.equal(code, 1)
    t.match(out, /damaged: .*\\u\{1b\}\[2K\\u\{d\}intact: all of it\\u\{202e\}\\u\{9b\}1A.*belong/)
    t.notMatch(out, /[^\P{C}\n]/u)
    rmSync(join(folder, name))
  }
  const proof = (await cordon('prove', `${first?.writer}:1`)).out
  writeFileSync(join(dir, 'odd.json'), JSON.stringify({ ...JSON.parse(proof), writer: name }))
  t.match(await cordon('verify', 'odd.json'), { code: 3, out: '' })
})

t.test('the command tells what it cannot judge', async (t) => {
  for (const args of [['nowhere'], ['cordon.yaml'], ['data/keys'], ['--checkpoint', 'nowhere']])
    t.match(await cordon('verify', ...args), { code: 3, out: '' }, args.join(' '))
  t.match(await cordon('verify', '--key', 'cordon.yaml'), { code: 2, err: /no Ed25519 public key/ })
  t.match(await cordon('verify', '--checkpoint', 'cordon.yaml'), { code: 2 })
  t.match(await cordon('verify', '--database'), { code: 0 }, 'the change of keys was recorded')
  t.match(await cordon('verify', 'data', '--database'), { code: 2 })
  t.equal(JSON.parse((await cordon('verify', '--json')).out).verdict, 'intact')
})

const tools = ['jq', 'openssl', 'xxd', 'base64', 'sha256sum']
const missing = tools.filter((tool) => spawnSync('which', [tool]).status !== 0)

t.test(
  'the procedure by hand',
  { skip: missing.length > 0 && `${missing.join(', ')} missing` },
  async (t) => {
    const page = readFileSync(
      join(import.meta.dirname, '../../docs/guides/prove-the-ledger.md'),
      'utf8',
    )
    const [, script = ''] = /```bash\n([\s\S]*?)```/.exec(page) ?? []
    writeFileSync(join(dir, 'check.sh'), script)
    const keys = JSON.parse((await cordon('keys', '--json')).out) as { pem: string }[]
    for (const { pem } of keys) writeFileSync(join(dir, 'key.pem'), pem)
    for (const each of ledger.writers)
      for (const seq of [1, 3, 4]) {
        writeFileSync(
          join(dir, 'by-hand.json'),
          (await cordon('prove', `${each.writer}:${seq}`)).out,
        )
        const proof = JSON.parse(readFileSync(join(dir, 'by-hand.json'), 'utf8')) as InclusionProof
        // The key that signed it: there are two by now.
        const pem = keys.map((key) => key.pem).find((key) => works(key))
        t.ok(pem, `record ${seq}`)
        writeFileSync(
          join(dir, 'by-hand.json'),
          JSON.stringify({ ...proof, record: proof.record.replace('"time":1', '"time":2') }),
        )
        t.notOk(
          keys.some((key) => works(key.pem)),
          `record ${seq}, changed`,
        )
      }

    function works(pem: string): boolean {
      writeFileSync(join(dir, 'key.pem'), pem)
      try {
        const out = execFileSync('bash', ['check.sh', 'by-hand.json', 'key.pem'], {
          cwd: dir,
          stdio: 'pipe',
        })
        return out.includes('Signature Verified Successfully')
      } catch {
        return false
      }
    }
  },
)
