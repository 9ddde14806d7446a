// Requests that were put to the policies, and what each of them said.
//
// One that shows a conflict of two policies often shows those of many others. So while that pays everybody in scope is
// asked, and what they said is kept as one bit a request: later pairs find their witness by comparing bits.

import { stringifyExact } from '../../base/exact-json.ts'
import type { Effect } from '../../model/decision.ts'
import { canonical, type Evaluated } from '../combine.ts'
import { type PolicyOutcome, SILENT } from '../engine.ts'
import { type Bits, firstInAll, has, membersOf, withBit } from './bits.ts'
import { fulfils } from './solve.ts'
import type { PolicySource } from './sources.ts'

/** What answers a request: the policies of one revision. */
export interface Judge {
  outcomes(document: unknown, json?: Uint8Array, only?: ReadonlySet<string>): readonly Evaluated[]
}

/** A request, and what two policies say of it. */
export interface Shown {
  readonly document: Document
  readonly a: PolicyOutcome
  readonly b: PolicyOutcome
  /** Whether their conditions say so as well. */
  readonly follows: boolean
}

export type Document = Readonly<Record<string, unknown>>

/** What one policy said of the requests that are kept, by their numbers. */
interface Heard {
  asked: Bits
  readonly said: { readonly key: string; readonly outcome: PolicyOutcome; on: Bits }[]
  /** Where its conditions say so as well. */
  follows: Bits
}

const MAX_KEPT = 8192
/** Answers of policies to requests that are kept, together. */
const MAX_ANSWERS = 1_000_000
/** So many are had for nothing; then a conflict that is found without asking is worth so many. */
const FREE_ANSWERS = 20_000
const WORTH = 20
/** Of one policy: obligations may be made of the request. */
const MAX_OUTCOMES = 32

export class Requests {
  readonly #judge: Judge
  readonly #sources: readonly PolicySource[]
  readonly #indexes: ReadonlyMap<string, number>
  readonly #heard: readonly Heard[]
  readonly #kept: Document[] = []
  readonly #known = new Map<string, number>()
  /** Of each request, the enforcing policies that answer it, the first one first. */
  readonly #deciding: (readonly number[])[] = []
  #answers = 0
  /** Conflicts that were found without asking. */
  #hits = 0
  /** How often policies were asked. */
  #asked = 0

  constructor(judge: Judge, sources: readonly PolicySource[]) {
    this.#judge = judge
    this.#sources = sources
    this.#indexes = new Map(sources.map(({ policy }, index) => [policy.id, index]))
    this.#heard = sources.map(() => ({
      asked: new Uint32Array(0),
      said: [],
      follows: new Uint32Array(0),
    }))
  }

  get asked(): number {
    return this.#asked
  }

  /** Asks everybody in scope; undefined where there is no room for one more. */
  put(document: Document): number | undefined {
    const key = stringifyExact(document)
    const known = this.#known.get(key)
    const isFull = this.#kept.length >= MAX_KEPT || this.#answers >= MAX_ANSWERS
    if (known !== undefined || isFull) return known
    const number = this.#kept.length
    this.#kept.push(document)
    this.#known.set(key, number)
    const said = this.#ask(document)
    this.#answers += said.length
    this.#deciding.push(this.#decidingOf(said))
    for (const { policy, outcome } of said) {
      const index = this.#indexes.get(policy.id)
      if (index !== undefined && outcome.error === null) this.#hear(index, number, outcome)
    }
    return number
  }

  /** In order. One that errs refuses, unless that is ignored: who is behind it may not decide. */
  #decidingOf(said: readonly Evaluated[]): readonly number[] {
    return said.flatMap(({ policy, outcome: { effect, error } }) => {
      const index = this.#indexes.get(policy.id)
      const decides = policy.mode === 'enforce' && (effect !== null || error !== null)
      return decides && index !== undefined ? [index] : []
    })
  }

  /** The same as `deciding` of a request that is not kept; undefined where that policy does not answer it. */
  decidingWith(document: Document, index: number): readonly number[] | undefined {
    const said = this.#ask(document)
    const id = this.#sources[index]?.policy.id
    const own = said.find(({ policy }) => policy.id === id)?.outcome.effect ?? null
    return own === null ? undefined : this.#decidingOf(said)
  }

  /** The first request that is kept and shows something: those first where it follows from the conditions. */
  shown(
    a: number,
    b: number,
    shows: (a: PolicyOutcome, b: PolicyOutcome) => boolean,
  ): Shown | undefined {
    const [one, other] = [this.#heard[a], this.#heard[b]]
    if (one === undefined || other === undefined) return undefined
    let found: Shown | undefined
    for (const x of one.said)
      for (const y of other.said) {
        if (found?.follows === true || !shows(x.outcome, y.outcome)) continue
        const sure = firstInAll(x.on, y.on, one.follows, other.follows)
        const at = sure ?? (found === undefined ? firstInAll(x.on, y.on) : undefined)
        const document = at === undefined ? undefined : this.#kept[at]
        if (document === undefined) continue
        found = { document, a: x.outcome, b: y.outcome, follows: sure !== undefined }
      }
    if (found !== undefined) this.#hits += 1
    return found
  }

  /** What the two say of a request; undefined where one is not asked, or errs. */
  both(document: Document, a: number, b: number): Shown | undefined {
    const isWorthIt = this.#answers < FREE_ANSWERS + WORTH * this.#hits
    const number = isWorthIt ? this.put(document) : undefined
    if (number === undefined) return this.ask(document, a, b)
    const [x, y] = [this.saidOf(a, number), this.saidOf(b, number)]
    return x === undefined || y === undefined
      ? undefined
      : { document, a: x, b: y, follows: this.#follows(a, number) && this.#follows(b, number) }
  }

  /** The same, without keeping it. */
  ask(document: Document, a: number, b: number): Shown | undefined {
    const [one, other] = [this.#sources[a], this.#sources[b]]
    if (one === undefined || other === undefined) return undefined
    const said = this.#ask(document, new Set([one.policy.id, other.policy.id]))
    const of = (id: string): PolicyOutcome | undefined =>
      said.find(({ policy, outcome }) => policy.id === id && outcome.error === null)?.outcome
    const [x, y] = [of(one.policy.id), of(other.policy.id)]
    return x === undefined || y === undefined
      ? undefined
      : {
          document,
          a: x,
          b: y,
          follows: followsFrom(document, one, x) && followsFrom(document, other, y),
        }
  }

  /** What one says of a request that is not kept; undefined where it is not asked. */
  alone(document: Document, index: number): PolicyOutcome | undefined {
    const id = this.#sources[index]?.policy.id ?? ''
    const [only] = this.#ask(document, new Set([id]))
    return only?.outcome
  }

  /** A request that is kept and that both are asked about. */
  askedBoth(a: number, b: number): Document | undefined {
    const [one, other] = [this.#heard[a], this.#heard[b]]
    if (one === undefined || other === undefined) return undefined
    const at = firstInAll(one.asked, other.asked)
    return at === undefined ? undefined : this.#kept[at]
  }

  /** Whether a request is kept to which a policy gives that answer. */
  gives(index: number, effect: Effect): boolean {
    return this.#heard[index]?.said.some(({ outcome }) => outcome.effect === effect) === true
  }

  /** The requests that a policy answers. */
  answered(index: number): readonly number[] {
    const numbers = this.#heard[index]?.said.flatMap(({ outcome, on }) =>
      outcome.effect === null ? [] : membersOf(on),
    )
    return numbers ?? []
  }

  /** The enforcing policies that answer a request, or err, in order. */
  deciding(number: number): readonly number[] {
    return this.#deciding[number] ?? []
  }

  document(number: number): Document | undefined {
    return this.#kept[number]
  }

  /** Undefined where it is not asked, or errs. Nothing that was said is silence. */
  saidOf(index: number, number: number): PolicyOutcome | undefined {
    const heard = this.#heard[index]
    if (heard === undefined || !has(heard.asked, number)) return undefined
    return heard.said.find(({ on }) => has(on, number))?.outcome ?? SILENT
  }

  #follows(index: number, number: number): boolean {
    const heard = this.#heard[index]
    return heard !== undefined && has(heard.follows, number)
  }

  #ask(document: Document, only?: ReadonlySet<string>): readonly Evaluated[] {
    this.#asked += 1
    return this.#judge.outcomes(document, undefined, only)
  }

  #hear(index: number, number: number, outcome: PolicyOutcome): void {
    const [heard, source] = [this.#heard[index], this.#sources[index]]
    if (heard === undefined || source === undefined) return
    heard.asked = withBit(heard.asked, number)
    const { effect, obligations } = outcome
    if (effect === null && obligations.length === 0) return
    const key = `${effect} ${obligations.length === 0 ? '' : canonical(obligations)}`
    let said = heard.said.find((each) => each.key === key)
    if (said === undefined) {
      if (heard.said.length >= MAX_OUTCOMES) return
      said = { key, outcome, on: new Uint32Array(0) }
      heard.said.push(said)
    }
    said.on = withBit(said.on, number)
    if (followsFrom(this.#kept[number], source, outcome))
      heard.follows = withBit(heard.follows, number)
  }
}

/** Whether a policy's conditions say that it answers so. */
function followsFrom(document: unknown, source: PolicySource, { effect }: PolicyOutcome): boolean {
  const condition = effect === null ? source.obliges : (source.answers.get(effect) ?? [])
  return condition.some(({ atoms, exact }) => exact && fulfils(document, atoms))
}
