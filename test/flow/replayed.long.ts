// A decision by replay reproduces the recorded one: thousands, made by the real corridor, over Rego and Cedar.

import t from 'tap'
import { readRecorded, type RecordedRow } from '../../src/policy/recorded-input.ts'
import { type Draft, Replay } from '../../src/policy/replay.ts'
import { Dice } from '../support/dice.ts'
import { loadDirs, withoutOpa } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'
import { REPLAYED_POLICIES, recordedHistory } from '../support/recorded-history.ts'

const DECISIONS = 3000
const { seed } = new Dice()
t.comment(`CORDON_SEED=${seed}`)

t.test(
  'every record, for policies that read what is recorded',
  { skip: withoutOpa() },
  async (t) => {
    const policies = await loadDirs([REPLAYED_POLICIES])
    const draft = await loadDirs([REPLAYED_POLICIES])
    const replay = new Replay({ draft, combining: RULES, pseudonymous: false })
    const rows: RecordedRow[] = []
    for await (const row of recordedHistory({ policies, decisions: DECISIONS, seed })) {
      rows.push(row)
      replay.add(readRecorded(row))
    }
    const report = replay.report()
    if (report.identical !== rows.length) t.fail(firstOther(rows, draft))
    t.match(report, {
      decisions: rows.length,
      compared: rows.length,
      identical: rows.length,
      changed: 0,
      would_be_changed: 0,
      newly_failing: 0,
      cannot_tell: 0,
      unreadable: 0,
      obligations_unknown: 0,
    })
    t.ok(rows.length >= DECISIONS)
    for (const answer of ['ALLOW', 'DENY', 'REVIEW'] as const)
      t.ok(report.matrix[answer][answer] > 50, `${answer} is among them`)
    const texts = rows.map(({ record }) => record)
    for (const part of ['"verdict":{', '"would_be":"DENY"', '[user.name]', '"error":"', '"redact"'])
      t.ok(
        texts.some((text) => text.includes(part)),
        `${part} is among them`,
      )
  },
)

t.test('of what is not recorded nobody can tell', { skip: withoutOpa() }, async (t) => {
  const policies = await loadDirs([REPLAYED_POLICIES])
  const replay = new Replay({ draft: policies, combining: RULES, pseudonymous: false })
  let decisions = 0
  const history = recordedHistory({
    policies,
    decisions: 500,
    seed,
    urlPaths: false,
    unrecorded: true,
  })
  for await (const row of history) {
    decisions += 1
    replay.add(readRecorded(decisions % 2 === 0 ? { ...row, personal: null } : row))
  }
  const report = replay.report()
  t.equal(report.identical, report.compared, 'what can be told is as it was')
  t.ok(report.cannot_tell > 0)
  const masked = new Set(report.masked.map(({ path }) => path))
  for (const path of [
    'resource.path',
    'resource.model',
    'user.name',
    'user.email',
    'user.attributes',
  ])
    t.ok(masked.has(path), path)
})

/** Which one it was. */
function firstOther(rows: readonly RecordedRow[], draft: Draft): string {
  const other = rows.find((row) => {
    const replay = new Replay({ draft, combining: RULES, pseudonymous: false })
    replay.add(readRecorded(row))
    return replay.report().identical === 0
  })
  return `not the same: ${other?.record ?? 'together only'}`
}
