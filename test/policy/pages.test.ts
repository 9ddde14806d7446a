// Are the pages of docs/policies and the guide true? Every example is run, every list compared with the pack.

import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { IdSource } from '../../src/base/ids.ts'
import type { Decision } from '../../src/model/decision.ts'
import type { PolicyMetadata } from '../../src/model/policy.ts'
import { evaluateLine } from '../../src/policy/eval-lines.ts'
import { readFolder } from '../../src/policy/folder.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { differences, readTableTests } from '../../src/policy/table-tests.ts'
import { folderOf, loadDirs, withoutOpa } from '../support/policy-folder.ts'

const ROOT = join(import.meta.dirname, '../..')
const PACK = join(ROOT, 'policies')
const PAGES = join(ROOT, 'docs/policies')
const GUIDE = join(ROOT, 'docs/guides/write-a-policy.md')
const LANGUAGES = { rego: 'Rego', cedar: 'Cedar' }

const shipped = await loadDirs([PACK])
const ids = new IdSource()

t.test('the list of pages is the pack, in its order', async (t) => {
  const rows = rowsOf(readFileSync(join(PAGES, 'README.md'), 'utf8'))
  t.same(
    rows.slice(1).map(([link, , ...rest]) => [link, ...rest]),
    shipped.policies.map(({ id, mode, language, priority }) => [
      `[${id}](${id}.md)`,
      mode,
      LANGUAGES[language],
      String(priority),
    ]),
  )
  t.same(
    readdirSync(PAGES).toSorted(),
    ['README.md', ...shipped.policies.map(({ id }) => `${id}.md`)].toSorted(),
  )
})

for (const policy of shipped.policies) {
  t.test(`the page of ${policy.id} is true`, async (t) => {
    const page = pageOf(policy)
    t.same(rowsOf(page)[1], factsOf(policy))
    const [, source = ''] = /^Source: \[.*\]\((.*)\)$/m.exec(page) ?? []
    t.equal(join(PAGES, source), policy.file)
    t.ok(page.startsWith(`# ${policy.name}\n`))

    const [stopped, outcome] = examples(page, 'Stopped')
    const [passing, passed] = examples(page, 'Passes')
    for (const [document, expected] of [
      [stopped, outcome],
      [passing, passed],
    ])
      t.same(shown(ask(shipped, document), expected), expected)
    t.not(effectOf(ask(shipped, stopped), policy), null, 'it speaks about what is stopped')
    t.notOk(effectOf(ask(shipped, passing), policy), 'and not about what passes')
  })
}

t.test('enforced, each policy stops its example by itself', { skip: withoutOpa() }, async (t) => {
  const enforced = await loadDirs([enforcedPack(t.testdir())])
  for (const policy of shipped.policies) {
    const page = pageOf(policy)
    const [stopped, ...outcomes] = examples(page, 'Stopped')
    const expected = outcomes.at(-1)
    const decision = ask(enforced, stopped)
    t.equal(outcomes.length, policy.mode === 'enforce' ? 1 : 2, policy.id)
    t.same(shown(decision, expected), expected, policy.id)
    t.equal(decision.primary_policy_id, policy.id)
    t.not(decision.decision, 'ALLOW', policy.id)
    t.equal(ask(enforced, examples(page, 'Passes')[0]).decision, 'ALLOW', policy.id)
  }
})

t.test('the guide leads to policies whose tests pass', { skip: withoutOpa() }, async (t) => {
  const text = readFileSync(GUIDE, 'utf8')
  const files = Object.fromEntries(
    Array.from(
      text.matchAll(/^`rules\/([\w./]+)`[^\n]*\n\n```\w+\n(.*?)^```$/gms),
      ([, name = '', body = '']) => [name, body] as const,
    ),
  )
  t.same(Object.keys(files), [
    'contractor_uploads.rego',
    'exceptions/data.json',
    'source_code.cedar',
    'rules.test.yaml',
  ])
  const dir = folderOf(t, files)
  const set = await loadDirs([dir])
  for (const file of readFolder(dir).tableTests)
    for (const { name, input, expect } of readTableTests(file))
      t.same(differences(set.decide(input), expect ?? {}), [], name)
})

t.test('pages and guide link to files that are there', async (t) => {
  for (const file of [GUIDE, ...readdirSync(PAGES).map((name) => join(PAGES, name))]) {
    const text = readFileSync(file, 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      t.ok(existsSync(join(dirname(file), target)), `${file}: ${target}`)
  }
})

function pageOf({ id }: PolicyMetadata): string {
  return readFileSync(join(PAGES, `${id}.md`), 'utf8')
}

function factsOf(policy: PolicyMetadata): readonly string[] {
  const { id, language, mode, priority, severity, framework, article } = policy
  return [
    `\`${id}\``,
    LANGUAGES[language],
    mode,
    String(priority),
    severity,
    `${framework} ${article}`,
  ]
}

/** Cells of the first table, its line of dashes left out. */
function rowsOf(page: string): readonly (readonly string[])[] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|\s*-/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

type Document = Readonly<Record<string, unknown>>

/** The JSON blocks under a heading: the input, then the outcomes. */
function examples(page: string, heading: string): readonly Document[] {
  const [, section = ''] = page.split(`\n## ${heading}\n`)
  const [own = ''] = section.split('\n## ', 1)
  return Array.from(
    own.matchAll(/^```json\n(.*?)^```$/gms),
    ([, body = '']) => JSON.parse(body) as Document,
  )
}

function ask(set: PolicySet, document: Document | undefined): Decision {
  return JSON.parse(evaluateLine(JSON.stringify(document), { policies: set, ids })) as Decision
}

/** Of a decision what a page shows. */
function shown(decision: Decision, { ...page }: Document = {}): Document {
  return Object.fromEntries(Object.entries(decision).filter(([key]) => Object.hasOwn(page, key)))
}

function effectOf({ policies_evaluated }: Decision, { id }: PolicyMetadata): string | null {
  return policies_evaluated.find(({ policy_id }) => policy_id === id)?.effect ?? null
}

function enforcedPack(dir: string): string {
  cpSync(PACK, dir, { recursive: true })
  for (const { path, text } of [...readFolder(dir).rego, ...readFolder(dir).cedar])
    writeFileSync(
      path,
      text
        .replace('#     mode: warn', '#     mode: enforce')
        .replaceAll('@mode("warn")', '@mode("enforce")'),
    )
  return dir
}
