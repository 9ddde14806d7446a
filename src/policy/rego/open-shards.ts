// Which shards have an instance open? Each reserves address space and some memory, so there is a bound.
//
// One list a process: revisions share shards, and what they share is counted once.

/** A shard with an instance. */
interface Open {
  /** Whether opening it again takes long, because its data documents are large. */
  readonly isCostly: boolean
  /** On the clock of `performance`. */
  usedAt: number
  close(): void
}

const MOST = 512
const IDLE_MS = 300_000
const LOOK_EVERY_MS = 60_000

class OpenShards {
  readonly #open = new Set<Open>()
  #isLooking = false

  add(shard: Open): void {
    this.#open.add(shard)
    if (!this.#isLooking) this.#lookLater()
  }

  delete(shard: Open): void {
    this.#open.delete(shard)
  }

  /** Before another one is opened: the one that was not used for longest goes. */
  makeRoom(): void {
    if (this.#open.size < MOST) return
    let oldest: Open | undefined
    let at = Infinity
    for (const shard of this.#open) {
      if (shard.usedAt < at) [oldest, at] = [shard, shard.usedAt]
    }
    oldest?.close()
  }

  #lookLater(): void {
    this.#isLooking = true
    setTimeout(() => this.#closeIdle(), LOOK_EVERY_MS).unref()
  }

  #closeIdle(): void {
    this.#isLooking = false
    const idleSince = performance.now() - IDLE_MS
    for (const shard of this.#open) if (shard.usedAt < idleSince && !shard.isCostly) shard.close()
    if (this.#open.size > 0) this.#lookLater()
  }
}

export const OPEN_SHARDS = new OpenShards()
