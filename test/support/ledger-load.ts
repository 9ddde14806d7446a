// Clients that ask without end and remember what they were answered: whatever they got is owed by the ledger.

import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
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

/** How long a client waited for an answer, and what it was. */
export interface Answered {
  readonly status: number
  readonly ms: number
  readonly headers: IncomingHttpHeaders
}

/** Nobody may wait longer than this for whatever answer. */
const TIMEOUT_MS = 10_000

export class Load {
  /** Ids of decisions that a client was told. */
  readonly owed = new Set<string>()
  /** Paths that reached the origin: their decisions were due before they left. */
  readonly passed = new Set<string>()
  readonly statuses = new Map<number, number>()
  /** The longest time to an answer of each status, in milliseconds. */
  readonly slowest = new Map<number, number>()
  /** Refusals for want of a record that lacked Retry-After. */
  impolite = 0
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

  /** Lets what is under way end; what was cut off is owed nothing. */
  async stop(): Promise<void> {
    this.#running = undefined
    await Promise.all(this.#lanes)
    for (const { url } of this.#standIn.received.splice(0)) this.passed.add(url)
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

  /** One refused, one let through, one that nobody records. */
  async #fetch(agent: Agent): Promise<void> {
    const n = this.#next++
    const host = ['openai.bad.test', 'chat.open.test', 'anthropic.bad.test'][n % 3] ?? ''
    const { headers } = await this.#send({
      agent,
      host: '127.0.0.1',
      port: this.#running?.proxyPort,
      path: `http://${host}/n/${n}`,
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
    options: Parameters<typeof request>[1],
    body?: string,
  ): Promise<Answered & { readonly text: string }> {
    const start = performance.now()
    const { response, text } = await exchange(options, body)
    const status = response.statusCode ?? 0
    const ms = performance.now() - start
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
    this.slowest.set(status, Math.max(this.slowest.get(status) ?? 0, ms))
    if (status === 503 && response.headers['retry-after'] === undefined) this.impolite += 1
    return { status, ms, headers: response.headers, text }
  }
}

function exchange(
  options: Parameters<typeof request>[1],
  body: string | undefined,
): Promise<{ readonly response: IncomingMessage; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, timeout: TIMEOUT_MS })
    sent.on('error', reject)
    sent.on('timeout', () => sent.destroy(new Error('nobody answered')))
    sent.on('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => resolve({ response, text: Buffer.concat(parts).toString('utf8') }))
    })
    sent.end(body)
  })
}
