// The life of stored policies over an open store, with what is tried and published in the hands of a test.

import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Problem } from '../../src/base/errors.ts'
import type { Actor } from '../../src/governance/audit.ts'
import { PolicyActivation } from '../../src/governance/policy-activation.ts'
import { PolicyLife } from '../../src/governance/policy-life.ts'
import type { VersionName } from '../../src/governance/policy-shelf.ts'
import type { VersionView } from '../../src/governance/policy-views.ts'
import { RecordEncoder } from '../../src/ledger/encode.ts'
import { personKey } from '../../src/model/person.ts'
import type { PolicyMetadata } from '../../src/model/policy.ts'
import type { AuditRecord } from '../../src/model/record.ts'
import type { StoredFile } from '../../src/model/stored-policy.ts'
import type { Tables } from '../../src/store/tables.ts'
import { ids } from './records.ts'

const SECRET = Buffer.alloc(32, 7)

export class TestDesk {
  readonly #encoder = new RecordEncoder()
  readonly tenant: string
  readonly life: PolicyLife
  readonly activation: PolicyActivation
  /** Of the clock of this process. */
  now = Date.now()
  readonly events: AuditRecord[] = []
  /** Whether the ledger takes events. */
  ledger: 'open' | 'full' = 'open'
  readonly folder: PolicyMetadata[] = []
  /** What is found wrong with files. */
  check: (files: readonly StoredFile[]) => readonly Problem[] | Promise<readonly Problem[]> =
    () => []
  conflicts: readonly Problem[] = []
  /** What was published, newest last. */
  readonly published: (readonly StoredFile[])[] = []
  readonly rejudged: boolean[] = []

  constructor(db: Kysely<Tables>, tenant: string = randomUUID()) {
    this.tenant = tenant
    this.life = new PolicyLife({
      db,
      tenant,
      nextId: () => ids.next(),
      now: () => this.now,
      personKey: (person) => personKey(SECRET, tenant, person),
      pseudonymous: false,
      folderPolicies: () => this.folder,
      check: async (files) => this.check(files),
      audit: async (record) => {
        if (this.ledger === 'full') throw new Error('the spool is full')
        this.#encoder.prepare(record, 'writer')
        this.events.push(record)
      },
    })
    this.activation = new PolicyActivation({
      life: this.life,
      check: async (files) => this.check(files),
      conflicts: async () => this.conflicts,
      publish: async (files, { rejudge }) => {
        this.published.push(files)
        this.rejudged.push(rejudge)
        return { revision: `sha256:${this.published.length}` }
      },
      onPublished: () => undefined,
    })
  }

  /** Written by one, approved by another. */
  async approved(
    policy: Parameters<PolicyLife['create']>[0],
    author: Actor,
    approver: Actor,
  ): Promise<string> {
    const made = await this.life.create(policy, author)
    const name = { policy_id: made.policy_id, version: made.version }
    await this.life.submit(name, undefined, undefined, author)
    await this.approve(name, approver)
    return made.policy_id
  }

  /** In the edition that it is in. */
  async approve(name: VersionName, approver: Actor, comment?: string): Promise<VersionView> {
    const { edition } = await this.life.shelf.find(name, ['review'])
    return this.life.approve(name, comment, [edition], approver)
  }

  eventTypes(): readonly string[] {
    return this.events.map(({ event_type: type }) => type)
  }
}

export function person(name: string): Actor {
  return { type: 'user', id: randomUUID(), name }
}

/** A Cedar policy that forbids nearly nothing. */
export function statement(id: string, more = ''): string {
  return `@id("${id}")\n${more}forbid (principal, action, resource == Cordon::Service::"${id.replaceAll(/[^a-z0-9-]/g, '-')}");\n`
}
