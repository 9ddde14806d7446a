// Follows orders to erase people: in the tables, and in the files of this data directory.
//
// Both are repeated until they are done: an order may have come from another machine, and a segment that is being
// written has its turn when it has been sealed, which is asked for.

import { join } from 'node:path'
import { countInFolders, eraseInFolders, segmentsInWork } from '../ledger/erase-folder.ts'
import { openKeyChain } from '../ledger/ledger-keys.ts'
import type { ErasureOrder } from '../model/erasure.ts'
import type { Log } from '../observe/log.ts'
import { eraseRows } from '../store/erase-rows.ts'
import {
  allOrders,
  erasureStates,
  folderDone,
  folderSeen,
  openOrders,
  ordersFor,
} from '../store/erasures.ts'
import type { Store } from '../store/open.ts'
import { signedOrders } from '../verify/erasure-orders.ts'

export interface ErasingParts {
  readonly store: Store
  readonly tenant: string
  readonly dataDir: string
  /** Empty: there is none. */
  readonly archiveDir: string
  readonly log: Log
  /** Ships what waits, soon. */
  readonly ship: () => Promise<void> | void
  /** Has the writers end these segments, which they are writing. */
  readonly endSegments: (paths: readonly string[]) => Promise<void> | void
  /**
   * Records in the ledger of this data directory what its files are about to lose: a copy of the folder must prove itself,
   * wherever the order was given. Absent: orders of other data directories are left to a process that runs.
   */
  readonly announce?: (order: ErasureOrder) => Promise<void>
  /** Runs it while no segment is archived or compressed. */
  readonly withoutArchiving: <T>(act: () => Promise<T>) => Promise<T>
}

const LOOK_EVERY_MS = 5000
const SEEN_EVERY_MS = 60_000
/** How long whoever orders an erasure waits for it. */
const PATIENCE_MS = 30_000
const SOON_MS = 200
/** A checkpoint follows within ten seconds, and is in the store ten seconds later. */
const UNSIGNED_MS = 60_000

export class Erasing {
  readonly #parts: ErasingParts
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false
  #seenAt = -Infinity
  #failed = false
  /** Late records of erased people have come: segments that were gone through hold them. */
  #again = false
  /** Orders whose records are to be signed: who writes was asked to, and told what the files lose. */
  readonly #asked = new Map<string, number>()
  readonly #announced = new Set<string>()

  constructor(parts: ErasingParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      void this.look().finally(() => this.start())
    }, LOOK_EVERY_MS).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  /** Late records of erased people have come from a segment of this data directory. */
  lookAgain(): void {
    this.#again = true
  }

  segmentsHolding(keys: readonly string[], before: number): Promise<number> {
    const order = { tenant: this.#parts.tenant, erasure_id: '', person_keys: keys, before }
    return countInFolders(this.#dirs(), [order])
  }

  /** Ships an order and follows it; returns when both parts are done, or when that takes longer. */
  async carryOut(erasureId: string): Promise<void> {
    const { store, tenant, ship } = this.#parts
    const deadline = performance.now() + PATIENCE_MS
    while (performance.now() < deadline) {
      await ship()
      const [state] = await erasureStates(store.db, tenant, erasureId)
      if (state !== undefined) {
        await this.look()
        const [now] = await erasureStates(store.db, tenant, erasureId)
        const own = now?.folders.find(({ installation }) => installation === this.#installation())
        if (now?.store_done_at != null && own?.done_at != null) return
      }
      await new Promise((resolve) => {
        setTimeout(resolve, SOON_MS)
      })
    }
  }

  /** Does what is open; one at a time. Never rejects. */
  look(): Promise<void> {
    this.#running = this.#running.then(() => this.#look())
    return this.#running
  }

  async #look(): Promise<void> {
    const { store, log } = this.#parts
    try {
      await this.#tell()
      for (const order of await openOrders(store.db)) {
        const erased = await eraseRows(store.db, order, store.kind === 'embedded')
        log.info({ erasure_id: order.erasure_id, ...erased }, 'a person was erased from the store')
      }
      await this.#eraseFiles()
      this.#failed = false
    } catch (error) {
      const err = error instanceof Error ? error.message : String(error)
      if (!this.#failed) log.error({ err }, 'erasures could not be followed; they are tried again')
      this.#failed = true
    }
  }

  async #tell(): Promise<void> {
    if (performance.now() - this.#seenAt < SEEN_EVERY_MS) return
    await folderSeen(this.#parts.store.db, this.#parts.tenant, this.#installation())
    this.#seenAt = performance.now()
  }

  async #eraseFiles(): Promise<void> {
    const { store, log, endSegments, withoutArchiving } = this.#parts
    const isAgain = this.#again
    const open = await ordersFor(store.db, this.#installation())
    const known = isAgain ? await allOrders(store.db) : open
    if (known.length === 0) return
    const ready = await this.#signed(known)
    const orders = known.filter((order) => ready.has(order.erasure_id))
    if (orders.length === 0) return
    this.#again = false
    const { records, segments, waiting } = await withoutArchiving(() =>
      eraseInFolders(this.#dirs(), orders),
    )
    if (segments > 0) log.info({ records, segments }, 'people were erased from segments')
    if (waiting.length > 0) {
      this.#again ||= isAgain
      await endSegments(waiting)
      return
    }
    for (const order of open)
      if (ready.has(order.erasure_id))
        await folderDone(store.db, order, this.#installation(), { records, segments })
  }

  /**
   * Those that files may follow: the record of the order is signed, and so is one in the ledger of this data directory.
   * What is written into the table by hand erases nothing, and a copy of the folder never lacks the reason.
   */
  async #signed(orders: readonly ErasureOrder[]): Promise<ReadonlySet<string>> {
    const { store, announce, endSegments } = this.#parts
    const ready = new Set<string>()
    for (const [order, signed] of await signedOrders(store.db, orders)) {
      const { erasure_id: id } = order
      if (signed.order && signed.installations.has(this.#installation())) {
        ready.add(id)
        continue
      }
      if (signed.order && !this.#announced.has(id)) {
        this.#announced.add(id)
        await announce?.(order)
      }
      // The end of a segment is signed, and then its files can have their turn at once.
      const asked = this.#asked.get(id)
      if (asked !== undefined) {
        if (!signed.order && performance.now() - asked > UNSIGNED_MS) this.#tellUnsigned(id)
        continue
      }
      this.#asked.set(id, performance.now())
      await endSegments(segmentsInWork(this.#ledgerDir()))
    }
    return ready
  }

  #tellUnsigned(id: string): void {
    this.#asked.set(id, Infinity)
    this.#parts.log.error(
      { erasure_id: id },
      'the store orders an erasure that no signed record orders: files are left as they are',
    )
  }

  #dirs(): string[] {
    const { archiveDir } = this.#parts
    return [this.#ledgerDir(), ...(archiveDir === '' ? [] : [archiveDir])]
  }

  #ledgerDir(): string {
    return join(this.#parts.dataDir, 'ledger')
  }

  #installation(): string {
    return openKeyChain(this.#ledgerDir()).installation
  }
}
