// The life of stored policies over an open store: who may do what, what is tried, and what becomes of it.

import { CordonError } from '../base/errors.ts'
import type { IdSource } from '../base/ids.ts'
import type { Config } from '../config/schema.ts'
import { Conflicts } from '../governance/conflicts.ts'
import { PolicyActivation } from '../governance/policy-activation.ts'
import { PolicyLife } from '../governance/policy-life.ts'
import { PolicyPush } from '../governance/policy-push.ts'
import { type PolicyRollout, policyRollout } from '../governance/policy-rollout.ts'
import { Publisher } from '../governance/publisher.ts'
import type { Spool } from '../ledger/spool.ts'
import { personKey } from '../model/person.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { AiService } from '../model/service.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import { latestVersions } from '../store/latest-versions.ts'
import type { Store } from '../store/open.ts'
import { PolicyRevisions } from '../store/policy-revisions.ts'
import { inTurn } from './in-turn.ts'
import { type Environment, loadOptions } from './rules.ts'

export interface PolicyDesk {
  readonly life: PolicyLife
  readonly activation: PolicyActivation
  readonly push: PolicyPush
  readonly conflicts: Conflicts
  rollout(): Promise<PolicyRollout>
}

export interface PolicyDeskParts {
  readonly current: () => Config
  readonly env: Environment
  readonly store: Store
  readonly spool: Spool
  readonly ids: IdSource
  readonly secret: Uint8Array
  /** Policies that are not of the store: their files alone change them. */
  readonly folderPolicies: () => readonly PolicyMetadata[]
  /** Of bundles from elsewhere, as far as this process has them in force. */
  readonly bundleFolders: () => readonly string[]
  /** The catalogue in force. */
  readonly services: () => Iterable<AiService>
  /** Something else is in force. */
  readonly onPublished: () => void
}

/** What would change what is in force; those who ask for it have `policies:approve`, or are the clock. */
const MAX_CHANGES = 50
/** Texts that are tried only. */
const MAX_TRIALS = 10

export function openPolicyDesk(parts: PolicyDeskParts): PolicyDesk {
  const { current, env, store, spool, ids, secret } = parts
  const { folderPolicies, bundleFolders, services, onPublished } = parts
  const { tenant } = current()
  const revisions = new PolicyRevisions(store.db, tenant)
  const publisher = new Publisher({
    revisions,
    load: () => loadOptions(current(), env, [...current().policy.dirs, ...bundleFolders()]),
  })
  // Whoever only tries a text keeps nobody waiting who ends what is in force.
  const [changes, trials] = [lane(MAX_CHANGES), lane(MAX_TRIALS)]
  const checkTrial = (files: readonly StoredFile[]) => trials(() => publisher.checkFiles(files))
  const life = new PolicyLife({
    db: store.db,
    tenant,
    nextId: () => ids.next(),
    now: Date.now,
    personKey: (person) => personKey(secret, tenant, person),
    get pseudonymous() {
      return current().ledger.pseudonymous
    },
    folderPolicies,
    check: checkTrial,
    audit: async (record) => {
      await spool.append(record)
    },
  })
  const conflicts = new Conflicts({
    db: store.db,
    tenant,
    nextId: () => ids.next(),
    now: Date.now,
    personKey: (person) => personKey(secret, tenant, person),
    load: () => loadOptions(current(), env, [...current().policy.dirs, ...bundleFolders()]),
    services,
    audit: async (record) => {
      await spool.append(record)
    },
  })
  const activation = new PolicyActivation({
    life,
    check: (files) => changes(() => publisher.checkFiles(files)),
    // It loads the same files once more, and takes as long.
    conflicts: (files, policyIds) => changes(() => conflicts.refusals(files, policyIds)),
    publish: (files, change, db) => publisher.publish(files, change, db),
    onPublished,
  })
  const push = new PolicyPush({
    life,
    latest: (db) => latestVersions(db, tenant),
    check: checkTrial,
    inTurn: lane(MAX_TRIALS),
    revision: async () => (await revisions.head())?.revision,
  })
  return { life, activation, push, conflicts, rollout: () => policyRollout(revisions) }
}

/** Compilers take seconds and a core, pushes a connection: one at a time in a lane, and not without an end. Throws TOO_BUSY. */
function lane(maxWaiting: number): <T>(run: () => Promise<T>) => Promise<T> {
  const trying = inTurn()
  let waiting = 0
  return async (run) => {
    if (waiting >= maxWaiting)
      throw new CordonError('TOO_BUSY', `${waiting} changes of policies wait to be tried already`)
    waiting += 1
    try {
      return await trying(run)
    } finally {
      waiting -= 1
    }
  }
}
