// Does a Rego policy say what INTERFACES section 4 promises for each shape of its rules?

import { readFileSync } from 'node:fs'
import t from 'tap'
import type { PolicyOutcome } from '../../../src/policy/engine.ts'
import { compileFiles, engineOf, opaMissing, outcomesOf } from '../../support/rego-policies.ts'

const options = opaMissing === false ? {} : { skip: opaMissing }

interface Case {
  readonly what: string
  readonly rules: string
  readonly effect?: 'ALLOW' | 'DENY' | 'REVIEW'
  readonly reasons?: readonly string[]
  readonly obligations?: readonly unknown[]
  readonly error?: RegExp
}

const ODD_TEXT = 'nul \u0000, bell \u0007, quote ", back \\, \u007f, \u2028, ü, 😀'

const CASES: readonly Case[] = [
  { what: 'deny true denies', rules: 'deny := true', effect: 'DENY' },
  { what: 'deny false gives no answer', rules: 'deny := false' },
  { what: 'an undefined deny gives no answer', rules: 'deny if input.never' },
  { what: 'an empty set gives no answer', rules: 'deny contains "x" if input.never' },
  { what: 'an empty array gives no answer', rules: 'deny := []' },
  { what: 'an empty object gives no answer', rules: 'deny := {}' },
  { what: 'an empty text gives no answer', rules: 'deny := ""' },
  {
    what: 'a set denies with its reasons in order',
    rules: 'deny contains x if some x in ["zeta", "alpha", "mid", "beta", "omega", "a"]',
    effect: 'DENY',
    reasons: ['a', 'alpha', 'beta', 'mid', 'omega', 'zeta'],
  },
  {
    what: 'a text denies and is the reason',
    rules: 'deny := "no"',
    effect: 'DENY',
    reasons: ['no'],
  },
  { what: 'an array denies', rules: 'deny := ["b", "a"]', effect: 'DENY', reasons: ['b', 'a'] },
  { what: 'an object denies', rules: 'deny := {"why": 1}', effect: 'DENY', reasons: ['why'] },
  { what: 'a set of objects denies', rules: 'deny contains {"msg": "m"}', effect: 'DENY' },
  { what: 'a number is an error', rules: 'deny := 1', error: /^deny must be/ },
  { what: 'zero is an error too', rules: 'review := 0', error: /^review must be/ },
  {
    what: 'deny comes before review and allow',
    rules: 'deny := true\nreview := true\nallow := true',
    effect: 'DENY',
  },
  { what: 'review comes before allow', rules: 'review := true\nallow := true', effect: 'REVIEW' },
  { what: 'default allow false abstains', rules: 'default allow := false\nallow if input.never' },
  { what: 'allow allows', rules: 'default allow := false\nallow if input.yes', effect: 'ALLOW' },
  {
    what: 'reason is the text where the rule gives none',
    rules: 'deny := true\nreason := "because"',
    effect: 'DENY',
    reasons: ['because'],
  },
  {
    what: 'the reasons of the rule come before reason',
    rules: 'deny contains "own"\nreason := "because"',
    effect: 'DENY',
    reasons: ['own'],
  },
  {
    what: 'decision as a text takes precedence',
    rules: 'decision := "ALLOW"\ndeny := true',
    effect: 'ALLOW',
  },
  {
    what: 'decision as an object brings reason and obligations, which join those of the rule',
    rules:
      'decision := {"decision": "REVIEW", "reason": "look", "obligations": [{"type": "a"}]}\nobligations contains {"type": "b", "parameters": {"n": 1}}',
    effect: 'REVIEW',
    reasons: ['look'],
    obligations: [
      { type: 'a', parameters: {} },
      { type: 'b', parameters: { n: 1 } },
    ],
  },
  { what: 'another decision is an error', rules: 'decision := "deny"', error: /^decision must be/ },
  {
    what: 'an undefined decision leaves the rules',
    rules: 'decision := "ALLOW" if input.never\ndeny := true',
    effect: 'DENY',
  },
  {
    what: 'obligations alone decide nothing',
    rules: 'obligations contains {"type": "redact"}',
    obligations: [{ type: 'redact', parameters: {} }],
  },
  {
    what: 'an obligation without a type is an error',
    rules: 'deny := true\nobligations contains {"parameters": {}}',
    error: /obligations must be/,
  },
  {
    what: 'sets inside obligations come out as sorted lists',
    rules:
      'allow := true\nobligations contains {"type": "t", "parameters": {"of": {x | some x in ["d", "b", "a", "e", "c"]}}}',
    effect: 'ALLOW',
    obligations: [{ type: 't', parameters: { of: ['a', 'b', 'c', 'd', 'e'] } }],
  },
  {
    what: 'a text of any characters comes out as it went in',
    rules:
      'deny contains input.odd\nobligations contains {"type": "t", "parameters": {"of": sprintf(input.odd, [])}}',
    effect: 'DENY',
    reasons: [ODD_TEXT],
    obligations: [{ type: 't', parameters: { of: ODD_TEXT } }],
  },
  {
    what: 'integers beyond 2^53 keep their value',
    rules:
      'deny if input.big == 9007199254740993\nobligations contains {"type": "n", "parameters": {"n": input.big}}',
    effect: 'DENY',
    obligations: [{ type: 'n', parameters: { n: 9007199254740993n } }],
  },
  { what: 'and their neighbours are others', rules: 'deny if input.big == 9007199254740992' },
  {
    what: 'conflicting values are an error',
    rules: 'deny := true\ndeny := false if input.yes',
    error: /conflict/,
  },
  {
    what: 'an error in allow is an error beside a deny',
    rules: 'deny := true\nallow := true\nallow := false if input.yes',
    error: /^allow: /,
  },
  {
    what: 'a failing built-in is undefined',
    rules: 'deny if to_number("x") > 1\nallow := true',
    effect: 'ALLOW',
  },
  {
    what: 'a failing host built-in is undefined',
    rules: 'deny if time.parse_rfc3339_ns("x") > 1\nallow := true',
    effect: 'ALLOW',
  },
  {
    what: 'a limit of the host is an error',
    rules: 'allow if semver.is_valid("1.0.0")',
    error: /a limit of the host/,
  },
  {
    what: 'a range that fills the memory is an error',
    rules: 'allow if count(numbers.range(1, 50000000)) > 1',
    error: /memory limit/,
  },
  { what: 'a policy after a failed one still answers', rules: 'deny if input.yes', effect: 'DENY' },
]

const DOCUMENT = { yes: true, odd: ODD_TEXT, text: 'abc', big: 9007199254740993n }

t.test('each shape of a rule has its meaning', options, async (t) => {
  const id = (index: number): string => `shape.p${index}`
  const files = CASES.map(({ rules }, index) => [
    `p${index}.rego`,
    `package ${id(index)}\n\n${rules}\n`,
  ])
  const engine = engineOf(await compileFiles(Object.fromEntries(files) as Record<string, string>))
  for (const round of ['first', 'second']) {
    const outcomes = outcomesOf(engine, DOCUMENT)
    for (const [index, { what, error, effect, reasons, obligations }] of CASES.entries()) {
      const outcome = outcomes.get(id(index))
      const name = `${what} (${round} time)`
      if (error !== undefined) {
        t.match(outcome?.error, error, name)
        t.equal(outcome?.effect, null, `${name}: no effect`)
        continue
      }
      const { reasons: given = [], ...rest } = outcome ?? {}
      t.strictSame(
        rest,
        { effect: effect ?? null, obligations: obligations ?? [], error: null },
        name,
      )
      if (reasons !== undefined) t.strictSame(given, reasons, `${name}: reasons`)
    }
  }
})

t.test('the EU AI Act policy of the seed runs as written', options, async (t) => {
  const text = readFileSync(new URL('../eu_ai_act/prohibited.rego', import.meta.url), 'utf8')
  const engine = engineOf(await compileFiles({ 'prohibited.rego': text }))
  const effectOf = (capabilities: readonly string[], context: unknown = {}): unknown =>
    outcomesOf(engine, { resource: { capabilities }, context }).get('eu_ai_act.prohibited')?.effect
  t.equal(effectOf(['text', 'social_scoring']), 'DENY')
  t.equal(effectOf(['subliminal_manipulation']), 'DENY')
  t.equal(effectOf(['biometric_identification'], { location_type: 'public_space' }), 'DENY')
  t.equal(effectOf(['biometric_identification'], { location_type: 'office' }), null)
  t.equal(effectOf(['biometric_identification']), null, 'absent: undefined')
  t.equal(effectOf(['text']), null)
  t.equal(effectOf([]), null)
})

t.test(
  'policies may hold more texts than the memory of most shards has room for',
  options,
  async (t) => {
    const texts = Array.from({ length: 10 }, (_, number) => `${number}`.repeat(60_000))
    const engine = engineOf(
      await compileFiles({ 'a.rego': `package a\ndeny if input.v in ${JSON.stringify(texts)}` }),
    )
    t.teardown(() => engine.close())
    t.equal(outcomesOf(engine, { v: texts[9] }).get('a')?.effect, 'DENY')
    t.equal(outcomesOf(engine, { v: texts[9]?.slice(1) }).get('a')?.effect, null)
  },
)

t.test(
  'walks over sets count, however few steps the policy takes between them',
  options,
  async (t) => {
    const engine = engineOf(
      await compileFiles({
        'a.rego': `package a
names := {name | some name in input.names}
allow if {
  some one in names
  some other in names
  one == other
  one == "nobody"
}
`,
      }),
    )
    t.teardown(() => engine.close())
    const answer = (names: number): PolicyOutcome | undefined =>
      outcomesOf(engine, { names: Array.from({ length: names }, (_, index) => `n${index}`) }).get(
        'a',
      )
    t.equal(answer(20)?.error, null)
    t.match(answer(2000)?.error, /^time limit: /)
  },
)

t.test('a rule counts that a package above has within that of a policy', options, async (t) => {
  const engine = engineOf(
    await compileFiles({
      'above.rego': 'package a\nb.c.deny contains "above" if input.x',
      'own.rego': 'package a.b.c\ndeny contains "own" if input.y',
    }),
  )
  t.teardown(() => engine.close())
  const reasons = (document: unknown): readonly string[] | undefined =>
    outcomesOf(engine, document).get('a.b.c')?.reasons
  t.same(reasons({ x: true, y: true }), ['above', 'own'])
  t.same(reasons({ x: true }), ['above'])
})

t.test('an input that is malformed is an error of every policy', options, async (t) => {
  const engine = engineOf(await compileFiles({ 'a.rego': 'package a\nallow := true' }))
  for (const text of ['{"a":', '', 'nul']) {
    const [outcome] = engine.evaluate([0], { document: {}, json: () => Buffer.from(text) })
    t.type(outcome?.error, 'string', JSON.stringify(text))
    t.equal(outcome?.effect, null)
  }
  t.equal(engine.evaluate([0], { document: {}, json: () => Buffer.from('{}') })[0]?.effect, 'ALLOW')
})
