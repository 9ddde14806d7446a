// What a draft would decide otherwise, and of what nobody can tell.

import t from 'tap'
import { stringifyExact } from '../../src/base/exact-json.ts'
import { erasedPersonal } from '../../src/ledger/encode.ts'
import type { DecisionRecord } from '../../src/model/record.ts'
import {
  exportedInput,
  personalOf,
  readExportLine,
  readRecorded,
  type RecordedRow,
} from '../../src/policy/recorded-input.ts'
import { isReading, Replay, replayPages, type ReplayReport } from '../../src/policy/replay.ts'
import { folderOf, loadDirs, withoutOpa } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'
import { decisionRecord, shippedOf } from '../support/records.ts'

type Changes = Partial<Omit<DecisionRecord, 'decision'>> & {
  readonly decision?: Partial<DecisionRecord['decision']>
}

const BASE = decisionRecord()
/** What `policy.default` says of it: nothing but ALLOW, and no policy has a part in it. */
const QUIET = {
  decision: 'ALLOW',
  reason: 'no policy speaks about this AI service',
  primary_policy_id: null,
} as const

function recordOf({ decision, ...more }: Changes = {}): DecisionRecord {
  return {
    ...BASE,
    masked: [],
    ...more,
    decision: { ...BASE.decision, ...QUIET, ...decision },
  }
}

function rowOf(changes: Changes = {}): RecordedRow {
  const [shipped] = shippedOf([recordOf(changes)])
  if (shipped === undefined) throw new Error('nothing was shipped')
  return { record: shipped.text, personal: shipped.personalBytes }
}

async function replayed(
  t: Parameters<typeof folderOf>[0],
  policies: string,
  rows: readonly RecordedRow[],
  pseudonymous = false,
): Promise<ReplayReport> {
  const draft = await loadDirs([folderOf(t, { 'p.cedar': policies })])
  const replay = new Replay({ draft, combining: RULES, pseudonymous })
  for (const row of rows) replay.add(readRecorded(row, pseudonymous))
  return replay.report()
}

const NOTHING = '@id("nothing") forbid (principal, action == Cordon::Action::"paste", resource);'
const NO_CHAT =
  '@id("no-chat") @reason("no") forbid (principal, action, resource == Cordon::Service::"chatgpt");'

const HERS = `# METADATA
# scope: package
# custom:
#   cordon:
#     id: hers
#     scope: {users: [maya]}
package hers

deny := true
`

t.test('the old answer by the new one, in all and by department, service and person', async (t) => {
  const rows = [
    rowOf(),
    rowOf({
      decision: { decision: 'DENY' },
      input: inputWith({ resource: { id: 'other', ai: true, known: true, type: 'ai_service' } }),
    }),
    rowOf({ person_key: 'f'.repeat(64), personal: { user: { name: 'ben' } } }),
  ]
  const report = await replayed(t, NO_CHAT, rows)
  t.match(report, {
    policies: 1,
    decisions: 3,
    compared: 3,
    changed: 3,
    newly_denied: 2,
    newly_allowed: 1,
    cannot_tell: 0,
    matrix: { ALLOW: { DENY: 2 }, DENY: { ALLOW: 1 } },
    by: {
      department: { items: [{ name: 'Engineering', newly_denied: 2 }], other: null },
      service: {
        items: [
          { name: 'chatgpt', newly_denied: 2 },
          { name: 'other', newly_allowed: 1 },
        ],
      },
    },
  })
  t.same(new Set(report.by.user.items.map(({ name }) => name)), new Set(['ben', 'maya']))
  t.match(report.samples.frequent, [
    { from: 'ALLOW', to: 'DENY', count: 2, old_policy_id: null, new_policy_id: 'no-chat' },
    { from: 'DENY', to: 'ALLOW', count: 1 },
  ])
  t.equal(report.samples.newest.length, 3)
})

t.test(
  'with the same policies everything is as it was, and equal documents run once',
  async (t) => {
    const report = await replayed(
      t,
      NOTHING,
      Array.from({ length: 20 }, () => rowOf()),
    )
    t.match(report, { decisions: 20, changed: 0, identical: 20, evaluations: 1 })
  },
)

t.test('documents that differ in what is read run each, whatever the answer', async (t) => {
  const rows = ['a', 'b', 'c'].map((id) =>
    rowOf({ input: inputWith({ resource: { id, ai: true, known: true, type: 'ai_service' } }) }),
  )
  const late =
    '@id("late") forbid (principal, action, resource) when { resource has id && resource.id like "z*" };'
  t.match(await replayed(t, late, [...rows, ...rows]), { decisions: 6, evaluations: 3 })
})

t.test(
  'of erased people and of paths that are not kept nobody can tell, where they are read',
  async (t) => {
    const erased: RecordedRow = { ...rowOf(), personal: null }
    const pathless = rowOf({
      masked: ['resource.path'],
      input: inputWith({
        resource: { id: 'chatgpt', ai: true, known: true, type: 'ai_service', method: 'POST' },
      }),
    })
    const reading = `
    @id("names") forbid (principal, action, resource) when { principal has email && principal.email == "x" };
    @id("paths") forbid (principal, action, resource) when { resource has path && resource.path == "/x" };`
    t.match(await replayed(t, reading, [erased, pathless, rowOf()]), {
      compared: 1,
      cannot_tell: 2,
      changed: 0,
      masked: [
        { path: 'resource.path', count: 1, policy_ids: ['paths'] },
        { path: 'user.email', count: 1, policy_ids: ['names'] },
      ],
    })
    t.match(await replayed(t, NO_CHAT, [erased, pathless]), { compared: 2, cannot_tell: 0 })
  },
)

t.test('a scope that names people hangs on who it was', { skip: withoutOpa() }, async (t) => {
  const draft = await loadDirs([folderOf(t, { 'hers.rego': HERS })])
  const replay = new Replay({ draft, combining: RULES, pseudonymous: false })
  replay.add(readRecorded({ ...rowOf(), personal: null }))
  replay.add(readRecorded(rowOf()))
  replay.add(readRecorded(rowOf({ personal: { user: { name: 'ben' } } })))
  t.match(replay.report(), {
    cannot_tell: 1,
    newly_denied: 1,
    compared: 2,
    masked: [{ path: 'user.email' }, { path: 'user.name', policy_ids: ['hers'] }],
  })
})

t.test('people who are shown by pseudonyms are masked, and told by pseudonym', async (t) => {
  const names =
    '@id("names") forbid (principal, action, resource) when { principal has name && principal.name == "maya" };'
  const row = rowOf({ person_key: 'a'.repeat(64) })
  t.match(await replayed(t, names, [row]), { newly_denied: 1 })
  const report = await replayed(t, names, [row], true)
  t.match(report, {
    newly_denied: 0,
    cannot_tell: 1,
    by: { user: { items: [{ name: /^person-[a-z2-7]{12}$/ }] } },
  })
  t.notMatch(JSON.stringify(report), /maya|id-maya/)
})

t.test('policy verdict is compared with policy verdict, whatever was done', async (t) => {
  const said = {
    decision: 'DENY',
    reason: 'no',
    primary_policy_id: 'no-chat',
    obligations: [],
    would_be: null,
  } as const
  const evaluated = [
    {
      policy_id: 'no-chat',
      policy_name: 'no-chat',
      matched: true,
      priority: 100,
      effect: 'DENY',
      mode: 'enforce',
      error: null,
    },
  ] as const
  const observed = rowOf({
    mode: 'audit',
    verdict: said,
    decision: {
      decision: 'ALLOW',
      would_be: 'DENY',
      reason: 'no',
      primary_policy_id: 'no-chat',
      policies_evaluated: evaluated,
    },
  })
  t.match(await replayed(t, NO_CHAT, [observed]), { changed: 0, identical: 1 })
  // A record of a former release tells no verdict and no masked paths: what each policy said tells.
  const {
    masked: _masked,
    verdict: _verdict,
    ...former
  } = recordOf({
    mode: 'audit',
    decision: {
      decision: 'ALLOW',
      would_be: 'DENY',
      reason: 'no',
      primary_policy_id: 'no-chat',
      policies_evaluated: evaluated,
    },
  })
  const [shipped] = shippedOf([former])
  const row = { record: shipped?.text ?? '', personal: shipped?.personalBytes ?? null }
  t.match(await replayed(t, NO_CHAT, [row]), { changed: 0, compared: 1, obligations_unknown: 1 })
})

t.test('obligations with words in place of names are what they were', async (t) => {
  const policy = `@id("tell") @obligations("[{\\"type\\":\\"notify\\",\\"parameters\\":{\\"to\\":[\\"maya@acme.example\\"]}}]") permit (principal, action, resource);`
  const evaluated = [
    {
      policy_id: 'tell',
      policy_name: 'tell',
      matched: true,
      priority: 100,
      effect: 'ALLOW',
      mode: 'enforce',
      error: null,
    },
  ] as const
  const rowTo = (to: string): RecordedRow =>
    rowOf({
      decision: {
        reason: 'tell',
        primary_policy_id: 'tell',
        policies_evaluated: evaluated,
        obligations: [{ type: 'notify', parameters: { to: [to] } }],
      },
    })
  t.match(await replayed(t, policy, [rowTo('[user.email]'), rowTo('soc@acme.example')]), {
    compared: 2,
    identical: 1,
    obligations_changed: 1,
    changed: 1,
  })
  t.ok(isReading('a [user.name] b [login]!', 'a maya b m!'))
  t.notOk(isReading('a [user.name] b', 'a b'))
  t.notOk(isReading('[user.name]x', 'mayay'))
  t.notOk(isReading('ab[user.name]bc', 'abc'))
})

t.test('an export gives what the store gives, with exact numbers', async (t) => {
  const row = rowOf({
    personal: { user: { name: 'maya', attributes: { badge: 2n ** 60n } }, path: '/u/maya' },
    input: inputWith({
      resource: {
        id: 'chatgpt',
        type: 'ai_service',
        ai: true,
        known: true,
        path: '/u/[user.name]',
      },
    }),
  })
  const recorded = readRecorded(row)
  t.match(recorded?.document, { resource: { path: '/u/maya' } })
  t.same(recorded?.masked, [])
  const { decision } = BASE
  const line = stringifyExact({
    ...decision,
    ...QUIET,
    mode: 'enforce',
    time: new Date(BASE.time),
    ...exportedInput(row, false),
  })
  const read = readExportLine(line)
  if (typeof read === 'string') throw new Error(read)
  t.same(read.document, recorded?.document)
  t.match(line, /"badge":1152921504606846976/)
  const proved = readExportLine(
    JSON.stringify({
      row: 1,
      record: row.record,
      personal: Buffer.from(row.personal ?? []).toString('base64'),
    }),
  )
  if (typeof proved === 'string') throw new Error(proved)
  t.same(proved.document, recorded?.document)
  const hidden = exportedInput(row, true)
  t.notMatch(stringifyExact(hidden), /maya/)
  t.match(hidden['masked'], ['user.name'])
  for (const [text, wanted] of [
    ['{"cordon_export":1}', 'no decision'],
    ['{"event_id":"x"}', 'no decision'],
    ['{"decision_id":"x"}', 'no input'],
    ['decision_id,time', 'unreadable'],
    ['{"decision_id":"x","input":{}}', 'unreadable'],
  ] as const)
    t.equal(readExportLine(text), wanted, text)
})

t.test('what was overwritten or damaged is no personal part', async (t) => {
  t.equal(personalOf(null), undefined)
  t.equal(personalOf(erasedPersonal(60)), undefined)
  t.equal(personalOf(Buffer.from('0123456789abcdef[1]')), undefined)
})

t.test('it ends with the limit, and where somebody says so', async (t) => {
  const draft = await loadDirs([folderOf(t, { 'p.cedar': NOTHING })])
  const pages = async function* () {
    for (let page = 0; page < 10; page++)
      yield await Promise.resolve([rowOf(), rowOf()].map((row) => readRecorded(row)))
  }
  const run = (): Replay => new Replay({ draft, combining: RULES, pseudonymous: false })
  const limited = run()
  const onPage = (): void => undefined
  t.equal(
    await replayPages(limited, pages(), { limit: 5, isCancelled: () => false, onPage }),
    'limit',
  )
  t.equal(limited.report().decisions, 5)
  const cancelled = run()
  t.equal(await replayPages(cancelled, pages(), { isCancelled: () => true, onPage }), 'cancelled')
  t.equal(cancelled.report().decisions, 2)
  t.equal(await replayPages(run(), pages(), { isCancelled: () => false, onPage }), 'complete')
})

t.test('names beyond the limit are counted together', async (t) => {
  const draft = await loadDirs([folderOf(t, { 'p.cedar': NO_CHAT })])
  const replay = new Replay({ draft, combining: RULES, pseudonymous: false, top: 2 })
  for (let person = 0; person < 5; person++)
    replay.add(
      readRecorded(
        rowOf({
          person_key: String(person).repeat(64),
          personal: { user: { name: `p${person}` } },
        }),
      ),
    )
  t.match(replay.report().by.user, { items: { length: 2 }, other: { names: 3, newly_denied: 3 } })
})

function inputWith(more: Readonly<Record<string, unknown>>): unknown {
  return { ...(BASE.input as object), ...more }
}
