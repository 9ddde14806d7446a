// What a record keeps of a decision is enough to make it again; and what is missing is named.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readRecorded } from '../../src/policy/recorded-input.ts'
import { Replay } from '../../src/policy/replay.ts'
import { folderOf, loadDirs } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'
import { REPLAYED_POLICIES, recordedHistory } from '../support/recorded-history.ts'

const CEDAR = readFileSync(join(REPLAYED_POLICIES, 'people.cedar'), 'utf8')

t.test('decisions of every kind come out as they were', async (t) => {
  const policies = await loadDirs([folderOf(t, { 'people.cedar': CEDAR })])
  const replay = new Replay({ draft: policies, combining: RULES, pseudonymous: false })
  const texts: string[] = []
  for await (const row of recordedHistory({ policies, decisions: 200 })) {
    texts.push(row.record)
    replay.add(readRecorded(row))
  }
  t.match(replay.report(), { decisions: texts.length, identical: texts.length, cannot_tell: 0 })
  for (const part of ['"verdict":{', '"masked":[]', '/u/[user.name]/notes'])
    t.ok(
      texts.some((text) => text.includes(part)),
      part,
    )
})

t.test('paths, names of files and addresses in names of models are masked', async (t) => {
  const policies = await loadDirs([folderOf(t, { 'people.cedar': CEDAR })])
  const masked = new Set<string>()
  const history = recordedHistory({ policies, decisions: 200, urlPaths: false, unrecorded: true })
  for await (const row of history) {
    t.notMatch(row.record, /people\.csv|\/notes/)
    t.notMatch(Buffer.from(row.personal ?? []).toString(), /people\.csv|\/notes/)
    for (const path of readRecorded(row)?.masked ?? []) masked.add(path)
  }
  t.same(masked, new Set(['resource.path', 'resource.model', 'content.attachments.filename']))
})
