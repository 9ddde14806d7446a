// A bundle of policies that is read from elsewhere, as OPA reads it: asked for again and again, with what is known named,
// verified, and taken into force or refused. The last good one is kept on disk, for a start while its server is away.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { CordonError, formatProblem, type Problem } from '../base/errors.ts'
import type { BundleSettings } from '../config/bundles.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { ageOf, type BundleAge, checkAge } from '../policy/bundle/age.ts'
import { MAX_BUNDLE_BYTES } from '../policy/bundle/archive.ts'
import { type ReadBundle, readBundle } from '../policy/bundle/read-bundle.ts'
import { publicKeyOf, type Verification } from '../policy/bundle/signature.ts'
import type { BundleState } from '../store/policy-revisions.ts'
import { inTurn } from './in-turn.ts'
import type { Check } from './observe-door.ts'
import {
  bundleIn,
  readCurrent,
  removeOldFolders,
  writeCurrent,
  writePolicyFolder,
} from './policy-folder.ts'
import { firstOf, problemsOf } from './stored-policies.ts'

export interface BundleSourceParts {
  /** Where its folders lie on this node. */
  readonly dir: string
  readonly log: Log
  readonly metrics: Metrics
  /** Takes the folder into force in every process of this node; rejects with the reasons where it is refused. */
  readonly take: (folder: string) => Promise<void>
  /** Judges again what is open. */
  readonly rejudge: () => void
  readonly onChanged: () => void
}

interface Fetched {
  readonly bytes: Buffer
  readonly etag: string | undefined
}

interface Good {
  readonly sha256: string
  readonly etag: string | undefined
  readonly revision: string
  readonly age: BundleAge
  readonly folder: string
  readonly since: Date
  readonly rejudge: boolean
}

interface Refused {
  readonly sha256: string
  readonly problems: readonly Problem[]
  readonly tries: number
  /** Monotonic milliseconds. */
  readonly tryAgainAt: number
}

const LONG_POLLS = 'application/vnd.openpolicyagent.bundles'
const CONNECT_MS = 10_000
const ANSWER_MS = 30_000
/** Of a whole download, however slowly it drips. */
const DOWNLOAD_MS = 120_000
const LEAST_WAIT_MS = 100
/** A server that says "unchanged" at once, although it was asked to wait, is not asked again at once. */
const LEAST_POLL_MS = 1000
const BEGIN_MS = 15_000
const TRY_AGAIN_MS = { least: 30_000, most: 600_000 }
/** How soon another key in the file of `public_key` is noticed, however seldom the server is asked. */
const KEY_LOOK_MS = 5000
/** What has expired by our clock may not have by the signer's. */
const CLOCK_MS = 60_000

export class BundleSource {
  readonly name: string
  readonly #settings: BundleSettings
  readonly #parts: BundleSourceParts
  readonly #agent: Agent
  readonly #closing = new AbortController()
  #good: Good | undefined
  #refused: Refused | undefined
  /** Why the bundle in force does not hold under the key as it is now; empty: it does. */
  #distrusted: readonly Problem[] = []
  /** As it was looked at last. */
  #key: string | undefined
  readonly #inTurn = inTurn()
  #keyTimer: NodeJS.Timeout | undefined
  /** Of the pause between two questions. */
  #pause = new AbortController()
  /** Why its server could not be asked last. */
  #away: string | undefined
  #etag: string | undefined
  #longPolls: boolean
  #lastSuccess: Date | undefined
  #failures = 0
  #running: Promise<void> | undefined

  constructor(settings: BundleSettings, parts: BundleSourceParts) {
    this.name = settings.name
    this.#settings = settings
    this.#parts = parts
    parts.metrics.policyRefused.inc({ bundle: settings.name }, 0)
    this.#longPolls = settings.long_poll > 0
    this.#agent = new Agent({
      connect: { timeout: CONNECT_MS },
      headersTimeout: ANSWER_MS + settings.long_poll,
      bodyTimeout: ANSWER_MS,
      connections: 1,
      pipelining: 1,
    })
  }

  /** The folder to start with: of the last good one, else of the one that is served now. Throws where there is none. */
  async begin(): Promise<string> {
    let before = ', and was never had before'
    const last = await this.#lastGood().catch((error: unknown) => {
      const err = messageOf(error)
      this.#parts.log.warn(
        { bundle: this.name, err },
        'the last good bundle on disk cannot be used',
      )
      before = `, and the last good one cannot be used (${err})`
      return undefined
    })
    if (last !== undefined) {
      this.#good = last
      this.#etag = last.etag
      return last.folder
    }
    const end = performance.now() + BEGIN_MS
    for (;;) {
      try {
        const fetched = await this.#ask(undefined, 0)
        if (fetched === undefined) throw new Error('the server says that nothing has changed')
        const good = await this.#write(fetched, ageOf(readCurrent(this.#parts.dir)?.['age']))
        this.#good = good
        this.#etag = good.etag
        this.#lastSuccess = new Date()
        this.#keep(good)
        return good.folder
      } catch (error) {
        const isBad = error instanceof CordonError
        if (isBad || performance.now() > end)
          throw new CordonError(
            isBad ? error.code : 'NOT_FOUND',
            `policy.bundles: "${this.name}" cannot be had from ${this.#settings.url}${before}: ${messageOf(error)}`,
            { cause: error },
          )
        await sleep(LEAST_POLL_MS)
      }
    }
  }

  /** Looks for changes from now on. */
  start(): void {
    if (this.#keyFile !== undefined)
      this.#keyTimer = setInterval(() => void this.#lookAtKey(), KEY_LOOK_MS).unref()
    this.#running = this.#run().catch((error: unknown) => {
      this.#parts.log.error(
        { bundle: this.name, err: messageOf(error) },
        'a bundle is not read any more',
      )
    })
  }

  tryAgain(): void {
    if (this.#refused !== undefined) this.#refused = { ...this.#refused, tryAgainAt: 0 }
    void this.#lookAtKey().finally(() => this.#pause.abort())
  }

  state(): BundleState {
    const good = this.#good
    return {
      name: this.name,
      revision: good === undefined ? null : good.revision || `sha256:${good.sha256}`,
      etag: good?.etag ?? null,
      active_since: good?.since.toISOString() ?? null,
      last_success: this.#lastSuccess?.toISOString() ?? null,
      problems: [
        ...this.#distrusted,
        ...(this.#refused?.problems ??
          (this.#away === undefined ? [] : [{ file: '', message: this.#away }])),
      ],
    }
  }

  check(): Check {
    const { problems } = this.state()
    const isBad = this.#refused !== undefined || this.#distrusted.length > 0
    return {
      name: `bundle_${this.name}`,
      ok: true,
      ...(problems.length === 0
        ? {}
        : { detail: `${isBad ? 'refused' : 'away'}: ${firstOf(problems)}` }),
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#pause.abort()
    clearInterval(this.#keyTimer)
    await this.#running
    await this.#inTurn(() => Promise.resolve())
    await this.#agent.destroy()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    let delay = this.#good === undefined || this.#lastSuccess === undefined ? 0 : this.#pollMs()
    while (!signal.aborted) {
      await sleep(delay, undefined, { signal: this.#pause.signal, ref: false }).catch(
        () => undefined,
      )
      if (signal.aborted) return
      // What ends the pause while a question is under way ends the one behind it.
      this.#pause = new AbortController()
      delay = await this.#once()
    }
  }

  /** Asks once; the milliseconds until the next time. */
  async #once(): Promise<number> {
    const { metrics, onChanged } = this.#parts
    const refused = this.#refused
    const again = refused !== undefined && performance.now() >= refused.tryAgainAt
    const wait = this.#longPolls && !again ? this.#settings.long_poll : 0
    const started = performance.now()
    let fetched: Fetched | undefined
    try {
      fetched = await this.#ask(again ? undefined : this.#etag, wait)
    } catch (error) {
      if (this.#closing.signal.aborted) return 0
      return this.#failed(error)
    }
    this.#failures = 0
    this.#lastSuccess = new Date()
    if (this.#away !== undefined) {
      this.#away = undefined
      onChanged()
    }
    if (fetched === undefined)
      metrics.bundleFetches.inc({ bundle: this.name, outcome: 'unchanged' })
    else await this.#inTurn(() => this.#take(fetched))
    if (!this.#longPolls) return this.#pollMs()
    const quick = performance.now() - started < LEAST_POLL_MS
    return quick ? LEAST_POLL_MS : 0
  }

  #failed(error: unknown): number {
    const { log, metrics, onChanged } = this.#parts
    const why = messageOf(error)
    metrics.bundleFetches.inc({ bundle: this.name, outcome: 'failed' })
    if (this.#away !== why) {
      this.#away = why
      log.warn(
        { bundle: this.name, err: why },
        'a bundle could not be fetched; the last good one stays in force',
      )
      onChanged()
    }
    this.#failures = Math.min(this.#failures + 1, 30)
    const most = Math.min(this.#settings.poll_max, LEAST_WAIT_MS * 2 ** this.#failures)
    return most * (0.5 + Math.random() / 2)
  }

  async #take(fetched: Fetched): Promise<void> {
    const { metrics, take, rejudge } = this.#parts
    const { bytes, etag } = fetched
    const sha256 = hashOf(bytes)
    this.#etag = etag
    if (sha256 === this.#good?.sha256 && this.#distrusted.length === 0) {
      metrics.bundleFetches.inc({ bundle: this.name, outcome: 'unchanged' })
      this.#good = { ...this.#good, etag }
      this.#refused = undefined
      this.#keep(this.#good)
      return
    }
    const refused = this.#refused
    if (refused?.sha256 === sha256 && performance.now() < refused.tryAgainAt) return
    let good: Good
    try {
      good = await this.#write(fetched, this.#good?.age ?? {})
      await take(good.folder)
    } catch (error) {
      this.#refuse(sha256, error)
      return
    }
    metrics.bundleFetches.inc({ bundle: this.name, outcome: 'activated' })
    this.#good = good
    this.#refused = undefined
    this.#distrusted = []
    this.#keep(good)
    if (good.rejudge) rejudge()
  }

  /**
   * The key may be another one by now: what is in force is verified with it, whatever the server says of changes. What does
   * not hold stays in force, for there is nothing better, and is told; the server is asked for the whole of what it has.
   */
  async #lookAtKey(): Promise<void> {
    const file = this.#keyFile
    if (file === undefined) return
    await this.#inTurn(async () => {
      const key = await readFile(file, 'utf8').catch(() => '')
      const good = this.#good
      if (this.#closing.signal.aborted || key === this.#key || good === undefined) return
      this.#key = key
      this.#etag = undefined
      if (this.#refused !== undefined) this.#refused = { ...this.#refused, tryAgainAt: 0 }
      const { log, metrics, onChanged } = this.#parts
      try {
        const bytes = bundleIn(good.folder)
        if (bytes === undefined) throw new Error('it is not on this disk any more')
        await readBundle(bytes, this.#verification())
        this.#distrusted = []
        log.info(
          { bundle: this.name },
          'public_key has changed; the bundle in force holds under it',
        )
      } catch (error) {
        this.#distrusted = problemsOf(error).map(({ message, ...place }) => ({
          ...place,
          message: `in force although it does not hold under public_key as it is now: ${message}`,
        }))
        metrics.policyRefused.inc({ bundle: this.name })
        log.error(
          { bundle: this.name, problems: this.#distrusted.map(formatProblem) },
          'public_key has changed, and the bundle in force does not hold under it; it stays in force until there is another',
        )
      }
      onChanged()
      this.#pause.abort()
    })
  }

  /** Where the public key is read from; undefined: it stands in the settings, or there is none. */
  get #keyFile(): string | undefined {
    const { public_key: key } = this.#settings
    return key === undefined || isPem(key) ? undefined : key
  }

  #refuse(sha256: string, error: unknown): void {
    const { log, metrics, onChanged } = this.#parts
    const tries = this.#refused?.sha256 === sha256 ? this.#refused.tries + 1 : 1
    const waitMs = Math.min(TRY_AGAIN_MS.most, TRY_AGAIN_MS.least * 2 ** (tries - 1))
    const problems = problemsOf(error)
    this.#refused = { sha256, problems, tries, tryAgainAt: performance.now() + waitMs }
    metrics.bundleFetches.inc({ bundle: this.name, outcome: 'refused' })
    metrics.policyRefused.inc({ bundle: this.name })
    log.error(
      { bundle: this.name, problems: problems.map(formatProblem) },
      'a bundle is refused; the last good one stays in force',
    )
    onChanged()
  }

  /** Undefined: what we have is what is served. */
  async #ask(etag: string | undefined, waitMs: number): Promise<Fetched | undefined> {
    const { url, token, token_file: tokenFile } = this.#settings
    const bearer = tokenFile === undefined ? token : readFileSync(tokenFile, 'utf8').trim()
    const seconds = Math.round(waitMs / 1000)
    const { statusCode, headers, body } = await request(url, {
      dispatcher: this.#agent,
      signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(waitMs + DOWNLOAD_MS)]),
      headers: {
        accept: `${LONG_POLLS}, application/gzip, application/octet-stream`,
        prefer: `modes=snapshot${seconds > 0 ? `;wait=${seconds}` : ''}`,
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(etag === undefined ? {} : { 'if-none-match': etag }),
      },
    })
    if (statusCode === 304) {
      await body.dump()
      return undefined
    }
    if (statusCode !== 200) {
      await body.dump()
      throw new Error(refusalOf(statusCode, headers['location']))
    }
    this.#longPolls = this.#settings.long_poll > 0 && headers['content-type'] === LONG_POLLS
    const parts: Buffer[] = []
    let size = 0
    for await (const part of body) {
      size += (part as Buffer).length
      if (size > MAX_BUNDLE_BYTES) throw new Error(`it is larger than ${MAX_BUNDLE_BYTES} bytes`)
      parts.push(part as Buffer)
    }
    const tag = headers['etag']
    return { bytes: Buffer.concat(parts), etag: typeof tag === 'string' ? tag : undefined }
  }

  /** `age`: of what was in force here last. */
  async #write({ bytes, etag }: Fetched, age: BundleAge): Promise<Good> {
    const read = await readBundle(bytes, this.#verification())
    // Of what is kept it is not asked: that was taken before.
    if (read.expiresAt !== undefined && read.expiresAt * 1000 < Date.now() - CLOCK_MS)
      throw new CordonError(
        'BUNDLE_INVALID',
        `the bundle is refused: its signature expired at ${new Date(read.expiresAt * 1000).toISOString()}`,
      )
    // Without a key nobody says how old a bundle is, whatever was said while there was one.
    const { allow_older: allowOlder, public_key: key } = this.#settings
    checkAge(read.age, allowOlder || key === undefined ? {} : age, Date.now())
    return { ...(await this.#folderOf(bytes, read)), etag, since: new Date() }
  }

  async #folderOf(
    bytes: Buffer,
    { revision, rejudge, files, age }: ReadBundle,
  ): Promise<Pick<Good, 'sha256' | 'folder' | 'revision' | 'rejudge' | 'age'>> {
    const sha256 = hashOf(bytes)
    const written = files.map(({ path, text }) => ({ path, bytes: Buffer.from(text) }))
    const folder = await writePolicyFolder(this.#parts.dir, sha256, bytes, written)
    return { sha256, folder, revision, rejudge, age }
  }

  /** What was in force here last, verified with what is configured now. */
  async #lastGood(): Promise<Good | undefined> {
    const { sha256, etag, url, since } = readCurrent(this.#parts.dir) ?? {}
    if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return undefined
    const bytes = bundleIn(join(this.#parts.dir, sha256))
    if (bytes === undefined) return undefined
    if (hashOf(bytes) !== sha256) throw new Error('it is damaged')
    const read = await readBundle(bytes, this.#verification())
    return {
      ...(await this.#folderOf(bytes, read)),
      // Another server does not know its names.
      etag: typeof etag === 'string' && url === this.#settings.url ? etag : undefined,
      since: new Date(typeof since === 'string' ? since : Date.now()),
    }
  }

  #keep(good: Good): void {
    const { dir, log, metrics, onChanged } = this.#parts
    const { sha256, etag, since, revision, age } = good
    metrics.policyActivated.set({ bundle: this.name }, since.getTime() / 1000)
    try {
      writeCurrent(dir, { sha256, etag, url: this.#settings.url, since, revision, age })
      removeOldFolders(dir, sha256)
    } catch (error) {
      log.warn(
        { bundle: this.name, err: messageOf(error) },
        'the bundle in force cannot be kept on disk',
      )
    }
    onChanged()
  }

  #verification(): Verification | undefined {
    const { public_key: key, key_id: keyId, scope, name } = this.#settings
    if (key === undefined) return undefined
    const pem = isPem(key) ? key : readFileSync(key, 'utf8')
    this.#key ??= pem
    return {
      key: publicKeyOf(pem, `public_key of the bundle "${name}"`),
      ...(keyId === undefined ? {} : { keyId }),
      ...(scope === undefined ? {} : { scope }),
    }
  }

  #pollMs(): number {
    const { poll_min: min, poll_max: max } = this.#settings
    return min + Math.random() * (max - min)
  }
}

function isPem(key: string): boolean {
  return key.includes('-----BEGIN')
}

function refusalOf(status: number, location: unknown): string {
  const where =
    typeof location === 'string' ? ` to ${location.slice(0, 300)}: set that as its url` : ''
  return status >= 300 && status < 400
    ? `the server answers ${status}, redirecting${where}`
    : `the server answers ${status}`
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
