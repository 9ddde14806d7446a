// The input document that policies see. Names are those of INTERFACES section 3; absent is absent.

import type { BudgetInput } from './budget.ts'
import type { Finding } from './finding.ts'
import type { RiskInput } from './risk.ts'

export interface DepartmentInput {
  readonly id?: string
  readonly name?: string
  /** From the root to the department itself. */
  readonly path?: readonly string[]
}

export interface UserInput {
  readonly id?: string
  readonly name?: string
  readonly email?: string
  readonly known: boolean
  readonly status?: string
  readonly department?: DepartmentInput
  readonly groups?: readonly string[]
  readonly roles?: readonly string[]
  readonly employee_type?: string
  readonly job_title?: string
  readonly risk_score?: number
  readonly clearance_level?: string
  readonly attributes?: Readonly<Record<string, unknown>>
}

export interface ResourceInput {
  readonly type: 'ai_service' | 'site'
  readonly id?: string
  readonly name?: string
  readonly vendor?: string
  /** The catalogue's service_type. */
  readonly category?: string
  readonly known: boolean
  readonly ai: boolean
  readonly approval_status?: string
  readonly risk_tier?: string
  readonly risk_score?: number
  readonly capabilities?: readonly string[]
  readonly certifications?: readonly string[]
  readonly data_handling?: string
  readonly data_regions?: readonly string[]
  readonly host?: string
  readonly path?: string
  readonly method?: string
  readonly model?: string
}

export interface ContentInput {
  readonly classified: boolean
  readonly parsed: boolean
  readonly truncated: boolean
  readonly bytes: number
  readonly findings: readonly Finding[]
  readonly finding_types: readonly string[]
  readonly finding_categories: readonly string[]
  readonly data_classification: readonly string[]
  readonly stream?: boolean
  readonly tools?: readonly unknown[]
  readonly attachments?: readonly unknown[]
}

export interface TimeInput {
  readonly epoch_ms: number
  /** 0 to 23. */
  readonly hour: number
  /** 1 (Monday) to 7. */
  readonly weekday: number
  /** YYYY-MM-DD. */
  readonly date: string
}

export interface ContextInput {
  readonly source?: string
  readonly ip_address?: string
  readonly network?: string
  readonly device?: Readonly<Record<string, unknown>>
  readonly user_agent?: string
  readonly ja4?: string
  readonly location_type?: string
  readonly geo_location?: string
  readonly asset?: Readonly<Record<string, unknown>>
  readonly time?: TimeInput
  /** By the id of the budget. */
  readonly budget?: Readonly<Record<string, BudgetInput>>
  readonly risk?: RiskInput
  readonly tenant?: string
}

/** What Cordon itself builds. `policy eval` reads documents of the same shape in which anything may be absent. */
export interface InputDocument {
  readonly user: UserInput
  readonly action: string
  readonly resource: ResourceInput
  readonly content?: ContentInput
  readonly context: ContextInput
}
