// Where policies come from beside `policy.dirs`: the store, and bundles from elsewhere. Each has a folder in force; one
// changes at a time, and what is refused leaves all of them as they are.

import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { withTimeout } from '../base/time-limit.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { PolicyRevisions } from '../store/policy-revisions.ts'
import { BundleSource } from './bundle-source.ts'
import type { InTurn } from './in-turn.ts'
import type { Check } from './observe-door.ts'
import type { Role } from './roles.ts'
import { StoredPolicies } from './stored-policies.ts'

export interface PolicySourcesParts {
  readonly config: Config
  readonly role: Role
  readonly version: string
  readonly revisions: PolicyRevisions
  readonly log: Log
  readonly metrics: Metrics
  readonly inTurn: InTurn
  /** Loads the policies of these folders; rejects where they are refused. The answer takes them into force everywhere here. */
  readonly load: (folders: readonly string[]) => Promise<() => Promise<void>>
  /** Judges again what is open. */
  readonly rejudge: () => void
  /** Of everything that decides here. */
  readonly revision: () => string
  /** There is another head; whoever waits for one is told. */
  readonly onHead: () => void
}

const STORE = 'store'
const TELL_MS = 30_000
const TELL_SOON_MS = 200
/** While the store is away, nobody waits for it at the end. */
const FORGET_MS = 2000

export class PolicySources {
  readonly #parts: PolicySourcesParts
  readonly #stored: StoredPolicies
  readonly #bundles: readonly BundleSource[]
  readonly #node: string
  #folders: ReadonlyMap<string, string> = new Map()
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined
  #head: number | undefined

  constructor(parts: PolicySourcesParts) {
    const { config, log, metrics, rejudge, revisions, role } = parts
    this.#parts = parts
    this.#node = createHash('sha256')
      .update(JSON.stringify([hostname(), config.data_dir, role]))
      .digest('hex')
      .slice(0, 32)
    const shared = { log, metrics, rejudge, onChanged: () => this.#changed() }
    this.#stored = new StoredPolicies({
      ...shared,
      revisions,
      dir: join(config.data_dir, 'policies'),
      take: (folder) => this.#take(STORE, folder),
    })
    this.#bundles = config.policy.bundles.map(
      (settings) =>
        new BundleSource(settings, {
          ...shared,
          dir: join(config.data_dir, 'bundles', settings.name),
          take: (folder) => this.#take(settings.name, folder),
        }),
    )
  }

  /** The folders in force, beside those of `policy.dirs`. */
  folders(): readonly string[] {
    return [...this.#folders.values()]
  }

  /** Those of bundles alone. */
  bundleFolders(): readonly string[] {
    return [...this.#folders].flatMap(([source, folder]) => (source === STORE ? [] : [folder]))
  }

  /**
   * Loads what a start begins with: the head of the store, or what was in force here last where the head is refused. Throws
   * the reasons where neither loads, and where a bundle was never had.
   */
  async begin<T>(load: (folders: readonly string[]) => Promise<T>): Promise<T> {
    const bundles = await Promise.all(
      this.#bundles.map(async (bundle) => [bundle.name, await bundle.begin()] as const),
    )
    const candidates = await this.#stored.candidates()
    let refused: unknown
    for (const candidate of candidates.length === 0 ? [undefined] : candidates) {
      this.#folders = new Map([
        ...(candidate === undefined ? [] : [[STORE, candidate.folder] as const]),
        ...bundles,
      ])
      try {
        const loaded = await load(this.folders())
        this.#stored.began(candidate, refused)
        return loaded
      } catch (error) {
        if (!(error instanceof CordonError)) throw error
        refused ??= error
      }
    }
    throw refused
  }

  /** Looks for changes from now on. */
  start(): void {
    this.#stored.start()
    for (const bundle of this.#bundles) bundle.start()
    this.#timer = setInterval(() => void this.#tell(), TELL_MS).unref()
    this.#changed()
  }

  /** Settings or folders have changed: what was refused may not be any more. */
  tryAgain(): void {
    this.#stored.tryAgain()
    for (const bundle of this.#bundles) bundle.tryAgain()
    this.#changed()
  }

  /** Something was published here, so it need not be found by looking. */
  lookNow(): void {
    void this.#stored.look()
  }

  checks(): readonly Check[] {
    return [this.#stored.check(), ...this.#bundles.map((bundle) => bundle.check())]
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
    this.#stored.close()
    await Promise.all(this.#bundles.map((bundle) => bundle.close()))
    await withTimeout(this.#parts.revisions.forgetNode(this.#node), FORGET_MS).catch(
      () => undefined,
    )
  }

  #take(source: string, folder: string): Promise<void> {
    return this.#parts.inTurn(async () => {
      const next = new Map(this.#folders).set(source, folder)
      const swap = await this.#parts.load([...next.values()])
      // First: whoever begins from now on begins with these.
      this.#folders = next
      await swap()
    })
  }

  #changed(): void {
    const number = this.#stored.head?.number
    if (number !== this.#head) {
      this.#head = number
      this.#parts.onHead()
    }
    // Of several changes at once the last is told.
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      void this.#tell()
    }, TELL_SOON_MS).unref()
  }

  async #tell(): Promise<void> {
    const { role, version, revision, revisions, log } = this.#parts
    try {
      await revisions.tellNode({
        node: this.#node,
        name: hostname(),
        role,
        version,
        rules: revision(),
        ...this.#stored.state(),
        bundles: this.#bundles.map((bundle) => bundle.state()),
      })
    } catch (error) {
      log.debug({ err: String(error) }, 'the store could not be told of the policies in force')
    }
  }
}
