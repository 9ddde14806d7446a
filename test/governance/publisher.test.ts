// What is published was tried before: it is not compiled again in the transaction of the change.

import type { Kysely } from 'kysely'
import t from 'tap'
import { Publisher } from '../../src/governance/publisher.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import type { NewRevision, PolicyRevisions } from '../../src/store/policy-revisions.ts'
import type { Tables } from '../../src/store/tables.ts'
import { statement } from '../support/policy-desk.ts'
import { toolchain } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'

t.test('what was tried is published as it was tried, whatever was tried meanwhile', async (t) => {
  let loads = 0
  const published: NewRevision[] = []
  const revisions = {
    publish: async (revision: NewRevision) => {
      published.push(revision)
      return revision
    },
  } as unknown as PolicyRevisions
  const publisher = new Publisher({
    revisions,
    load: () => {
      loads += 1
      return {
        dirs: [],
        combining: RULES,
        toolchain: toolchain(),
        builtins: createHostBuiltins(),
        cacheDir: t.testdir(),
      }
    },
  })
  const db = {} as Kysely<Tables>
  const change = [{ path: 'a.cedar', text: statement('a') }]
  t.same(await publisher.checkFiles(change), [])
  t.same(await publisher.checkFiles([{ path: 'b.cedar', text: statement('b') }]), [])
  await publisher.publish(change, { rejudge: false }, db)
  t.equal(loads, 2, 'each was loaded once')
  t.match(published, [{ policies: 1 }])
})
