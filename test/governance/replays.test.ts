// A replay that cannot be recorded does not run.

import type { Kysely } from 'kysely'
import t from 'tap'
import { CordonError } from '../../src/base/errors.ts'
import { type ReplayJob, type ReplayJobs, Replays } from '../../src/governance/replays.ts'
import type { Tables } from '../../src/store/tables.ts'

t.test('the audit event is kept before the job begins', async (t) => {
  const done: string[] = []
  let isFull = false
  const jobs: ReplayJobs = {
    prepare: () => ({
      replay_id: 'r1',
      take: ({ files }) => {
        done.push(`took ${files.length}`)
      },
      start: () => {
        done.push('started')
        return { replay_id: 'r1' } as ReplayJob
      },
      giveUp: () => {
        done.push('given up')
      },
    }),
    list: () => [],
    get: () => undefined,
    cancel: () => undefined,
  }
  const replays = new Replays({
    db: {} as Kysely<Tables>,
    tenant: 't1',
    nextId: () => 'e1',
    now: () => Date.parse('2026-11-24T00:00:00Z'),
    personKey: (person) => person,
    versions: {
      activeFiles: async () => [],
      head: async () => undefined,
      version: async () => undefined,
    },
    jobs,
    pseudonymous: () => false,
    audit: async ({ data }) => {
      if (isFull) throw new CordonError('STORE_UNAVAILABLE', 'the disk is full')
      done.push(`recorded ${String(data?.['replay_id'])}`)
    },
  })
  await replays.start({}, { type: 'system' })
  t.same(done.splice(0), ['took 0', 'recorded r1', 'started'])
  isFull = true
  await t.rejects(replays.start({}, { type: 'system' }), { code: 'STORE_UNAVAILABLE' })
  t.same(done.splice(0), ['took 0', 'given up'])
  isFull = false
  const none = { policy_id: 'none', version: '1.0.0' }
  await t.rejects(replays.start({ policies: none }, { type: 'system' }), { code: 'NOT_FOUND' })
  t.same(done, ['given up'], 'its place is free again')
})
