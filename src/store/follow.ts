// Following the feed: what has arrived is told as it arrives, at the reader's pace.
//
// Nothing is kept for a reader that is slow: whoever does not ask for more is not read for, and the position stays.

import { CordonError } from '../base/errors.ts'
import type { Sink } from '../model/record.ts'
import { type FeedPosition, positionText } from './feed-position.ts'
import type { Arrived, DecisionFeed, FeedGap, FeedItem } from './feed.ts'
import type { Filter } from './filters.ts'

export type Told =
  | { readonly kind: 'decisions'; readonly items: readonly FeedItem[] }
  | { readonly kind: 'gap'; readonly gap: FeedGap; readonly id: string }
  /** The store does not answer; what arrives is told when it does again. */
  | { readonly kind: 'away' }
  | { readonly kind: 'back' }
  /** Everything was looked at up to there. */
  | { readonly kind: 'caught_up'; readonly id: string }

/** What others write is found by looking. */
const LOOK_EVERY_MS = 250
/** A reader is not read for more often than that, however many batches arrive. */
const READ_EVERY_MS = 50
/** A store that does not answer for so long is away. */
const AWAY_AFTER_MS = 5000
const RETRY_MS = { least: 250, most: 5000 }

/** Wakes those who wait when something may have arrived: told in this process, found by looking otherwise. */
export class Arrivals {
  readonly #look: () => Promise<string>
  readonly #waiting = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #sign: string | undefined
  #count = 0

  /** `look` gives a text that changes when something may have arrived. */
  constructor(look: () => Promise<string>) {
    this.#look = look
  }

  /** How often something was told so far. */
  get count(): number {
    return this.#count
  }

  /** Something has arrived. */
  tell(): void {
    this.#count += 1
    for (const wake of this.#waiting) wake()
  }

  /** Resolves when something has arrived since `count` was so much, or when the signal aborts. */
  async since(count: number, signal: AbortSignal): Promise<void> {
    if (this.#count !== count || signal.aborted) return
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        if (this.#waiting.size === 0) this.#stop()
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake)
      this.#timer ??= setTimeout(() => void this.#round(), LOOK_EVERY_MS).unref()
    })
  }

  async #round(): Promise<void> {
    const before = this.#sign
    this.#sign = await this.#look().catch(() => undefined)
    // Of a store that is away the readers learn by reading.
    if (this.#sign === undefined || this.#sign !== before) this.tell()
    this.#stop()
    if (this.#waiting.size > 0)
      this.#timer = setTimeout(() => void this.#round(), LOOK_EVERY_MS).unref()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

/** A sink of this process, told of whenever it has stored something. */
export function telling(sink: Sink, arrivals: Arrivals): Sink {
  return {
    cursors: () => sink.cursors(),
    write: async (writer, records, isPart) => {
      const stored = await sink.write(writer, records, isPart)
      arrivals.tell()
      return stored
    },
    setAside: (record, reason, isPart) => sink.setAside(record, reason, isPart),
    keepEvidence: (evidence) => sink.keepEvidence(evidence),
  }
}

/** Tells what arrives behind a position until the signal aborts. Throws only for a filter that is refused. */
export async function* follow(
  feed: DecisionFeed,
  arrivals: Arrivals,
  {
    from,
    filter,
    signal,
  }: { readonly from: FeedPosition; readonly filter: Filter; readonly signal: AbortSignal },
): AsyncGenerator<Told> {
  let position = from
  let isAway = false
  let delay = RETRY_MS.least
  while (!signal.aborted) {
    const { count } = arrivals
    const began = performance.now()
    const reading = feed.read(position, filter).catch(failed)
    let arrived: Arrived | 'failed' | 'late' = await soonest(reading, AWAY_AFTER_MS, signal)
    if (arrived === 'late') {
      if (signal.aborted) return
      if (!isAway) yield { kind: 'away' }
      isAway = true
      // One question at a time: more of them would take the connections of everybody else.
      arrived = await soonest(reading, Infinity, signal)
    }
    if (signal.aborted || arrived === 'late') return
    if (arrived === 'failed') {
      if (!isAway) yield { kind: 'away' }
      isAway = true
      await pause(delay, signal)
      delay = Math.min(RETRY_MS.most, delay * 2)
      continue
    }
    if (isAway) yield { kind: 'back' }
    isAway = false
    delay = RETRY_MS.least
    position = arrived.position
    const { items, gap, more } = arrived
    if (gap !== undefined) yield { kind: 'gap', gap, id: positionText(position) }
    if (items.length > 0) yield { kind: 'decisions', items }
    if (more) continue
    yield { kind: 'caught_up', id: positionText(position) }
    await arrivals.since(count, signal)
    await pause(READ_EVERY_MS - (performance.now() - began), signal)
  }
}

function failed(error: unknown): 'failed' {
  if (error instanceof CordonError && error.code === 'INPUT_INVALID') throw error
  return 'failed'
}

/** What the work gives, or `late` after so long or when the signal aborts. */
async function soonest<T>(work: Promise<T>, ms: number, signal: AbortSignal): Promise<T | 'late'> {
  const over = new AbortController()
  work.catch(() => undefined)
  try {
    return await Promise.race([
      work,
      pause(ms, AbortSignal.any([signal, over.signal])).then(() => 'late' as const),
    ])
  } finally {
    over.abort()
  }
}

/** Never rejects: an abort ends it. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = ms === Infinity ? undefined : setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}
