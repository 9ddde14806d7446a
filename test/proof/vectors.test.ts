// What others have written down: trees against the vectors of transparency-dev/merkle (testdata/inclusion and
// testdata/consistency, Apache-2.0; each hash stands once in vectors.json), notes against those of C2SP signed-note.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openNote, readVkey, vkeyOf } from '../../src/proof/note.ts'
import { verifyConsistency, verifyInclusion } from '../../src/proof/tree.ts'

/** Name, two numbers, two hashes, proof (hashes by their place in the list), whether it holds. */
type Vector = readonly [string, number, number, number, number, readonly number[], boolean]

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors.json'), 'utf8')) as {
  readonly hashes: readonly string[]
  readonly inclusion: readonly Vector[]
  readonly consistency: readonly Vector[]
}
const hashAt = (place: number): Buffer => Buffer.from(vectors.hashes[place] ?? '', 'base64')

t.test('inclusion', async (t) => {
  t.equal(vectors.inclusion.length, 98)
  for (const [name, index, size, leaf, root, proof, holds] of vectors.inclusion)
    t.equal(
      verifyInclusion(hashAt(leaf), index, size, proof.map(hashAt), hashAt(root)),
      holds,
      name,
    )
})

t.test('consistency', async (t) => {
  t.equal(vectors.consistency.length, 98)
  for (const [name, older, newer, from, to, proof, holds] of vectors.consistency)
    // That a tree begins with the empty one says nothing; there it is refused, here it is true.
    if (name !== 'additional/size1-is-zero-and-size2-is-not-zero')
      t.equal(
        verifyConsistency(
          { size: older, root: hashAt(from) },
          { size: newer, root: hashAt(to) },
          proof.map(hashAt),
        ),
        holds,
        name,
      )
})

t.test('signed notes', async (t) => {
  // The example of the specification, and that of golang.org/x/mod/sumdb/note.
  const examples = [
    [
      'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
      'This is an example message.\n',
      '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n',
    ],
    [
      'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
      '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
    ],
  ] as const
  for (const [vkey, text, signature] of examples) {
    const key = readVkey(vkey)
    if (key === undefined) throw new Error(`${vkey} is not read`)
    t.equal(vkeyOf(key), vkey)
    const note = `${text}\n${signature}`
    t.same(openNote(note, [key]), { text, signedBy: [key.id] })
    t.equal(openNote(note.replace('is', 'as'), [key]), undefined, 'another text')
    t.same(openNote(note, [])?.signedBy, [], 'nobody known has signed it')
    const bad = [
      note.slice(0, -1),
      note.replace('\n\n', '\n'),
      note.replace('— ', '- '),
      note.replace('— ', '—  '),
      `${note}\n`,
      `${note}trailing`,
      `${text}\n`,
      note.replace(text, `${text}\u0007\n`),
      `${note}${signature.replace('— ', '— ').replace(/ \S+\n$/, ' AAAA*\n')}`,
    ]
    for (const each of bad)
      t.notMatch(openNote(each, [key]), { signedBy: [key.id] }, JSON.stringify(each))
  }
  for (const vkey of [
    'example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    'example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    'example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U0',
    'example.com/foo+530d903a',
    '',
  ])
    t.equal(readVkey(vkey), undefined, vkey)
})
