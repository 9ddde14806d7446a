// Which revision of the stored policies each node has in force, and what it refuses.

import type { Problem } from '../base/errors.ts'
import type { BundleState, PolicyRevisions } from '../store/policy-revisions.ts'

export interface PolicyRollout {
  /** Null: no stored policy was ever in force. */
  readonly head: { readonly revision: string; readonly number: number } | null
  /** Those that told of themselves within the last hour. */
  readonly nodes: readonly NodeRollout[]
}

export interface NodeRollout {
  readonly node: string
  /** Its host. */
  readonly name: string
  readonly role: string
  readonly version: string
  /** Policies, catalogue and settings together. */
  readonly rules: string
  readonly revision: string | null
  readonly number: number
  /** What it should have in force and refuses. */
  readonly wanted: string | null
  /** Whether the head is in force there. */
  readonly current: boolean
  readonly problems: readonly Problem[]
  readonly bundles: readonly BundleState[]
  readonly active_since: string | null
  readonly seen_at: string
  /** Seconds since it told of itself. */
  readonly age_s: number
}

export async function policyRollout(revisions: PolicyRevisions): Promise<PolicyRollout> {
  const [head, nodes] = await Promise.all([revisions.head(), revisions.nodes()])
  return {
    head: head === undefined ? null : { revision: head.revision, number: head.number },
    nodes: nodes.map((node) => ({
      ...node,
      current: node.revision === (head?.revision ?? null),
      active_since: node.active_since?.toISOString() ?? null,
      seen_at: node.seen_at.toISOString(),
    })),
  }
}
