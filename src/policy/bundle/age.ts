// Is a bundle older than the one in force? A signature holds for ever, so whoever controls a server or the network can
// serve one that was replaced long ago. What a signer says of its age is compared: `iat` of the signature, and
// `metadata.cordon.serial` of the manifest, which the signature covers.

import { CordonError } from '../../base/errors.ts'

/** What the signer of a bundle says of its age; empty where nobody signed it, or nothing is said. */
export interface BundleAge {
  /** Grows with every bundle. */
  readonly serial?: number
  /** Seconds since 1970, of the signer's clock. */
  readonly issued_at?: number
}

/** A signer's clock may be ahead of ours by so much. */
const AHEAD_MS = 300_000

/**
 * Throws BUNDLE_INVALID where the bundle is older than what is in force, says nothing of its age although that one did, or
 * is of the future: behind it nothing would pass any more.
 */
export function checkAge(next: BundleAge, inForce: BundleAge, nowMs: number): void {
  if (next.issued_at !== undefined && next.issued_at * 1000 > nowMs + AHEAD_MS)
    throw refused(`it was signed in the future, at ${timeOf(next.issued_at)}: a clock is wrong`)
  for (const [key, name, shown] of [
    ['serial', 'metadata.cordon.serial in its manifest', String],
    ['issued_at', 'iat in its signature', timeOf],
  ] as const) {
    const [has, had] = [next[key], inForce[key]]
    if (had === undefined) continue
    if (has === undefined)
      throw refused(
        `it has no ${name}, and the one in force has: it may be an older one (allow_older takes it)`,
      )
    if (has < had)
      throw refused(
        `it is older than the one in force: ${name} is ${shown(has)}, there ${shown(had)} (allow_older takes it)`,
      )
  }
}

/** What was written to disk; empty where that is none. */
export function ageOf(value: unknown): BundleAge {
  const { serial, issued_at: issuedAt } = (value ?? {}) as Readonly<Record<string, unknown>>
  return {
    ...(typeof serial === 'number' ? { serial } : {}),
    ...(typeof issuedAt === 'number' ? { issued_at: issuedAt } : {}),
  }
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

function refused(why: string): CordonError {
  return new CordonError('BUNDLE_INVALID', `the bundle is refused: ${why}`)
}
