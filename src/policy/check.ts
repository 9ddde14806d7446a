// What `cordon check` says of policies that are valid, but hardly do what their author meant.

import type { Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { type PolicyMetadata, SCOPE_KEYS, type ScopeKey } from '../model/policy.ts'
import { readCedar } from './cedar/read.ts'
import { readFolder } from './folder.ts'
import { warningsOf } from './rego/warnings.ts'

/** Names that mean something here, by scope key; a key that is not given is not checked. */
export type KnownNames = Readonly<Partial<Record<ScopeKey, ReadonlySet<string>>>>

const ALWAYS_KNOWN = 'unknown'

/** Answers that hang on what may be absent (Rego), statements that can never hold (Cedar). */
export function policyWarnings(dirs: readonly string[]): readonly Problem[] {
  return dirs
    .map(readFolder)
    .flatMap(({ rego, cedar }) => [
      ...rego.flatMap((file) => warningsOf(file)),
      ...cedar.flatMap((file) => readCedar(file).warnings),
    ])
}

/** Scopes that name nobody and nothing: such a policy is never asked. */
export function scopeWarnings(
  policies: readonly PolicyMetadata[],
  known: KnownNames,
): readonly Problem[] {
  return policies.flatMap(({ id, file, scope }) =>
    SCOPE_KEYS.flatMap((key) => {
      const names = known[key]
      if (names === undefined) return []
      return (scope[key] ?? [])
        .filter((name) => name !== ALWAYS_KNOWN && !names.has(name))
        .map((name) => ({
          file,
          message: `${id}: scope.${key} names "${name}", which is not known${didYouMean(name, names)}`,
        }))
    }),
  )
}
