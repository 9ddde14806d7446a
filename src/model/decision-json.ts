// A Decision as JSON text. Verdicts are remembered, and with them the very same list of policies: that
// list, half of the text, is written once and not for every decision.

import { stringifyExact } from '../base/exact-json.ts'
import type { Decision, PolicyEvaluated } from './decision.ts'

const lists = new WeakMap<readonly PolicyEvaluated[], string>()

/** What JSON.stringify gives, with `policies_evaluated` as the last key. */
export function decisionJson({ policies_evaluated: list, ...rest }: Decision): string {
  let text = lists.get(list)
  if (text === undefined) {
    text = JSON.stringify(list)
    lists.set(list, text)
  }
  return `${stringifyExact(rest).slice(0, -1)},"policies_evaluated":${text}}`
}
