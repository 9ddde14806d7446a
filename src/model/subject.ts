import type { UserInput } from './input.ts'
import type { OwnRisk } from './risk.ts'

/** What the directory knows of whoever asks, ready to be an input of policies. Frozen and shared: never change one. */
export interface Subject {
  readonly user: UserInput
  /** `user.id`, for unknown people the login; undefined for anonymous ones (then the client address stands in). */
  readonly person?: string
  /** What their violations come to; absent where there are none. */
  readonly own_risk?: OwnRisk
  /** Services allowed or prohibited for any of their groups or departments, united. */
  readonly allowed_services: ReadonlySet<string>
  readonly prohibited_services: ReadonlySet<string>
  /** Names and ids of groups and departments (whole path): what `approved_for` and `prohibited_for` name. */
  readonly units: ReadonlySet<string>
}

/** A device of the asset inventory, as `input.context.asset` shows it. */
export interface Asset {
  readonly id: string
  readonly hostname?: string
  readonly data_classification: readonly string[]
  readonly document: Readonly<Record<string, unknown>>
}
