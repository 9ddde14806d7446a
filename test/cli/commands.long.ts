// Commands that need no store, and what holds for every command: exit codes, streams, JSON.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { env as environment } from 'node:process'
import t from 'tap'
import { run } from '../support/command-line.ts'
import { POLICIES } from '../support/company.ts'
import { cordon, linesOf, MAIN } from '../support/cordon.ts'

const path = environment['PATH'] ?? ''
const dir = t.testdir()
mkdirSync(join(dir, 'policies'))
writeFileSync(join(dir, 'policies/ours.cedar'), POLICIES)
writeFileSync(join(dir, 'cordon.yaml'), 'policy: {dirs: [policies]}\n')

const ASKED = {
  user: { id: 'u-1', groups: ['interns'] },
  action: 'send_prompt',
  resource: { id: 'open-chat', name: 'Open Chat', category: 'chat', ai: true },
}

t.test('an explanation a line, in words or as JSON, errors in their places', async (t) => {
  const input = `${JSON.stringify(ASKED)}\nno JSON\n`
  const words = await run(['policy', 'explain'], { cwd: dir, input })
  t.equal(words.code, 0)
  t.match(words.out, /^DENY: interns may not chat\n/)
  t.match(words.out, /\n---\nerror: /)
  const { out } = await run(['policy', 'explain', '--json', '--policy', 'frowned'], {
    cwd: dir,
    input,
  })
  const [told, error] = linesOf(out)
  t.match(told, {
    decision: 'DENY',
    primary_policy_id: 'no-interns',
    candidates: [],
    not_asked: [{ policy_id: 'frowned', missed: [{ dimension: 'categories', seen: ['chat'] }] }],
  })
  t.match(error, { error: /JSON/ })
})

t.test('conflicts of a folder, with nothing else', async (t) => {
  const fine = await run(['policy', 'conflicts'], { cwd: dir })
  t.equal(fine.code, 0, fine.err)
  mkdirSync(join(dir, 'bad'))
  writeFileSync(
    join(dir, 'bad/ours.cedar'),
    `${POLICIES}\n@id("open") @priority("960") permit (principal, action, resource);\n`,
  )
  const bad = await run(['policy', 'conflicts', 'bad', '--json'], { cwd: dir })
  t.equal(bad.code, 1)
  const report = JSON.parse(bad.out) as { conflicts: { severity: string; witness: unknown }[] }
  t.ok(
    report.conflicts.some(({ severity, witness }) => severity === 'critical' && witness !== null),
  )
  writeFileSync(join(dir, 'accepted.json'), bad.out)
  const accepted = await run(['policy', 'conflicts', 'bad', '--accepted', 'accepted.json'], {
    cwd: dir,
  })
  t.equal(accepted.code, 0)
  t.equal((await run(['policy', 'conflicts', '--notes', 'x'], { cwd: dir })).code, 2)
})

t.test('a wrong call ends with 2, and says what would be right', async (t) => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['strat'], /Did you mean start\?/],
    [['start', '--role', 'boss'], /all, gateway, control, recorder/],
    [['check', '--efective'], /Did you mean --effective\?/],
    [['mode'], /missing required argument/],
    [['mode', 'off'], /one of enforce, warn, audit/],
    [['mode', 'audit', '--for', 'soon'], /duration with a unit/],
    [['token', 'create'], /--user/],
    [['key', 'create', '--name', 'x'], /--scope/],
    [['signatures', 'match'], /give a URL/],
    [['signatures', 'match', 'https://x.test/', '-H', 'nonsense'], /Name: value/],
    [['signatures', 'match', 'http://'], /not a URL/],
    [['ledger', 'export', '--table', 'people'], /decisions, violations, audit_events/],
    [['ledger', 'export', '--from', 'yesterday'], /--from must be a time/],
    [['policy', 'eval', '--combining', 'best'], /priority_tiers, most_restrictive/],
    [['context', 'import', 'people.csv'], /add --kind/],
    [['policy'], /Usage/],
    [['nonsense', 'more'], /unknown command/],
  ]
  for (const [args, expected] of cases) {
    const { code, out, err } = await run(args, { cwd: dir })
    t.equal(code, 2, args.join(' '))
    t.match(err, expected, args.join(' '))
    t.equal(out, '', args.join(' '))
  }
})

t.test('help and version are data', async (t) => {
  const help = await run(['--help'])
  t.equal(help.code, 0)
  t.match(help.out, /Exit codes: 0 done/)
  t.match((await run(['--version'])).out, /^\d+\.\d+\.\d+\n$/)
  t.equal(
    (await run(['check', '--config', 'absent.yaml'], { cwd: dir })).code,
    3,
    'a file that is missing',
  )
})

t.test('signatures match: one URL, or one JSON object a line, answered in order', async (t) => {
  const one = await run(['signatures', 'match', 'https://chatgpt.com/', '--json'], { cwd: dir })
  t.equal(one.code, 0)
  t.same(JSON.parse(one.out), { url: 'https://chatgpt.com/', service: 'chatgpt', match: 'domain' })
  t.equal((await run(['signatures', 'match', 'chatgpt.com:443'], { cwd: dir })).code, 0)
  const none = await run(['signatures', 'match', 'https://nobody.test/'], { cwd: dir })
  t.equal(none.code, 1, 'the answer is no')
  const input = [
    '{"url": "https://chatgpt.com/"}',
    'nonsense',
    '{"url": "https://nobody.test/"}',
    '{"url": 5}',
    '',
  ]
  const many = await run(['signatures', 'match', '--stdin'], { cwd: dir, input: input.join('\n') })
  t.equal(many.code, 0)
  t.match(linesOf(many.out), [
    { service: 'chatgpt' },
    { error: String },
    { url: 'https://nobody.test/', service: null, match: null },
    { error: String },
  ])
})

t.test('policy list, eval and test', async (t) => {
  const list = await run(['policy', 'list', '--json'], { cwd: dir })
  t.match(JSON.parse(list.out), [
    { id: 'no-secrets', priority: 950 },
    { id: 'banned', mode: 'enforce', severity: 'high', language: 'cedar' },
    { id: 'no-interns' },
    { id: 'frowned', mode: 'warn' },
  ])
  const input = [
    {
      user: { known: true },
      action: 'paste',
      resource: { id: 'x', category: 'banned', ai: true },
      context: {},
    },
    { action: 'paste', resource: { ai: false }, context: {} },
  ].map((each) => JSON.stringify(each))
  const evaluated = await run(['policy', 'eval'], {
    cwd: dir,
    input: `${input[0]}\n[1,\n${input[1]}\n`,
  })
  t.equal(evaluated.code, 0)
  t.match(linesOf(evaluated.out), [
    { decision: 'DENY', primary_policy_id: 'banned', review_id: null },
    { error: String },
    { decision: 'ALLOW', primary_policy_id: null },
  ])
  writeFileSync(
    join(dir, 'policies/ours.test.yaml'),
    `cases:
  - {name: banned is denied, input: {resource: {category: banned}}, expect: {decision: DENY}}
  - {name: banned is allowed, input: {resource: {category: banned}}, expect: {decision: ALLOW}}
`,
  )
  const tested = await run(['policy', 'test'], { cwd: dir })
  t.equal(tested.code, 1)
  t.match(tested.out + tested.err, /fail \S+ours\.test\.yaml:\d+: /)
})

t.test('tables are JSON with --json, and colourless where colour is not wanted', async (t) => {
  const table = await run(['policy', 'list'], { cwd: dir })
  t.match(table.out, /^ *id +origin +status +version +mode +priority/)
  // oxlint-disable-next-line no-control-regex -- colours begin with it
  t.notMatch(table.out, /\u001b/)
  const inTerminal = (env: Record<string, string>): Promise<string> =>
    underTerminal(`${process.execPath} ${MAIN} policy list`, dir, env)
  // oxlint-disable-next-line no-control-regex -- colours begin with it
  t.notMatch(await inTerminal({ NO_COLOR: '1' }), /\u001b/)
})

t.test('a reader that goes away ends it quietly', async (t) => {
  const child = spawn(
    'sh',
    ['-c', `"${process.execPath}" "${MAIN}" signatures match --stdin | head -1`],
    { cwd: dir, stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let [out, err] = ['', '']
  child.stdout.on('data', (part: Buffer) => {
    out += part.toString()
  })
  child.stderr.on('data', (part: Buffer) => {
    err += part.toString()
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end('{"url": "https://chatgpt.com/"}\n'.repeat(50_000))
  await once(child, 'close')
  t.match(out, /^\{.*\}\n$/)
  t.equal(err, '')
})

t.test('the process ends with the code of the command, and says failures on stderr', async (t) => {
  const { code, out, err } = await cordon(['check', '--config', 'absent.yaml'], { cwd: dir })
  t.match(
    { code, out, err },
    { code: 3, out: '', err: /^cordon: \S+absent\.yaml: no such file\n$/ },
  )
})

/** What a command prints to a terminal; nothing where `script` is not installed. */
async function underTerminal(
  command: string,
  cwd: string,
  env: Record<string, string>,
): Promise<string> {
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd,
    env: { PATH: path, ...env },
  })
  let out = ''
  child.on('error', () => undefined)
  child.stdout.on('data', (part: Buffer) => {
    out += part.toString()
  })
  await once(child, 'close')
  return out
}
