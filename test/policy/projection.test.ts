// Is what policies can read of an input all of it that matters, for the document and for the text that tells inputs apart?

import * as fc from 'fast-check'
import t from 'tap'
import { fingerprint, project, readTree } from '../../src/policy/projection.ts'

const key = fc.constantFrom('a', 'b', 'c', '__proto__', 'é', '0')
const path = fc.array(key, { maxLength: 3 }).map((parts) => parts.join('.'))
const paths = fc.array(path, { maxLength: 5 })
const scalar = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -0,
    1,
    '1',
    '',
    'true',
    'null',
    '\u0000',
    '\u0001',
  ),
  fc.bigInt(2n ** 53n, 2n ** 54n),
  fc.string(),
)
const { value } = fc.letrec<{ value: unknown; object: Record<string, unknown> }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie('value'), { maxLength: 2 }), tie('object')),
  object: fc.dictionary(key, tie('value'), { maxKeys: 4 }),
}))

/** The value at a path, slowly; undefined where it is absent. */
function at(document: unknown, parts: readonly string[]): unknown {
  let found = document
  for (const part of parts) {
    if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined
    found = Object.hasOwn(found, part) ? (found as Record<string, unknown>)[part] : undefined
  }
  return found
}

function shown(value: unknown): string {
  return value === undefined
    ? 'absent'
    : JSON.stringify(value, (_, item: unknown) =>
        typeof item === 'bigint' ? JSON.rawJSON(item.toString()) : item,
      )
}

t.test('every path that is read has its value in the part, and nothing else is there', async () => {
  fc.assert(
    fc.property(paths, value, (reads, document) => {
      const part = project(document, readTree(reads))
      for (const read of reads) {
        const parts = read === '' ? [] : read.split('.')
        if (shown(at(part, parts)) !== shown(at(document, parts))) return false
      }
      // What is not read could be anything: the part of the part is the part.
      return shown(project(part, readTree(reads))) === shown(part)
    }),
    { numRuns: 2000 },
  )
})

t.test('two inputs have one fingerprint only if they are equal in what is read', async () => {
  fc.assert(
    fc.property(paths, value, value, (reads, one, other) => {
      const tree = readTree(reads)
      const areEqual = reads.every((read) => {
        const parts = read === '' ? [] : read.split('.')
        return shown(at(one, parts)) === shown(at(other, parts))
      })
      const [first, second] = [fingerprint(one, tree), fingerprint(other, tree)]
      return first !== second || areEqual
    }),
    { numRuns: 5000 },
  )
})

t.test('an input that differs only where nothing is read has the same fingerprint', async () => {
  fc.assert(
    fc.property(
      paths,
      fc.dictionary(key, value, { maxKeys: 4 }),
      value,
      (reads, document, other) => {
        const tree = readTree(reads)
        const before = fingerprint(document, tree)
        return tree.whole || fingerprint({ ...document, unread: other }, tree) === before
      },
    ),
    { numRuns: 1000 },
  )
})

t.test('neighbouring values cannot run into each other', async (t) => {
  const tree = readTree(['a', 'b'])
  const seen = new Set(
    [
      { a: 'x', b: 'y' },
      { a: 'xy', b: '' },
      { a: 'x\u00011:y' },
      { a: 'x', b: { b: 'y' } },
      { a: 'x' },
      { b: 'x' },
      {},
      'x',
      { a: ['x', 'y'] },
      { a: null },
      { a: 'null' },
    ].map((document) => fingerprint(document, tree)),
  )
  t.equal(seen.size, 10, 'a text has no more members than an empty object')
})
