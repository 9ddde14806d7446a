// An explanation in words: for whoever runs Cordon, and one paragraph for whoever asked.

import { stringifyExact } from '../base/exact-json.ts'
import type { Effect, Obligation } from '../model/decision.ts'
import type {
  ExplainedCandidate,
  Explanation,
  FailedExpression,
  NotAsked,
  ReadValue,
} from '../model/explanation.ts'
import type { TrafficClass } from './combine.ts'
import { isObject } from './metadata.ts'

export interface ForPerson {
  readonly decision: Effect
  readonly reason: string
  /** The class of traffic, where nothing but the default decided. */
  readonly byDefault: TrafficClass | undefined
  /** What decided is a fault. */
  readonly failed: boolean
  /** What the deciding policy wants to be told instead. */
  readonly template: string | undefined
  readonly obligations: readonly Obligation[]
  readonly document: unknown
  readonly alternative: string | undefined
}

/** What somebody did, as they would say it. */
const ACTIONS: Readonly<Record<string, string>> = {
  access_ai_service: 'open',
  access_site: 'open',
  send_prompt: 'send a prompt to',
  upload_file: 'upload a file to',
  download_file: 'download a file from',
  receive_response: 'get an answer from',
  call_tool: 'use a tool of',
  paste: 'paste text into',
}
const DEFAULT_SENTENCES: Readonly<Record<TrafficClass, string>> = {
  approved: 'it is approved for your work',
  review_required: 'somebody has to look at its use first',
  prohibited: 'it is not approved for your work',
  unknown_ai: 'nobody has looked at this AI service yet',
  other: 'nothing speaks against it',
}
const NEVER = /[\p{Cc}\p{Cf}]/gu
const MAX_NAMED = 20
const MAX_WORD = 120

/** One paragraph for the person: what happened, why, and what to do instead. */
export function textForPerson(facts: ForPerson): string {
  const { decision, document, alternative, template, reason, failed, byDefault } = facts
  const service = serviceOf(document)
  const instead = alternative === undefined ? undefined : plain(alternative)
  const why = failed
    ? 'it could not be checked, because of a fault on our side'
    : byDefault === undefined
      ? plain(reason).replace(/[.!]+$/, '')
      : DEFAULT_SENTENCES[byDefault]
  if (template !== undefined && decision !== 'ALLOW') {
    const filled = template.replaceAll(/\{(\w+)\}/g, (whole, place: string) => {
      if (place === 'service') return service
      if (place === 'alternative') return instead ?? 'an approved service'
      if (place === 'reason') return why
      return place === 'action' ? actionOf(document) : whole
    })
    const says = template.includes('{alternative}') || instead === undefined
    return sentences(filled, says ? '' : `You can use ${instead} instead.`)
  }
  if (decision === 'ALLOW')
    return sentences(
      `Your request to ${actionOf(document)} ${service} was let through.`,
      ...facts.obligations.map(promise),
    )
  if (decision === 'REVIEW')
    return sentences(
      `Your request to ${actionOf(document)} ${service} waits for somebody to look at it: ${why}.`,
      instead === undefined ? '' : `Meanwhile you can use ${instead}.`,
    )
  return sentences(
    `Your request to ${actionOf(document)} ${service} was not let through: ${why}.`,
    failed ? 'Please try again, or tell those who look after your network.' : '',
    instead === undefined ? '' : `You can use ${instead} instead.`,
  )
}

/** What is done to a request that passes, as far as the person notices it. */
function promise({ type, parameters }: Obligation): string {
  const { message } = parameters
  const said = typeof message === 'string' ? ` ${plain(message)}` : ''
  switch (type) {
    case 'redact':
      return 'What may not leave was replaced before it was sent.'
    case 'coach':
      return `Please note:${said === '' ? ' your company has advice for using it.' : said}`
    case 'justify':
      return `You are asked to say why you need it.${said}`
    case 'step_up':
      return 'You are asked to sign in once more.'
    case 'restrict_tenant':
      return 'It works with the account of your company only.'
    default:
      return ''
  }
}

function sentences(...parts: readonly string[]): string {
  return parts
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .join(' ')
}

function serviceOf(document: unknown): string {
  const resource = isObject(document) && isObject(document['resource']) ? document['resource'] : {}
  const { name, host, id } = resource
  const found = [name, host, id].find((each) => typeof each === 'string' && each !== '')
  return typeof found === 'string' ? plain(found) : 'this service'
}

function actionOf(document: unknown): string {
  const action = isObject(document) ? document['action'] : undefined
  return (typeof action === 'string' ? ACTIONS[action] : undefined) ?? 'use'
}

/** A name or a text from outside, on one line, without what a terminal or a page would follow. */
function plain(text: string): string {
  return text.replaceAll(NEVER, ' ').replaceAll(/\s+/g, ' ').trim().toWellFormed()
}

/** The whole explanation for whoever looks after Cordon; lines without colour. */
export function inWords(explanation: Explanation): string {
  const { decision, reason, would_be_because: wouldBe, combining, steps } = explanation
  const lines = [
    `${decision}: ${plain(reason)}`,
    ...(explanation.decision_id === undefined
      ? []
      : [`decision ${explanation.decision_id} of ${explanation.time ?? '?'}`]),
    basisOf(explanation),
    ...explanation.limits.map((limit) => `note: ${limit}`),
    '',
    `How it was decided (${combining.algorithm}: ${combining.xacml}; an error is ${combining.on_error === 'deny' ? 'a DENY' : 'ignored'})`,
    ...steps.map(({ says, decides }) => `${decides ? ' >' : '  '} ${says}`),
    ...defaultLines(explanation),
    ...(wouldBe === null ? [] : [`   ${wouldBe}`]),
    ...explanation.afterwards.map((each) => `   then: ${each}`),
    ...obligationLines(explanation),
    '',
    `Policies that were asked: ${explanation.candidates_total}`,
    ...explanation.candidates.flatMap(candidateLines),
    ...more(explanation.candidates.length, explanation.candidates_total),
    '',
    `Policies that were not asked: ${explanation.not_asked_total}${countsOf(explanation.not_asked_by)}`,
    ...explanation.not_asked.map(notAskedLine),
    ...more(explanation.not_asked.length, explanation.not_asked_total),
    '',
    'For the person:',
    `  ${explanation.for_the_person}`,
  ]
  return `${lines.join('\n')}\n`
}

function basisOf({ basis, revision }: Explanation): string {
  const force = revision.in_force ? 'which is in force' : 'which is no longer in force'
  switch (basis) {
    case 'evaluated':
      return `revision ${revision.id}`
    case 'revision':
      return `judged again under revision ${revision.id}, ${force}`
    case 'record':
      return `from the record alone: revision ${revision.id}, ${force}, is not at hand`
  }
}

function defaultLines({ default: fallback }: Explanation): readonly string[] {
  const { applied, class: kind, effect } = fallback
  return applied ? [` > no policy answers: the default for ${kind} is ${effect}`] : []
}

function obligationLines({ obligations }: Explanation): readonly string[] {
  return obligations.map(
    ({ type, parameters, from, because }) =>
      `   obligation ${type}${Object.keys(parameters).length === 0 ? '' : ` ${cut(stringifyExact(parameters))}`}, ${because === 'decides' ? 'of' : 'added by'} ${listed(from)}`,
  )
}

function candidateLines(candidate: ExplainedCandidate): readonly string[] {
  const { policy_id: id, priority, mode, effect, part, why, failed = [], clauses = [] } = candidate
  const place =
    candidate.file === undefined
      ? ''
      : ` (${candidate.file}${candidate.line === undefined ? '' : `:${candidate.line}`})`
  return [
    `  ${id}: ${effect ?? 'no answer'}${part === 'none' ? '' : `, ${part}`}; priority ${priority}, ${mode}${place}`,
    `    ${plain(why)}`,
    ...candidate.reasons.map((reason) => `    reason: ${plain(reason)}`),
    ...clauses
      .filter(({ outcome }) => outcome !== 'not reached')
      .map(({ text, outcome }) => `    ${outcome}: ${plain(text)}`),
    ...failed.map(failedLine),
    ...candidate.values.filter(({ absent }) => absent !== true).map(valueLine),
    ...absentLine(candidate.values),
  ]
}

function failedLine({ file, row, text }: FailedExpression): string {
  return `    failed at ${file}:${row}: ${plain(text)}`
}

function valueLine({ path, value, left_out: why }: ReadValue): string {
  return why === undefined
    ? `    read ${path} = ${cut(plain(stringifyExact(value)))}`
    : `    read ${path}, not shown: ${why}`
}

function absentLine(values: readonly ReadValue[]): readonly string[] {
  const absent = values.filter((each) => each.absent === true).map(({ path }) => path)
  return absent.length === 0 ? [] : [`    absent: ${listed(absent)}`]
}

function notAskedLine({ policy_id: id, missed }: NotAsked): string {
  const why = missed.map(({ dimension, wanted, seen, more: rest, cannot_tell: hidden }) => {
    const all = rest === undefined ? wanted : [...wanted, `${rest} more`]
    const is =
      hidden === true
        ? 'cannot tell: the record does not have it'
        : seen.length === 0
          ? 'there is none'
          : `it is ${listed(seen.map(plain))}`
    return `${dimension} must be ${listed(all, 'or')}, and ${is}`
  })
  return `  ${id}: ${why.join('; ')}`
}

function countsOf(by: Explanation['not_asked_by']): string {
  const counts = Object.entries(by).map(([dimension, count]) => `${count} by ${dimension}`)
  return counts.length === 0 ? '' : ` (${counts.join(', ')})`
}

function more(shown: number, total: number): readonly string[] {
  return total > shown ? [`  ... ${total - shown} more; --policy ID tells of one`] : []
}

function cut(text: string): string {
  return text.length > MAX_WORD ? `${text.slice(0, MAX_WORD).toWellFormed()}...` : text
}

/** `a`, `a and b`, `a, b and 3 more`. */
export function listed(words: readonly string[], word: 'and' | 'or' = 'and'): string {
  const first = words.slice(0, MAX_NAMED)
  const rest = words.length - first.length
  const all = rest > 0 ? [...first, `${rest} more`] : first
  const last = all.at(-1) ?? ''
  return all.length <= 1 ? last : `${all.slice(0, -1).join(', ')} ${word} ${last}`
}
