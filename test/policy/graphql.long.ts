// Do graphql.* answer as OPA does, and do they end for documents made to be slow?

import t, { type Test } from 'tap'
import { BuiltinLimit } from '../../src/policy/rego/builtins/operands.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { askBoth, type BuiltinCall } from '../support/differential.ts'
import {
  COMMENTED,
  QUERIES,
  SCHEMA,
  SCHEMAS,
  TEXTS,
  TYPE_TEXTS,
} from '../support/graphql-documents.ts'
import { withoutOpa } from '../support/policy-folder.ts'
import { compileFiles, engineOf, outcomesOf } from '../support/rego-policies.ts'

const options = { skip: withoutOpa() }

t.test('queries and schemas are read as OPA reads them', options, async (t) => {
  const answers = await compare(t, [
    ...[...TEXTS, ...QUERIES, ...COMMENTED].map((text) => call('parse_query', text)),
    ...[...TYPE_TEXTS, ...SCHEMAS, ...COMMENTED].map((text) => call('parse_schema', text)),
    ...[1, null, {}].flatMap((value) => [call('parse_query', value), call('parse_schema', value)]),
  ])
  t.ok(answers.filter(({ opa }) => opa !== 'undefined').length > 150)
})

t.test('schemas are valid where OPA says so', options, async (t) => {
  const answers = await compare(
    t,
    [SCHEMA, ...SCHEMAS, ...TYPE_TEXTS, 1, null, {}, []].map((schema) =>
      call('schema_is_valid', schema),
    ),
  )
  for (const verdict of [true, false])
    t.ok(answers.filter(({ opa }) => opa === `["boolean",${verdict}]`).length > 30)
})

t.test('queries are valid where OPA says so', options, async (t) => {
  const answers = await compare(t, [
    ...QUERIES.map((query) => call('is_valid', query, SCHEMA)),
    ...[
      '{a}',
      '{__schema{types{x}}}',
      'mutation{a}',
      '{a @skip(if:true)}',
      '{i{...on I{a}}}',
    ].flatMap((query) =>
      [
        'type Query{a:Int}',
        'type Q{a:Int}',
        'schema{mutation:M} type M{a:Int} type Query{a:Int}',
        'type A{b:Nope}',
        'extend type Query{a:Int}',
        'type Query{a:Int} extend type __Type{x:Int}',
        'directive @skip on OBJECT type Query{a:Int}',
        'interface I{a:Int} type Query{i:I a:Int}',
      ].map((schema) => call('is_valid', query, schema)),
    ),
  ])
  for (const verdict of [true, false])
    t.ok(answers.filter(({ opa }) => opa === `["boolean",${verdict}]`).length > 60)
})

t.test('a query is parsed and verified as OPA does', options, async (t) => {
  const pairs: readonly (readonly [unknown, unknown])[] = [
    ...QUERIES.filter((_, index) => index % 4 === 0).map((query) => [query, SCHEMA] as const),
    [1, SCHEMA],
    ['{a}', null],
    ['{a}', {}],
    [{}, 'type Query{a:Int}'],
    [{}, {}],
  ]
  await compare(
    t,
    pairs.flatMap((pair) => [call('parse', ...pair), call('parse_and_verify', ...pair)]),
  )
})

t.test('a document that was parsed stands for its text', options, async (t) => {
  const texts = QUERIES.filter((query) => !CRASHING.has(query))
  const parsed = await askBoth([
    ...texts.map((query) => call('parse_query', query)),
    ...[SCHEMA, ...SCHEMAS].map((schema) => call('parse_schema', schema)),
  ])
  const documents = parsed.map(({ opa }) =>
    opa === 'undefined' ? undefined : (JSON.parse(opa) as [string, unknown])[1],
  )
  const schemas = documents.slice(texts.length).filter((schema) => schema !== undefined)
  const queries = documents.slice(0, texts.length).filter((query) => query !== undefined)
  await compare(t, [
    ...schemas.map((schema) => call('schema_is_valid', schema)),
    ...queries.map((query) => call('is_valid', query, SCHEMA)),
    ...queries.slice(0, 20).map((query) => call('parse_and_verify', query, schemas[0])),
  ])
})

/** OPA itself ends with a panic for these as objects: a directive at a wrong place has no position. */
const CRASHING = new Set([
  'query($x:Int @once(must:"x")){me{name(max:$x)}}',
  '{me{...F @defer}} fragment F on User{id}',
  '{me{id @deprecated}}',
])

t.test('a policy gets a document as deep as one may be', options, async (t) => {
  const rule = 'count([x | walk(graphql.parse_query(input.query), [_, x]); x == "a"])'
  const source = `package deep\nallow if true\nreason := sprintf("%d", [${rule}])\n`
  const engine = engineOf(await compileFiles({ 'deep.rego': source }), createHostBuiltins())
  const query = `${'{a'.repeat(199)}${'}'.repeat(199)}`
  t.same(outcomesOf(engine, { query }).get('deep')?.reasons, ['398'])
})

t.test('a document made to be slow is an error of the policy', async (t) => {
  const builtins = createHostBuiltins()
  const schema = 'type Query{a:Query i:Int}'
  const fragments = many(
    40,
    (at) => `fragment F${at} on __Type{a:ofType{...F${at + 1}} b:ofType{...F${at + 1}}}`,
  )
  const calls: readonly (readonly string[])[] = [
    ['graphql.parse_query', '#'.repeat(5_000_000)],
    ['graphql.parse_query', `{${'a '.repeat(400_000)}}`],
    ['graphql.parse_query', '{a'.repeat(1000)],
    ['graphql.parse_query', `{a(x:${'['.repeat(1000)}`],
    ['graphql.parse_schema', `type A{b:${'['.repeat(1000)}`],
    ['graphql.is_valid', `{${'a{i} '.repeat(2000)}}`, schema],
    [
      'graphql.is_valid',
      `{__schema{types{...F0}}}${fragments}fragment F40 on __Type{name}`,
      schema,
    ],
    ['graphql.parse_and_verify', `{${'a{i} '.repeat(2000)}}`, schema],
    [
      'graphql.schema_is_valid',
      `interface I{${many(2000, (at) => `f${at}:Int`)}} type A implements ${'I&'.repeat(2000)}I{${many(2000, (at) => `f${at}:Int`)}}`,
    ],
  ]
  for (const [name = '', ...texts] of calls)
    t.throws(() => builtins.call(name, texts), BuiltinLimit, `${name} ${texts[0]?.slice(0, 30)}`)
})

function many(count: number, write: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => write(at)).join(' ')
}

function call(name: string, ...args: readonly unknown[]): BuiltinCall {
  return { name: `graphql.${name}`, args }
}

async function compare(
  t: Test,
  calls: readonly BuiltinCall[],
): Promise<Awaited<ReturnType<typeof askBoth>>> {
  const answers = await askBoth(calls)
  t.equal(answers.length, calls.length)
  t.same(
    answers.filter(({ opa, own }) => opa !== own),
    [],
  )
  return answers
}
