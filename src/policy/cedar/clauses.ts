// Which parts of a Cedar statement hold for an input, for an explanation.
//
// A statement is satisfied where its head and all of its conditions hold. Its conditions are taken apart at `&&` (in
// `unless` at `||`), and Cedar itself is asked whether the first n parts hold, for each n: what it evaluates is what
// it would evaluate, so that a part behind one that fails is never reached, as in the statement itself.

import { createRequire } from 'node:module'
import type * as CedarWasm from '@cedar-policy/cedar-wasm/nodejs'
import type { ClauseValue } from '../engine.ts'
import { requestMaker } from './entities.ts'
import { type CedarPolicy, looksOf } from './read.ts'

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs') as typeof CedarWasm

/** More of them are not told apart. */
const MAX_PARTS = 64

type Expr = CedarWasm.Expr
type Head = Pick<CedarWasm.PolicyJson, 'principal' | 'action' | 'resource'>

const ANY: Head = { principal: { op: 'All' }, action: { op: 'All' }, resource: { op: 'All' } }

/** The parts in the order of the statement, with what became of each. */
export function clausesOf(policy: CedarPolicy, document: unknown): readonly ClauseValue[] {
  const parsed = cedar.policyToJson(policy.text)
  if (parsed.type === 'failure') return []
  const statement = parsed.json
  const heads = (['principal', 'action', 'resource'] as const)
    .filter((key) => statement[key].op !== 'All')
    .map((key) => policyOf({ ...ANY, [key]: statement[key] }, []))
  const parts = statement.conditions.flatMap(partsOf).slice(0, MAX_PARTS)
  const said = ask(policy, document, [
    ...heads,
    ...parts.map((_, at) => policyOf(ANY, parts.slice(0, at + 1))),
  ])
  return [
    ...heads.map((head, at) => ({ text: headText(head), ...said(at) })),
    ...parts.map((part, at) => {
      const before = at === 0 ? { holds: true } : said(heads.length + at - 1)
      const text = conditionText(part)
      return before.holds ? { text, ...said(heads.length + at) } : { text, holds: null }
    }),
  ]
}

/** What must hold one after the other: `a && b` is two parts, and so is `unless { a || b }`. */
function partsOf({ kind, body }: CedarWasm.Clause): readonly CedarWasm.Clause[] {
  const operator = kind === 'when' ? '&&' : '||'
  return operands(body, operator).map((each) => ({ kind, body: each }))
}

/** Of a chain of one operator, left to right. */
function operands(expr: Expr, operator: '&&' | '||'): readonly Expr[] {
  const node = (expr as Readonly<Record<string, unknown>>)[operator] as
    | { readonly left: Expr; readonly right: Expr }
    | undefined
  return node === undefined
    ? [expr]
    : [...operands(node.left, operator), ...operands(node.right, operator)]
}

function policyOf(head: Head, conditions: readonly CedarWasm.Clause[]): CedarWasm.PolicyJson {
  return { effect: 'permit', ...head, conditions: [...conditions], annotations: {} }
}

function ask(
  policy: CedarPolicy,
  document: unknown,
  policies: readonly CedarWasm.PolicyJson[],
): (at: number) => { readonly holds: boolean; readonly error?: string } {
  const request = requestMaker([looksOf(policy)])(document)
  const answer = cedar.isAuthorized({
    ...request,
    validateRequest: false,
    policies: { staticPolicies: Object.fromEntries(policies.map((each, at) => [at, each])) },
  } as unknown as CedarWasm.AuthorizationCall)
  if (answer.type === 'failure') {
    const error = answer.errors[0]?.message ?? 'Cedar gave no answer'
    return () => ({ holds: false, error })
  }
  const { reason, errors } = answer.response.diagnostics
  const satisfied = new Set(reason)
  const failed = new Map(errors.map(({ policyId, error }) => [policyId, error.message]))
  return (at) => {
    const error = failed.get(String(at))
    return { holds: satisfied.has(String(at)), ...(error === undefined ? {} : { error }) }
  }
}

/** `principal in Cordon::Group::"sales"`. */
function headText(policy: CedarWasm.PolicyJson): string {
  const [, inner = ''] = /^permit\s*\(([^]*)\)\s*;?\s*$/.exec(textOf(policy)) ?? []
  const parts = inner.split(/,\s*(?=(?:principal|action|resource)\b)/).map((part) => part.trim())
  return parts.find((part) => !/^(?:principal|action|resource)$/.test(part)) ?? inner.trim()
}

/** `when { ... }` or `unless { ... }`. */
function conditionText(clause: CedarWasm.Clause): string {
  const text = textOf(policyOf(ANY, [clause]))
  const at = text.search(/\b(?:when|unless)\s*\{/)
  return (at === -1 ? text : text.slice(at)).replace(/\s*;?\s*$/, '')
}

function textOf(policy: CedarWasm.PolicyJson): string {
  const written = cedar.policyToText(policy)
  return written.type === 'success' ? written.text : ''
}
