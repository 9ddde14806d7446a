import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { folderOf, loadDirs, problemsOf, withoutOpa } from '../support/policy-folder.ts'

const PERMIT = 'permit(principal, action, resource);'

t.test('an empty folder is a set without policies', async (t) => {
  const set = await loadDirs([folderOf(t, { 'README.md': 'nothing here' })])
  t.same(set.policies, [])
})

t.test('a folder that is not there is an error with its path', async (t) => {
  const dir = join(t.testdir(), 'gone')
  await t.rejects(loadDirs([dir]), { code: 'NOT_FOUND', message: new RegExp(dir) })
})

t.test('a byte order mark hides no annotation', { skip: withoutOpa() }, async (t) => {
  const dir = folderOf(t, {
    'a.cedar': `\u{feff}@id("marked") @mode("warn") ${PERMIT}`,
    'b.rego':
      '\u{feff}# METADATA\n# scope: package\n# custom:\n#   cordon: {id: too, mode: audit}\npackage b\n\ndeny if input.x\n',
  })
  const { policies } = await loadDirs([dir])
  t.same(Object.fromEntries(policies.map(({ id, mode }) => [id, mode])), {
    marked: 'warn',
    too: 'audit',
  })
})

t.test('what is no UTF-8 is refused', async (t) => {
  const dir = folderOf(t, { 'a.cedar': '' })
  writeFileSync(join(dir, 'a.cedar'), Buffer.from([0x2f, 0x2f, 0xff, 0x0a]))
  await t.rejects(loadDirs([dir]), { code: 'POLICY_INVALID', message: /a\.cedar: .*UTF-8/ })
})

t.test('one bad policy refuses the folder, every place is told', async (t) => {
  const dir = folderOf(t, {
    'a.cedar': PERMIT,
    'b/c.cedar': `\n@priority("x") ${PERMIT}\n@mode("y") ${PERMIT}`,
    'data.json': '{"a": 1}',
  })
  t.match(await problemsOf(dir), [
    /^b\/c.cedar:2:1: priority must be/,
    /^b\/c.cedar:3:1: mode must be/,
  ])
})

t.test('an id used twice is refused, over several folders too', async (t) => {
  const dir = folderOf(t, {
    'one/a.cedar': `@id("x") ${PERMIT}`,
    'two/b.cedar': `@id("x") ${PERMIT}`,
  })
  t.match(await problemsOf(dir), [/^two\/b.cedar:.*"x".*one\/a.cedar/])
  await t.rejects(loadDirs([join(dir, 'one'), join(dir, 'two')]), { code: 'POLICY_INVALID' })
})

const DATA: Readonly<Record<string, readonly [files: Record<string, string>, problem: RegExp]>> = {
  'no JSON': [{ 'data.json': '{' }, /^data.json:1:2: /],
  'no object': [{ 'data.yaml': '[1]' }, /^data.yaml: a data document must be an object/],
  'a value given twice': [
    { 'a/data.json': '{"b": 1}', 'data.json': '{"a": {"b": 2}}' },
    /"a.b" is given by another data document already/,
  ],
  'a value where a folder is': [
    { 'a/data.json': '{"b": 1}', 'data.json': '{"a": 5}' },
    /"a" is given by another data document already/,
  ],
}
for (const [what, [files, problem]] of Object.entries(DATA)) {
  t.test(`a data document with ${what} is refused`, async (t) => {
    t.match(await problemsOf(folderOf(t, files)), [problem])
  })
}

t.test('a dangling link is an error, linked files and folders are read', async (t) => {
  const dir = folderOf(t, { 'real/a.cedar': PERMIT, 'set/.keep': '' })
  symlinkSync(join(dir, 'real'), join(dir, 'set/linked'))
  symlinkSync(join(dir, 'real/a.cedar'), join(dir, 'set/b.cedar'))
  const { policies } = await loadDirs([join(dir, 'set')])
  t.same(
    policies.map(({ id }) => id),
    ['a.cedar:1', 'b.cedar:1'],
  )
  symlinkSync(join(dir, 'gone'), join(dir, 'set/c.cedar'))
  await t.rejects(loadDirs([join(dir, 'set')]), { code: 'NOT_FOUND' })
})

t.test('folders that nest in themselves are refused', async (t) => {
  const dir = folderOf(t, { 'a.cedar': PERMIT })
  symlinkSync(dir, join(dir, 'again'))
  await t.rejects(loadDirs([dir]), { code: 'POLICY_INVALID', message: /nest deeper/ })
})

t.test('Rego reads data at its folder, integers exact', { skip: withoutOpa() }, async (t) => {
  const dir = folderOf(t, {
    'limits/data.json': '{"most": 9007199254740993}',
    'limits/more/data.yaml': 'words: [a]\n',
    'p.rego': `package p

deny contains "over" if input.n > data.limits.most

deny contains "word" if input.w in data.limits.more.words
`,
  })
  const set = await loadDirs([dir])
  t.equal(set.decide({ n: 9007199254740993n }).decision, 'ALLOW')
  t.equal(set.decide({ n: 9007199254740994n }).reason, 'over')
  t.equal(set.decide({ w: 'a' }).reason, 'word')
})

t.test('half a surrogate pair reaches Rego as U+FFFD', { skip: withoutOpa() }, async (t) => {
  const dir = folderOf(t, { 'p.rego': 'package p\n\ndeny contains input.x\n' })
  const set = await loadDirs([dir])
  const reasonOf = (x: string): string => set.decide({ x }).reason
  t.equal(reasonOf('a\ud800b'), 'a\ufffdb')
  t.equal(reasonOf('\\ud800'), '\\ud800', 'an escaped backslash is none of it')
  t.equal(reasonOf('😀'), '😀')
})

const REGO: Readonly<Record<string, readonly [text: string, problem: RegExp]>> = {
  syntax: ['package p\n\ndeny if {\n', /^p.rego:\d+:\d+: /],
  'an unknown function': ['package p\n\ndeny if nonsense(1)\n', /^p.rego:3:9: .*nonsense/],
  'a clock': [
    'package p\n\ndeny if time.now_ns() > 1\n',
    /^p.rego:3:9: .*time.now_ns.*not allowed/,
  ],
  'a network call': [
    'package p\n\ndeny if http.send({}).status == 200\n',
    /^p.rego:3:\d+: .*http.send/,
  ],
  'a priority outside 0 to 1000': [
    '# METADATA\n# scope: package\n# custom:\n#   cordon:\n#     priority: 1001\npackage p\n\ndeny := true\n',
    /^p.rego:5:7: priority must be/,
  ],
  'an unknown scope key': [
    '# METADATA\n# scope: package\n# custom:\n#   cordon:\n#     scope: {group: [a]}\npackage p\n\ndeny := true\n',
    /^p.rego:5:15: scope has no key "group" \(did you mean "groups"\?\)/,
  ],
}
for (const [what, [text, problem]] of Object.entries(REGO)) {
  t.test(`Rego with ${what} is refused`, { skip: withoutOpa() }, async (t) => {
    t.match(await problemsOf(folderOf(t, { 'p.rego': text })), [problem])
  })
}
