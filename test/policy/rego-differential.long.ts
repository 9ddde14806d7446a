// Do random policies in shards, over inputs cut down to what they read, with a memory of answers, say what OPA itself says?
//
// OPA's own evaluator gives the value of every rule for every input; what a policy says by them and what all of them
// come to is written down here once more, slowly.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseExact, stringifyExact } from '../../src/base/exact-json.ts'
import type { Effect } from '../../src/model/decision.ts'
import { canonical } from '../../src/policy/combine.ts'
import { Dice } from '../support/dice.ts'
import { folderOf, loadDirs, toolchain, withoutOpa } from '../support/policy-folder.ts'
import {
  randomInput,
  randomRego,
  type RandomRego,
  REGO_LIBRARY,
} from '../support/random-policies.ts'

const POLICIES = 60
const INPUTS = 150
const ROUNDS = 4

interface Said {
  readonly effect: Effect | null
  readonly reasons: readonly string[]
  readonly obligations: string
}

for (let round = 0; round < ROUNDS; round++) {
  t.test(`round ${round}: every policy says what OPA says`, { skip: withoutOpa() }, async (t) => {
    const dice = new Dice()
    t.comment(`seed ${dice.seed}`)
    const policies = Array.from({ length: POLICIES }, (_, number) => randomRego(dice, number))
    const inputs = Array.from({ length: INPUTS }, () => randomInput(dice))
    const files = {
      ...REGO_LIBRARY,
      ...Object.fromEntries(policies.map(({ name, text }) => [name, text])),
    }
    const set = await loadDirs([folderOf(t, files)])
    const native = await askOpa(files, policies, inputs)
    const differences: unknown[] = []
    for (const [at, input] of inputs.entries()) {
      const wanted = new Map(
        policies.map(({ packageName, rules }, index) => [
          `random-${packageName.slice('random.p'.length)}`,
          saidBy(rules, native[at]?.[index] ?? []),
        ]),
      )
      for (const { policy, outcome } of set.outcomes(input)) {
        const { effect, reasons, obligations, error } = outcome
        const own = { effect, reasons, obligations: canonical(obligations), error }
        const opa = { ...wanted.get(policy.id), error: null }
        if (canonical(own) !== canonical(opa))
          differences.push({ policy: policy.id, input, own, opa })
      }
      // Twice: the second time it is remembered.
      for (const verdict of [set.decide(input), set.decide(input)]) {
        const decision = bruteForce(
          set.outcomes(input).map(({ policy }) => ({
            priority: policy.priority,
            mode: policy.mode,
            effect: wanted.get(policy.id)?.effect ?? null,
          })),
          input,
        )
        if (verdict.decision !== decision) differences.push({ input, decision, verdict })
      }
    }
    t.same(differences.slice(0, 3), [])
  })
}

/** For each input, for each policy, for each of its rules: a list, empty where the rule is undefined. */
async function askOpa(
  files: Readonly<Record<string, string>>,
  policies: readonly RandomRego[],
  inputs: readonly unknown[],
): Promise<readonly (readonly (readonly (readonly unknown[])[])[])[]> {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-native-'))
  try {
    const data = JSON.parse(files['limits/data.json'] ?? '{}') as unknown
    writeFileSync(join(dir, 'data.json'), JSON.stringify({ limits: data }))
    for (const [name, text] of Object.entries(files))
      if (name.endsWith('.rego')) writeFileSync(join(dir, name.replaceAll('/', '_')), text)
    const rows = policies.map(({ packageName, rules }) => {
      const lists = rules.map((rule) => `[v | v := data.${packageName}.${rule}]`)
      return `[${lists.join(', ')}]`
    })
    writeFileSync(join(dir, 'native.rego'), `package native\n\nall := [\n${rows.join(',\n')}]\n`)
    const { stdout, stderr, code } = await toolchain().run(
      [
        'eval',
        '--format',
        'raw',
        '--stdin-input',
        '-d',
        dir,
        '[all | some doc in input.docs; all := data.native.all with input as doc]',
      ],
      { input: stringifyExact({ docs: inputs }) },
    )
    if (code !== 0) throw new Error(`opa: ${stdout}${stderr}`)
    return parseExact(stdout) as never
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** INTERFACES section 4, "Rego", once more. */
function saidBy(rules: readonly string[], lists: readonly (readonly unknown[])[]): Said {
  const value = (rule: string): unknown => lists[rules.indexOf(rule)]?.[0]
  const own = obligationsOf(value('obligations'))
  const reason = value('reason')
  const fallback = typeof reason === 'string' && reason !== '' ? [reason] : []
  const decision = value('decision')
  if (decision !== undefined) {
    const object = (typeof decision === 'string' ? { decision } : decision) as {
      decision: Effect
      reason?: string
      obligations?: unknown
    }
    return {
      effect: object.decision,
      reasons: object.reason === undefined ? fallback : [object.reason],
      obligations: canonical([...obligationsOf(object.obligations), ...own]),
    }
  }
  for (const [rule, effect] of [
    ['deny', 'DENY'],
    ['review', 'REVIEW'],
    ['allow', 'ALLOW'],
  ] as const) {
    const found = value(rule)
    if (found === true) return { effect, reasons: fallback, obligations: canonical(own) }
    if (Array.isArray(found) && found.length > 0)
      return { effect, reasons: found as string[], obligations: canonical(own) }
  }
  return { effect: null, reasons: [], obligations: canonical(own) }
}

function obligationsOf(value: unknown): readonly unknown[] {
  return ((value ?? []) as readonly { type: string; parameters?: unknown }[]).map(
    ({ type, parameters = {} }) => ({ type, parameters }),
  )
}

function bruteForce(
  said: readonly { priority: number; mode: string; effect: Effect | null }[],
  input: Record<string, unknown>,
): Effect {
  const enforcing = said.filter(({ mode, effect }) => mode === 'enforce' && effect !== null)
  const highest = Math.max(...enforcing.map(({ priority }) => priority))
  for (const effect of ['DENY', 'REVIEW', 'ALLOW'] as const)
    if (enforcing.some((each) => each.priority === highest && each.effect === effect)) return effect
  const resource = input['resource'] as { approval_status?: unknown } | null | undefined
  const status = resource?.approval_status
  if (status === 'prohibited') return 'DENY'
  return status === 'review_required' ? 'REVIEW' : 'ALLOW'
}
