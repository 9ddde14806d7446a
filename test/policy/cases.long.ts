// Generated policy folders with inputs and the answers that OPA's own evaluator and cedar-go gave.
// The folders beside this file tell the meaning of policies, not its limits.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import type { Decision } from '../../src/model/decision.ts'
import { canonical, type Combining } from '../../src/policy/combine.ts'
import { evaluateLine } from '../../src/policy/eval-lines.ts'
import { loadDirs, withoutOpa } from '../support/policy-folder.ts'

interface Expected {
  readonly decision: string
  readonly primary_policy_id: string
  readonly would_be: string
  readonly obligations: readonly string[]
  readonly matched: Readonly<Record<string, string>>
}

const FOLDERS = join(import.meta.dirname, 'cases')

for (const name of readdirSync(FOLDERS)) {
  t.test(`case ${name}`, { skip: withoutOpa() }, async (t) => {
    const combining = text(name, 'combining').trim() as Combining
    const policies = await loadDirs([join(FOLDERS, name, 'policies')], { combining })
    const expected = lines(name, 'expected.ndjson').map((line) => JSON.parse(line) as Expected)
    const ids = new IdSource()
    for (const [index, line] of lines(name, 'input.ndjson').entries()) {
      const decision = JSON.parse(evaluateLine(line, { policies, ids })) as Decision
      const remembered = policies.decide(JSON.parse(line))
      const wanted = expected[index]
      t.same(shown(decision), wanted === undefined ? {} : sorted(wanted), `line ${index + 1}`)
      t.equal(remembered.decision, decision.decision, `line ${index + 1} through the memo`)
    }
  })
}

function shown(decision: Decision): Expected {
  return sorted({
    decision: decision.decision,
    primary_policy_id: decision.primary_policy_id ?? '',
    would_be: decision.would_be ?? '',
    obligations: decision.obligations.map(canonical),
    matched: Object.fromEntries(
      decision.policies_evaluated.flatMap(({ policy_id, effect }) =>
        effect === null ? [] : [[policy_id, effect]],
      ),
    ),
  })
}

function sorted(expected: Expected): Expected {
  return { ...expected, obligations: expected.obligations.toSorted() }
}

function lines(name: string, file: string): readonly string[] {
  return text(name, file).trim().split('\n')
}

function text(name: string, file: string): string {
  return readFileSync(join(FOLDERS, name, file), 'utf8')
}
