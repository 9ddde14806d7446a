// Policies and inputs by chance, out of one small vocabulary, so that they meet.

import { parseExact, stringifyExact } from '../../src/base/exact-json.ts'
import type { Dice } from './dice.ts'

const GROUPS = ['sales', 'support', 'contractors', 'legal', 'é-team']
const DEPARTMENTS = ['Finance', 'Sales', 'Legal']
const SERVICES = ['chatgpt', 'claude', 'unknown']
const LABELS = ['pii', 'phi', 'secret']
const TYPES = ['email', 'iban', 'api_key']
const ACTIONS = ['send_prompt', 'paste', 'access_ai_service']

/** An input document in which anything may be absent, and some of it oddly typed. */
export function randomInput(dice: Dice): Record<string, unknown> {
  const maybe = (share: number, value: () => unknown): unknown =>
    dice.next() < share ? value() : undefined
  const some = (list: readonly string[]): string[] => list.filter(() => dice.next() < 0.4)
  const odd = (value: unknown): unknown =>
    dice.next() < 0.03 ? dice.of([null, 7, 'odd', [], {}, true]) : value
  return withoutAbsent({
    user: odd({
      id: maybe(0.8, () => `u-${dice.between(1, 3)}`),
      name: maybe(0.7, () => dice.of(['Maya', 'Sam', 'Zoë'])),
      known: dice.next() < 0.8,
      department: maybe(0.8, () => ({ name: odd(dice.of(DEPARTMENTS)), path: some(DEPARTMENTS) })),
      groups: odd(some(GROUPS)),
      roles: maybe(0.5, () => some(['admin', 'reader'])),
      risk_score: maybe(0.7, () => odd(dice.between(0, 100))),
      attributes: maybe(0.5, () => ({
        trained: dice.of(['yes', 'no', true]),
        level: dice.between(1, 4),
      })),
    }),
    action: maybe(0.95, () => dice.of(ACTIONS)),
    resource: odd({
      id: maybe(0.8, () => dice.of(SERVICES)),
      name: dice.of(['ChatGPT', 'Claude']),
      category: maybe(0.8, () => dice.of(['llm_chat', 'llm_api'])),
      ai: dice.next() < 0.9,
      approval_status: dice.of(['approved', 'review_required', 'prohibited', 'unknown']),
      capabilities: some(['text', 'code', 'image']),
    }),
    content: maybe(0.6, () => ({
      parsed: dice.next() < 0.8,
      bytes: odd(dice.of([0, 10, 5000, 9007199254740993n])),
      findings: some(TYPES).map((type) => ({
        type,
        category: 'pii',
        count: dice.between(1, 9),
        confidence: 0.5,
      })),
      finding_types: some(TYPES),
      data_classification: some(LABELS),
    })),
    context: odd({
      source: dice.of(['proxy', 'api']),
      ip_address: maybe(0.8, () => dice.of(['10.1.2.3', '203.0.113.9', 'nowhere'])),
      time: { hour: dice.between(0, 23), weekday: dice.between(1, 7) },
    }),
  })
}

function withoutAbsent(value: unknown): Record<string, unknown> {
  return parseExact(stringifyExact(value)) as Record<string, unknown>
}

export interface RandomRego {
  readonly name: string
  readonly packageName: string
  readonly rules: readonly string[]
  readonly text: string
}

/** What every random policy may use. */
export const REGO_LIBRARY: Readonly<Record<string, string>> = {
  'lib/shared.rego': `package lib.shared

external if not net.cidr_contains("10.0.0.0/8", input.context.ip_address)

risky if input.user.risk_score > data.limits.risk

labels contains label if some label in input.content.data_classification

label_of(kind) := data.limits.names[kind]
`,
  'limits/data.json':
    '{"risk": 50, "bytes": 4096, "names": {"pii": "personal", "phi": "health"}, "blocked": ["claude"]}',
}

export function randomRego(dice: Dice, number: number): RandomRego {
  const condition = (): string => dice.of(CONDITIONS)(dice)
  const body = (): string =>
    Array.from({ length: dice.between(1, 3) }, () => `\t${condition()}`).join('\n')
  const blocks: string[] = []
  const rules: string[] = []
  const add = (rule: string, ...texts: readonly string[]): void => {
    rules.push(rule)
    blocks.push(...texts)
  }
  for (const rule of ['deny', 'review', 'allow']) {
    const shape = dice.between(0, 5)
    if (shape === 0) add(rule, `${rule} if {\n${body()}\n}`)
    if (shape === 1) add(rule, `default ${rule} := false\n${rule} if {\n${body()}\n}`)
    if (shape === 2)
      add(
        rule,
        `${rule} contains "fixed" if {\n${body()}\n}`,
        `${rule} contains reason if {\n\tsome g in input.user.groups\n${body()}\n\treason := sprintf("%s of %v", [g, number])\n}`,
      )
    if (shape === 3) add(rule, `${rule} := ["b", "a"] if {\n${body()}\n}`)
  }
  if (dice.next() < 0.2)
    add(
      'decision',
      `decision := {"decision": "DENY", "reason": "by object", "obligations": [{"type": "coach"}]} if {\n${body()}\n} else := "REVIEW" if {\n${body()}\n}`,
    )
  if (dice.next() < 0.3)
    add(
      'obligations',
      `obligations contains {"type": t, "parameters": {"of": {x | some x in input.content.finding_types}}} if {\n\tt := "redact"\n${body()}\n}`,
    )
  if (rules.length === 0) add('allow', `allow if {\n${body()}\n}`)
  if (dice.next() < 0.4)
    add('reason', `reason := concat("; ", {x | some x in input.user.groups}) if input.user.groups`)
  const packageName = `random.p${number}`
  const text = [
    ...metadata(dice, number),
    `package ${packageName}`,
    'import data.lib.shared',
    `number := ${number}`,
    'large(n) if n > 20',
    'member(name) if name in input.user.groups',
    ...blocks,
    '',
  ].join('\n\n')
  return { name: `p${number}.rego`, packageName, rules, text }
}

function metadata(dice: Dice, number: number): readonly string[] {
  const scope = dice.of([
    '{}',
    '{}',
    `{departments: [${dice.of(DEPARTMENTS)}]}`,
    `{services: [${dice.of(SERVICES)}], actions: [send_prompt, paste]}`,
    `{groups: [${dice.of(GROUPS)}, ${dice.of(GROUPS)}]}`,
    `{labels: [${dice.of(LABELS)}]}`,
  ])
  return [
    [
      '# METADATA',
      '# scope: package',
      '# custom:',
      '#   cordon:',
      `#     id: random-${number}`,
      `#     priority: ${dice.of([100, 500, 900])}`,
      `#     mode: ${dice.of(['enforce', 'enforce', 'warn', 'audit'])}`,
      `#     scope: ${scope}`,
    ].join('\n'),
  ]
}

const CONDITIONS: readonly ((dice: Dice) => string)[] = [
  (dice) => `input.user.department.name == "${dice.of(DEPARTMENTS)}"`,
  (dice) => `"${dice.of(GROUPS)}" in input.user.groups`,
  (dice) => `member("${dice.of(GROUPS)}")`,
  () => 'not input.user.known',
  () => 'input.user.known',
  (dice) => `input.user.risk_score > ${dice.between(0, 90)}`,
  () => 'large(input.user.risk_score)',
  () => 'shared.risky',
  () => 'shared.external',
  () => 'not shared.external',
  (dice) => `"${dice.of(LABELS)}" in shared.labels`,
  () => 'count(shared.labels) > 1',
  () => '"health" in {shared.label_of(label) | some label in shared.labels}',
  (dice) =>
    `count([f | some f in input.content.findings; f.type == "${dice.of(TYPES)}"; f.count > ${dice.between(0, 6)}]) > 0`,
  () => 'every x in input.user.groups { startswith(x, "s") }',
  (dice) => `count(input.user.groups) >= ${dice.between(0, 3)}`,
  () => 'input.content.bytes > data.limits.bytes',
  () => 'input.content.bytes == 9007199254740993',
  () => '"yes" in {v | some key in ["trained", "level"]; v := input.user.attributes[key]}',
  () => 'input.user.attributes.level in {1, 2}',
  (dice) => `lower(input.resource.name) == "${dice.of(['chatgpt', 'claude'])}"`,
  () => 'input.resource.id in data.limits.blocked',
  () => 'regex.match(`^u-[12]$`, input.user.id)',
  () => 'glob.match("{chat*,cl?ude}", [], input.resource.id)',
  (dice) => `object.get(input, ["user", "${dice.of(['id', 'nothing'])}"], "none") == "none"`,
  (dice) => `walk(input, [_, "${dice.of(['sales', 'needle'])}"])`,
  (dice) => `input.context.time.hour < ${dice.between(1, 23)}`,
  (dice) => `input.action != "${dice.of(ACTIONS)}"`,
  () => 'type_name(input.user.risk_score) == "number"',
  () => 'input.user.roles[_] == "admin"',
  () => 'count({x | some x in input.user.groups; x != "sales"}) > 0',
  () => 'sum([f.count | some f in input.content.findings]) > 5',
  () => 'json.marshal({x: 1 | some x in input.user.groups}) != "{}"',
  () => 'input.resource.capabilities == input.resource.capabilities',
]

/** A statement with an id, and every attribute tested before it is read. */
export function randomCedar(dice: Dice, number: number): string {
  const principal = dice.of([
    'principal',
    'principal',
    `principal in Cordon::Group::"${dice.of(GROUPS)}"`,
    `principal in Cordon::Department::"${dice.of(DEPARTMENTS)}"`,
    'principal == Cordon::User::"u-1"',
    'principal is Cordon::User',
  ])
  const action = dice.of(['action', 'action', `action == Cordon::Action::"${dice.of(ACTIONS)}"`])
  const resource = dice.of([
    'resource',
    'resource',
    `resource == Cordon::Service::"${dice.of(SERVICES)}"`,
    'resource in Cordon::Category::"llm_chat"',
  ])
  const clauses = Array.from({ length: dice.between(0, 2) }, () => {
    const parts = Array.from({ length: dice.between(1, 2) }, () => dice.of(CEDAR_CONDITIONS)(dice))
    return `${dice.of(['when', 'when', 'unless'])} { ${parts.join(dice.of([' && ', ' || ']))} }`
  })
  return `@id("cedar-${number}") @priority("${dice.of([100, 500, 900])}") @mode("${dice.of(['enforce', 'enforce', 'warn'])}")
${dice.of(['', '', '@decision("review") '])}${dice.of(['permit', 'forbid'])}(${principal}, ${action}, ${resource})
${clauses.join('\n')};
`
}

const CEDAR_CONDITIONS: readonly ((dice: Dice) => string)[] = [
  (dice) => `(principal has risk_score && principal.risk_score > ${dice.between(0, 90)})`,
  // Overflows for some: an error, and no silence.
  () => '(context has content && context.content has bytes && context.content.bytes * 9000 > 1000)',
  () => '(principal has known && principal.known)',
  () => '(principal has groups && principal.groups.contains("sales"))',
  (dice) =>
    `(principal has groups && ${dice.of([
      `principal.groups.containsAny(["${dice.of(GROUPS)}", "nobody"])`,
      `principal.groups.containsAll(["${dice.of(GROUPS)}", "${dice.of(GROUPS)}"])`,
      'principal.groups.isEmpty()',
      `principal.groups == ["${dice.of(GROUPS)}"]`,
      `["${dice.of(GROUPS)}", "${dice.of(GROUPS)}"].containsAll(principal.groups)`,
      'principal has roles && principal.groups.containsAny(principal.roles)',
    ])})`,
  (dice) =>
    dice.of([
      'principal == Cordon::User::"u-1"',
      'principal != Cordon::User::"u-2"',
      'action == Cordon::Action::"paste"',
      `resource == Cordon::Service::"${dice.of(SERVICES)}"`,
      '[principal].contains(Cordon::User::"u-1")',
      'principal has department && principal.department has path && principal.department.path.contains("Acme")',
    ]),
  () =>
    '(principal has department && principal.department has name && principal.department.name == "Legal")',
  (dice) => `principal in Cordon::Group::"${dice.of(GROUPS)}"`,
  () => '(resource has approval_status && resource.approval_status == "approved")',
  () => '(resource has capabilities && resource.capabilities.containsAny(["code", "image"]))',
  () => '(resource has name && resource.name like "*GPT")',
  () => '(context has ip_address && context.ip_address.isInRange(ip("10.0.0.0/8")))',
  () => '(context has time && context.time has hour && context.time.hour < 12)',
  () =>
    '(context has content && context.content has finding_types && context.content.finding_types.contains("email"))',
  () => 'resource in Cordon::Category::"llm_api"',
]
