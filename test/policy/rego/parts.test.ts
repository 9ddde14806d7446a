// Is what is remembered by several parts taken for nothing else, whatever characters the parts hold?

import t from 'tap'
import type { PolicyFolder } from '../../../src/policy/folder.ts'
import { sharedMetadata } from '../../../src/policy/rego/annotations.ts'
import { type Manifest, withData } from '../../../src/policy/rego/manifest.ts'

t.test('shards are given the data that each can read', async (t) => {
  const folder = { data: { a: 1, b: 2, 'a\0b': 3 } } as unknown as PolicyFolder
  const manifest = { shards: [{ data: ['a\0b'] }, { data: ['a', 'b'] }] } as unknown as Manifest
  const shards = withData(folder, manifest, [new Uint8Array(), new Uint8Array()])
  t.same(
    shards.map(({ data }) => JSON.parse(data) as unknown),
    [{ 'a\0b': 3 }, { a: 1, b: 2 }],
  )
})

t.test('what a policy reads through another module counts', async (t) => {
  const file = { name: 'a.rego', path: '/a.rego', text: 'package a\nallow if data.lib.yes' }
  const read = [['a,b'], ['a', 'b']].map((reads) => sharedMetadata(file, 'a', reads, [])?.reads)
  t.same(read, [['a,b'], ['a', 'b']])
})
