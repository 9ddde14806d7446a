// What comes due in the store: whoever serves the API over it looks every two seconds, and one of them does it.

import type { Log } from '../observe/log.ts'

const EVERY_MS = 2000
/** A store that is away is told of once in so many failures. */
const TOLD_EVERY = 30

export class Due {
  readonly #what: string
  readonly #look: () => Promise<void>
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false
  #failures = 0

  /** `what`: in a log line. `look`: does what has come due, once over all who look; may reject. */
  constructor(what: string, look: () => Promise<void>, log: Log) {
    this.#what = what
    this.#look = look
    this.#log = log
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#lookOnce().finally(() => this.start())
    }, EVERY_MS).unref()
  }

  /** Waits for what is being done. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #lookOnce(): Promise<void> {
    try {
      await this.#look()
      this.#failures = 0
    } catch (error) {
      if (this.#failures % TOLD_EVERY === 0)
        this.#log.warn(
          { err: error instanceof Error ? error.message : String(error) },
          `${this.#what} could not be looked at; tried again in seconds`,
        )
      this.#failures += 1
    }
  }
}
