// Why did a recorded decision come out as it did? Under the revision that it was made under, where that is at hand;
// else from the record, which tells what each policy said and no more.

import { budgetIn } from '../model/budget.ts'
import type { PolicyEvaluated } from '../model/decision.ts'
import type { ExplainedCandidate, Explanation } from '../model/explanation.ts'
import { COMBINING, type CombineOptions, defaultOf } from './combine.ts'
import { listed, textForPerson } from './explain-words.ts'
import {
  explain,
  type Explained,
  type ExplainOptions,
  stepsOf,
  XACML_OF_COMBINING,
} from './explain.ts'
import type { Recorded } from './recorded-input.ts'
import { type OldVerdict, recordedVerdict } from './recorded-verdict.ts'

export interface RecordedRevision {
  /** `sha256:...` as the decision names it. */
  readonly id: string
  readonly inForce: boolean
  /** Its policies, where they are at hand. */
  readonly policies: Explained | undefined
}

type Options = Pick<ExplainOptions, 'only' | 'alternative' | 'trace' | 'pseudonymous'>

/** `settings`: those of today, for what a record does not tell. */
export async function explainRecorded(
  recorded: Recorded,
  revision: RecordedRevision,
  settings: CombineOptions,
  options: Options,
): Promise<Explanation> {
  const old = recordedVerdict(recorded, settings)
  const { policies } = revision
  const explained =
    policies === undefined
      ? fromRecord(recorded, old, settings, options)
      : await explain(policies, recorded.document, {
          ...options,
          masked: recorded.masked,
          basis: 'revision',
          recorded: recorded.decision.policies_evaluated,
          ...(recorded.excepted === undefined ? {} : { excepted: recorded.excepted }),
        })
  const { decision } = recorded
  const differs = policies !== undefined && explained.decision !== old.decision
  return {
    decision_id: recorded.decision_id,
    time: new Date(recorded.time).toISOString(),
    ...explained,
    decision: decision.decision,
    reason: decision.reason,
    primary_policy_id: decision.primary_policy_id,
    would_be: decision.would_be,
    revision: { id: revision.id, in_force: revision.inForce },
    limits: [
      ...explained.limits,
      ...(differs
        ? [
            `judged again the policies say ${explained.decision}, and the record tells that they said ${old.decision}: something that they looked at is not in the record`,
          ]
        : []),
    ],
    afterwards: afterwardsOf(recorded, old),
    for_the_person:
      decision.decision === old.decision && policies !== undefined && !differs
        ? explained.for_the_person
        : personOf(recorded, options),
  }
}

/** What was done with what the policies said. */
function afterwardsOf({ decision, mode, excepted }: Recorded, old: OldVerdict): readonly string[] {
  const done = decision.decision
  const said: string[] = []
  if (excepted !== undefined) {
    const named = [...excepted].map((id) => (id === '' ? 'the default' : id))
    said.push(`an exception lifted ${listed(named)}`)
  }
  const budget = budgetIn(decision)
  if (budget !== undefined) {
    said.push(`the budget ${budget} was used up, which is no matter of policies`)
    return said
  }
  if (done === old.decision) return said
  if (done === 'DENY')
    said.push('an obligation could not be performed here, so that it was refused')
  else if (decision.reason.startsWith('approved by a reviewer'))
    said.push('a reviewer had approved it')
  else if (mode !== 'enforce')
    said.push(`the enforcement point was in ${mode}, so that nothing was refused`)
  else said.push('the service is only watched (mode monitor in the catalogue): nothing was refused')
  return said
}

function personOf({ decision, document }: Recorded, { alternative }: Options): string {
  return textForPerson({
    decision: decision.decision,
    reason: decision.reason,
    byDefault: undefined,
    failed: decision.policies_evaluated.some(
      ({ policy_id: id, error }) => id === decision.primary_policy_id && error !== null,
    ),
    template: undefined,
    obligations: decision.obligations,
    document,
    alternative,
  })
}

/** Nothing but what the record tells: what each policy said, and which step that makes decide. */
function fromRecord(
  recorded: Recorded,
  old: OldVerdict,
  settings: CombineOptions,
  options: Options,
): Explanation {
  const { decision, document } = recorded
  const entries = decision.policies_evaluated.filter(
    ({ policy_id: id }) => recorded.excepted?.has(id) !== true,
  )
  const enforcing = entries
    .filter(({ mode }) => mode === 'enforce')
    .map(({ policy_id: id, priority, effect }) => ({ policy: { id, priority }, effect }))
  const fits = (combining: CombineOptions['combining']): boolean => {
    const decides = stepsOf(enforcing, combining).find((step) => step.decides)
    return decides === undefined ? old.primary_policy_id === null : decides.answer === old.decision
  }
  const combining = [settings.combining, ...COMBINING].find(fits) ?? settings.combining
  const steps = fits(combining) ? stepsOf(enforcing, combining) : []
  const fallback = defaultOf(document, settings.defaults)
  const isDefault = old.primary_policy_id === null
  const told = entries.filter(({ policy_id: id }) => options.only?.has(id) ?? true)
  return {
    decision: decision.decision,
    reason: decision.reason,
    primary_policy_id: decision.primary_policy_id,
    would_be: decision.would_be,
    basis: 'record',
    revision: { id: '', in_force: false },
    limits: [
      'the revision that it was made under is not at hand: which rules held, and who was not asked and why, cannot be told',
      ...(steps.length === 0 ? ['which step decided cannot be told from the record'] : []),
    ],
    combining: {
      algorithm: combining,
      xacml: XACML_OF_COMBINING[combining],
      on_error: settings.onError,
    },
    steps,
    default: {
      class: fallback.kind,
      effect: isDefault ? old.decision : fallback.effect,
      applied: isDefault,
    },
    obligations: (old.obligations ?? []).map(({ type, parameters }) => ({
      type,
      parameters,
      from: [],
      because: 'decides',
    })),
    would_be_because:
      old.would_be === null ? null : `if policies in warn and audit counted: ${old.would_be}`,
    afterwards: [],
    candidates: told.slice(0, MAX_CANDIDATES).map((entry) => candidateOf(entry, old)),
    candidates_total: told.length,
    not_asked: [],
    not_asked_total: 0,
    not_asked_by: {},
    for_the_person: '',
  }
}

const MAX_CANDIDATES = 200
const XACML = { DENY: 'Deny', REVIEW: 'Review', ALLOW: 'Permit' } as const

function candidateOf(entry: PolicyEvaluated, old: OldVerdict): ExplainedCandidate {
  const primary = old.primary_policy_id
  const { policy_id, policy_name, priority, mode, effect, error, matched } = entry
  const said = effect === null ? 'it gave no answer' : `it said ${effect}`
  return {
    policy_id,
    policy_name,
    priority,
    mode,
    effect,
    xacml: error !== null ? 'Indeterminate{D}' : effect === null ? 'NotApplicable' : XACML[effect],
    reasons: policy_id === primary ? [old.reason] : [],
    obligations: [],
    error,
    part:
      policy_id === primary
        ? 'decides'
        : effect === null
          ? matched
            ? 'adds obligations'
            : 'none'
          : mode !== 'enforce'
            ? 'none'
            : effect === old.decision
              ? 'agrees'
              : 'overruled',
    why: error === null ? `as recorded: ${said}` : `as recorded: it failed: ${error}`,
    values: [],
  }
}
