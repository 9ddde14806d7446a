// Do the two languages mean the same? Two policies of the pack, written in the other language too.

import { deepStrictEqual } from 'node:assert/strict'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import type { PolicyEvaluated, Verdict } from '../../src/model/decision.ts'
import { loadDirs } from '../support/policy-folder.ts'

const PACK = join(import.meta.dirname, '../../policies')
const TWINS = join(import.meta.dirname, 'twins')
const RUNS = 200

/** Words that matter, words that nearly do, and any other. */
const wordNear = (...words: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom(...words),
    fc.constantFrom(...words).map((word) => word.toUpperCase()),
    fc.constantFrom('', ' ', '\0', 'a'.repeat(300), 'ſecret', 'null'),
    fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()),
  )
/** What both languages see as no list, no record, no text. */
const odd = fc.constantFrom<unknown>(null, 0, 1.5, -0, 1e300, 'text', '', true, false, [])
const listNear = (...words: readonly string[]): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.array(wordNear(...words), { maxLength: 6 }) },
    { weight: 2, arbitrary: fc.array(fc.oneof(wordNear(...words), odd), { maxLength: 6 }) },
    odd,
  )
/** The members may each be absent, and the whole be odd. */
const partOf = (members: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 9, arbitrary: fc.record<unknown>(members, { requiredKeys: [] }) },
    { weight: 1, arbitrary: odd },
  )

const documents = fc.record<unknown>(
  {
    user: partOf({
      id: wordNear('u-1'),
      groups: listNear('ai-trained', 'staff'),
      risk_score: fc.nat(100),
    }),
    action: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('send_prompt', 'upload_file', 'call_tool', 'paste') },
      wordNear('access_ai_service', 'download_file'),
    ),
    resource: partOf({
      id: wordNear('chatgpt'),
      ai: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
      approval_status: wordNear('approved'),
      capabilities: listNear('local_llm', 'chat'),
    }),
    content: partOf({ finding_categories: listNear('secret', 'pii') }),
    context: partOf({ source: wordNear('proxy') }),
  },
  { requiredKeys: [] },
)

const TWO: Readonly<Record<string, string>> = {
  'secrets-to-external':
    'the text holds a secret, such as a key, a password or a token; take it out and send it again',
  'training-required':
    'please finish the AI training first; prompts and files can be sent after it',
}

for (const [id, reason] of Object.entries(TWO)) {
  t.test(`${id} says the same in Cedar and in Rego`, async (t) => {
    const [pack, twins] = await Promise.all([loadDirs([PACK]), loadDirs([TWINS])])
    const [one, other] = [pack, twins].map(({ policies }) =>
      policies.find((each) => each.id === id),
    )
    t.not(one?.language, other?.language)
    const same = [
      'name',
      'version',
      'priority',
      'severity',
      'mode',
      'framework',
      'article',
    ] as const
    for (const key of same) t.equal(other?.[key], one?.[key], key)

    const seen = new Set<string>()
    fc.assert(
      fc.property(documents, (document) => {
        const mine = pack.decide(document)
        const theirs = twins.decide(document)
        const entry = entryOf(mine, id)
        deepStrictEqual(entryOf(theirs, id), entry)
        seen.add(entry === undefined ? 'out of scope' : String(entry.effect))
        const answers = entry !== undefined && entry.effect !== null
        for (const verdict of [mine, theirs])
          deepStrictEqual(texts(verdict).includes(reason), answers, 'the reason is told')
      }),
      { numRuns: RUNS },
    )
    t.ok(seen.has('null') && (seen.has('DENY') || seen.has('REVIEW')), [...seen].join())
  })
}

function entryOf({ policies_evaluated }: Verdict, id: string): PolicyEvaluated | undefined {
  return policies_evaluated.find(({ policy_id }) => policy_id === id)
}

/** What the person is told: why it was decided, and what policies in `warn` would have said. */
function texts({ reason, warnings }: Verdict): string {
  return [reason, ...warnings].join('\n')
}
