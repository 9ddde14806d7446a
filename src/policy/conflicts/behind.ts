// Which policies never decide, because whenever they have an answer somebody of a higher tier has answered before: one
// policy alone, or several together.
//
// A request that a policy answers and nobody before it does is the proof of the contrary; and who asks for what the policy does
// not ask for hides no part of it: so most are done with a look. Else each way in which it answers must be covered: whoever answers one request of the way must answer all of them; where
// nobody does, the way is parted by the names that it lists, and each part must be.

import { SEVERITIES } from '../../model/decision.ts'
import type { Combining } from '../combine.ts'
import type { Between, Found } from './between.ts'
import { named } from './between.ts'
import type { Atom } from './condition.ts'
import type { Pairs } from './pairs.ts'
import type { Requests } from './requests.ts'
import { shadowSeverity } from './severity.ts'
import { solve } from './solve.ts'
import type { PolicySource } from './sources.ts'
import type { Way } from './ways.ts'

/** Parts of the ways of one policy. */
const MAX_PARTS = 512
/** Policies before one, told one by one. */
const MAX_TOLD = 20
/** Requests among which the gravest is sought. */
const MAX_SEEN = 16

export interface BehindParts {
  readonly sources: readonly PolicySource[]
  readonly combining: Combining
  readonly requests: Requests
  readonly between: Between
  readonly pairs: Pairs
}

export class Behind {
  readonly #parts: BehindParts

  constructor(parts: BehindParts) {
    this.#parts = parts
  }

  /** What stands before a policy: each one alone, else some together. */
  of(index: number): readonly Found[] {
    const { sources, combining, between, requests } = this.#parts
    const source = sources[index]
    if (combining !== 'priority_tiers' || source === undefined || source.answers.size === 0)
      return []
    if (this.#decidesSomewhere(index, source)) return []
    if (!this.#mayBeHidden(index, source)) return []
    const ways = between.waysOf(index, 'speaks')
    for (const { atoms } of ways) {
      const solved = solve(atoms)
      if (solved.verdict !== 'found' || requests.put(solved.document) !== undefined) continue
      const deciding = requests.decidingWith(solved.document, index)
      if (deciding !== undefined && !this.#isHidden(deciding, source)) return []
    }
    if (this.#decidesSomewhere(index, source)) return []
    const alone = this.#alone(index, source, ways)
    if (alone.length > 0) return alone
    const together = this.#together(index, source, ways)
    return together === undefined ? [] : [together]
  }

  /** A request shows that nobody is always before it. */
  #decidesSomewhere(index: number, source: PolicySource): boolean {
    const { requests } = this.#parts
    return requests
      .answered(index)
      .some((number) => !this.#isHidden(requests.deciding(number), source))
  }

  #isHidden([first = -1]: readonly number[], { policy }: PolicySource): boolean {
    return (this.#parts.sources[first]?.policy.priority ?? -Infinity) > policy.priority
  }

  /** Of a higher tier, and enforcing, and with an answer to that request. */
  #before(number: number, { policy }: PolicySource): readonly number[] {
    const { sources, requests } = this.#parts
    const deciding = requests.deciding(number)
    const end = deciding.findIndex(
      (each) => (sources[each]?.policy.priority ?? 0) <= policy.priority,
    )
    return end < 0 ? deciding : deciding.slice(0, end)
  }

  /** Whether somebody may have a part in hiding it: what is asked for there is asked for here, or can be parted so. */
  #mayBeHidden(index: number, source: PolicySource): boolean {
    const { sources, between, pairs } = this.#parts
    const ways = between.waysOf(index, 'speaks').map((way) => ({
      way,
      fields: new Set(way.fields.map(({ field }) => field)),
      parted: new Set(way.atoms.filter(isParted).map(({ path }) => path)),
    }))
    for (const at of pairs.mayCover(index)) {
      const { policy } = sources[at] ?? source
      if (policy.mode !== 'enforce' || policy.priority <= source.policy.priority) continue
      for (const { atoms, exact, fields } of between.waysOf(at, 'speaks'))
        for (const { way, fields: known, parted } of exact ? ways : []) {
          // Nothing follows for a field that nothing is asked of, unless what it lies in must not be there.
          if (way.absent.length === 0 && !fields.every(({ field }) => known.has(field))) continue
          if (atoms.every((atom) => parted.has(atom.path) || follows(way.atoms, atom))) return true
        }
    }
    return false
  }

  #alone(index: number, source: PolicySource, ways: readonly Way[]): readonly Found[] {
    const { between, requests, pairs } = this.#parts
    const [first, ...rest] = requests.answered(index).slice(0, MAX_SEEN)
    if (first === undefined) return []
    const always = rest
      .map((number) => new Set(this.#before(number, source)))
      .reduce(
        (left, each) => left.filter((before) => each.has(before)),
        this.#before(first, source),
      )
    const found: Found[] = []
    for (const before of always) {
      if (found.length >= MAX_TOLD) break
      if (!pairs.isChosen(index) && !pairs.isChosen(before)) continue
      const answers = between.waysOf(before, 'speaks')
      if (!ways.every(({ atoms }) => implies(atoms, answers))) continue
      const told = this.#tell(index, [before])
      if (told !== undefined) found.push(told)
    }
    return found
  }

  #together(index: number, source: PolicySource, ways: readonly Way[]): Found | undefined {
    const used = new Set<number>()
    const room = { parts: MAX_PARTS }
    const isCovered =
      ways.length > 0 && ways.every(({ atoms }) => this.#isCovered(atoms, source, used, room))
    if (!isCovered || used.size < 2) return undefined
    const { pairs } = this.#parts
    const all = [...used].toSorted((a, b) => a - b)
    return [index, ...all].some((each) => pairs.isChosen(each)) ? this.#tell(index, all) : undefined
  }

  #isCovered(
    atoms: readonly Atom[],
    source: PolicySource,
    used: Set<number>,
    room: { parts: number },
  ): boolean {
    const { between, requests } = this.#parts
    room.parts -= 1
    if (room.parts < 0) return false
    const solved = solve(atoms)
    if (solved.verdict === 'never') return true
    if (solved.verdict === 'found') {
      const number = requests.put(solved.document)
      const before = number === undefined ? [] : this.#before(number, source)
      // Those that are needed anyway first.
      for (const each of [...before.filter((at) => used.has(at)), ...before])
        if (implies(atoms, between.waysOf(each, 'speaks'))) {
          used.add(each)
          return true
        }
      if (before.length === 0) return false
    }
    const parts = partsOf(atoms)
    return parts.length > 0 && parts.every((part) => this.#isCovered(part, source, used, room))
  }

  /** With the gravest request that is kept. */
  #tell(index: number, before: readonly number[]): Found | undefined {
    const { sources, requests, combining } = this.#parts
    const b = sources[index]
    if (b === undefined) return undefined
    const shown = requests
      .answered(index)
      .slice(0, MAX_SEEN)
      .flatMap((number) => {
        const first = before.find((each) => requests.saidOf(each, number)?.effect != null)
        const a = first === undefined ? undefined : sources[first]
        const saysA = first === undefined ? null : (requests.saidOf(first, number)?.effect ?? null)
        const saysB = requests.saidOf(index, number)?.effect ?? null
        if (a === undefined || saysA === null || saysB === null) return []
        const pair = { a: a.policy, b: b.policy, combining }
        const severity = shadowSeverity(pair, saysA, saysB, 'proven')
        return [{ number, a, saysA, saysB, severity }]
      })
      .toSorted((x, y) => SEVERITIES.indexOf(y.severity) - SEVERITIES.indexOf(x.severity))[0]
    if (shown === undefined) return undefined
    const { a, saysA, saysB, severity, number } = shown
    const others = before.flatMap((each) => sources[each] ?? []).filter((each) => each !== a)
    const who = others.length === 0 ? named(a) : `one of ${[a, ...others].map(named).join(', ')}`
    return {
      type: 'shadowed',
      a,
      b,
      others,
      severity,
      evidence: 'proven',
      says: `${named(b)} never decides: whenever it has an answer, ${who} has answered before (${saysA} instead of ${saysB})`,
      witness: requests.document(number) ?? null,
    }
  }
}

/** Whether one way of the conclusion is taken whenever the premises hold, as far as it can be proven. */
function implies(premises: readonly Atom[], conclusion: readonly Way[]): boolean {
  return conclusion.some(
    ({ atoms, exact }) => exact && atoms.every((atom) => follows(premises, atom)),
  )
}

function follows(premises: readonly Atom[], { path, test, holds }: Atom): boolean {
  return (
    !path.includes('#') && solve([...premises, { path, test, holds: !holds }]).verdict === 'never'
  )
}

/** It lists names of which one must be there. */
function isParted({ test, holds }: Atom): boolean {
  return holds && (test.is === 'one_of' || test.is === 'any_member') && test.values.length > 1
}

/** The same for each name of a list, of the shortest one; none where there is no list. */
function partsOf(atoms: readonly Atom[]): readonly (readonly Atom[])[] {
  const length = ({ test }: Atom): number => ('values' in test ? test.values.length : 0)
  const [shortest] = atoms.filter(isParted).toSorted((a, b) => length(a) - length(b))
  if (shortest === undefined || !('values' in shortest.test)) return []
  const { test } = shortest
  return test.values.map((value) =>
    atoms.map((atom) =>
      atom === shortest ? { ...atom, test: { ...test, values: [value] } } : atom,
    ),
  )
}
