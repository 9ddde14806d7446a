// The conflicts of policies that are loaded, with the folders that they were loaded from.

import type { ConflictReport } from '../../model/conflict.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyFolder } from '../folder.ts'
import type { Toolchain } from '../rego/toolchain.ts'
import { findConflicts, type FindOptions, type Judged } from './find.ts'
import { add, countAfter, intersect, ScopeMeetings } from './scopes.ts'
import { readSources } from './sources.ts'

export async function conflictsOf(
  policies: Judged & { readonly policies: readonly PolicyMetadata[] },
  folders: readonly PolicyFolder[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
  options: Omit<FindOptions, 'policies' | 'sources' | 'notes'>,
): Promise<ConflictReport> {
  const { candidates } = options
  const concerned =
    candidates === undefined ? policies.policies : meeting(policies.policies, candidates)
  const { sources, notes } = await readSources(concerned, folders, toolchain)
  return findConflicts({ ...options, policies, sources, notes })
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
