// A row of the catalogue, and the signatures that reveal it.

export const APPROVAL_STATUSES = ['approved', 'prohibited', 'review_required', 'unknown'] as const
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number]

export const RISK_TIERS = ['low', 'medium', 'high', 'critical'] as const
export type RiskTier = (typeof RISK_TIERS)[number]

export const MATCH_KINDS = [
  'domain',
  'host_pattern',
  'path',
  'api_pattern',
  'header',
  'user_agent',
] as const
export type MatchKind = (typeof MATCH_KINDS)[number]

export interface HeaderSignature {
  readonly name: string
  /** Regular expression, run in linear time; absent: the header's presence is the sign. */
  readonly pattern?: string
  readonly kind?: 'auth' | 'client' | 'tenant_restriction'
  /** False: the header is common elsewhere, a hint only. */
  readonly distinctive?: boolean
}

export interface SharedHost {
  /** `name`, `*.name` (any sub-domain) or `*:port` (any host on that port). */
  readonly host: string
  readonly paths: readonly string[]
}

/** One AI service as the catalogue describes it. Names are the YAML keys of `signatures/*.yaml`. */
export interface AiService {
  readonly id: string
  readonly name: string
  readonly vendor?: string
  readonly service_type?: string
  readonly domains: readonly string[]
  readonly host_patterns: readonly string[]
  readonly shared_hosts: readonly SharedHost[]
  readonly api_hosts: readonly string[]
  readonly support_domains: readonly string[]
  readonly api_patterns: readonly string[]
  readonly websocket_paths: readonly string[]
  readonly headers: readonly HeaderSignature[]
  readonly user_agents: readonly string[]
  /** The service whose host this one shares; header or user agent tells them apart. */
  readonly parent?: string
  /** Wire format: openai, anthropic, gemini, ollama, ... */
  readonly protocol?: string
  readonly capabilities: readonly string[]
  readonly approval_status: ApprovalStatus
  readonly approved_for: readonly string[]
  readonly prohibited_for: readonly string[]
  readonly risk_tier?: RiskTier
  readonly risk_score?: number
  readonly certifications: readonly string[]
  readonly data_handling?: string
  readonly data_regions: readonly string[]
  /** monitor: recorded, never enforced. */
  readonly mode: 'enforce' | 'monitor'
  /** true: intercepted also where no setting selects it; false: never. */
  readonly intercept?: boolean
  /** 0 to 1, how sure a match is. */
  readonly confidence: number
}

/** What a destination turned out to be. */
export interface ServiceMatch {
  readonly service: AiService
  readonly match: MatchKind
  /** Set where only a header or user agent chose a child: the stricter of both holds. */
  readonly parent?: AiService
}
