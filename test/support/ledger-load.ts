// Clients that ask without end and remember what they were answered: whatever they got is owed by the ledger.

import { Agent, type IncomingHttpHeaders, request, type RequestOptions } from 'node:http'
import type { Running } from './cordon.ts'
import type { StandIn } from './through-proxy.ts'

export interface LoadOptions {
  readonly key: string
  /** Connections to the proxy, each with one request after the other. */
  readonly lanes?: number
  /** Connections to the decision endpoint; each asks for `batch` decisions at a time. */
  readonly apiLanes?: number
  readonly batch?: number
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** What clients were answered, by status. */
class Tally {
  readonly counts = new Map<number, number>()
  /** The longest time to an answer of each status, in milliseconds. */
  readonly slowest = new Map<number, number>()
  /** 503 without Retry-After. */
  impolite = 0

  add({ status, headers }: Answer, ms: number): void {
    this.counts.set(status, this.of(status) + 1)
    this.slowest.set(status, Math.max(this.slowest.get(status) ?? 0, ms))
    if (status === 503 && headers['retry-after'] === undefined) this.impolite += 1
  }

  of(status: number): number {
    return this.counts.get(status) ?? 0
  }
}

/** Nobody may wait longer than this for whatever answer. */
const TIMEOUT_MS = 10_000

export class Load {
  /** Ids of decisions that a client was told. */
  readonly owed = new Set<string>()
  /** Paths that reached the origin: their decisions were due before they left. */
  readonly passed = new Set<string>()
  /** What must be recorded, and what nobody records. */
  recorded = new Tally()
  unlisted = new Tally()
  readonly #options: Required<LoadOptions>
  readonly #standIn: StandIn
  #running: Running | undefined
  #lanes: Promise<void>[] = []
  #next = 0

  constructor(standIn: StandIn, options: LoadOptions) {
    this.#options = { lanes: 8, apiLanes: 2, batch: 50, ...options }
    this.#standIn = standIn
  }

  start(running: Running): void {
    this.#running = running
    const { lanes, apiLanes } = this.#options
    this.#lanes = [
      ...Array.from({ length: lanes }, () => this.#repeat(running, (agent) => this.#fetch(agent))),
      ...(running.api === ''
        ? []
        : Array.from({ length: apiLanes }, () =>
            this.#repeat(running, (agent) => this.#decide(agent)),
          )),
    ]
  }

  /** Counts from here on. */
  mark(): void {
    this.recorded = new Tally()
    this.unlisted = new Tally()
  }

  /** Lets what is under way end; what was cut off is owed nothing. */
  async stop(): Promise<void> {
    this.#running = undefined
    await Promise.all(this.#lanes)
    for (const { url } of this.#standIn.received.splice(0))
      if (url.startsWith('/n/')) this.passed.add(url)
  }

  async #repeat(running: Running, once: (agent: Agent) => Promise<void>): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (this.#running === running) {
      try {
        await once(agent)
      } catch {
        // Cut off in the middle: nobody was answered. Not at once again, there may be nobody.
        await new Promise((resolve) => {
          setTimeout(resolve, 10)
        })
      }
    }
    agent.destroy()
  }

  /** Refused, let through, refused, and one that nobody records. */
  async #fetch(agent: Agent): Promise<void> {
    const n = this.#next++
    const hosts = ['openai.bad.test', 'chat.open.test', 'anthropic.bad.test', 'plain.test']
    const host = hosts[n % hosts.length] ?? ''
    const { headers } = await this.#send(host === 'plain.test' ? 'unlisted' : 'recorded', {
      agent,
      host: '127.0.0.1',
      port: this.#running?.proxyPort,
      path: `http://${host}/${host === 'plain.test' ? 'unlisted' : 'n'}/${n}`,
      headers: { host },
    })
    const id = headers['x-cordon-decision-id']
    if (typeof id === 'string') this.owed.add(id)
  }

  async #decide(agent: Agent): Promise<void> {
    const { batch, key } = this.#options
    const decision = { action: 'paste', resource: { url: 'https://gemini.bad.test/' } }
    const { api = '' } = this.#running ?? {}
    const body = JSON.stringify({ requests: Array.from({ length: batch }, () => decision) })
    const { text } = await this.#send(
      'recorded',
      {
        agent,
        host: '127.0.0.1',
        port: new URL(api).port,
        method: 'POST',
        path: '/v1/decisions/batch',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      },
      body,
    )
    const { decisions = [] } = JSON.parse(text) as { decisions?: { decision_id?: string }[] }
    for (const { decision_id: id } of decisions) if (id !== undefined) this.owed.add(id)
  }

  async #send(
    kind: 'recorded' | 'unlisted',
    options: RequestOptions,
    body?: string,
  ): Promise<Answer> {
    const start = performance.now()
    const answer = await exchange(options, body)
    this[kind].add(answer, performance.now() - start)
    return answer
  }
}

function exchange(options: RequestOptions, body: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, timeout: TIMEOUT_MS })
    sent.on('error', reject)
    sent.on('timeout', () => sent.destroy(new Error('nobody answered')))
    sent.on('response', (response) => {
      const { statusCode: status = 0, headers } = response
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status, headers, text: Buffer.concat(parts).toString('utf8') }),
      )
    })
    sent.end(body)
  })
}
