// What `cordon tail` is told, line by line: through control.sock by the Cordon that runs, else by a store of its own.

import { positionText, readPosition } from '../store/feed-position.ts'
import type { DecisionFeed } from '../store/feed.ts'
import type { Filter } from '../store/filters.ts'
import { type Arrivals, follow } from '../store/follow.ts'

export interface TailQuery {
  /** As of GET /v1/stream, `since` (RFC 3339) among them. */
  readonly filter: Filter
  /** So many of the newest decisions first. */
  readonly last?: number
  /** Go on behind that position, instead of what is first otherwise. */
  readonly after?: string
  /** End with what is there. */
  readonly once?: boolean
}

export type Line =
  | { readonly kind: 'decision'; readonly id: string; readonly decision: Shown }
  | { readonly kind: 'gap'; readonly id: string; readonly reason: 'expired' | 'unknown' }
  /** Everything was told up to there. */
  | { readonly kind: 'at'; readonly id: string }
  | { readonly kind: 'away' }
  | { readonly kind: 'back' }

/** A decision as lists show it. */
export type Shown = Readonly<Record<string, unknown>>

export async function* tailLines(
  feed: DecisionFeed,
  arrivals: Arrivals,
  { filter, last, after, once = false }: TailQuery,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let position = after === undefined ? undefined : readPosition(after, 'after')
  if (position === undefined && last !== undefined) {
    const found = await feed.last(last, filter)
    position = found.position
    for (const { id, decision } of found.decisions) yield lineOf({ kind: 'decision', id, decision })
    if (once) return
  }
  const { since } = filter
  position ??= await (since === undefined ? feed.newest() : feed.since(new Date(since)))
  let at = positionText(position)
  yield lineOf({ kind: 'at', id: at })
  for await (const told of follow(feed, arrivals, { from: position, filter, signal })) {
    switch (told.kind) {
      case 'decisions':
        for (const { id, decision } of told.items) yield lineOf({ kind: 'decision', id, decision })
        break
      case 'gap':
        yield lineOf({ kind: 'gap', id: told.id, reason: told.gap.reason })
        break
      case 'caught_up':
        if (told.id !== at) yield lineOf({ kind: 'at', id: told.id })
        at = told.id
        if (once) return
        break
      case 'away':
      case 'back':
        yield lineOf(told)
    }
  }
}

function lineOf(line: Line): string {
  return `${JSON.stringify(line)}\n`
}
