// The risk score's words, and the one formula by which severities become a score (docs/reference/risk.md).

/** What a score is made of, in the order in which it is told. */
export const RISK_FACTORS = ['user', 'service', 'data', 'device', 'history', 'time'] as const
export type RiskFactor = (typeof RISK_FACTORS)[number]

export const RISK_LEVELS = ['low', 'medium', 'high', 'critical'] as const
export type RiskLevel = (typeof RISK_LEVELS)[number]

/** In the order of the week. */
export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]

/** Hours of the day, `to` not included; where it is less than `from`, over midnight. */
export interface Hours {
  readonly from: number
  readonly to: number
}

/** Signs of risk by name (`user.status`, `data.secret`), each with its severity: more than 0, at most 1. */
export type RiskSignals = Readonly<Record<string, number>>

/** As policies see it; whole numbers from 0 to 100. */
export interface RiskInput {
  readonly score: number
  readonly level: RiskLevel
  /** What each factor would score alone; those of 0 are left out. */
  readonly factors: Readonly<Partial<Record<RiskFactor, number>>>
  /** The person's own score, before it is weighed as `history`; left out where it is 0. */
  readonly own_score?: number
}

/** What is known of a person's violations: points as they stood at that moment. */
export interface OwnRisk {
  /** Added up, each one decayed; not bounded. */
  readonly points: number
  /** Milliseconds since the epoch. */
  readonly as_of: number
}

/** Setting `risk`. */
export interface RiskSettings {
  readonly enabled: boolean
  /** From 0 to 1: what the factor at its worst contributes. */
  readonly weights: Readonly<Record<RiskFactor, number>>
  /** From which score on. */
  readonly levels: Readonly<Record<Exclude<RiskLevel, 'low'>, number>>
  readonly working_hours: Hours
  readonly working_days: readonly Day[]
  readonly history: RiskHistorySettings
}

export interface RiskHistorySettings {
  /** Milliseconds after which a violation counts half. */
  readonly half_life: number
  /** Points of a violation by its severity. */
  readonly points: Readonly<Record<'low' | 'medium' | 'high' | 'critical', number>>
}

export const RISK_HISTORY: RiskHistorySettings = {
  half_life: 14 * 86_400_000,
  points: { low: 3, medium: 8, high: 20, critical: 40 },
}

/** So many points are a score of 63, twice as many 86. */
const SATURATION = 100

/**
 * A person's own score at a moment, 0 to 100: points halve with every half-life, and many of them approach 100
 * without reaching it.
 */
export function ownScore(own: OwnRisk | undefined, now: number, halfLifeMs: number): number {
  if (own === undefined) return 0
  return Math.round(100 * (1 - Math.exp(-ownPoints(own, now, halfLifeMs) / SATURATION)))
}

/** The points as they stand at a moment. */
export function ownPoints({ points, as_of }: OwnRisk, now: number, halfLifeMs: number): number {
  return points * 2 ** (-Math.max(0, now - as_of) / halfLifeMs)
}

export function levelOf(score: number, levels: RiskSettings['levels']): RiskLevel {
  if (score >= levels.critical) return 'critical'
  if (score >= levels.high) return 'high'
  return score >= levels.medium ? 'medium' : 'low'
}

/** Signs of the person and of what is theirs are erased with the person; the others stay. */
export function isPersonalSignal(name: string): boolean {
  return name.startsWith('user.') || name.startsWith('device.') || name.startsWith('history.')
}
