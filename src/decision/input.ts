// The input document that policies see, made from what the door saw, the directory and the catalogue.
//
// Callers cannot set what directory and catalogue know. Absent is absent: no nulls, no empty names.

import type {
  ContentInput,
  ContextInput,
  InputDocument,
  ResourceInput,
  TimeInput,
} from '../model/input.ts'
import type { AccessRequest } from '../model/request.ts'
import type { ApprovalStatus, ServiceMatch } from '../model/service.ts'
import type { Asset, Subject } from '../model/subject.ts'

/** What the corridor found out about a request. */
export interface Facts {
  readonly subject: Subject
  readonly match: ServiceMatch | undefined
  readonly status: ApprovalStatus | undefined
  readonly asset: Asset | undefined
  readonly content: ContentInput | undefined
  readonly time: TimeInput
  readonly tenant: string
}

export function inputDocument(request: AccessRequest, facts: Facts): InputDocument {
  const resource = resourceInput(request, facts)
  const action =
    request.action === 'access_ai_service' && !resource.ai ? 'access_site' : request.action
  const document = {
    user: facts.subject.user,
    action,
    resource,
    context: contextInput(request, facts),
  }
  return facts.content === undefined ? document : { ...document, content: facts.content }
}

function resourceInput({ destination }: AccessRequest, { match, status }: Facts): ResourceInput {
  const { host, path, method, model } = destination
  const seen: Writable<Partial<ResourceInput>> = { host }
  if (path !== undefined) seen.path = path
  if (method !== undefined) seen.method = method
  if (model !== undefined) seen.model = model
  if (match === undefined) {
    return destination.format === undefined
      ? { ...seen, type: 'site', known: false, ai: false }
      : { ...seen, type: 'ai_service', name: host, category: 'unknown_ai', known: false, ai: true }
  }

  const { service } = match
  const known: Writable<ResourceInput> = {
    type: 'ai_service',
    id: service.id,
    name: service.name,
    known: true,
    ai: true,
    approval_status: status ?? service.approval_status,
    capabilities: service.capabilities,
    certifications: service.certifications,
    data_regions: service.data_regions,
    ...seen,
  }
  if (service.vendor !== undefined) known.vendor = service.vendor
  if (service.service_type !== undefined) known.category = service.service_type
  if (service.risk_tier !== undefined) known.risk_tier = service.risk_tier
  if (service.risk_score !== undefined) known.risk_score = service.risk_score
  if (service.data_handling !== undefined) known.data_handling = service.data_handling
  return known
}

function contextInput({ context }: AccessRequest, { asset, time, tenant }: Facts): ContextInput {
  const seen: Writable<ContextInput> = { source: context.source, time, tenant }
  if (context.ip_address !== undefined) seen.ip_address = context.ip_address
  if (context.network !== undefined) seen.network = context.network
  if (context.device !== undefined) seen.device = context.device
  if (context.user_agent !== undefined) seen.user_agent = context.user_agent
  if (context.location_type !== undefined) seen.location_type = context.location_type
  if (context.geo_location !== undefined) seen.geo_location = context.geo_location
  if (context.ja4 !== undefined) seen.ja4 = context.ja4
  if (asset !== undefined) seen.asset = asset.document
  return seen
}

/** Tells the time as policies read it, in the time zone of the process; the parts change once a minute. */
export class PolicyClock {
  readonly #now: () => number
  #minute = -1
  #parts: Omit<TimeInput, 'epoch_ms'> = { hour: 0, weekday: 1, date: '1970-01-01' }

  constructor(now: () => number) {
    this.#now = now
  }

  read(): TimeInput {
    const epochMs = this.#now()
    const minute = Math.floor(epochMs / 60_000)
    if (minute !== this.#minute) {
      const local = new Date(epochMs)
      const day = [local.getFullYear(), local.getMonth() + 1, local.getDate()]
      this.#minute = minute
      this.#parts = {
        hour: local.getHours(),
        weekday: local.getDay() === 0 ? 7 : local.getDay(),
        date: day.map((part) => String(part).padStart(2, '0')).join('-'),
      }
    }
    return { epoch_ms: epochMs, ...this.#parts }
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }
