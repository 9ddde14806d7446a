// The conflicts of policies that are loaded, with the folders that they were loaded from.

import type { ConflictReport } from '../../model/conflict.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyFolder } from '../folder.ts'
import type { Toolchain } from '../rego/toolchain.ts'
import { findConflicts, type FindOptions, type Judged } from './find.ts'
import { readSources } from './sources.ts'

export async function conflictsOf(
  policies: Judged & { readonly policies: readonly PolicyMetadata[] },
  folders: readonly PolicyFolder[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
  options: Omit<FindOptions, 'policies' | 'sources' | 'notes'>,
): Promise<ConflictReport> {
  const { sources, notes } = await readSources(policies.policies, folders, toolchain)
  return findConflicts({ ...options, policies, sources, notes })
}
