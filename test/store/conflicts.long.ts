// Conflicts as rows, in each of the databases: once for the texts that they were found in, resolved until one changes.

import { IdSource } from '../../src/base/ids.ts'
import type { Actor } from '../../src/governance/audit.ts'
import { Conflicts } from '../../src/governance/conflicts.ts'
import type { Conflict, ConflictReport } from '../../src/model/conflict.ts'
import type { Severity } from '../../src/model/decision.ts'
import { personKey } from '../../src/model/person.ts'
import type { AuditRecord } from '../../src/model/record.ts'
import { StoredConflicts } from '../../src/store/conflicts.ts'
import { onEachStore } from '../support/stores.ts'

const ids = new IdSource()

function found(name: string, severity: Severity, more: Partial<Conflict> = {}): Conflict {
  return {
    type: 'contradictory_action',
    policy_a_id: `${name}-a`,
    policy_b_id: `${name}-b`,
    together_with: [],
    severity,
    evidence: 'proven',
    says: `${name} says so`,
    witness: { user: { name: "o'neil \\ \u0001" } },
    fingerprint: name,
    ...more,
  }
}

function report(...conflicts: readonly Conflict[]): ConflictReport {
  return {
    conflicts,
    policies: 2,
    pairs: 1,
    examined: 1,
    left_out: 0,
    complete: true,
    notes: ['a note'],
  }
}

onEachStore(async (t, { db }) => {
  const stored = new StoredConflicts(db, 'default')
  const other = new StoredConflicts(db, 'other')
  const events: AuditRecord[] = []
  let isFull = false
  const conflicts = new Conflicts({
    db,
    tenant: 'default',
    nextId: () => ids.next(),
    now: Date.now,
    personKey: (person) => personKey(Buffer.alloc(32, 1), 'default', person),
    load: () => {
      throw new Error('nothing is loaded here')
    },
    services: () => [],
    audit: (record) => {
      if (isFull) return Promise.reject(new Error('the ledger is full'))
      events.push(record)
      return Promise.resolve()
    },
  })
  const ben: Actor = { type: 'user', id: '0199aaaa-0000-7000-8000-000000000001', name: 'ben' }

  t.equal(await stored.lastScan(), undefined)
  await stored.keep(report(found('x', 'critical'), found('y', 'low'), found('z', 'high')), true)
  await other.keep(report(found('x', 'low')), true)
  const first = await stored.list({})
  t.same(
    first.items.map(({ severity, policy_b_id: b }) => `${severity} ${b}`),
    ['critical x-b', 'high z-b', 'low y-b'],
  )
  t.match(first.items[0], {
    status: 'open',
    says: 'x says so',
    witness: { user: { name: "o'neil \\ \u0001" } },
  })
  t.match(await stored.lastScan(), { policies: 2, notes: ['a note'], complete: true })
  const id = first.items[0]?.conflict_id ?? ''

  isFull = true
  await t.rejects(conflicts.resolve(id, 'fine', ben), { message: 'the ledger is full' })
  t.match(await stored.find(id), { status: 'open', resolved: false }, 'nothing without its record')
  isFull = false
  await t.rejects(conflicts.resolve(id, 'fine', { type: 'integration', name: 'key' }), {
    code: 'FORBIDDEN',
  })
  await t.rejects(conflicts.resolve(id, ' ', ben), { code: 'INPUT_INVALID' })
  const [one, two] = await Promise.allSettled([
    conflicts.resolve(id, 'fine', ben),
    conflicts.resolve(id, 'fine', ben),
  ])
  t.same([one.status, two.status].toSorted(), ['fulfilled', 'rejected'], 'once')
  t.equal(events.length, 1)
  t.match(events[0], {
    event_type: 'policy_conflict_resolved',
    severity: 'warning',
    target: { type: 'policy_conflict', id },
    data: { policy_a_id: 'x-a', policy_b_id: 'x-b', fingerprint: 'x' },
    personal: { data: { notes: 'fine' } },
  })
  t.notMatch(JSON.stringify({ ...events[0], personal: undefined }), /fine|ben/)
  t.same([...(await stored.resolved(['x', 'y']))], ['x'])
  t.same([...(await other.resolved(['x']))], [], 'a tenant resolves its own')

  await stored.keep(report(found('x', 'critical'), found('y', 'low', { fingerprint: 'y2' })), true)
  t.match(await stored.find(id), { status: 'resolved' }, 'it stays resolved')
  t.same(
    (await stored.list({})).items.map(({ fingerprint }) => fingerprint),
    ['x', 'y2'],
    'what nobody resolved and is not there any more is gone',
  )
  await stored.keep(report(), true)
  t.same((await stored.list({})).items, [])
  t.match((await stored.list({ status: 'gone' })).items, [{ fingerprint: 'x', resolved: true }])
  await stored.keep(report(found('x', 'critical')), false)
  t.match(await stored.find(id), { status: 'resolved' }, 'found again, it still is')

  await stored.keep(
    report(
      ...Array.from({ length: 950 }, (_, at) => found(`n${at}`, at % 2 === 0 ? 'low' : 'high')),
    ),
    true,
  )
  const seen: string[] = []
  for (let cursor: string | undefined; ;) {
    const page = await stored.list({ limit: 100, ...(cursor === undefined ? {} : { cursor }) })
    seen.push(...page.items.map(({ fingerprint }) => fingerprint))
    if (page.next_cursor === null) break
    cursor = page.next_cursor
  }
  t.equal(new Set(seen).size, 950)
  t.equal(seen.length, 950)
  t.equal((await stored.list({ policy: 'n7-b' })).items.length, 1)
  await t.rejects(stored.list({ cursor: 'nonsense' }), { code: 'INPUT_INVALID' })
})
