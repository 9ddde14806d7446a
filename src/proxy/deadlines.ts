// When has something waited too long? One coarse clock a worker instead of a timer for every wait.
//
// Whoever waits keeps `expiresAt` up to date, which costs an assignment; every tick looks at all of them.
// A deadline is therefore kept to within one tick.

/** Something that may wait too long. */
export interface Expiring {
  /** Milliseconds on the clock of `Deadlines.now`; Infinity: never. */
  readonly expiresAt: number
  /** Its time has come: called at every tick until `expiresAt` moves or it is removed. */
  expire(): void
}

export class Deadlines {
  readonly #items = new Set<Expiring>()
  readonly #timer: NodeJS.Timeout
  readonly #clock: () => number
  /** Milliseconds, as of the last tick. */
  now: number

  constructor(clock: () => number = () => performance.now(), tickMs = 250) {
    this.#clock = clock
    this.now = clock()
    this.#timer = setInterval(() => this.tick(), tickMs)
    this.#timer.unref()
  }

  add(item: Expiring): void {
    this.#items.add(item)
  }

  delete(item: Expiring): void {
    this.#items.delete(item)
  }

  /** Ends what has expired. */
  tick(): void {
    this.now = this.#clock()
    for (const item of this.#items) {
      if (item.expiresAt <= this.now) item.expire()
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#items.clear()
  }
}
