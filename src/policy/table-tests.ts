// What a `*.test.yaml` file asks: fixtures, a fixed clock, and cases with what they expect.
//
//   now: 2026-03-02T10:00:00Z                fills context.time, in UTC
//   users: {maya: {id: u-1, groups: [sales]}}          input.user
//   services: {chatgpt: {id: chatgpt, ai: true}}       input.resource
//   contexts: {office: {source: proxy}}                input.context
//   contents: {mail: {finding_types: [email]}}         input.content
//   cases:
//     - name: sales may not send addresses
//       user: maya                           a fixture's name, or the object itself; so for the others
//       service: chatgpt
//       content: mail
//       action: send_prompt                  access_ai_service where absent
//       expect: {decision: DENY, primary: pii-to-external, obligations: [redact]}
//   tables:
//     - name: who may send what
//       users: [maya, ben]                   fixtures' names; all of them where absent, so for services and contexts
//       services: [chatgpt]
//       contents: [mail, null]               null and where absent: without content
//       actions: [send_prompt]               access_ai_service where absent
//       expected:
//         - {users: maya, contents: mail, decision: DENY}
//         - {users: ben, decision: ALLOW}
//
// `input: {}` gives the whole document instead. What is expected: decision, primary (null: by default), would_be,
// reason (a part of it), obligations (all of them; a type, or type and parameters), matched (all ids).
// A table is every combination of its lists. Each row of `expected` speaks of all combinations that it does not
// rule out; one of which no row speaks is told as unlisted. `now` of a case or a table is its own clock.

import { isNode, LineCounter, parseDocument } from 'yaml'
import { CordonError, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { EFFECTS, type Verdict } from '../model/decision.ts'
import { byCodePoint, canonical } from './combine.ts'
import type { SourceFile } from './folder.ts'
import { isObject } from './metadata.ts'

export interface TableCase {
  readonly name: string
  readonly line: number
  readonly input: unknown
  /** Null: a combination of a table of which no row speaks. */
  readonly expect: Expectation | null
}

type Expectation = Readonly<Record<string, unknown>>
type Wrong = (message: string) => void

const FILE_KEYS = ['now', 'users', 'services', 'contexts', 'contents', 'cases', 'tables'] as const
const FIXTURES = [
  ['user', 'users', 'user'],
  ['service', 'services', 'resource'],
  ['context', 'contexts', 'context'],
  ['content', 'contents', 'content'],
] as const
const CASE_KEYS = [
  'name',
  'now',
  'action',
  'input',
  'expect',
  ...FIXTURES.map(([key]) => key),
] as const
const AXES = ['users', 'services', 'contexts', 'contents', 'actions'] as const
const TABLE_KEYS = ['name', 'now', ...AXES, 'expected'] as const
const EXPECT_KEYS = ['decision', 'primary', 'would_be', 'reason', 'obligations', 'matched'] as const
const MAX_CASES = 10_000
const MAX_ALIASES = 100
/** Without a zone it is UTC, wherever the test runs. */
const TIME = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?$/

/** The cases of a file; throws POLICY_INVALID with every place that is wrong. */
export function readTableTests(file: SourceFile): readonly TableCase[] {
  const lines = new LineCounter()
  const document = parseDocument(file.text, { lineCounter: lines, prettyErrors: false })
  const problems: Problem[] = []
  const wrong = (line: number, message: string): void => {
    problems.push({ file: file.path, line, column: 1, message })
  }
  for (const { pos, message } of document.errors) wrong(lines.linePos(pos[0]).line, message)
  if (problems.length > 0) throw refused(file, problems)
  let root: unknown
  try {
    root = document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch {
    // Aliases of aliases: the one thing that the parser itself does not look at.
    wrong(1, `more than ${MAX_ALIASES} aliases: write the values out`)
    throw refused(file, problems)
  }
  if (!isObject(root) || !(Array.isArray(root['cases']) || Array.isArray(root['tables']))) {
    wrong(1, 'a table test is a map with a list of cases or of tables')
    throw refused(file, problems)
  }
  unknownKeys(root, FILE_KEYS, (message) => wrong(1, message))
  for (const key of ['cases', 'tables'] as const)
    if (root[key] !== undefined && !Array.isArray(root[key])) wrong(1, `${key} is a list`)
  const lineAt = (...path: readonly (string | number)[]): number => {
    const node = document.getIn(path, true)
    const range = isNode(node) ? node.range : undefined
    return lines.linePos(range?.[0] ?? 0).line
  }
  const fixtures: Fixtures = { root, time: timeOf(root['now'], (message) => wrong(1, message)) }
  const cases: TableCase[] = []
  for (const [index, item] of listOf(root['cases'])
    .slice(0, MAX_CASES + 1)
    .entries()) {
    const line = lineAt('cases', index)
    cases.push({ ...readCase(item, fixtures, (message) => wrong(line, message)), line })
  }
  for (const [index, item] of listOf(root['tables'])
    .slice(0, MAX_CASES + 1)
    .entries()) {
    const line = lineAt('tables', index)
    const rowLine = (row: number): number => lineAt('tables', index, 'expected', row)
    cases.push(
      ...readTable(item, fixtures, {
        line,
        rowLine,
        room: MAX_CASES + 1 - cases.length,
        wrong,
      }),
    )
  }
  if (cases.length > MAX_CASES) wrong(1, `more than ${MAX_CASES} cases`)
  if (problems.length > 0) throw refused(file, problems)
  return cases
}

/** How a verdict differs from what a case expects; empty where it does not. */
export function differences(verdict: Verdict, expect: Expectation): readonly string[] {
  const found: string[] = []
  const same = (key: string, actual: unknown): void => {
    if (Object.hasOwn(expect, key) && canonical(actual) !== canonical(expect[key]))
      found.push(`${key} is ${canonical(actual)}, expected ${canonical(expect[key])}`)
  }
  same('decision', verdict.decision)
  same('primary', verdict.primary_policy_id)
  same('would_be', verdict.would_be)
  const { reason, matched, obligations } = expect
  if (typeof reason === 'string' && !verdict.reason.includes(reason))
    found.push(`reason is ${JSON.stringify(verdict.reason)}, expected ${JSON.stringify(reason)}`)
  const answered = verdict.policies_evaluated.flatMap(({ policy_id, effect }) =>
    effect === null ? [] : [policy_id],
  )
  if (Array.isArray(matched)) {
    const wanted = matched.map(String)
    if (canonical(answered.toSorted(byCodePoint)) !== canonical(wanted.toSorted(byCodePoint)))
      found.push(`matched are ${canonical(answered)}, expected ${canonical(wanted)}`)
  }
  if (Array.isArray(obligations) && !sameObligations(verdict, obligations))
    found.push(
      `obligations are ${canonical(verdict.obligations)}, expected ${canonical(obligations)}`,
    )
  return found
}

function sameObligations({ obligations }: Verdict, expected: readonly unknown[]): boolean {
  const rest = [...obligations]
  for (const wanted of expected) {
    const at = rest.findIndex(({ type, parameters }) => {
      if (!isObject(wanted)) return type === wanted
      return (
        type === wanted['type'] && canonical(parameters) === canonical(wanted['parameters'] ?? {})
      )
    })
    if (at === -1) return false
    rest.splice(at, 1)
  }
  return rest.length === 0
}

interface Fixtures {
  readonly root: Readonly<Record<string, unknown>>
  /** `context.time` by the clock of the file. */
  readonly time: object | undefined
}

function readCase(item: unknown, fixtures: Fixtures, wrong: Wrong): Omit<TableCase, 'line'> {
  if (!isObject(item)) {
    wrong('a case is a map')
    return { name: '', input: undefined, expect: null }
  }
  unknownKeys(item, CASE_KEYS, wrong)
  const { name, expect, action = 'access_ai_service' } = item
  if (typeof name !== 'string' || name === '') wrong('a case needs a name')
  if (!isObject(expect) || Object.keys(expect).length === 0) wrong('a case needs what to expect')
  else checkExpectation(expect, EXPECT_KEYS, wrong)
  const clock = item['now'] === undefined ? fixtures.time : timeOf(item['now'], wrong)
  const whole = isObject(item['input']) ? item['input'] : undefined
  const input =
    whole === undefined
      ? inputOf({ ...item, action }, { ...fixtures, time: clock }, wrong)
      : { ...whole, ...partsOf(item, fixtures, wrong) }
  return { name: String(name), input, expect: isObject(expect) ? expect : {} }
}

/** Every combination of a table's lists, with each row of `expected` that speaks of it. */
function readTable(
  item: unknown,
  fixtures: Fixtures,
  at: {
    readonly line: number
    readonly rowLine: (row: number) => number
    /** How many cases may still come. */
    readonly room: number
    readonly wrong: (line: number, message: string) => void
  },
): readonly TableCase[] {
  const wrong = (message: string): void => at.wrong(at.line, message)
  if (!isObject(item)) {
    wrong('a table is a map')
    return []
  }
  unknownKeys(item, TABLE_KEYS, wrong)
  const { name, expected } = item
  if (typeof name !== 'string' || name === '') wrong('a table needs a name')
  if (!Array.isArray(expected)) {
    wrong('a table needs a list of what is expected')
    return []
  }
  const time = item['now'] === undefined ? fixtures.time : timeOf(item['now'], wrong)
  const axes = AXES.map((axis) => axisOf(axis, item, fixtures.root, wrong))
  const rows = (expected as unknown[]).slice(0, MAX_CASES).map((row, index) => {
    const line = at.rowLine(index)
    return { line, ...readRow(row, axes, (message) => at.wrong(line, message)) }
  })
  const cells = axes.reduce((product, values) => product * values.length, 1)
  if (cells > at.room) {
    wrong(`the table has ${cells} combinations, a file at most ${MAX_CASES} cases`)
    return []
  }
  const cases: TableCase[] = []
  for (const cell of combinations(axes)) {
    const [user, service, context, content, action] = cell
    const parts = { user, service, context, content, action: action ?? 'access_ai_service' }
    const input = inputOf(parts, { ...fixtures, time }, wrong)
    const title = `${String(name)}: ${cell.filter((value) => value !== null).join(', ')}`
    const speaking = rows.filter(({ wants }) =>
      wants.every((values, axis) => values === undefined || values.includes(cell[axis] ?? null)),
    )
    for (const { expect, line } of speaking) cases.push({ name: title, line, input, expect })
    if (speaking.length === 0) cases.push({ name: title, line: at.line, input, expect: null })
    if (cases.length > at.room) break
  }
  return cases
}

/** A value of an axis; null: without one. */
type Value = string | null

/** The values that a table goes through; always one at least. */
function axisOf(
  axis: (typeof AXES)[number],
  table: Readonly<Record<string, unknown>>,
  root: Readonly<Record<string, unknown>>,
  wrong: Wrong,
): readonly Value[] {
  const given = table[axis]
  const known = isObject(root[axis]) ? Object.keys(root[axis]) : []
  if (given === undefined) {
    if (axis === 'actions' || axis === 'contents' || known.length === 0) return [null]
    return known
  }
  const values = valuesOf(given)
  if (values === undefined || values.length === 0) {
    wrong(`${axis} is a list of names`)
    return [null]
  }
  const offered = new Set(values)
  for (const value of offered) {
    if (axis === 'actions' || value === null || known.includes(value)) continue
    wrong(`${axis} has no ${JSON.stringify(value)}${didYouMean(value, known)}`)
    offered.delete(value)
  }
  return [...offered]
}

function valuesOf(given: unknown): readonly Value[] | undefined {
  const list: readonly unknown[] = Array.isArray(given) ? (given as unknown[]) : [given]
  return list.every((value): value is Value => value === null || typeof value === 'string')
    ? list
    : undefined
}

/** Which combinations a row speaks of, by axis (undefined: whatever it is), and what it expects of them. */
function readRow(
  row: unknown,
  axes: readonly (readonly Value[])[],
  wrong: Wrong,
): { readonly wants: readonly (readonly Value[] | undefined)[]; readonly expect: Expectation } {
  if (!isObject(row)) {
    wrong('what is expected is a map')
    return { wants: [], expect: {} }
  }
  const expect = Object.fromEntries(
    Object.entries(row).filter(([key]) => !(AXES as readonly string[]).includes(key)),
  )
  if (Object.keys(expect).length === 0) wrong('a row needs what to expect')
  checkExpectation(expect, EXPECT_KEYS, wrong)
  const wants = AXES.map((axis, index) => {
    if (!Object.hasOwn(row, axis)) return undefined
    const values = valuesOf(row[axis])
    if (values === undefined) wrong(`${axis} is a name or a list of names`)
    for (const value of values ?? [])
      if (axes[index]?.includes(value) !== true)
        wrong(`the table has no ${JSON.stringify(value)} among its ${axis}`)
    return values
  })
  return { wants, expect }
}

function* combinations(axes: readonly (readonly Value[])[]): Generator<readonly Value[]> {
  const [first, ...rest] = axes
  if (first === undefined) {
    yield []
    return
  }
  for (const value of first) for (const others of combinations(rest)) yield [value, ...others]
}

function checkExpectation(expect: Expectation, known: readonly string[], wrong: Wrong): void {
  unknownKeys(expect, known, wrong)
  const effects: readonly unknown[] = EFFECTS
  if (expect['decision'] !== undefined && !effects.includes(expect['decision']))
    wrong(`decision is one of ${EFFECTS.join(', ')}`)
  if (expect['would_be'] !== undefined && ![...effects, null].includes(expect['would_be']))
    wrong(`would_be is one of ${EFFECTS.join(', ')}, or null`)
  if (expect['reason'] !== undefined && typeof expect['reason'] !== 'string')
    wrong('reason is a text')
  for (const key of ['obligations', 'matched'] as const)
    if (expect[key] !== undefined && !Array.isArray(expect[key])) wrong(`${key} is a list`)
}

/** The document made of a case's parts. */
function inputOf(
  item: Readonly<Record<string, unknown>>,
  fixtures: Fixtures,
  wrong: Wrong,
): Record<string, unknown> {
  const input: Record<string, unknown> = {
    action: item['action'],
    ...partsOf(item, fixtures, wrong),
  }
  const context = isObject(input['context']) ? input['context'] : {}
  if (fixtures.time !== undefined) input['context'] = { time: fixtures.time, ...context }
  return input
}

function partsOf(
  item: Readonly<Record<string, unknown>>,
  { root }: Fixtures,
  wrong: Wrong,
): Record<string, unknown> {
  const parts: Record<string, unknown> = {}
  for (const [key, fixtures, part] of FIXTURES) {
    const given = item[key]
    if (given === undefined || given === null) continue
    const named = root[fixtures]
    const value =
      typeof given === 'string' && isObject(named) && Object.hasOwn(named, given)
        ? named[given]
        : given
    if (isObject(value)) parts[part] = value
    else wrong(`${fixtures} has no ${JSON.stringify(given)}${hintOf(given, named)}`)
  }
  return parts
}

function hintOf(given: unknown, named: unknown): string {
  return typeof given === 'string' && isObject(named) ? didYouMean(given, Object.keys(named)) : ''
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}

function timeOf(now: unknown, wrong: (message: string) => void): object | undefined {
  if (now === undefined) return undefined
  const [, text, zone = 'Z'] = typeof now === 'string' ? (TIME.exec(now) ?? []) : []
  const date = new Date(text === undefined ? Number.NaN : `${text.replace(' ', 'T')}${zone}`)
  if (Number.isNaN(date.getTime())) {
    wrong('now is a date and time such as 2026-03-02T10:00:00Z')
    return undefined
  }
  return {
    epoch_ms: date.getTime(),
    hour: date.getUTCHours(),
    weekday: date.getUTCDay() === 0 ? 7 : date.getUTCDay(),
    date: date.toISOString().slice(0, 10),
  }
}

function unknownKeys(
  value: Readonly<Record<string, unknown>>,
  known: readonly string[],
  wrong: (message: string) => void,
): void {
  for (const key of Object.keys(value))
    if (!known.includes(key)) wrong(`unknown key "${key}"${didYouMean(key, known)}`)
}

function refused(file: SourceFile, problems: readonly Problem[]): CordonError {
  return new CordonError('POLICY_INVALID', `${file.path}: the table test is refused`, { problems })
}
