// Which shards have an instance open? Each reserves address space and some memory, so there is a bound.
//
// One list a process: revisions share shards, and what they share is counted once.

/** A shard with an instance. */
interface Open {
  /** Whether opening it again takes long, because its data documents are large. */
  readonly isCostly: boolean
  close(): void
}

const MOST = 512
const IDLE_MS = 300_000
const LOOK_EVERY_MS = 60_000

class OpenShards {
  readonly #usedAt = new Map<Open, number>()
  #isLooking = false

  used(shard: Open): void {
    this.#usedAt.set(shard, performance.now())
    if (!this.#isLooking) this.#lookLater()
  }

  delete(shard: Open): void {
    this.#usedAt.delete(shard)
  }

  /** Before another one is opened: the one that was not used for longest goes. */
  makeRoom(): void {
    if (this.#usedAt.size < MOST) return
    let oldest: Open | undefined
    let at = Infinity
    for (const [shard, used] of this.#usedAt) {
      if (used < at) [oldest, at] = [shard, used]
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
    for (const [shard, used] of this.#usedAt) if (used < idleSince && !shard.isCostly) shard.close()
    if (this.#usedAt.size > 0) this.#lookLater()
  }
}

export const OPEN_SHARDS = new OpenShards()
