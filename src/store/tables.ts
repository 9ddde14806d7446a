// The tables as kysely sees them; migrations/ makes them.

import type { ColumnType, Generated } from 'kysely'

type Time = ColumnType<Date, Date | string, Date | string>
type Created = ColumnType<Date, Date | string | undefined, Date | string>
type Json<T = unknown> = ColumnType<T, string | null | undefined, string | null>

export interface Tables {
  departments: {
    tenant: string
    department_id: Generated<string>
    name: string
    parent: string | null
    cost_center: string | null
    default_risk_tolerance: number | null
    allowed_ai_services: string[]
    prohibited_ai_services: string[]
    business_unit: string | null
    region: string | null
    updated_at: Created
  }
  users: {
    tenant: string
    user_id: Generated<string>
    name: string
    email: string | null
    external_id: string | null
    first_name: string | null
    last_name: string | null
    display_name: string | null
    department: string | null
    job_title: string | null
    manager: string | null
    employee_type: string | null
    risk_score: number | null
    clearance_level: string | null
    attributes: Json<Record<string, unknown>>
    status: Generated<string>
    updated_at: Created
  }
  groups: {
    tenant: string
    group_id: Generated<string>
    name: string
    description: string | null
    external_id: string | null
    group_type: string | null
    allowed_ai_services: string[]
    prohibited_ai_services: string[]
    updated_at: Created
  }
  user_groups: { tenant: string; user_id: string; group_name: string }
  roles: {
    tenant: string
    role_id: Generated<string>
    name: string
    description: string | null
    permissions: Json
    updated_at: Created
  }
  user_roles: { tenant: string; user_id: string; role_name: string; expires_at: Time | null }
  assets: {
    tenant: string
    asset_id: Generated<string>
    hostname: string
    external_id: string | null
    asset_type: string | null
    ip_addresses: string[]
    mac_addresses: string[]
    serial_number: string | null
    owner: string | null
    department: string | null
    os: string | null
    os_version: string | null
    compliance_status: string | null
    edr_agent_installed: boolean | null
    edr_agent_version: string | null
    crown_jewel: Generated<boolean>
    sensitivity: string | null
    data_classification: string[]
    status: Generated<string>
    updated_at: Created
  }
  decisions: {
    tenant: string
    time: Time
    decision_id: string
    request_id: string
    user_id: string | null
    user_name: string | null
    user_email: string | null
    user_department: string | null
    user_known: boolean
    person_key: string
    action: string
    resource_type: string
    resource_id: string | null
    resource_name: string | null
    resource_host: string | null
    resource_path: string | null
    resource_category: string | null
    resource_model: string | null
    resource_known: boolean
    resource_ai: boolean
    approval_status: string | null
    decision: string
    reason: string
    would_be: string | null
    confidence: number | null
    risk_score: number | null
    policies_evaluated: Json
    primary_policy_id: string | null
    obligations: Json
    review_id: string | null
    exception_id: string | null
    mode: string
    revision: string
    source: string
    network: string | null
    ip_address: string | null
    geo_location: string | null
    user_agent: string | null
    findings: Json
    evaluation_us: number | null
    ttl: number | null
    writer: string
    seq: string
    record: string
  }
  outcomes: {
    tenant: string
    time: Time
    request_id: string
    decision_id: string
    status: number
    bytes_in: string
    bytes_out: string
    duration_ms: string
    visibility: string | null
    visibility_reason: string | null
    format: string | null
    input_tokens: string | null
    output_tokens: string | null
  }
  coverage_hours: {
    tenant: string
    hour: Time
    ai: boolean
    visibility: string
    /** Like department and service: empty where there is none. */
    reason: string
    department: string
    service: string
    host: string
    requests: string
    bytes_in: string
    bytes_out: string
  }
  shadow_ai: {
    tenant: string
    host: string
    person_key: string
    department: string
    format: string
    first_seen: Time
    last_seen: Time
    requests: string
    bytes_in: string
    bytes_out: string
  }
  violations: {
    tenant: string
    violation_id: string
    day: string
    person_key: string
    policy_id: string
    service_id: string
    user_id: string | null
    user_name: string | null
    user_department: string | null
    violation_type: string
    policy_name: string | null
    severity: string
    resource_type: string | null
    resource_name: string | null
    status: string
    count: string
    first_seen: Time
    last_seen: Time
    last_decision_id: string
  }
  person_risks: {
    tenant: string
    person_key: string
    user_id: string | null
    points: number
    as_of: Time
    violations: string
    updated_at: Created
  }
  audit_events: {
    tenant: string
    time: Time
    event_id: string
    event_type: string
    severity: string
    actor_id: string | null
    actor_name: string | null
    actor_type: string
    target_type: string | null
    target_id: string | null
    target_name: string | null
    action: string
    result: string
    event_data: Json
    changes: Json
    writer: string
    seq: string
  }
  reviews: {
    tenant: string
    review_id: string
    person_key: string
    person: string
    service_id: string
    policy_id: string
    action: string
    reason: string
    status: Generated<string>
    count: ColumnType<string, number | undefined, never>
    first_seen: Created
    last_seen: Created
    first_decision_id: string
    answered_at: Time | null
    answered_by: string | null
    comment: string | null
    valid_until: Time | null
    assignee: string | null
    assigned_at: Time | null
    assigned_by: string | null
    due_at: Time | null
    escalated_at: Time | null
    escalation: Generated<number>
    exception_id: string | null
  }
  proxy_tokens: {
    tenant: string
    token_id: Generated<string>
    user_id: string
    token_hash: Buffer
    revoked_at: Time | null
  }
  api_keys: {
    tenant: string
    key_id: Generated<string>
    name: string
    scopes: string[]
    user_id: string | null
    key_hash: Buffer
    revoked_at: Time | null
  }
  point_modes: { tenant: string; mode: string; until: Time; set_at: Created }
  writers: {
    tenant: string
    writer: string
    seq: string
    joined: string | null
    updated_at: Created
  }
  dead_letters: {
    tenant: string
    writer: string
    seq: string
    reason: string
    leaf: Buffer
    record: string
    personal: Buffer | null
  }
  ledger_keys: { installation: string; number: number; vkey: string; note: string | null }
  ledger_roster: { installation: string; number: number; note: string }
  ledger_checkpoints: {
    writer: string
    size: string
    time: Time
    is_seal: boolean
    /** Of a seal, 32 bytes a hash. */
    frontier: Buffer | null
    note: string
  }
  ledger_leaves: { writer: string; tile: string; hashes: Buffer }
  ledger_batches: {
    tenant: string
    /** xid8 of the transaction. */
    position: string
    writer: string
    first_seq: string
    last_seq: string
    at: Created
  }
}
