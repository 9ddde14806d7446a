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
//
// `input: {}` gives the whole document instead. `expect` takes decision, primary (null: by default), would_be,
// reason (a part of it), obligations (all of them; a type, or type and parameters), matched (all ids).

import { isMap, isSeq, LineCounter, parseDocument } from 'yaml'
import { CordonError, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import type { Verdict } from '../model/decision.ts'
import { byCodePoint, canonical } from './combine.ts'
import type { SourceFile } from './folder.ts'
import { isObject } from './metadata.ts'

export interface TableCase {
  readonly name: string
  readonly line: number
  readonly input: unknown
  readonly expect: Readonly<Record<string, unknown>>
}

const FILE_KEYS = ['now', 'users', 'services', 'contexts', 'contents', 'cases'] as const
const FIXTURES = [
  ['user', 'users', 'user'],
  ['service', 'services', 'resource'],
  ['context', 'contexts', 'context'],
  ['content', 'contents', 'content'],
] as const
const CASE_KEYS = ['name', 'action', 'input', 'expect', ...FIXTURES.map(([key]) => key)] as const
const EXPECT_KEYS = ['decision', 'primary', 'would_be', 'reason', 'obligations', 'matched'] as const
const MAX_CASES = 10_000
const MAX_ALIASES = 100

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
  const root: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
  if (!isObject(root) || !Array.isArray(root['cases'])) {
    wrong(1, 'a table test is a map with a list of cases')
    throw refused(file, problems)
  }
  unknownKeys(root, FILE_KEYS, (message) => wrong(1, message))
  const time = timeOf(root['now'], (message) => wrong(1, message))
  const list = root['cases'] as unknown[]
  if (list.length > MAX_CASES) wrong(1, `more than ${MAX_CASES} cases`)
  const nodes = isMap(document.contents) ? document.contents.get('cases') : undefined
  const cases: TableCase[] = []
  for (const [index, item] of list.slice(0, MAX_CASES).entries()) {
    const node = isSeq(nodes) ? nodes.items[index] : undefined
    const range = isMap(node) ? node.range : undefined
    const line = lines.linePos(range?.[0] ?? 0).line
    const read = readCase(item, root, time, (message) => wrong(line, message))
    if (read !== undefined) cases.push({ ...read, line })
  }
  if (problems.length > 0) throw refused(file, problems)
  return cases
}

/** How a verdict differs from what a case expects; empty where it does not. */
export function differences(verdict: Verdict, expect: TableCase['expect']): readonly string[] {
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

function readCase(
  item: unknown,
  root: Readonly<Record<string, unknown>>,
  time: object | undefined,
  wrong: (message: string) => void,
): Omit<TableCase, 'line'> | undefined {
  if (!isObject(item)) {
    wrong('a case is a map')
    return undefined
  }
  unknownKeys(item, CASE_KEYS, wrong)
  const { name, expect, action = 'access_ai_service' } = item
  if (typeof name !== 'string' || name === '') wrong('a case needs a name')
  if (!isObject(expect) || Object.keys(expect).length === 0) wrong('a case needs what to expect')
  else {
    unknownKeys(expect, EXPECT_KEYS, wrong)
    if (expect['reason'] !== undefined && typeof expect['reason'] !== 'string')
      wrong('reason is a text')
    for (const key of ['obligations', 'matched'] as const)
      if (expect[key] !== undefined && !Array.isArray(expect[key])) wrong(`${key} is a list`)
  }
  const input: Record<string, unknown> = isObject(item['input']) ? item['input'] : { action }
  for (const [key, fixtures, part] of FIXTURES) {
    const given = item[key]
    if (given === undefined) continue
    const named = root[fixtures]
    const value = typeof given === 'string' && isObject(named) ? named[given] : given
    if (isObject(value)) input[part] = value
    else wrong(`${fixtures} has no ${JSON.stringify(given)}`)
  }
  const context = isObject(input['context']) ? input['context'] : {}
  if (time !== undefined && item['input'] === undefined) input['context'] = { time, ...context }
  return { name: String(name), input, expect: isObject(expect) ? expect : {} }
}

function timeOf(now: unknown, wrong: (message: string) => void): object | undefined {
  if (now === undefined) return undefined
  const date = new Date(typeof now === 'string' ? now : Number.NaN)
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
