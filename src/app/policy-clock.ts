// Carries out the dates of policies: whoever serves the API over a store looks every two seconds, and one of them does it.

import type { PolicyActivation } from '../governance/policy-activation.ts'
import type { Log } from '../observe/log.ts'

const EVERY_MS = 2000
/** A store that is away is told of once in so many failures. */
const TOLD_EVERY = 30

export class PolicyClock {
  readonly #activation: Pick<PolicyActivation, 'carryOutDue'>
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false
  #failures = 0

  constructor(activation: Pick<PolicyActivation, 'carryOutDue'>, log: Log) {
    this.#activation = activation
    this.#log = log
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#look().finally(() => this.start())
    }, EVERY_MS).unref()
  }

  /** Waits for what is being carried out. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #look(): Promise<void> {
    try {
      await this.#activation.carryOutDue()
      this.#failures = 0
    } catch (error) {
      if (this.#failures % TOLD_EVERY === 0)
        this.#log.warn(
          { err: error instanceof Error ? error.message : String(error) },
          'dates of policies could not be looked at; tried again in seconds',
        )
      this.#failures += 1
    }
  }
}
