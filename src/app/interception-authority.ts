// The authority as long as the program runs: loaded at start and at SIGHUP, renewed before it ends, and with
// fresh keys for session tickets every day.

import type { Config } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { Catalogue } from '../signatures/catalogue.ts'
import {
  type InterceptionBeginning,
  type LoadedInterception,
  loadInterception,
  newTicketKeys,
} from './interception.ts'
import type { Environment } from './rules.ts'

export interface InterceptionAuthorityParts {
  readonly log: Log
  readonly env: Environment
  readonly current: () => { readonly config: Config; readonly catalogue: Catalogue }
  readonly onRenewed: (renewed: InterceptionBeginning) => void
}

const DAY_MS = 86_400_000
/** After a renewal that failed. */
const RETRY_MS = 3_600_000

export class InterceptionAuthority {
  readonly #parts: InterceptionAuthorityParts
  readonly #daily: NodeJS.Timeout
  #renewal: NodeJS.Timeout | undefined
  #ticketKeys = newTicketKeys()
  #current: LoadedInterception | undefined

  constructor(parts: InterceptionAuthorityParts) {
    this.#parts = parts
    this.#daily = setInterval(() => this.#renewTickets(), DAY_MS).unref()
  }

  get current(): InterceptionBeginning | undefined {
    return this.#current
  }

  load(config: Config, catalogue: Catalogue): Promise<LoadedInterception | undefined> {
    const { env, log } = this.#parts
    return loadInterception(config, catalogue, { env, log, ticketKeys: this.#ticketKeys })
  }

  take(loaded: LoadedInterception | undefined): void {
    this.#current = loaded
    clearTimeout(this.#renewal)
    if (loaded !== undefined) this.#renewIn(loaded.renewAt - Date.now())
  }

  close(): void {
    clearInterval(this.#daily)
    clearTimeout(this.#renewal)
  }

  /** A timer holds no more than some weeks, so a long wait is cut into days. */
  #renewIn(waitMs: number): void {
    this.#renewal = setTimeout(
      () => {
        if (waitMs > DAY_MS) this.#renewIn(waitMs - DAY_MS)
        else void this.#renew()
      },
      Math.max(1000, Math.min(waitMs, DAY_MS)),
    ).unref()
  }

  async #renew(): Promise<void> {
    const { config, catalogue } = this.#parts.current()
    try {
      const loaded = await this.load(config, catalogue)
      if (loaded === undefined) return
      this.#current = loaded
      this.#parts.onRenewed(loaded)
      this.#renewIn(Math.max(RETRY_MS, loaded.renewAt - Date.now()))
    } catch (error) {
      this.#parts.log.error(
        { err: error instanceof Error ? error.message : String(error) },
        'the interception authority could not be renewed',
      )
      this.#renewIn(RETRY_MS)
    }
  }

  #renewTickets(): void {
    this.#ticketKeys = newTicketKeys()
    if (this.#current === undefined) return
    this.#current = { ...this.#current, ticketKeys: this.#ticketKeys }
    this.#parts.onRenewed(this.#current)
  }
}
