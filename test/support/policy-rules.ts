// The settings under which policies are combined where a test does not say otherwise: those of a fresh checkout.

import type { CombineOptions } from '../../src/policy/combine.ts'

const DEFAULTS = {
  approved: 'allow',
  review_required: 'review',
  prohibited: 'deny',
  unknown_ai: 'allow',
  other: 'allow',
} as const

export const RULES: CombineOptions = {
  combining: 'priority_tiers',
  defaults: DEFAULTS,
  onError: 'deny',
}
