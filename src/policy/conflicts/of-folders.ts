// The conflicts of policies that are loaded, with the folders that they were loaded from; and the same again, when only some
// of them have changed since.

import { createHash } from 'node:crypto'
import type { ConflictReport } from '../../model/conflict.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyFolder } from '../folder.ts'
import type { Toolchain } from '../rego/toolchain.ts'
import { add, countAfter, intersect } from './bits.ts'
import { findConflicts, type FindOptions, inOrder, type Judged } from './find.ts'
import type { Catalogued } from './reach.ts'
import { ScopeMeetings } from './scopes.ts'
import { readSources } from './sources.ts'

type Policies = Judged & { readonly policies: readonly PolicyMetadata[] }
type Options = Omit<FindOptions, 'policies' | 'sources' | 'notes'>

export async function conflictsOf(
  policies: Policies,
  folders: readonly PolicyFolder[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
  options: Options,
): Promise<ConflictReport> {
  const { candidates } = options
  const concerned =
    candidates === undefined ? policies.policies : meeting(policies.policies, candidates)
  const { sources, notes } = await readSources(concerned, folders, toolchain)
  return findConflicts({ ...options, policies, sources, notes })
}

/** A look over all policies, and what it hung on. */
export interface Look {
  readonly report: ConflictReport
  readonly settings: string
  /** By policy id. */
  readonly hangsOn: ReadonlyMap<string, string>
}

/**
 * Over all policies: pairs of which neither has changed since the former look are taken from it, so that a change costs as
 * many pairs as there are policies. Where it did not see everything, or most has changed, everything is looked at anew.
 */
export async function lookAgain(
  former: Look | undefined,
  policies: Policies,
  folders: readonly PolicyFolder[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
  options: Omit<Options, 'candidates'>,
): Promise<Look> {
  const { sources, notes } = await readSources(policies.policies, folders, toolchain)
  const hangsOn = new Map(sources.map((source) => [source.policy.id, source.hangsOn]))
  const settings = settingsOf(policies.combining.combining, notes, options.catalogued)
  const changed = new Set(
    [...hangsOn].flatMap(([id, each]) => (former?.hangsOn.get(id) === each ? [] : [id])),
  )
  const isUsable = former?.report.complete === true && former.settings === settings
  if (!isUsable || 2 * changed.size > sources.length) {
    const report = await findConflicts({ ...options, policies, sources, notes })
    return { report, settings, hangsOn }
  }
  const found = await findConflicts({ ...options, policies, sources, notes, candidates: changed })
  const isAsItWas = (id: string | null): boolean =>
    id === null || (hangsOn.has(id) && !changed.has(id))
  const kept = former.report.conflicts.filter(({ policy_a_id: a, policy_b_id: b, together_with }) =>
    [a, b, ...together_with].every(isAsItWas),
  )
  const places = new Map(sources.map(({ policy }, index) => [policy.id, index]))
  const report = {
    ...found,
    conflicts: inOrder([...kept, ...found.conflicts], (id) => places.get(id) ?? 0),
    pairs: pairsThatMeet(sources.map(({ policy }) => policy)),
  }
  return { report, settings, hangsOn }
}

function settingsOf(
  combining: string,
  notes: readonly string[],
  { services = [], names = {} }: Catalogued = {},
): string {
  const hash = createHash('sha256').update(JSON.stringify([combining, notes]))
  for (const { id, vendor, service_type } of services)
    hash.update(JSON.stringify([id, vendor, service_type]))
  for (const [key, known] of Object.entries(names)) hash.update(JSON.stringify([key, ...known]))
  return hash.digest('hex')
}

function pairsThatMeet(policies: readonly PolicyMetadata[]): number {
  const meetings = new ScopeMeetings(policies.map(({ scope }) => scope))
  let pairs = 0
  for (const index of policies.keys()) pairs += countAfter(meetings.of(index).sure, index)
  return pairs
}

/** The candidates, and those whose scopes they may meet: of the others nothing need be known. */
function meeting(
  policies: readonly PolicyMetadata[],
  candidates: ReadonlySet<string>,
): readonly PolicyMetadata[] {
  const meetings = new ScopeMeetings(policies.map(({ scope }) => scope))
  const chosen = meetings.none()
  for (const [index, { id }] of policies.entries()) if (candidates.has(id)) add(chosen, index)
  return policies.filter(({ id }, index) => {
    if (candidates.has(id)) return true
    const { sure, maybe } = meetings.of(index)
    intersect(sure, chosen)
    intersect(maybe, chosen)
    return countAfter(sure, -1) + countAfter(maybe, -1) > 0
  })
}
