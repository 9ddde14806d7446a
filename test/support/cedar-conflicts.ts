// Small sets of Cedar policies, their conflicts, and every request of a small domain to compare with.

import * as fc from 'fast-check'
import type { ConflictReport } from '../../src/model/conflict.ts'
import { CedarEngine } from '../../src/policy/cedar/engine.ts'
import { readCedar } from '../../src/policy/cedar/read.ts'
import { type Combining, COMBINING } from '../../src/policy/combine.ts'
import { conflictsOf, type Look, lookAgain } from '../../src/policy/conflicts/of-folders.ts'
import type { Catalogued } from '../../src/policy/conflicts/reach.ts'
import type { PolicyFolder } from '../../src/policy/folder.ts'
import { PolicySet } from '../../src/policy/policy-set.ts'
import { isHiddenIn, shows } from './conflicts.ts'
import { RULES } from './policy-rules.ts'

const NO_OPA = { find: () => undefined, run: () => Promise.reject(new Error('no OPA')) }

function cedarSet(text: string, combining: Combining = 'priority_tiers') {
  const file = { path: 'x.cedar', name: 'x.cedar', text }
  const { policies, problems } = readCedar(file)
  if (problems.length > 0) throw new Error(`${problems[0]?.message} in ${text}`)
  const set = new PolicySet([new CedarEngine(policies)], 'digest', { ...RULES, combining })
  const folder: PolicyFolder = {
    dir: '.',
    rego: [],
    cedar: [file],
    regoTests: [],
    tableTests: [],
    data: {},
    digest: 'digest',
  }
  return { set, folder }
}

export async function conflictsIn(
  text: string,
  options: {
    combining?: Combining
    catalogued?: Catalogued
    candidates?: ReadonlySet<string>
  } = {},
): Promise<ConflictReport & { readonly set: PolicySet }> {
  const { combining, ...rest } = options
  const { set, folder } = cedarSet(text, combining)
  return { ...(await conflictsOf(set, [folder], NO_OPA, rest)), set }
}

export async function lookIn(
  text: string,
  former?: Look,
  catalogued: Catalogued = {},
): Promise<Look> {
  const { set, folder } = cedarSet(text)
  return lookAgain(former, set, [folder], NO_OPA, { catalogued })
}

const GROUPS = [[], ['a'], ['b'], ['a', 'b']]
const HOURS = [undefined, 3, 10, 20]
const SCORES = [undefined, 0, 50, 100]
const STATUSES = ['approved', 'prohibited', undefined]
const ACTIONS = ['send_prompt', 'paste']
const DOMAIN = GROUPS.flatMap((groups) =>
  HOURS.flatMap((hour) =>
    SCORES.flatMap((score) =>
      STATUSES.flatMap((status) =>
        ACTIONS.map((action) => ({
          user: { id: 'u', groups, ...(score === undefined ? {} : { risk_score: score }) },
          action,
          resource: {
            id: 's',
            ai: true,
            ...(status === undefined ? {} : { approval_status: status }),
          },
          context: { source: 'proxy', ...(hour === undefined ? {} : { time: { hour } }) },
        })),
      ),
    ),
  ),
)
const CONDITIONS = [
  'principal has risk_score && principal.risk_score > 50',
  'principal has risk_score && principal.risk_score <= 50',
  '!(principal has risk_score)',
  'resource has approval_status && resource.approval_status == "approved"',
  'resource has approval_status && resource.approval_status != "approved"',
  'context has time && context.time has hour && (context.time.hour < 8 || context.time.hour > 18)',
  '!(context has time && context.time has hour) || (context has time && context.time has hour && context.time.hour == 10)',
  'principal has groups && principal.groups.containsAny(["a", "c"])',
  'principal has groups && principal.groups.containsAll(["a", "b"])',
  'if principal has risk_score then principal.risk_score == 0 else resource has approval_status',
]
const statement = fc
  .record({
    priority: fc.constantFrom(100, 500),
    mode: fc.constantFrom('enforce', 'enforce', 'warn'),
    effect: fc.constantFrom('permit', 'forbid', '@decision("review") forbid'),
    principal: fc.constantFrom(
      'principal',
      'principal in Cordon::Group::"a"',
      'principal in Cordon::Group::"b"',
    ),
    action: fc.constantFrom(
      'action',
      'action == Cordon::Action::"paste"',
      'action == Cordon::Action::"send_prompt"',
    ),
    when: fc.array(fc.constantFrom(...CONDITIONS), { maxLength: 2 }),
    unless: fc.option(fc.constantFrom(...CONDITIONS)),
  })
  .map(
    ({ priority, mode, effect, principal, action, when, unless }) =>
      `@priority("${priority}") @mode("${mode}") ${effect}(${principal}, ${action}, resource)` +
      `${when.map((each) => ` when { ${each} }`).join('')}${unless === null ? '' : ` unless { ${unless} }`};`,
  )

/** Throws where a contradiction of the domain is not told, a witness shows nothing, or a "never" is wrong. */
export async function bruteForce(runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(statement, { minLength: 2, maxLength: 4 }),
      fc.constantFrom(...COMBINING),
      async (statements, combining) => {
        const text = statements.map((each, at) => `@id("p${at}") ${each}`).join('\n')
        const report = await conflictsIn(text, { combining })
        const bad = report.conflicts.find((conflict) => !shows(conflict, report.set))
        if (bad !== undefined) throw new Error(`no witness: ${JSON.stringify(bad)}\n${text}`)
        const known = new Set(
          report.conflicts.map((each) => `${each.type} ${each.policy_a_id} ${each.policy_b_id}`),
        )
        const answered = new Set<string>()
        for (const input of DOMAIN) {
          const said = report.set
            .decide(input)
            .policies_evaluated.filter(({ effect }) => effect !== null)
          for (const { policy_id: id } of said) answered.add(id)
          for (const [at, one] of said.entries())
            for (const other of said.slice(at + 1))
              if (
                one.effect !== other.effect &&
                !known.has(`contradictory_action ${one.policy_id} ${other.policy_id}`)
              )
                throw new Error(
                  `not told: ${one.policy_id} ${other.policy_id} ${JSON.stringify(input)}\n${text}`,
                )
          const ids = new Set(said.map(({ policy_id: id }) => id))
          for (const conflict of report.conflicts)
            if (!isHiddenIn(conflict, ids))
              throw new Error(`${conflict.says} not so: ${JSON.stringify(input)}\n${text}`)
        }
        for (const { type, policy_a_id: a } of report.conflicts)
          if (type === 'unreachable' && answered.has(a)) throw new Error(`${a} is reached\n${text}`)
      },
    ),
    { numRuns: runs },
  )
}
