// Decisions as they arrive in the store, as server-sent events (WHATWG HTML, section 9.2).
//
// An event's id is a position: given back as Last-Event-ID it goes on exactly behind that event, here or in any other
// Cordon over the same store. Nothing is queued for a reader: what it does not take yet is read from the store later.

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type FeedPosition, positionText, readPosition } from '../store/feed-position.ts'
import type { DecisionFeed } from '../store/feed.ts'
import type { Filter } from '../store/filters.ts'
import { type Arrivals, follow, type Told } from '../store/follow.ts'
import { type KeyRing, requires } from './key.ts'
import { closed, decisionFilters, Time } from './queries.ts'
import { PROBLEM } from './schemas.ts'

export interface StreamParts {
  readonly keys: KeyRing
  readonly feed: DecisionFeed
  readonly arrivals: Arrivals
  readonly metrics: Pick<Metrics, 'streams' | 'streamEvents' | 'streamStalls' | 'limits'>
}

/** Of this process, and of one key. */
const MAX_STREAMS = 100
const MAX_STREAMS_OF_KEY = 20
const HEARTBEAT_MS = 15_000
/** A revoked key stops working within ten seconds (src/api/key.ts) and this. */
const KEY_LOOK_MS = 10_000
/** A reader that takes nothing for so long has gone; it may come back with the id that it has. */
const STALLED_MS = 120_000
/** After what readers come back: of a stream that breaks, and of a Cordon that ends. */
const RETRY_MS = { broken: 2000, ended: 1000 }
const SCOPE = 'decisions:read'

const StreamQuery = Type.Object(
  {
    ...decisionFilters,
    since: Time,
    after: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'An event id, where no Last-Event-ID is sent',
      }),
    ),
  },
  closed,
)
type StreamFilter = Static<typeof StreamQuery>

const Events = {
  description:
    'Server-sent events: `decision` with a decision as lists show it, `gap` where decisions between the asked position and the next event are no longer kept here; comments every 15 seconds.',
  content: { 'text/event-stream': { schema: Type.String() } },
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Ends what would go on for ever, for a Cordon that drains; readers are told when to come back. */
    endStreams(): void
  }
}

export function streamRoutes(app: FastifyInstance, parts: StreamParts): void {
  const { keys, feed, metrics } = parts
  const open = new Map<Stream, string>()
  let isEnding = false

  app.get<{ Querystring: StreamFilter }>(
    '/v1/stream',
    {
      exposeHeadRoute: false,
      onRequest: requires(keys, SCOPE),
      schema: {
        summary: 'Decisions as they arrive, as server-sent events; goes on behind Last-Event-ID',
        tags: ['decisions'],
        querystring: StreamQuery,
        response: {
          200: Events,
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          429: PROBLEM,
          503: PROBLEM,
        },
      },
    },
    async (request, reply) => {
      if (isEnding) throw new CordonError('TOO_BUSY', 'this Cordon is ending: ask again')
      const holder = request.apiKey?.id ?? ''
      const held = [...open.values()].filter((each) => each === holder).length
      if (open.size >= MAX_STREAMS || held >= MAX_STREAMS_OF_KEY) {
        metrics.limits.inc({ limit: 'streams' })
        throw new CordonError(
          'TOO_MANY',
          open.size >= MAX_STREAMS
            ? `${MAX_STREAMS} streams are open here: close one, or ask again later`
            : `${MAX_STREAMS_OF_KEY} streams of this key are open: close one`,
        )
      }
      const { after: _after, ...filter } = request.query
      // Taken before the first wait: many that come at once are counted too.
      const stream = new Stream(reply.raw, metrics)
      open.set(stream, holder)
      metrics.streams.set(open.size)
      try {
        feed.accepts(filter)
        const from = await startOf(request, feed)
        reply.hijack()
        await stream.run(parts, { from, filter, keys, request })
      } finally {
        open.delete(stream)
        metrics.streams.set(open.size)
      }
    },
  )
  app.decorate('endStreams', () => {
    isEnding = true
    for (const stream of open.keys()) stream.end('this Cordon is ending', RETRY_MS.ended)
  })
}

/** A browser that comes back sends both, the header being newer. */
async function startOf(
  { headers, query }: FastifyRequest<{ Querystring: StreamFilter }>,
  feed: DecisionFeed,
): Promise<FeedPosition> {
  const { after, since } = query
  const last = headers['last-event-id']
  if (typeof last === 'string' && last !== '') return readPosition(last, '/headers/last-event-id')
  if (after !== undefined) return readPosition(after, '/querystring/after')
  return since === undefined ? feed.newest() : feed.since(new Date(since))
}

class Stream {
  readonly #response: ServerResponse
  readonly #metrics: StreamParts['metrics']
  readonly #gone = new AbortController()
  #isStalled = false
  /** Told, and not told yet. */
  #toldId = ''
  #id = ''

  constructor(response: ServerResponse, metrics: StreamParts['metrics']) {
    this.#response = response
    this.#metrics = metrics
    response.once('close', () => this.#gone.abort())
  }

  /** Resolves when the stream has ended, for whatever reason. */
  async run(
    { feed, arrivals }: StreamParts,
    {
      from,
      filter,
      keys,
      request,
    }: {
      readonly from: FeedPosition
      readonly filter: Filter
      readonly keys: KeyRing
      readonly request: FastifyRequest
    },
  ): Promise<void> {
    const response = this.#response
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    // One that breaks before the first event comes back to where it began.
    this.#toldId = this.#id = positionText(from)
    response.write(`retry: ${RETRY_MS.broken}\nid: ${this.#id}\n\n`)
    const timers = [
      setInterval(() => this.#beat(), HEARTBEAT_MS),
      setInterval(() => void this.#lookAtKey(keys, request), KEY_LOOK_MS),
    ]
    try {
      const told = follow(feed, arrivals, { from, filter, signal: this.#gone.signal })
      for await (const each of told) {
        const text = this.#textOf(each)
        if (text !== '' && !this.#gone.signal.aborted && !response.write(text))
          await this.#drained()
      }
    } catch (error) {
      // The filter is no longer one, because people are shown by pseudonyms now.
      this.end(error instanceof CordonError ? error.message : 'the stream failed', RETRY_MS.broken)
    } finally {
      for (const timer of timers) clearInterval(timer)
      if (!response.writableEnded) response.end()
    }
  }

  /** Says why, and when to come back. */
  end(why: string, retryMs: number): void {
    this.#gone.abort()
    if (this.#response.headersSent && !this.#response.writableEnded)
      this.#response.end(`: ${why.replaceAll(/[\r\n]+/g, ' ')}\nretry: ${retryMs}\n\n`)
  }

  #textOf(told: Told): string {
    switch (told.kind) {
      case 'decisions': {
        this.#metrics.streamEvents.inc(told.items.length)
        this.#toldId = this.#id = told.items.at(-1)?.id ?? this.#id
        return told.items.map(({ id, decision }) => eventText('decision', id, decision)).join('')
      }
      case 'gap': {
        this.#toldId = this.#id = told.id
        return eventText('gap', told.id, told.gap)
      }
      case 'caught_up': {
        this.#id = told.id
        return ''
      }
      case 'away':
        return ': the store does not answer; what arrives meanwhile follows\n\n'
      case 'back':
        return ': the store answers again\n\n'
    }
  }

  /** With the position, so that one who waited long for nothing does not come back too late. */
  #beat(): void {
    if (this.#isStalled || this.#gone.signal.aborted) return
    const position = this.#id === this.#toldId ? '' : `id: ${this.#id}\n`
    this.#toldId = this.#id
    this.#response.write(`: still here\n${position}\n`)
  }

  async #drained(): Promise<void> {
    this.#metrics.streamStalls.inc()
    this.#isStalled = true
    const late = setTimeout(() => this.#response.destroy(), STALLED_MS)
    try {
      await once(this.#response, 'drain', { signal: this.#gone.signal })
    } catch {
      // Gone, or ended.
    } finally {
      clearTimeout(late)
      this.#isStalled = false
    }
  }

  async #lookAtKey(keys: KeyRing, request: FastifyRequest): Promise<void> {
    try {
      await keys.require(request, [SCOPE])
    } catch (error) {
      // A store that is away says nothing of the key.
      if (!(error instanceof CordonError)) return
      if (error.code !== 'UNAUTHENTICATED' && error.code !== 'FORBIDDEN') return
      const isStalled = this.#isStalled
      this.end(error.message, RETRY_MS.broken)
      if (isStalled) this.#response.destroy()
    }
  }
}

function eventText(event: string, id: string, data: unknown): string {
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`
}
