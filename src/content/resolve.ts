// One value is one finding, of its most specific type: which of the candidates that overlap stay?

import type { Candidate } from './candidate.ts'

/** Lower wins. What has a prefix or a check digit of its own knows best; general shapes give way. */
const GENERAL: ReadonlyMap<string, number> = new Map([
  ...[
    'email',
    'us_driver_license',
    'medical_record_number',
    'us_passport',
    'secp256k1_private_key',
  ].map((type) => [type, 3] as const),
  ...['env_assignment', 'us_bank_account', 'phone'].map((type) => [type, 4] as const),
  ['password', 5],
])

function rank({ type, category }: Candidate): number {
  return GENERAL.get(type) ?? (category === 'secret' ? 1 : 2)
}

export function resolve(candidates: readonly Candidate[]): Candidate[] {
  const ordered = [...candidates].toSorted((a, b) => a.start - b.start || b.end - a.end)
  const kept: Candidate[] = []
  let cluster: Candidate[] = []
  let reach = -1
  for (const candidate of ordered) {
    if (candidate.start >= reach && cluster.length > 0) {
      choose(cluster, kept)
      cluster = []
    }
    cluster.push(candidate)
    reach = Math.max(reach, candidate.end)
  }
  choose(cluster, kept)
  return kept.toSorted((a, b) => a.start - b.start)
}

function choose(cluster: Candidate[], kept: Candidate[]): void {
  const [only] = cluster
  if (only === undefined) return
  if (cluster.length === 1) {
    kept.push(only)
    return
  }
  cluster.sort(
    (a, b) =>
      rank(a) - rank(b) ||
      b.confidence - a.confidence ||
      b.end - b.start - (a.end - a.start) ||
      a.start - b.start,
  )
  const taken = new Places()
  // All values of an encoded run stand at one place: what holds for the first of them holds for all.
  const runs = new Map<number, boolean>()
  for (const candidate of cluster) {
    const isTaken =
      (candidate.run === undefined ? undefined : runs.get(candidate.run)) ?? taken.add(candidate)
    if (candidate.run !== undefined) runs.set(candidate.run, isTaken)
    if (isTaken) kept.push(candidate)
  }
}

/** Disjoint places, kept by blocks so that one cluster of many candidates stays cheap. */
class Places {
  readonly #byBlock = new Map<number, Candidate[]>()

  add(candidate: Candidate): boolean {
    const first = candidate.start >> BLOCK_BITS
    const last = Math.max(candidate.start, candidate.end - 1) >> BLOCK_BITS
    for (let block = first; block <= last; block++)
      if (this.#byBlock.get(block)?.some((other) => excludes(other, candidate)) === true)
        return false
    for (let block = first; block <= last; block++) {
      const list = this.#byBlock.get(block)
      if (list === undefined) this.#byBlock.set(block, [candidate])
      else list.push(candidate)
    }
    return true
  }
}

const BLOCK_BITS = 8

function excludes(a: Candidate, b: Candidate): boolean {
  return a.start < b.end && b.start < a.end
}
