// How risky is this request? A score from 0 to 100, made of signs that anybody can check (docs/reference/risk.md).
//
// Each sign has a severity s from 0 to 1. Signs of a factor, and factors among each other, count like independent
// causes (noisy-or): what is left of safety is the product of what each one leaves.
//
//   points of a factor = round(100 x weight x (1 - (1 - s1)(1 - s2)...))
//   score              = round(100 x (1 - (1 - points1/100)(1 - points2/100)...))
//
// So no sign ever lowers a score, nothing dilutes anything, and the points in a record give its score again. The
// same input at the same time has the same score: nothing here reads a clock or remembers anything.

import type { FindingCategory } from '../model/finding.ts'
import type { ContentInput, InputDocument, ResourceInput, UserInput } from '../model/input.ts'
import type { PersonalPart } from '../model/record.ts'
import {
  DAYS,
  isPersonalSignal,
  levelOf,
  type OwnRisk,
  ownScore,
  RISK_FACTORS,
  type RiskFactor,
  type RiskInput,
  type RiskSettings,
  type RiskSignals,
} from '../model/risk.ts'

export interface Risk {
  readonly input: RiskInput
  readonly signals: RiskSignals
}

/** The risk of a request. `own`: of the person's violations, as far as known. */
export function assess(
  input: InputDocument,
  own: OwnRisk | undefined,
  settings: RiskSettings,
): Risk {
  const { user, resource, content, context } = input
  const now = context.time?.epoch_ms ?? 0
  const own_score = ownScore(own, now, settings.history.half_life)
  const found = new Signs()
  const left: Record<RiskFactor, number> = {
    user: ofUser(found, user, content),
    service: ofService(found, resource),
    data: ofData(found, content),
    device: ofDevice(found, context.device, context.asset),
    history: found.note('history.own_score', own_score / 100),
    time: ofTime(found, context.time, settings),
  }
  const factors: Partial<Record<RiskFactor, number>> = {}
  let safe = 1
  for (const factor of RISK_FACTORS) {
    const points = Math.round(100 * settings.weights[factor] * (1 - left[factor]))
    if (points === 0) continue
    factors[factor] = points
    safe *= 1 - points / 100
  }
  const score = Math.round(100 * (1 - safe))
  const told = { score, level: levelOf(score, settings.levels), factors }
  return {
    input: own_score === 0 ? told : { ...told, own_score },
    signals: found.signals,
  }
}

/** Signs of the person and of what is theirs are personal, and can be erased; the others stay in the record. */
export function splitSignals(
  signals: RiskSignals,
  personal: PersonalPart,
): { readonly risk_signals: RiskSignals; readonly personal: PersonalPart } {
  const risk_signals: Record<string, number> = {}
  const own: Record<string, number> = {}
  let isPersonal = false
  for (const name in signals) {
    const part = isPersonalSignal(name) ? own : risk_signals
    part[name] = signals[name] ?? 0
    isPersonal ||= part === own
  }
  return { risk_signals, personal: isPersonal ? { ...personal, risk_signals: own } : personal }
}

/** Severities stand in the record as they were reckoned with: two digits behind the point. */
class Signs {
  readonly signals: Record<string, number> = {}

  /** What the sign leaves of safety. */
  note(name: string, severity: number): number {
    const rounded = Math.round(Math.min(1, severity) * 100) / 100
    if (!(rounded > 0)) return 1
    this.signals[name] = rounded
    return 1 - rounded
  }
}

/** Severities by word, without case; words that are not there mean nothing, and common ones are found at once. */
type Words = ReadonlyMap<unknown, number>

const USER_STATUSES: Words = new Map([
  ['active', 0],
  ['suspended', 0.9],
  ['inactive', 0.9],
])
const EMPLOYEE_TYPES: Words = new Map([
  ['employee', 0],
  ['full_time', 0],
  ['part_time', 0],
  ['intern', 0.2],
  ['temporary', 0.3],
  ['contractor', 0.3],
  ['consultant', 0.3],
  ['partner', 0.4],
  ['vendor', 0.4],
  ['external', 0.4],
  ['guest', 0.5],
])
/** From open to closed: clearances and labels of data are compared by these. */
const RANKS: Words = new Map([
  ['none', 0],
  ['public', 0],
  ['internal', 1],
  ['confidential', 2],
  ['restricted', 3],
  ['secret', 3],
  ['top_secret', 4],
])
const NOT_CLEARED = 0.3

function ofUser(signs: Signs, user: UserInput, content: ContentInput | undefined): number {
  return (
    signs.note('user.unknown', user.known ? 0 : 0.4) *
    signs.note('user.status', worded(USER_STATUSES, user.status)) *
    signs.note('user.risk_score', hundredth(user.risk_score)) *
    signs.note('user.employee_type', worded(EMPLOYEE_TYPES, user.employee_type)) *
    signs.note('user.clearance', beyondClearance(user.clearance_level, content) * NOT_CLEARED)
  )
}

/** By how many ranks the data is above what the person is cleared for; 0 where either is in other words. */
function beyondClearance(clearance: unknown, content: ContentInput | undefined): number {
  const cleared = rankOf(clearance)
  if (cleared === undefined) return 0
  return Math.max(0, rankOfLabels(content) - cleared)
}

const APPROVAL: Words = new Map([
  ['approved', 0],
  ['unknown', 0.3],
  ['review_required', 0.4],
  ['prohibited', 0.9],
])
const TIERS: Words = new Map([
  ['low', 0.1],
  ['medium', 0.3],
  ['high', 0.6],
  ['critical', 0.9],
])

/** Of sites that are no AI services nothing is known. */
function ofService(signs: Signs, resource: ResourceInput): number {
  if (!resource.ai) return 1
  const { risk_score: score, risk_tier: tier } = resource
  return (
    signs.note('service.unknown', resource.known ? 0 : 0.6) *
    signs.note('service.approval_status', worded(APPROVAL, resource.approval_status)) *
    // A tier is a score told in a word.
    (score === undefined
      ? signs.note('service.risk_tier', worded(TIERS, tier))
      : signs.note('service.risk_score', hundredth(score)))
  )
}

const CATEGORIES: Readonly<Record<FindingCategory, number>> = {
  secret: 0.7,
  government_id: 0.6,
  health: 0.6,
  financial: 0.6,
  confidential: 0.5,
  pii: 0.3,
  code: 0.2,
  network: 0.2,
}
const LABELS: readonly number[] = [0, 0.1, 0.4, 0.6, 0.8]
/** Of a label in other words. */
const SOME_LABEL = 0.2
const UNREAD = 0.2

function ofData(signs: Signs, content: ContentInput | undefined): number {
  if (content === undefined) return 1
  let left =
    signs.note('data.label', labelSeverity(content)) *
    signs.note('data.unread', content.classified ? 0 : UNREAD)
  const { findings } = content
  if (findings === undefined || findings.length === 0) return left
  const totals = new Map<FindingCategory, { count: number; confidence: number }>()
  for (const { category, count, confidence } of findings) {
    const total = totals.get(category)
    if (total === undefined) totals.set(category, { count, confidence })
    else {
      total.count += count
      total.confidence = Math.max(total.confidence, confidence)
    }
  }
  for (const [category, { count, confidence }] of totals) {
    const one = CATEGORIES[category] * Math.min(1, Math.max(0, confidence))
    // Ten of them weigh as two, a hundred as three.
    const severity = 1 - (1 - one) ** (1 + Math.log10(Math.max(1, count)))
    left *= signs.note(`data.${category}`, severity)
  }
  return left
}

function labelSeverity({ data_classification: labels }: ContentInput): number {
  let most = 0
  for (const label of labels ?? []) {
    const rank = rankOf(label)
    most = Math.max(most, rank === undefined ? SOME_LABEL : (LABELS[rank] ?? 0))
  }
  return most
}

function rankOfLabels(content: ContentInput | undefined): number {
  let most = 0
  for (const label of content?.data_classification ?? []) most = Math.max(most, rankOf(label) ?? 0)
  return most
}

const COMPLIANCE: Words = new Map([
  ['compliant', 0],
  ['unknown', 0.2],
  ['non_compliant', 0.6],
])
const SENSITIVITIES: Words = new Map([
  ['low', 0],
  ['medium', 0.1],
  ['high', 0.3],
  ['critical', 0.5],
])
const CROWN_JEWEL = 0.5
const NO_AGENT = 0.3
const NOT_IN_USE = 0.5
const NOT_IN_INVENTORY = 0.3

type Fields = Readonly<Record<string, unknown>>

function ofDevice(signs: Signs, device: Fields | undefined, asset: Fields | undefined): number {
  if (asset === undefined) {
    const isNamed = typeof device?.['hostname'] === 'string'
    return signs.note('device.unknown', isNamed ? NOT_IN_INVENTORY : 0)
  }
  const sensitivity = Math.max(
    worded(SENSITIVITIES, asset['sensitivity']),
    asset['crown_jewel'] === true ? CROWN_JEWEL : 0,
  )
  const status = asset['status']
  return (
    signs.note('device.compliance', worded(COMPLIANCE, asset['compliance_status'])) *
    signs.note('device.edr', asset['edr_agent_installed'] === false ? NO_AGENT : 0) *
    signs.note('device.sensitivity', sensitivity) *
    signs.note('device.status', typeof status === 'string' && status !== 'active' ? NOT_IN_USE : 0)
  )
}

const OFF_HOURS = 0.5
const OFF_DAY = 0.5

function ofTime(
  signs: Signs,
  time: InputDocument['context']['time'],
  { working_hours: { from, to }, working_days: days }: RiskSettings,
): number {
  if (time === undefined) return 1
  const { hour, weekday } = time
  const day = DAYS[weekday - 1]
  const isWorking = from <= to ? hour >= from && hour < to : hour >= from || hour < to
  return (
    signs.note('time.hour', isWorking ? 0 : OFF_HOURS) *
    signs.note('time.weekday', day === undefined || days.includes(day) ? 0 : OFF_DAY)
  )
}

function worded(words: Words, word: unknown): number {
  return lookedUp(words, word) ?? 0
}

function rankOf(word: unknown): number | undefined {
  return lookedUp(RANKS, word)
}

/** As it stands, else as `non_compliant` for `Non-Compliant`. */
function lookedUp(words: Words, word: unknown): number | undefined {
  const found = words.get(word)
  if (found !== undefined || typeof word !== 'string') return found
  return words.get(word.toLowerCase().replaceAll(/[\s-]+/g, '_'))
}

function hundredth(score: unknown): number {
  return typeof score === 'number' ? Math.max(0, score) / 100 : 0
}
