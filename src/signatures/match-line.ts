// The line protocol of `cordon signatures match --stdin`: a JSON object in, a JSON object out.

import type { MatchKind } from '../model/service.ts'
import type { Catalogue } from './catalogue.ts'
import { destinationOf } from './url.ts'

/** `{"url", "service", "match"}`, or `{"error"}` for a malformed line; never throws. */
export function matchLine(catalogue: Catalogue, line: string): string {
  let query: unknown
  try {
    query = JSON.parse(line)
  } catch {
    return JSON.stringify({ error: 'not JSON' })
  }
  const problem = problemOf(query)
  if (problem !== undefined) return JSON.stringify({ error: problem })
  const { url, method, headers } = query as {
    url: string
    method?: string
    headers?: Record<string, string>
  }
  return JSON.stringify(
    matchUrl(catalogue, {
      url,
      ...(method == null ? {} : { method }),
      ...(headers == null ? {} : { headers }),
    }),
  )
}

type MatchAnswer =
  | { readonly url: string; readonly service: string | null; readonly match: MatchKind | null }
  | { readonly error: string }

export function matchUrl(
  catalogue: Catalogue,
  resource: Parameters<typeof destinationOf>[0],
): MatchAnswer {
  const destination = destinationOf(resource)
  if ('error' in destination) return { error: destination.error }
  const found = catalogue.match(destination)
  return { url: resource.url, service: found?.service.id ?? null, match: found?.match ?? null }
}

function problemOf(query: unknown): string | undefined {
  if (typeof query !== 'object' || query === null || Array.isArray(query)) return 'not an object'
  const { url, method, headers } = query as Record<string, unknown>
  if (typeof url !== 'string') return 'url must be a text'
  if (method != null && typeof method !== 'string') return 'method must be a text'
  if (headers == null) return undefined
  const isMap = typeof headers === 'object' && !Array.isArray(headers)
  if (!isMap || !Object.values(headers).every((value) => typeof value === 'string'))
    return 'headers must be an object of texts'
  return undefined
}
