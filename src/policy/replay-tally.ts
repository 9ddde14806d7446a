// What a replay counts: old answer by new one, in all and by department, service and person.
//
// Memory is bounded whatever the names: beyond the limit they are counted together, and told as that.

import { type Effect, EFFECTS } from '../model/decision.ts'

/** What became of one recorded decision. */
export type Compared =
  | { readonly kind: 'cannot_tell' }
  | {
      readonly kind: 'compared'
      readonly from: Effect
      readonly to: Effect
      readonly obligationsChanged: boolean
      readonly wouldBeChanged: boolean
      /** A policy fails that did not fail then. */
      readonly fails: boolean
    }

export interface Counts {
  readonly decisions: number
  /** Those of which can be told what the draft says. */
  readonly compared: number
  readonly cannot_tell: number
  /** Another answer, or the same with other obligations. */
  readonly changed: number
  readonly newly_denied: number
  readonly newly_reviewed: number
  readonly newly_allowed: number
  /** The same answer with other obligations. */
  readonly obligations_changed: number
  /** The same answer, another one with warn and audit policies enforced. */
  readonly would_be_changed: number
  readonly newly_failing: number
  /** Old answer, then new one. */
  readonly matrix: Readonly<Record<Effect, Readonly<Record<Effect, number>>>>
}

export interface Group extends Counts {
  /** Null where there is none. */
  readonly name: string | null
}

export interface Grouped {
  /** Those that change most, those first. */
  readonly items: readonly Group[]
  /** All others together; null where there are none. `names`: how many, where that is known. */
  readonly other: (Counts & { readonly names: number | null }) | null
}

const SIDES = EFFECTS.length
const CELLS = SIDES * SIDES
const OBLIGATIONS = CELLS
const WOULD_BE = CELLS + 1
const CANNOT_TELL = CELLS + 2
const FAILING = CELLS + 3
const SLOTS = CELLS + 4

export class Tally {
  readonly #slots = new Float64Array(SLOTS)

  add(compared: Compared, times = 1): void {
    if (compared.kind === 'cannot_tell') {
      this.#count(CANNOT_TELL, times)
      return
    }
    const { from, to, obligationsChanged, wouldBeChanged, fails } = compared
    this.#count(EFFECTS.indexOf(from) * SIDES + EFFECTS.indexOf(to), times)
    if (fails) this.#count(FAILING, times)
    if (from !== to) return
    if (obligationsChanged) this.#count(OBLIGATIONS, times)
    if (wouldBeChanged) this.#count(WOULD_BE, times)
  }

  merge(other: Tally): void {
    for (const [slot, count] of other.#slots.entries())
      this.#slots[slot] = (this.#slots[slot] ?? 0) + count
  }

  get counts(): Counts {
    const at = (slot: number): number => this.#slots[slot] ?? 0
    const cell = (from: number, to: number): number => at(from * SIDES + to)
    const into = (effect: Effect): number => {
      const to = EFFECTS.indexOf(effect)
      return EFFECTS.reduce((sum, _, from) => (from === to ? sum : sum + cell(from, to)), 0)
    }
    const compared = EFFECTS.reduce(
      (sum, _from, from) => sum + EFFECTS.reduce((inner, _to, to) => inner + cell(from, to), 0),
      0,
    )
    const newly = {
      newly_denied: into('DENY'),
      newly_reviewed: into('REVIEW'),
      newly_allowed: into('ALLOW'),
    }
    return {
      decisions: compared + at(CANNOT_TELL),
      compared,
      cannot_tell: at(CANNOT_TELL),
      changed: newly.newly_denied + newly.newly_reviewed + newly.newly_allowed + at(OBLIGATIONS),
      ...newly,
      obligations_changed: at(OBLIGATIONS),
      would_be_changed: at(WOULD_BE),
      newly_failing: at(FAILING),
      matrix: Object.fromEntries(
        EFFECTS.map((old, from) => [
          old,
          Object.fromEntries(EFFECTS.map((fresh, to) => [fresh, cell(from, to)])),
        ]),
      ) as Counts['matrix'],
    }
  }

  /** What it is ordered by among others: changes, failures, what warn and audit would say, decisions. */
  get weight(): readonly number[] {
    const at = (slot: number): number => this.#slots[slot] ?? 0
    let [compared, kept] = [0, 0]
    for (let cell = 0; cell < CELLS; cell++) compared += at(cell)
    for (let side = 0; side < SIDES; side++) kept += at(side * SIDES + side)
    return [
      compared - kept + at(OBLIGATIONS),
      at(FAILING),
      at(WOULD_BE),
      compared + at(CANNOT_TELL),
    ]
  }

  #count(slot: number, times: number): void {
    this.#slots[slot] = (this.#slots[slot] ?? 0) + times
  }
}

export class Tallies {
  readonly #most: number
  readonly #tallies = new Map<string | null, Tally>()
  readonly #beyond = new Tally()
  #isBeyond = false

  /** `most`: how many names are told apart. */
  constructor(most: number) {
    this.#most = most
  }

  add(name: string | null, compared: Compared, times = 1): void {
    this.#tallyOf(name).add(compared, times)
  }

  /** The `top` names with the most changes; `shown` is what people read in place of a name. */
  grouped(top: number, shown: (name: string | null) => string | null = same): Grouped {
    const all = [...this.#tallies].map(([name, tally]) => ({ name, tally, weight: tally.weight }))
    all.sort((a, b) => byWeight(a.weight, b.weight) || ((a.name ?? '') < (b.name ?? '') ? -1 : 1))
    const rest = all.slice(top)
    const other = new Tally()
    other.merge(this.#beyond)
    for (const { tally } of rest) other.merge(tally)
    return {
      items: all.slice(0, top).map(({ name, tally }) => ({ name: shown(name), ...tally.counts })),
      other:
        rest.length === 0 && !this.#isBeyond
          ? null
          : { names: this.#isBeyond ? null : rest.length, ...other.counts },
    }
  }

  #tallyOf(name: string | null): Tally {
    const known = this.#tallies.get(name)
    if (known !== undefined) return known
    if (this.#tallies.size >= this.#most) {
      this.#isBeyond = true
      return this.#beyond
    }
    const tally = new Tally()
    this.#tallies.set(name, tally)
    return tally
  }
}

/** The heaviest first. */
function byWeight(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((weight, index) => weight !== b[index])
  return at === -1 ? 0 : (b[at] ?? 0) - (a[at] ?? 0)
}

function same(name: string | null): string | null {
  return name
}
