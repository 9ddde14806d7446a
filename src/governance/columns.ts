// What each kind of directory file may say: its columns and how their texts become values.

import { didYouMean } from '../base/nearest.ts'

export const KINDS = ['departments', 'users', 'groups', 'memberships', 'roles', 'assets'] as const
export type Kind = (typeof KINDS)[number]

/** A value, or what it must be. */
export type Read = (text: string) => { readonly value: unknown } | { readonly wrong: string }

const MAX_TEXT = 1024

const MAX_LIST = 1000
/** Line breaks and tabs too: a name with one is a mistake, and a trap for whoever reads a log. */
// oxlint-disable-next-line no-control-regex -- exactly these are what a name must not hold
const CONTROL = /[\u0000-\u001f\u007f]/

const text: Read = (value) => {
  if (CONTROL.test(value)) return { wrong: 'holds a control character' }
  return value.length <= MAX_TEXT ? { value } : { wrong: `must be at most ${MAX_TEXT} characters` }
}
const list: Read = (value) => {
  if (CONTROL.test(value)) return { wrong: 'holds a control character' }
  const items = value
    .split(';')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  if (items.length > MAX_LIST) return { wrong: `must be at most ${MAX_LIST} items` }
  if (items.some((item) => item.length > MAX_TEXT))
    return { wrong: `must hold items of at most ${MAX_TEXT} characters` }
  return { value: [...new Set(items)] }
}
const score: Read = (value) =>
  /^\d{1,3}$/.test(value) && Number(value) <= 100
    ? { value: Number(value) }
    : { wrong: 'must be a whole number from 0 to 100' }
const bool: Read = (value) => {
  if (/^(?:true|yes|1)$/i.test(value)) return { value: true }
  return /^(?:false|no|0)$/i.test(value) ? { value: false } : { wrong: 'must be true or false' }
}
const oneOf = (words: readonly string[]): Read => {
  return (value) =>
    words.includes(value)
      ? { value }
      : { wrong: `must be one of ${words.join(', ')}${didYouMean(value, words)}` }
}

const UNIT = { allowed_ai_services: list, prohibited_ai_services: list }

/** Columns of each kind; `name` (for memberships user and group, for assets hostname) must be there. */
export const COLUMNS: Readonly<Record<Kind, Readonly<Record<string, Read>>>> = {
  departments: {
    name: text,
    parent: text,
    cost_center: text,
    default_risk_tolerance: score,
    business_unit: text,
    region: text,
    ...UNIT,
  },
  users: {
    name: text,
    email: text,
    external_id: text,
    first_name: text,
    last_name: text,
    display_name: text,
    department: text,
    groups: list,
    roles: list,
    status: oneOf(['active', 'suspended', 'inactive']),
    employee_type: text,
    job_title: text,
    manager: text,
    risk_score: score,
    clearance_level: oneOf(['public', 'internal', 'confidential', 'secret', 'top_secret']),
  },
  groups: { name: text, description: text, external_id: text, group_type: text, ...UNIT },
  memberships: { user: text, group: text },
  roles: { name: text, description: text },
  assets: {
    hostname: text,
    external_id: text,
    asset_type: text,
    ip_addresses: list,
    mac_addresses: list,
    serial_number: text,
    owner: text,
    department: text,
    os: text,
    os_version: text,
    compliance_status: oneOf(['compliant', 'non_compliant', 'unknown']),
    edr_agent_installed: bool,
    edr_agent_version: text,
    crown_jewel: bool,
    sensitivity: oneOf(['low', 'medium', 'high', 'critical']),
    data_classification: list,
    status: oneOf(['active', 'retired', 'lost', 'stolen']),
  },
}

export const REQUIRED: Readonly<Record<Kind, readonly string[]>> = {
  departments: ['name'],
  users: ['name'],
  groups: ['name'],
  memberships: ['user', 'group'],
  roles: ['name'],
  assets: ['hostname'],
}
