import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatProblem } from '../../src/base/errors.ts'
import { parseExact } from '../../src/base/exact-json.ts'
import { CedarEngine } from '../../src/policy/cedar/engine.ts'
import { readCedar, readCedarFiles } from '../../src/policy/cedar/read.ts'
import type { PolicyOutcome } from '../../src/policy/engine.ts'

const SCHEMA = join(import.meta.dirname, '../../src/policy/cedar/schema.cedarschema')

function read(text: string) {
  return readCedar({ path: 'dir/x.cedar', name: 'x.cedar', text })
}

function evaluate(text: string, document: unknown): readonly PolicyOutcome[] {
  const { policies, problems } = read(text)
  if (problems.length > 0) throw new Error(problems.map(formatProblem).join('\n'))
  const engine = new CedarEngine(policies)
  const outcomes = engine.evaluate([...policies.keys()], { document, json: () => Buffer.alloc(0) })
  engine.close()
  return outcomes
}

function holds(condition: string, document: unknown): boolean {
  const [outcome] = evaluate(`permit(principal, action, resource) when { ${condition} };`, document)
  if (outcome?.error !== null) throw new Error(outcome?.error)
  return outcome.effect === 'ALLOW'
}

const CONTENT = 'context has content && context.content has'
const BIG = '9007199254740993'

const CONDITIONS: readonly (readonly [condition: string, document: string, holds: boolean])[] = [
  [
    'principal has email && principal.email like "*@acme.example"',
    '{"user":{"email":"a@acme.example"}}',
    true,
  ],
  ['principal in Cordon::Group::"sales"', '{"user":{"groups":["sales"]}}', true],
  ['principal in Cordon::Role::"admin"', '{"user":{"groups":["admin"]}}', false],
  [
    'principal in Cordon::Department::"DE"',
    '{"user":{"department":{"name":"HH","path":["Acme","DE","HH"]}}}',
    true,
  ],
  ['principal in Cordon::Department::"HH"', '{"user":{"department":{"name":"HH"}}}', true],
  ['principal == Cordon::User::"unknown"', '{}', true],
  ['principal == Cordon::User::"unknown"', '{"user":{"name":"maya","known":false}}', true],
  ['resource == Cordon::Service::"unknown"', '{"resource":{"type":"site"}}', true],
  ['resource in Cordon::Vendor::"OpenAI"', '{"resource":{"vendor":"OpenAI"}}', true],
  ['resource in Cordon::Category::"llm"', '{"resource":{"category":"llm"}}', true],
  [
    `principal has risk_score && principal.risk_score == ${BIG}`,
    `{"user":{"risk_score":${BIG}}}`,
    true,
  ],
  [
    `principal has risk_score && principal.risk_score == ${BIG}`,
    '{"user":{"risk_score":9007199254740992}}',
    false,
  ],
  ['principal has risk_score', '{"user":{"risk_score":5.5}}', false],
  ['principal has risk_score', '{"user":{"risk_score":9223372036854775807}}', true],
  ['principal has risk_score', '{"user":{"risk_score":9223372036854775808}}', false],
  ['principal has email', '{"user":{"email":7}}', false],
  ['principal has known && !principal.known', '{"user":{"known":false}}', true],
  [
    'context has ip_address && context.ip_address.isInRange(ip("10.0.0.0/8"))',
    '{"context":{"ip_address":"10.1.2.3"}}',
    true,
  ],
  [
    'context has ip_address && context.ip_address.isInRange(ip("10.0.0.0/8"))',
    '{"context":{"ip_address":"::ffff:10.1.2.3"}}',
    true,
  ],
  ['context has ip_address', '{"context":{"ip_address":"localhost"}}', false],
  ['context has ip_address', '{"context":{"ip_address":"fe80::1%eth0"}}', false],
  [
    'context has ip_address && context.ip_address.isIpv6()',
    '{"context":{"ip_address":"2001:db8::7"}}',
    true,
  ],
  [
    `${CONTENT} finding_types && context.content.finding_types.contains("email")`,
    '{"content":{"finding_types":["iban","email"]}}',
    true,
  ],
  ['context has content', '{"content":{}}', true],
  ['context has content', '{"content":5}', false],
  ['context has content.bytes && context.content.bytes > 10', '{"content":{"bytes":11}}', true],
  [
    'context has time && context.time has hour && context.time.hour < 8',
    '{"context":{"time":{"hour":7}}}',
    true,
  ],
  ['action == Cordon::Action::"paste"', '{"action":"paste"}', true],
  ['action == Cordon::Action::"paste"', '{"action":"dance"}', false],
  ['principal has name && principal.name == "\\u{fffd}"', '{"user":{"name":"\\ud800"}}', true],
]

for (const [condition, document, wanted] of CONDITIONS) {
  t.test(`${condition} is ${wanted} for ${document}`, async (t) => {
    t.equal(holds(condition, parseExact(document)), wanted)
  })
}

t.test(
  'an action that the schema does not name is judged by statements without an action',
  async (t) => {
    const outcomes = evaluate(
      'forbid(principal, action == Cordon::Action::"paste", resource); forbid(principal, action, resource);',
      { action: 'dance' },
    )
    t.same(
      outcomes.map(({ effect }) => effect),
      [null, 'DENY'],
    )
  },
)

t.test('every satisfied statement is told, permits beside forbids', async (t) => {
  const text = `
    @reason("because") permit(principal, action, resource);
    forbid(principal, action, resource);
    @decision("review") forbid(principal, action, resource);
    @decision("none") @obligations("[{\\"type\\":\\"redact\\"}]") permit(principal, action, resource);`
  t.same(evaluate(text, {}), [
    { effect: 'ALLOW', reasons: ['because'], obligations: [], error: null },
    { effect: 'DENY', reasons: [], obligations: [], error: null },
    { effect: 'REVIEW', reasons: [], obligations: [], error: null },
    { effect: null, reasons: [], obligations: [{ type: 'redact', parameters: {} }], error: null },
  ])
})

t.test('a statement that errs is told, the others answer', async (t) => {
  const outcomes = evaluate(
    `forbid(principal, action, resource) when { ${CONTENT} bytes && context.content.bytes * 9223372036854775807 > 3 };
     permit(principal, action, resource);`,
    { content: { bytes: 5 } },
  )
  t.match(outcomes, [
    { effect: null, error: /overflow/ },
    { effect: 'ALLOW', error: null },
  ])
})

t.test('ids count statements in the order of the file, the first is 1', async (t) => {
  const text = '// one; two\npermit(principal, action, resource) when { "a;b" == "c" };\n'.repeat(
    12,
  )
  t.same(
    read(text).policies.map(({ metadata }) => metadata.id),
    Array.from({ length: 12 }, (_, index) => `x.cedar:${index + 1}`),
  )
})

t.test('every statement that Cedar sees is one, whatever stands around it', async (t) => {
  const texts = [
    'permit(principal, action, resource); // a comment ends here\rforbid(principal, action, resource);',
    '@forbid("x") permit(principal, action, resource); @ // an annotation\nforbid("x") forbid(principal, action, resource);',
  ]
  for (const text of texts)
    t.same(
      evaluate(text, {}).map(({ effect }) => effect),
      ['ALLOW', 'DENY'],
    )
  t.match(read('permit(principal, action, resource); permit').problems, [{ line: 1 }])
  t.match(read('\uFEFFpermit(principal, action, resource);').problems, [{ line: 1, column: 1 }])
})

t.test('no statement keeps the others from being told, whatever stands around it', async (t) => {
  // All that is white space to Unicode, and so to Cedar.
  const spaces = Array.from(
    '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000',
  )
  for (const space of spaces) {
    const text = `@${space}permit("x")${space}forbid(principal, action, resource);
      forbid(principal, action, resource);
      permit(principal, action, resource);`
    t.same(
      evaluate(text, {}).map(({ effect }) => effect),
      ['DENY', 'DENY', 'ALLOW'],
      `character ${space.charCodeAt(0)}`,
    )
  }
})

t.test('what is valid is read once, and placed where it stands', async (t) => {
  const statement =
    '@id("one") permit(principal, action, resource) when { principal has attributes };'
  const [first, second] = await readCedarFiles([
    { path: 'a/x.cedar', name: 'x.cedar', text: statement },
    { path: 'b/x.cedar', name: 'x.cedar', text: `// moved\n\n${statement}` },
  ])
  const again = read(`\n${statement}`)
  t.match(first?.policies[0]?.metadata, { id: 'one', file: 'a/x.cedar', line: 1 })
  t.match(second?.policies[0]?.metadata, { id: 'one', file: 'b/x.cedar', line: 3 })
  t.equal(again.policies[0]?.outcome, first?.policies[0]?.outcome, 'shared')
  t.match(again.warnings, [{ file: 'dir/x.cedar', line: 2, message: /impossible/ }])
})

t.test('a statement without an id is not another one of the same text', async (t) => {
  const text = 'permit(principal, action, resource);'
  t.same(
    read(`${text}\n${text}`).policies.map(({ metadata }) => metadata.id),
    ['x.cedar:1', 'x.cedar:2'],
  )
})

t.test('annotations are metadata, the head is the scope', async (t) => {
  const [policy] =
    read(`@id("a") @name("A \\"b\\"") @version("1.2.0") @priority("900") @severity("high")
@mode("warn") @framework("EU_AI_ACT") @article("Article 5")
permit(principal in Cordon::Group::"sales", action in [Cordon::Action::"paste", Cordon::Action::"send_prompt"],
  resource is Cordon::Service in Cordon::Vendor::"OpenAI");`).policies
  t.match(policy?.metadata, {
    id: 'a',
    name: 'A "b"',
    version: '1.2.0',
    priority: 900,
    severity: 'high',
    mode: 'warn',
    framework: 'EU_AI_ACT',
    article: 'Article 5',
    scope: { groups: ['sales'], actions: ['paste', 'send_prompt'], vendors: ['OpenAI'] },
  })
})

const REFUSED: readonly (readonly [text: string, ...problems: (string | RegExp)[]])[] = [
  [
    '// ü\npermit(principal, action, resource) when { context.x > };',
    /^dir\/x.cedar:2:56: unexpected token `}`$/,
  ],
  [
    'permit(principal, action, resource);\n\n// ä\nforbid(principal, action, resource) when { "ü" == "ü" && context.source == "x" };',
    /^dir\/x.cedar:4:58: unable to guarantee safety of access to optional attribute `source`/,
  ],
  [
    'permit(principal, action, resource) when { context has content && context.content.bytes > 1 };',
    /:1:67: .*`content.bytes`/,
  ],
  [
    'permit(principal == Cordon::Userr::"x", action, resource);',
    /:1:21: unrecognized entity type `Cordon::Userr` \(did you mean/,
  ],
  ['permit(principal, action == Cordon::Action::"dance", resource);', /:1:29: unrecognized action/],
  [
    'permit(principal, action, resource in ?resource);',
    /:1:39: templates are refused: name the entity/,
  ],
  [
    '@priority("1001") permit(principal, action, resource);',
    /:1:1: priority must be a whole number from 0 to 1000/,
  ],
  [
    '@mode("shadow") permit(principal, action, resource);',
    /mode must be one of enforce, warn, audit/,
  ],
  [
    '@prority("5") permit(principal, action, resource);',
    /unknown annotation @prority \(did you mean "priority"\?\)/,
  ],
  ['@obligations("[{}]") permit(principal, action, resource);', /@obligations must be/],
  ['@obligations("nonsense") permit(principal, action, resource);', /@obligations must be/],
  ['@decision("none") forbid(principal, action, resource);', /@decision is/],
  ['@decision("maybe") permit(principal, action, resource);', /@decision is/],
  ['@id("") permit(principal, action, resource);', /id must be/],
  ['@id("a") @id("b") permit(principal, action, resource);', /:1:10: duplicate annotation/],
  [
    'permit(principal, action, resource) when { ip("x").isIpv4() };',
    /failed to parse as IP address/,
  ],
  ['permit(principal, action, resource) when { f(1) };', /:1:44: `f` is not a valid function/],
  [
    `permit(principal, action, resource) when { ${'('.repeat(70)}true${')'.repeat(70)} };`,
    /:1:107: a statement nests deeper than 64 brackets/,
  ],
  [
    `permit(principal, action, resource) when { ${'true && '.repeat(5000)}true };`,
    /more than 800 operators/,
  ],
  [
    `permit(principal, action, resource) when { ${'if true then '.repeat(400)}true${' else true'.repeat(400)} };`,
    /more than 100 conditionals/,
  ],
]

for (const [text, ...wanted] of REFUSED) {
  t.test(`refused: ${text.slice(0, 120)}`, async (t) => {
    const { problems, policies } = read(text)
    t.match(problems.map(formatProblem), wanted)
    t.equal(problems.length, wanted.length)
    t.same(policies, [])
  })
}

t.test('a statement that can never hold is legal, with a warning', async (t) => {
  const { problems, warnings } = read(
    'permit(principal, action, resource) when { principal has attributes };',
  )
  t.same(problems, [])
  t.match(warnings.map(formatProblem), [/x.cedar:1:1: policy is impossible/])
})

const READS: readonly (readonly [statement: string, reads: readonly string[]])[] = [
  ['permit(principal, action, resource);', []],
  ['permit(principal is Cordon::User, action, resource);', []],
  [
    'permit(principal in Cordon::Group::"a", action, resource);',
    ['user.department', 'user.groups', 'user.id', 'user.roles'],
  ],
  [
    'permit(principal, action == Cordon::Action::"paste", resource == Cordon::Service::"a");',
    ['action', 'resource.id'],
  ],
  [
    'permit(principal, action, resource) when { context has content.bytes && context.content.bytes > 1 };',
    ['content.bytes'],
  ],
  [
    'permit(principal, action, resource) when { principal has email && principal.email == "a" };',
    ['user.email'],
  ],
  [
    'permit(principal, action, resource) when { resource in Cordon::Vendor::"a" };',
    ['resource.category', 'resource.id', 'resource.vendor'],
  ],
  [
    'permit(principal, action, resource) when { (if principal == principal then principal else principal) has email };',
    ['user', 'user.id'],
  ],
  [
    'permit(principal, action, resource) when { principal == Cordon::User::"a" || Cordon::Service::"b" != resource };',
    ['resource.id', 'user.id'],
  ],
  ['permit(principal, action, resource) when { {a: context}.a has source };', ['']],
]

for (const [statement, reads] of READS) {
  t.test(`${statement} reads ${reads.join(', ') || 'nothing'}`, async (t) => {
    t.same(read(statement).policies[0]?.metadata.reads, reads)
  })
}

// Since the risk score: `context.risk`, optional as everything else.
t.test('the schema is the one that the project promises', async (t) => {
  const hash = createHash('sha256').update(readFileSync(SCHEMA)).digest('hex')
  t.equal(hash, '70311ac197d6d3c0ffb90300c4d053818f7e15cd5ecd3580e71743a1588ec166')
})
