// Which pairs of policies are looked into, and in which order: pass by pass, those first whose scopes surely meet.

import type { Combining } from '../combine.ts'
import { add, after, type Bits, intersect, subtract } from './bits.ts'
import { likeness, type Pass, PASSES, voided } from './passes.ts'
import type { Catalogue } from './reach.ts'
import { ScopeMeetings } from './scopes.ts'
import type { PolicySource } from './sources.ts'

/** A policy with others behind it in the order of policies. */
export interface Row {
  readonly index: number
  readonly partners: Bits
  /** A refusal may be void. */
  readonly grave: boolean
}

export interface PairsOptions {
  readonly sources: readonly PolicySource[]
  readonly combining: Combining
  /** Only pairs in which one of these has a part. */
  readonly candidates: ReadonlySet<string> | undefined
  readonly catalogue: Catalogue
}

export class Pairs {
  readonly #sources: readonly PolicySource[]
  readonly #combining: Combining
  readonly #candidates: Bits | undefined
  readonly #chosen: readonly boolean[]
  readonly #catalogue: Catalogue
  readonly #meetings: ScopeMeetings
  readonly #wanted = new Map<string, readonly (Bits | undefined)[]>()

  constructor({ sources, combining, candidates, catalogue }: PairsOptions) {
    this.#sources = sources
    this.#combining = combining
    this.#catalogue = catalogue
    this.#meetings = new ScopeMeetings(sources.map(({ policy }) => policy.scope))
    this.#chosen = sources.map(({ policy }) => candidates?.has(policy.id) ?? true)
    this.#candidates =
      candidates === undefined ? undefined : this.#bits((_, at) => this.isChosen(at))
  }

  /** Whether it is one of the candidates; without any everybody is. */
  isChosen(index: number): boolean {
    return this.#chosen[index] ?? false
  }

  /** Every pair once. */
  *rows(): Generator<Row> {
    for (const [pass, { grave }] of STEPS.entries())
      for (const kind of ['sure', 'maybe'] as const)
        for (const [index, source] of this.#sources.entries()) {
          const wanted = this.#wantedBy(source)[pass]
          if (wanted === undefined) continue
          const partners = this.#met(index, kind)
          intersect(partners, wanted)
          yield { index, partners, grave }
        }
  }

  /** How many rows there are at most. */
  get steps(): number {
    return STEPS.length * 2 * this.#sources.length
  }

  /** Those behind a policy whose scopes surely meet its own. */
  surelyMet(index: number): Bits {
    return this.#met(index, 'sure')
  }

  /** Policies before one whose scope may lie around a part of its own, where one of the two is a candidate. */
  *mayCover(index: number): Generator<number> {
    for (const other of after(this.#meetings.mayCover(index), -1)) {
      if (other >= index) return
      if (this.isChosen(index) || this.isChosen(other)) yield other
    }
  }

  /** No service of the catalogue lies in both. */
  neverBoth(index: number, other: number): boolean {
    const [a, b] = [this.#sources[index]?.policy.scope, this.#sources[other]?.policy.scope]
    return a !== undefined && b !== undefined && this.#catalogue.neverBoth(a, b)
  }

  #met(index: number, kind: 'sure' | 'maybe'): Bits {
    const met = this.#meetings.of(index)[kind]
    if (this.#candidates !== undefined && !this.isChosen(index)) intersect(met, this.#candidates)
    return met
  }

  /** By pass; what an earlier pass wants a later one does not. */
  #wantedBy(source: PolicySource): readonly (Bits | undefined)[] {
    const key = likeness(source)
    const known = this.#wanted.get(key)
    if (known !== undefined) return known
    const before = this.#meetings.none()
    const wanted = STEPS.map(({ pass }) => {
      const wants = pass(source, this.#combining)
      if (wants === undefined) return undefined
      const bits = this.#bits(wants)
      subtract(bits, before)
      for (const index of after(bits, -1)) add(before, index)
      return bits
    })
    this.#wanted.set(key, wanted)
    return wanted
  }

  #bits(holds: (source: PolicySource, index: number) => boolean): Bits {
    const bits = this.#meetings.none()
    for (const [index, source] of this.#sources.entries())
      if (holds(source, index)) add(bits, index)
    return bits
  }
}

const STEPS: readonly { readonly pass: Pass; readonly grave: boolean }[] = PASSES.map((pass) => ({
  pass,
  grave: pass === voided,
}))
