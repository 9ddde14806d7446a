// Is an input that the host writes into memory the same for policies as one that the wasm parses?

import * as fc from 'fast-check'
import t from 'tap'
import { stringifyExact } from '../../../src/base/exact-json.ts'
import type { EngineInput } from '../../../src/policy/engine.ts'
import { project } from '../../../src/policy/projection.ts'
import { createHostBuiltins } from '../../../src/policy/rego/builtins/registry.ts'
import type { RegoEngine } from '../../../src/policy/rego/engine.ts'
import { compileFiles, engineOf, opaMissing } from '../../support/rego-policies.ts'

const options = opaMissing === false ? {} : { skip: opaMissing }

const LOOKING = `package looking

deny if input.v == input.w
deny if input.v < input.w
allow if input.v in input.list
review := input.object[input.key]

obligations contains {"type": "all", "parameters": {"v": input}}
obligations contains {"type": "set", "parameters": {"of": {x | some x in input.list}}}
obligations contains {"type": "walk", "parameters": {"of": [p | walk(input.v, [p, _])]}}
obligations contains {"type": "sorted", "parameters": {"of": sort(input.list)}}
obligations contains {"type": "less", "parameters": {"of": object.remove(input.object, [input.key])}}
obligations contains {"type": "more", "parameters": {"of": object.union(input.object, {"v": input.v})}}
obligations contains {"type": "count", "parameters": {"of": [count(input.list), count(input.object)]}}
obligations contains {"type": "text", "parameters": {"of": json.marshal(input.list)}}
obligations contains {"type": "with", "parameters": {"of": [x | x := same with input.v as input.w]}}
obligations contains {"type": "sum", "parameters": {"of": sum([x | some x in input.list; is_number(x)])}}
obligations contains {"type": "at", "parameters": {"of": [x | x := input.list[input.index]]}}

same if input.v == input.w
`

const text = fc.oneof(
  fc.constantFrom('', 'a', 'key', '__proto__', 'é', '\u0000', '\ud800', '😀', 'x'.repeat(200)),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, -0, 1, -1, 1.5, 1e21, 1e-7, 2 ** 53, -(2 ** 53)),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  text,
)
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(text, tie('value'), { maxKeys: 3 }),
  ),
}))
const pair = fc.oneof(
  fc.tuple(value, value),
  value.map((one): [unknown, unknown] => [one, structuredClone(one)]),
)
const inputs = fc
  .record({
    pair,
    list: fc.array(value, { maxLength: 5 }),
    object: fc.dictionary(text, value, { maxKeys: 8 }),
    key: text,
    index: fc.integer({ min: 0, max: 5 }),
  })
  .map(({ pair: [v, w], ...rest }) => ({ v, w, ...rest }))

function asJson(document: unknown): EngineInput {
  return { document, json: () => Buffer.from(wellFormed(stringifyExact(document))) }
}

/** Half a surrogate pair is U+FFFD for both. */
function wellFormed(json: string): string {
  return json.replaceAll(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, '$1\ufffd')
}

function asImage(document: unknown): EngineInput {
  return {
    ...asJson(document),
    part: (reads) => wellFormed(stringifyExact(project(document, reads) ?? {})),
  }
}

function said(engine: RegoEngine, input: EngineInput): string {
  return stringifyExact(engine.evaluate([0], input))
}

t.test('policies say the same of both', options, async (t) => {
  const engine = engineOf(await compileFiles({ 'a.rego': LOOKING }), createHostBuiltins())
  t.teardown(() => engine.close())
  const seen = { decided: 0, denied: 0 }
  fc.assert(
    fc.property(inputs, (document) => {
      const image = said(engine, asImage(document))
      seen.decided += 1
      if (image.includes('"DENY"')) seen.denied += 1
      return image === said(engine, asJson(document))
    }),
    { numRuns: 500 },
  )
  t.ok(seen.denied > 10 && seen.denied < seen.decided, JSON.stringify(seen))
})

t.test('what is too large to be written is parsed', options, async (t) => {
  const engine = engineOf(
    await compileFiles({ 'a.rego': 'package a\nallow if input.long == input.other' }),
  )
  t.teardown(() => engine.close())
  const long = 'x'.repeat(3_000_000)
  for (const other of [long, `${long.slice(1)}y`]) {
    const [outcome] = engine.evaluate([0], asImage({ long, other }))
    t.same(outcome, {
      effect: other === long ? 'ALLOW' : null,
      reasons: [],
      obligations: [],
      error: null,
    })
  }
  const [small] = engine.evaluate([0], asImage({ long: 'x', other: 'x' }))
  t.equal(small?.effect, 'ALLOW')
})

t.test(
  'data documents that reach beyond where inputs begin stay as they are',
  options,
  async (t) => {
    const known = Array.from({ length: 2000 }, (_, index) => `name ${index}`)
    const unread = Array.from({ length: 6000 }, () => 'x'.repeat(100))
    const engine = engineOf(
      await compileFiles({
        'a.rego': 'package a\nallow if input.name in data.known\ndeny if input.name in data.unread',
        'data.json': JSON.stringify({ known, unread }),
      }),
    )
    t.teardown(() => engine.close())
    for (const [name, effect] of [
      ['name 0', 'ALLOW'],
      ['name 1999', 'ALLOW'],
      ['name 2000', null],
      ['name 1000', 'ALLOW'],
    ] as const)
      t.equal(engine.evaluate([0], asImage({ name }))[0]?.effect, effect, name)
  },
)
