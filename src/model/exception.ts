// An exception: somebody may for a while what a policy or a default refuses, within conditions.

import type { Source } from './request.ts'

export const EXCEPTION_STATUSES = ['pending', 'approved', 'denied', 'expired', 'revoked'] as const
export type ExceptionStatus = (typeof EXCEPTION_STATUSES)[number]

export const LIFTS = ['policy', 'defaults', 'everything'] as const
/**
 * policy: the policy that is named does not vote. defaults: what `policy.default` refuses at the service passes.
 * everything: no refusal holds at the service, of whichever policy, nor by default. Obligations of what still votes hold.
 */
export type Lifts = (typeof LIFTS)[number]

/** All that are given must hold. */
export interface ExceptionConditions {
  /** Decisions that it may let through, counted in the store. */
  readonly max_uses?: number
  /** Types and categories of findings: whatever was found must be among them, and all content must have been seen. */
  readonly data_types?: readonly string[]
  /** From the first hour up to the last one, exclusive, as `input.context.time` tells them; 22 to 6 is over midnight. */
  readonly hours?: { readonly from: number; readonly to: number }
  /** 1 (Monday) to 7. */
  readonly weekdays?: readonly number[]
  readonly sources?: readonly Source[]
  readonly actions?: readonly string[]
}

export const EXCEPTION_CONDITIONS = [
  'max_uses',
  'data_types',
  'hours',
  'weekdays',
  'sources',
  'actions',
] as const satisfies readonly (keyof ExceptionConditions)[]

/** Whom and what it is for; AND between those that are given. */
export interface ExceptionScope {
  readonly user_id?: string
  /** The name of the department or of any above it. */
  readonly department?: string
  readonly group?: string
  readonly policy_id?: string
  /** An id of the catalogue, or a host that the catalogue does not know. */
  readonly service_id?: string
}

/** An approved exception as gateways hold it. */
export interface LiveException extends ExceptionScope {
  readonly exception_id: string
  readonly lifts: Lifts
  /** Milliseconds since the epoch; `until` is exclusive. */
  readonly from?: number
  readonly until?: number
  readonly conditions: ExceptionConditions
}

/** In place of a policy's id: the default. Ids of policies are never empty. */
export const BY_DEFAULT = ''

/** More than so many may not wait or be in force at a time, in a tenant. */
export const MAX_EXCEPTIONS = 100_000
