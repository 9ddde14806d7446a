// Is what policies can read of an input all of it that matters, for the document and for the facts that tell inputs apart?

import * as fc from 'fast-check'
import t from 'tap'
import { addFacts, project, type ReadTree, readTree } from '../../src/policy/projection.ts'
import { type Fact, Facts, Remembered } from '../../src/policy/remembered.ts'

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

function factsOf(document: unknown, tree: ReadTree): Facts {
  const facts = new Facts()
  addFacts(document, tree, facts)
  return facts
}

function copyOf(document: unknown, tree: ReadTree): readonly Fact[] {
  return factsOf(document, tree).copy()
}

t.test('two inputs have the same facts only if they are equal in what is read', async () => {
  fc.assert(
    fc.property(paths, value, value, (reads, one, other) => {
      const tree = readTree(reads)
      const areEqual = reads.every((read) => {
        const parts = read === '' ? [] : read.split('.')
        return shown(at(one, parts)) === shown(at(other, parts))
      })
      const isSame = factsOf(one, tree).equals(copyOf(other, tree))
      return !isSame || areEqual
    }),
    { numRuns: 5000 },
  )
})

t.test('an input that differs only where nothing is read has the same facts', async () => {
  fc.assert(
    fc.property(
      paths,
      fc.dictionary(key, value, { maxKeys: 4 }),
      value,
      (reads, document, other) => {
        const tree = readTree(reads)
        const [before, after] = [document, { ...document, unread: other }].map((each) =>
          factsOf(each, tree),
        )
        return (
          tree.whole ||
          (before?.equals(after?.copy() ?? []) === true && before.hash === after?.hash)
        )
      },
    ),
    { numRuns: 1000 },
  )
})

t.test('neighbouring values cannot run into each other', async (t) => {
  const tree = readTree(['a', 'b'])
  const documents: readonly unknown[] = [
    { a: 'x', b: 'y' },
    { a: 'xy', b: '' },
    { a: 'x\u00011:y' },
    { a: 'x', b: { b: 'y' } },
    { a: ['x'], b: 'y' },
    { a: 'x' },
    { b: 'x' },
    {},
    { a: ['x', 'y'] },
    { a: [['x'], 'y'] },
    { a: { x: 'y' } },
    { a: { x: { y: 1 } } },
    { a: { x: {} }, b: 1 },
    { a: null },
    { a: 'null' },
    { a: 1 },
    { a: '1' },
    { a: true },
    { a: 9007199254740993n },
    { a: 9007199254740992n },
  ]
  for (const one of documents)
    for (const other of documents)
      t.equal(
        factsOf(one, tree).equals(copyOf(other, tree)),
        one === other,
        `${shown(one)} ${shown(other)}`,
      )
  t.ok(factsOf('x', tree).equals(copyOf({}, tree)), 'a text has no more members than an object')
})

t.test('names that every object has are members only where an input has them', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const tree = readTree([name])
    const own = JSON.parse(`{"${name}": {}}`) as unknown
    t.notOk(factsOf({}, tree).equals(copyOf(own, tree)), name)
    t.same(JSON.stringify(project(own, tree)), JSON.stringify(own), name)
    t.equal(JSON.stringify(project({}, tree)), '{}', name)
  }
})

t.test('what is remembered goes when there is no room, the youngest last', async (t) => {
  const memory = new Remembered<number>(40_000)
  const of = (number: number): Facts => {
    const facts = new Facts()
    facts.add(`text ${number}`)
    facts.add(number)
    return facts
  }
  for (let number = 0; number < 1000; number++) {
    memory.set(of(number), number, 100)
    t.equal(memory.get(of(0)), 0, 'what is asked for again stays')
  }
  t.equal(memory.get(of(999)), 999)
  t.equal(memory.get(of(1)), undefined)
})

t.test('a hash that is equal is no answer', async (t) => {
  const memory = new Remembered<string>(40_000)
  const of = (text: string): Facts => {
    const facts = new Facts()
    facts.add(text)
    return facts
  }
  // The hash does not look at the middle of a long text.
  const [one, other] = [50, 51].map((at) => of(`${'a'.repeat(at)}b${'a'.repeat(101 - at)}`))
  t.equal(one?.hash, other?.hash)
  if (one === undefined || other === undefined) throw new Error('two lists')
  memory.set(one, 'one', 1)
  t.equal(memory.get(other), undefined)
  t.equal(memory.get(one), 'one')
})
