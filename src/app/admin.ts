// The administrators' acts over an open store, with their audit events in the ledger.

import { hostname } from 'node:os'
import type { IdSource } from '../base/ids.ts'
import type { Config } from '../config/schema.ts'
import { Admin, type AdminParts } from '../governance/admin.ts'
import type { Spool } from '../ledger/spool.ts'
import { personKey } from '../model/person.ts'
import { giveBack } from '../store/erase-rows.ts'
import type { Store } from '../store/open.ts'
import type { Erasing } from './erasing.ts'

export type AdminEvents = Pick<
  AdminParts,
  | 'ship'
  | 'nameable'
  | 'onPeopleChanged'
  | 'onModeChanged'
  | 'onReviewAnswered'
  | 'onExceptionsChanged'
  | 'replayJobs'
>

export function openAdmin(
  current: () => Config,
  store: Store,
  spool: Spool,
  ids: IdSource,
  secret: Uint8Array,
  erasing: Erasing,
  events: AdminEvents,
): Admin {
  return new Admin({
    db: store.db,
    kind: store.kind,
    tenant: current().tenant,
    ages: () => current().ledger.retention,
    by: `${hostname()}, process ${process.pid}`,
    nextId: () => ids.next(),
    now: Date.now,
    riskSettings: () => current().risk,
    personKey: (person) => personKey(secret, current().tenant, person),
    get reviewValidMs() {
      return current().policy.review_valid
    },
    get reviewSlaMs() {
      return current().policy.review_sla
    },
    get reviewEscalateTo() {
      return current().policy.review_escalate_to
    },
    get pseudonymous() {
      return current().ledger.pseudonymous
    },
    segmentsHolding: (keys, before) => erasing.segmentsHolding(keys, before),
    giveBack: (tables) => giveBack(store.db, tables, store.kind === 'embedded'),
    carryOut: (id) => erasing.carryOut(id),
    audit: async (record) => {
      await spool.append(record)
    },
    ...events,
  })
}
