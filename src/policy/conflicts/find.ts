// Conflicts between policies: which pairs may disagree, whether they can, and a request that shows it.
//
// Each policy alone first, then pairs out of the scope index, those first in which a refusal may be void, and what stands
// before each policy. Reasoning over the conditions says "never", or proposes a request; the policies themselves are asked
// whether it shows the conflict. Only such requests are told.

import { createHash } from 'node:crypto'
import { Pace } from '../../base/pace.ts'
import type { Conflict, ConflictReport } from '../../model/conflict.ts'
import { CONFLICT_TYPES } from '../../model/conflict.ts'
import { type Effect, SEVERITIES } from '../../model/decision.ts'
import type { CombineOptions } from '../combine.ts'
import { Behind } from './behind.ts'
import { Between, type Found } from './between.ts'
import { after, countAfter } from './bits.ts'
import { plainDocument } from './fields.ts'
import { Pairs, type Row } from './pairs.ts'
import { Catalogue, type Catalogued, nobodyMeant } from './reach.ts'
import { type Document, type Judge, Requests } from './requests.ts'
import { tries } from './search.ts'
import { unreachableSeverity } from './severity.ts'
import { solve } from './solve.ts'
import type { PolicySource } from './sources.ts'
import { Ways } from './ways.ts'

export interface Judged extends Judge {
  readonly combining: CombineOptions
}

export interface FindOptions {
  readonly policies: Judged
  /** By priority, then by id. */
  readonly sources: readonly PolicySource[]
  /** Only conflicts in which one of these has a part. */
  readonly candidates?: ReadonlySet<string>
  /** Input documents that were recorded, to be tried as well. */
  readonly recorded?: readonly unknown[]
  readonly catalogued?: Catalogued
  readonly notes?: readonly string[]
  /** Milliseconds; what was not looked into by then is told. */
  readonly limitMs?: number
  readonly signal?: AbortSignal
  /** How much is done, from 0 to 1; never less than before. */
  readonly onProgress?: (part: number) => void
}

const LIMIT_MS = 60_000
const MAX_CONFLICTS = 20_000
const MAX_OVERLAPS = 2000
const MAX_RECORDED = 200
/** Requests that are tried so that a policy answers at all; and of all policies. */
const MAX_TRIES = 16
const ALL_TRIES = 20_000
/** Ways of a policy out of which requests are made. */
const MAX_WAYS = 4
/** Between two looks at the clock; asking policies counts as so many pairs. */
const PAIRS_A_TURN = 256
const ASKING = 32

export async function findConflicts(options: FindOptions): Promise<ConflictReport> {
  return new Finder(options).run()
}

class Finder {
  readonly #options: FindOptions
  readonly #sources: readonly PolicySource[]
  readonly #combining: CombineOptions['combining']
  readonly #pairs: Pairs
  readonly #requests: Requests
  readonly #between: Between
  readonly #behind: Behind
  readonly #found: Found[] = []
  readonly #notes: string[]
  readonly #until: number
  readonly #pace = new Pace()
  readonly #silent = new Set<string>()
  #tries = 0
  #examined = 0
  #leftOut = 0
  #complete = true
  #turn = 0
  #asked = 0

  constructor(options: FindOptions) {
    const { sources, policies, candidates, notes = [], limitMs = LIMIT_MS } = options
    this.#options = options
    this.#sources = sources
    const { combining } = policies.combining
    this.#combining = combining
    const catalogue = new Catalogue(options.catalogued?.services ?? [])
    this.#pairs = new Pairs({ sources, combining, candidates, catalogue })
    this.#requests = new Requests(policies, sources)
    this.#between = new Between(sources, combining, this.#requests, new Ways())
    this.#behind = new Behind({
      sources,
      combining,
      requests: this.#requests,
      between: this.#between,
      pairs: this.#pairs,
    })
    this.#notes = [...notes]
    this.#until = performance.now() + limitMs
  }

  async run(): Promise<ConflictReport> {
    for (const document of (this.#options.recorded ?? []).slice(0, MAX_RECORDED))
      if (isDocument(document)) this.#requests.put(document)
    await this.#alone()
    await this.#contradictions()
    await this.#hidden()
    await this.#overlaps()
    this.#progress(1)
    return this.#report()
  }

  async #report(): Promise<ConflictReport> {
    const { untried } = this.#between
    if (untried > 0) {
      this.#complete = false
      this.#notes.push(`for ${untried} pairs no requests were tried: there are too many`)
    }
    const conflicts: Conflict[] = []
    for (const found of this.#found) {
      conflicts.push(this.#named(found))
      await this.#pace.point()
    }
    let pairs = 0
    for (const index of this.#sources.keys()) {
      pairs += countAfter(this.#pairs.surelyMet(index), index)
      await this.#pace.point()
    }
    const places = new Map(this.#sources.map(({ policy }, index) => [policy.id, index]))
    return {
      conflicts: inOrder(conflicts, (id) => places.get(id) ?? 0),
      policies: this.#sources.length,
      pairs,
      examined: this.#examined,
      left_out: this.#leftOut,
      complete: this.#complete,
      notes: this.#notes,
    }
  }

  #named({ type, a, b, others = [], severity, evidence, says, witness }: Found): Conflict {
    const hash = createHash('sha256')
    const digests = [a.digest, b?.digest ?? '', ...others.map(({ digest }) => digest)]
    for (const part of [type, this.#combining, ...digests]) hash.update(`${part}\0`)
    return {
      type,
      policy_a_id: a.policy.id,
      policy_b_id: b?.policy.id ?? null,
      together_with: others.map(({ policy }) => policy.id),
      severity,
      evidence,
      says,
      witness,
      fingerprint: hash.digest('hex'),
    }
  }

  /** Lets others have their turn; why it is time to end, or undefined. */
  async #whyStop(work = PAIRS_A_TURN): Promise<string | undefined> {
    const asked = this.#requests.asked
    this.#turn += work + ASKING * (asked - this.#asked)
    this.#asked = asked
    if (this.#turn < PAIRS_A_TURN) return undefined
    this.#turn = 0
    await this.#pace.point()
    if (this.#options.signal?.aborted === true) return 'it was cancelled'
    return performance.now() > this.#until ? 'the time was over' : undefined
  }

  #stopped(what: string, why: string): void {
    this.#complete = false
    this.#notes.push(`${what} not looked into: ${why}`)
  }

  #progress(part: number): void {
    this.#options.onProgress?.(part)
  }

  // One policy.

  async #alone(): Promise<void> {
    for (const [index, source] of this.#sources.entries()) {
      if (!this.#pairs.isChosen(index)) continue
      const why = await this.#whyStop(ASKING)
      if (why !== undefined) {
        this.#stopped(`${this.#sources.length - index} policies were`, why)
        return
      }
      this.#progress((0.2 * index) / this.#sources.length)
      this.#makeHeard(index, source)
      const never = this.#unreachable(index, source)
      if (never === undefined) continue
      const witness = this.#withoutAnswer(index)
      this.#found.push({
        type: 'unreachable',
        a: source,
        b: undefined,
        severity: unreachableSeverity(source.policy, [...source.answers.keys()]),
        evidence: witness === null ? 'possible' : 'proven',
        says: `${source.policy.id} can never apply: ${never}`,
        witness,
      })
    }
  }

  /** Of answers that cannot be told from its conditions: tries requests until it gives each, and puts those to everybody. */
  #makeHeard(index: number, source: PolicySource): void {
    for (const [effect, condition] of source.answers) {
      if (condition.every(({ exact }) => exact) || this.#requests.gives(index, effect)) continue
      const kind = `${source.kind} ${effect}`
      if (this.#silent.has(kind)) continue
      const found = this.#answering(index, source, effect)
      if (found === undefined) this.#silent.add(kind)
      else this.#requests.put(found)
    }
  }

  #answering(index: number, source: PolicySource, effect: Effect): Document | undefined {
    for (const document of this.#proposals(index, source, effect)) {
      if (this.#tries >= ALL_TRIES) return undefined
      this.#tries += 1
      if (this.#requests.alone(document, index)?.effect === effect) return document
    }
    return undefined
  }

  *#proposals(index: number, source: PolicySource, effect: Effect): Generator<Document> {
    let start: Record<string, unknown> | undefined
    for (const { atoms } of this.#between.waysOf(index, effect).slice(0, MAX_WAYS)) {
      const solved = solve(atoms)
      if (solved.verdict !== 'found') continue
      start ??= solved.document
      yield solved.document
    }
    if (start !== undefined) yield* tries(start, [source], MAX_TRIES)
  }

  #unreachable(index: number, source: PolicySource): string | undefined {
    const meant = nobodyMeant(source.policy, this.#options.catalogued)
    if (meant !== undefined) return meant
    return source.impossible || this.#between.waysOf(index, 'any').length === 0
      ? 'its conditions contradict each other'
      : undefined
  }

  /** A request as the policy's scope wants it, which it does not answer. */
  #withoutAnswer(index: number): Document | null {
    const proposals = this.#between.scopeOf(index).flatMap(({ atoms }) => {
      const solved = solve(atoms)
      return solved.verdict === 'found' ? [solved.document] : []
    })
    for (const document of [...proposals, plainDocument()]) {
      const said = this.#requests.alone(document, index)
      const isSilent =
        said === undefined ||
        (said.error === null && said.effect === null && said.obligations.length === 0)
      if (isSilent) return document
    }
    return null
  }

  // Two policies.

  async #contradictions(): Promise<void> {
    let step = 0
    let why: string | undefined
    let grave = 0
    for (const row of this.#pairs.rows()) {
      step += 1
      this.#progress(0.2 + (0.6 * step) / this.#pairs.steps)
      const left = why === undefined ? await this.#row(row) : { why, count: this.#count(row, -1) }
      why = left.why
      this.#leftOut += left.count
      if (row.grave) grave += left.count
    }
    if (why === undefined) return
    const of = grave === 0 ? '' : `, ${grave} of them such that a refusal may be void`
    this.#stopped(`${this.#leftOut} pairs that may disagree${of}, were`, why)
  }

  /** Looks into all pairs of a row, or tells how many were left and why. */
  async #row(row: Row): Promise<{ readonly why: string | undefined; readonly count: number }> {
    const { index, partners } = row
    for (const other of after(partners, index)) {
      const why =
        this.#found.length >= MAX_CONFLICTS
          ? `there are more than ${MAX_CONFLICTS} conflicts`
          : await this.#whyStop(1)
      if (why !== undefined) return { why, count: this.#count(row, other - 1) }
      if (this.#pairs.neverBoth(index, other)) continue
      this.#examined += 1
      const contradiction = this.#between.contradiction(index, other)
      if (contradiction !== undefined) this.#found.push(contradiction)
      const ambiguity = this.#between.ambiguity(index, other)
      if (ambiguity !== undefined) this.#found.push(ambiguity)
    }
    return { why: undefined, count: 0 }
  }

  #count({ index, partners }: Row, from: number): number {
    return countAfter(partners, Math.max(index, from))
  }

  /** Policies that never decide. */
  async #hidden(): Promise<void> {
    for (const index of this.#sources.keys()) {
      const why = await this.#whyStop(ASKING)
      if (why !== undefined) {
        const left = this.#sources.length - index
        this.#stopped(`whether they ever decide, ${left} policies were`, why)
        return
      }
      this.#progress(0.8 + (0.1 * index) / this.#sources.length)
      this.#found.push(...this.#behind.of(index))
    }
  }

  async #overlaps(): Promise<void> {
    const known = new Set(this.#found.map(({ a, b }) => `${a.policy.id}\0${b?.policy.id ?? ''}`))
    let told = 0
    let left = 0
    for (const [index, a] of this.#sources.entries()) {
      const why = await this.#whyStop(ASKING)
      if (why !== undefined) return
      this.#progress(0.9 + (0.1 * index) / this.#sources.length)
      const met = this.#pairs.surelyMet(index)
      if (told >= MAX_OVERLAPS) {
        left += countAfter(met, index)
        continue
      }
      for (const other of after(met, index)) {
        if (told >= MAX_OVERLAPS || (await this.#whyStop(1)) !== undefined) {
          left += countAfter(met, Math.max(index, other - 1))
          break
        }
        const id = this.#sources[other]?.policy.id ?? ''
        if (known.has(`${a.policy.id}\0${id}`) || this.#pairs.neverBoth(index, other)) continue
        const overlap = this.#between.overlap(index, other)
        if (overlap === undefined) continue
        told += 1
        this.#found.push(overlap)
      }
    }
    if (left > 0) this.#notes.push(`${left} more pairs are asked for some requests together`)
  }
}

/** The gravest first, then by type, then as the policies stand. */
export function inOrder(
  conflicts: readonly Conflict[],
  placeOf: (id: string) => number,
): readonly Conflict[] {
  // One number each: comparing names takes seconds where they are many.
  const orderOf = ({ severity, type, policy_a_id: a, policy_b_id: b }: Conflict): number =>
    [CONFLICT_TYPES.indexOf(type), placeOf(a), b === null ? 0 : placeOf(b)].reduce(
      (order, each) => order * 1e5 + each,
      SEVERITIES.length - SEVERITIES.indexOf(severity),
    )
  return conflicts
    .map((conflict) => ({ conflict, order: orderOf(conflict) }))
    .toSorted((x, y) => x.order - y.order)
    .map(({ conflict }) => conflict)
}

function isDocument(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
