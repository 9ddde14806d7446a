// RFC 9162 trees against their definition.

import { createHash } from 'node:crypto'
import { assert, constant, integer, property, record } from 'fast-check'
import t from 'tap'
import {
  consistencyProof,
  emptyRoot,
  inclusionProof,
  leafHash,
  nodeHash,
  rootOf,
  Tree,
  verifyConsistency,
  verifyInclusion,
} from '../../src/proof/tree.ts'

/** MTH of RFC 9162, section 2.1.1, written down as it stands there. */
function definition(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return createHash('sha256').digest()
  const [only] = leaves
  if (leaves.length === 1 && only !== undefined) return only
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return nodeHash(definition(leaves.slice(0, k)), definition(leaves.slice(k)))
}

const leavesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, index) => leafHash(Buffer.from(String(index))))

t.test('the root is that of the definition, from any frontier on', async (t) => {
  for (let size = 0; size <= 70; size++) {
    const leaves = leavesOf(size)
    const expected = definition(leaves)
    t.same(rootOf(leaves), expected, `size ${size}`)
    const half = Math.floor(size / 2)
    const first = new Tree()
    for (const leaf of leaves.slice(0, half)) first.append(leaf)
    const second = new Tree(half, first.frontier)
    for (const leaf of leaves.slice(half)) second.append(leaf)
    t.same(second.root(), expected, `size ${size}, gone on from ${half}`)
  }
  t.same(new Tree().root(), emptyRoot())
  t.throws(() => new Tree(3, [Buffer.alloc(32)]), RangeError)
})

t.test('proofs hold for what they prove and for nothing else', async () => {
  assert(
    property(
      integer({ min: 1, max: 200 }).chain((size) =>
        record({
          size: constant(size),
          index: integer({ min: 0, max: size - 1 }),
          old: integer({ min: 0, max: size }),
          other: integer({ min: 0, max: size - 1 }),
        }),
      ),
      ({ size, index, old, other }) => {
        const leaves = leavesOf(size)
        const root = rootOf(leaves)
        const leaf = leaves[index] ?? Buffer.alloc(32)
        const proof = inclusionProof(leaves, index)
        const isIn = verifyInclusion(leaf, index, size, proof, root)
        const elsewhere = other !== index && verifyInclusion(leaf, other, size, proof, root)
        const longer = verifyInclusion(leaf, index, size, [...proof, root], root)
        const older = { size: old, root: rootOf(leaves, 0, old) }
        const growth = consistencyProof(leaves, old)
        const grown = verifyConsistency(older, { size, root }, growth)
        const changed =
          old > 0 && verifyConsistency({ size: old, root: leafHash(root) }, { size, root }, growth)
        return isIn && !elsewhere && !longer && grown && !changed
      },
    ),
  )
})
