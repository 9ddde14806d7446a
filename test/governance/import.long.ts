// Directory files, kind and hostile ones, into the embedded database.

import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { formatProblem } from '../../src/base/errors.ts'
import type { Kind } from '../../src/governance/columns.ts'
import { readDirectoryFile } from '../../src/governance/directory-file.ts'
import { addUser, importFile, type ImportResult } from '../../src/governance/import.ts'
import { StoredDirectory } from '../../src/store/directory.ts'
import { embeddedStore } from '../support/stores.ts'

const { db } = await embeddedStore(t)
let tenants = 0
const MANY = 1500

interface Company {
  readonly tenant: string
  /** `created updated unchanged`, or the problems. */
  readonly outcome: (kind: Kind, content: string) => Promise<string | string[]>
}

function company(): Company {
  const tenant = `company-${tenants++}`
  const load = (kind: Kind, content: string): Promise<ImportResult> =>
    importFile(db, tenant, { file: `${kind}.csv`, content, kind })
  return {
    tenant,
    outcome: async (kind, content) => {
      const { created, updated, unchanged, refused } = await load(kind, content)
      return refused.length > 0 ? refused.map(formatProblem) : `${created} ${updated} ${unchanged}`
    },
  }
}

async function names(tenant: string, table: string, column = 'name'): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select ${sql.ref(column)} as name from ${sql.table(table)} where tenant = ${tenant} order by 1`.execute(
    db,
  )
  return rows.map(({ name }) => name)
}

const USERS = `name,email,department,groups,roles,status,risk_score
maya,maya@acme.example,Platform,devs;ops,admin,active,10
bob,bob@acme.example,Sales,,,suspended,
`

t.test('a file says what became of its rows; the same again changes nothing', async (t) => {
  const { outcome, tenant } = company()
  t.equal(
    await outcome(
      'departments',
      'name,parent,allowed_ai_services\nEngineering,,chatgpt;claude\nPlatform,Engineering,\n',
    ),
    '2 0 0',
  )
  t.equal(await outcome('users', USERS), '2 0 0')
  t.equal(await outcome('users', USERS), '0 0 2')
  t.equal(
    await outcome('users', USERS.replace('devs;ops', 'ops;devs;devs')),
    '0 0 2',
    'a list is a set',
  )
  t.equal(await outcome('users', USERS.replace(',10', ',11')), '0 1 1')
  t.equal(
    await outcome('users', USERS.replace('devs;ops', 'devs').replace(',10', ',11')),
    '0 1 1',
    'of groups alone, too',
  )
  t.equal(
    await outcome(
      'memberships',
      'user,group\nMAYA@acme.example,finance\nbob,finance\nbob,finance\n',
    ),
    '2 0 1',
  )
  t.equal(await outcome('groups', 'name,prohibited_ai_services\nfinance,claude\n'), '1 0 0')
  t.equal(await outcome('roles', 'name,description\nadmin,everything\n'), '1 0 0')
  t.equal(
    await outcome('assets', 'hostname,crown_jewel,data_classification\nlap-7,yes,pii;phi\n'),
    '1 0 0',
  )
  t.equal(await outcome('assets', 'hostname,crown_jewel\nLAP-7,no\n'), '0 1 0', 'whatever the case')
  const found = await new StoredDirectory(db, tenant).find({ login: 'maya' })
  t.match(found?.user, {
    department: { name: 'Platform', path: ['Engineering', 'Platform'] },
    groups: ['devs', 'finance'],
    roles: ['admin'],
    risk_score: 11,
  })
  t.same(found?.allowed_services, new Set(['chatgpt', 'claude']))
  t.same(found?.prohibited_services, new Set(['claude']))
})

t.test('what a row leaves out stays; empty is absent', async (t) => {
  const { outcome, tenant } = company()
  await outcome('users', USERS)
  t.equal(await outcome('users', 'name,job_title,groups,department\nmaya,Engineer,,\n'), '0 1 0')
  const found = await new StoredDirectory(db, tenant).find({ login: 'maya' })
  t.match(found?.user, {
    job_title: 'Engineer',
    email: 'maya@acme.example',
    groups: ['devs', 'ops'],
  })
})

t.test(
  'all or nothing: one bad line keeps the file out, and every bad line is named',
  async (t) => {
    const { outcome, tenant } = company()
    t.same(
      await outcome(
        'users',
        'name,email,risk_score,status\nann,a@x.example,5,active\nbob,,500,activ\n,c@x.example,,\n',
      ),
      [
        'users.csv:3:1: risk_score must be a whole number from 0 to 100',
        'users.csv:3:1: status must be one of active, suspended, inactive (did you mean "active"?)',
        'users.csv:4:1: name is empty',
      ],
    )
    t.same(await names(tenant, 'users'), [])
  },
)

t.test('a name, e-mail or external id that is another’s is refused', async (t) => {
  const { outcome, tenant } = company()
  await outcome('users', 'name,email,external_id\nann,ann@x.example,E1\nbob,bob@x.example,E2\n')
  const refused = async (row: string): Promise<void> => {
    const result = await outcome('users', `name,email,external_id\nnew,,\n${row}\n`)
    t.match(
      result,
      [/^users\.csv:3:1: ".+" is the name, e-mail or external id of (?:ann|bob)$/],
      row,
    )
  }
  await refused('carl,ANN@x.example,')
  await refused('carl,,e2')
  await refused('Ann@X.example,,')
  await refused('E1,,')
  await refused('carl,bob,')
  await refused('ann,,bob@x.example')
  t.same(await names(tenant, 'users'), ['ann', 'bob'], 'and nothing of these files is there')
  t.equal(await outcome('users', 'name,email\nann,ANN@x.example\n'), '0 1 0', 'its own is its own')
  for (const user of [{ name: 'E2' }, { name: 'carl', email: 'ann' }, { name: 'ANN' }])
    await t.rejects(addUser(db, tenant, user), { code: 'CONFLICT' })
})

t.test('also within one file', async (t) => {
  const { outcome } = company()
  const result = await outcome(
    'users',
    'name,email,external_id\nann,a@x.example,\nbob,A@x.example,\ncarl,,ann\n',
  )
  t.match(result, [
    /^users\.csv:3:1: "A@x\.example" is .* of ann$/,
    /^users\.csv:4:1: "ann" is .* of ann$/,
  ])
  t.equal(
    await outcome('users', 'name,email\nann,a@x.example\nANN,a2@x.example\nbob,a@x.example\n'),
    '2 1 0',
    'in order',
  )
})

t.test('an e-mail can move from one to another', async (t) => {
  const { outcome, tenant } = company()
  await outcome('users', 'name,email\nann,a@x.example\nbob,b@x.example\n')
  t.equal(
    await outcome('users', 'name,email\nbob,b2@x.example\nann,b@x.example\nbob,a@x.example\n'),
    '0 3 0',
  )
  const directory = new StoredDirectory(db, tenant)
  t.equal((await directory.find({ email: 'a@x.example' }))?.user.name, 'bob')
  t.equal((await directory.find({ email: 'b@x.example' }))?.user.name, 'ann')
})

t.test('departments in a circle, or too deep, are refused', async (t) => {
  const { outcome } = company()
  t.same(
    await outcome('departments', 'name,parent\nA,b\nB,C\nC,A\nD,A\n').then((found) => found[0]),
    'departments.csv: department "A" is its own ancestor',
  )
  t.equal(await outcome('departments', 'name,parent\nA,\nB,A\n'), '2 0 0')
  t.match(await outcome('departments', 'name,parent\nA,B\n'), [/"A" is its own/, /"B" is its own/])
  const deep = Array.from({ length: 70 }, (_, index) => `D${index},D${index + 1}`).join('\n')
  t.match(await outcome('departments', `name,parent\n${deep}\n`), [/deeper than 64/])
})

t.test('a member that is nobody is refused by line', async (t) => {
  const { outcome } = company()
  await outcome('users', USERS)
  t.same(await outcome('memberships', 'user,group\nmaya,a\nnobody,b\n'), [
    'memberships.csv:3:1: there is no user "nobody"',
  ])
})

t.test('formulas are text, and what looks like SQL, too', async (t) => {
  const { outcome, tenant } = company()
  const odd = ['=cmd()', '+1', '@SUM(A1)', `o'neil"; drop table users; --`]
  t.equal(
    await outcome(
      'users',
      `name\n${odd.map((name) => `"${name.replaceAll('"', '""')}"`).join('\n')}\n`,
    ),
    '4 0 0',
  )
  t.same((await names(tenant, 'users')).toSorted(), odd.toSorted())
})

t.test('a user is added with everything that a file would check', async (t) => {
  const { tenant } = company()
  const { user_id: id } = await addUser(db, tenant, {
    name: ' maya ',
    email: 'm@x.example',
    department: 'Engineering',
    groups: ['devs', 'ops'],
  })
  const found = await new StoredDirectory(db, tenant).find({ login: 'M@x.example' })
  t.match(found?.user, {
    id,
    name: 'maya',
    groups: ['devs', 'ops'],
    department: { name: 'Engineering', path: ['Engineering'] },
  })
  for (const name of ['a\0b', 'x'.repeat(2000), 'line\nbreak'])
    await t.rejects(addUser(db, tenant, { name }), { code: 'INPUT_INVALID' })
})

t.test('hostile files get a message with a place', async (t) => {
  const cases: readonly [string, Kind, string, RegExp][] = [
    ['nothing', 'users', '', /users:1:1: the file is empty/],
    ['only blank lines', 'users', '\n\n', /users:1:1: the file is empty/],
    [
      'an unknown column',
      'users',
      'name,emial\nx,y\n',
      /users:1:1: unknown column "emial" \(did you mean "email"\?\)/,
    ],
    [
      'a doubled column',
      'users',
      'name,email,name\nx,y,z\n',
      /users:1:1: the column "name" stands twice/,
    ],
    ['a column that is missing', 'users', 'email\nx\n', /users:1:1: the column "name" is missing/],
    ['a column of every object', 'users', 'name,__proto__\nx,y\n', /unknown column "__proto__"/],
    ['the same in JSON', 'users', '[{"name":"x","__proto__":"y"}]', /unknown column "__proto__"/],
    ['NUL', 'users', 'name\nok\nx\0y\n', /users:3:1: name holds a control character/],
    ['a line break in a name', 'users', 'name\n"x\ny"\n', /name holds a control character/],
    [
      'too long',
      'users',
      `name\n${'x'.repeat(1025)}\n`,
      /users:2:1: name must be at most 1024 characters/,
    ],
    ['a quote that never ends', 'users', 'name\n"x\ny\n', /users:\d+:1: .*[Qq]uot/],
    ['a quote in the middle', 'users', 'name\nx"y\n', /users:2:1: .*[Qq]uote/],
    ['a cell too many', 'users', 'name,email\nx,y\na,b,c\n', /users:3:1: .*[Ll]ength/],
    ['a cell too few', 'users', 'name,email\nx\n', /users:2:1: .*[Ll]ength/],
    ['no JSON', 'users', '[{"name":"x"},\n{"name":"y"', /users:2:\d+: is not well-formed JSON/],
    ['no list', 'users', '{"name":"x"}', /users:1:1: must be a JSON list/],
    ['no objects', 'users', '[{"name":"x"},\n\n"y"]', /users:3:1: item 2 must be an object/],
    [
      'an object in a cell',
      'users',
      '[\n{"name":"x"},\n{\n"name":{}}]',
      /users:3:1: item 2: name must be/,
    ],
    [
      'a bad value in JSON',
      'users',
      '[\n{"name":"x",\n"risk_score":5},\n{"name":"y]\\"[",\n"risk_score":500},{"name":"z","status":"?"}]',
      /users:4:1: risk_score must be[^]*users:5:1: status must be/,
    ],
    ['a list inside a list item', 'users', '[{"name":"x","groups":["a;b"]}]', /groups must be/],
    [
      'endless lists',
      'groups',
      `name,allowed_ai_services\nx,${Array.from({ length: 1001 }, (_, index) => index).join(';')}\n`,
      /at most 1000 items/,
    ],
  ]
  for (const [what, kind, content, wanted] of cases) {
    const { problems } = readDirectoryFile('users', content, kind)
    t.match(problems.map(formatProblem).join('\n'), wanted, what)
  }
})

t.test('what spreadsheets write is read', async (t) => {
  for (const content of [
    '\ufeffname,email\r\nMaya Ünal,m@x.example\r\n"Bob, Jr. ""B""",\r\n',
    '\ufeff[{"name":"Maya Ünal","email":"m@x.example"},{"name":"Bob, Jr. \\"B\\"","email":null}]',
    ' name , email \n\n Maya Ünal , m@x.example \n"Bob, Jr. ""B""",\n\n',
  ]) {
    const { rows, problems } = readDirectoryFile('users', content, 'users')
    t.same(problems, [])
    t.same(
      rows.map(({ values }) => values),
      [{ name: 'Maya Ünal', email: 'm@x.example' }, { name: 'Bob, Jr. "B"' }],
    )
  }
})

// Measured with 20,000 as well: seconds on two busy cores.
t.test('thousands of people', async (t) => {
  const { outcome } = company()
  const file = (score: number): string =>
    `name,email,external_id,department,groups,risk_score\n${Array.from(
      { length: MANY },
      (_, index) =>
        `user-${index},user-${index}@acme.example,E${index},Department ${index % 50},all;team-${index % 200},${score}`,
    ).join('\n')}\n`
  await measured(t, 'created', () => outcome('users', file(1)), `${MANY} 0 0`)
  await measured(t, 'unchanged', () => outcome('users', file(1)), `0 0 ${MANY}`)
  await measured(t, 'updated', () => outcome('users', file(2)), `0 ${MANY} 0`)
})

async function measured(
  t: Test,
  what: string,
  act: () => Promise<string | string[]>,
  wanted: string,
): Promise<void> {
  const before = performance.now()
  t.equal(await act(), wanted)
  t.comment(`${MANY} ${what} in ${Math.round(performance.now() - before)} ms`)
}
