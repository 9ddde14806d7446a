// GET /v1/services: the catalogue in force, by id, filtered and paged.

import type { AiService } from '../model/service.ts'

export interface ServiceQuery {
  readonly q?: string
  readonly vendor?: string
  readonly category?: string
  readonly approval_status?: string
  readonly limit?: number
  readonly cursor?: string
}

export function servicesPage(
  services: Iterable<AiService>,
  query: ServiceQuery,
): {
  readonly items: readonly Readonly<Record<string, unknown>>[]
  readonly next_cursor: string | null
} {
  const { q, vendor, category, approval_status: status, limit = 100, cursor } = query
  const wanted = q?.toLowerCase()
  const found = [...services]
    .filter(
      (service) =>
        (wanted === undefined ||
          service.id.includes(wanted) ||
          service.name.toLowerCase().includes(wanted)) &&
        (vendor === undefined || service.vendor?.toLowerCase() === vendor.toLowerCase()) &&
        (category === undefined || service.service_type === category) &&
        (status === undefined || service.approval_status === status) &&
        (cursor === undefined || service.id > cursor),
    )
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const items = found.slice(0, limit)
  return {
    items: items.map(view),
    next_cursor: found.length > limit ? (items.at(-1)?.id ?? null) : null,
  }
}

function view({ service_type: category, ...service }: AiService): Record<string, unknown> {
  return { ...service, category: category ?? null }
}
