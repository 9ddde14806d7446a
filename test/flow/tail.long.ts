// `cordon tail` and `cordon report` as people use them: over a Cordon that runs, that ends and starts again, and over none.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { eventually, linesOf, MAIN, Place, type Running } from '../support/cordon.ts'

const place = await new Place().withStore()
t.teardown(() => place.remove())
place.configure({})
let running: Running = await place.start()
t.teardown(() => running.stop())
const writer = (
  await place.done(['key', 'create', '--name', 'w', '--scope', 'decisions:write,decisions:read'])
).trim()

/** `cordon tail` while it runs. */
class Tail {
  readonly child: ChildProcess
  out = ''
  err = ''

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [MAIN, 'tail', '--config', place.file, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.on('data', (part: Buffer) => {
      this.out += part.toString('utf8')
    })
    this.child.stderr?.on('data', (part: Buffer) => {
      this.err += part.toString('utf8')
    })
    t.teardown(() => this.child.kill('SIGKILL'))
  }

  get lines(): string[] {
    return this.out.split('\n').filter((line) => line !== '')
  }

  async until(holds: (tail: Tail) => boolean): Promise<void> {
    await eventually(
      () => Promise.resolve(this.out + this.err),
      () => holds(this),
      40_000,
    )
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const closed = once(this.child, 'close')
    this.child.kill(signal)
    const [code] = (await closed) as [number | null]
    return code
  }
}

async function decide(url: string, name = 'maya'): Promise<string> {
  const { status, body } = await running.call('/v1/decisions', writer, {
    user: { name },
    action: 'send_prompt',
    resource: { url },
  })
  t.equal(status, 200)
  return String(body['decision_id'])
}

t.test('decisions come as they are made, over a restart too', async (t) => {
  const before = await decide('https://chatgpt.com/')
  await eventually(
    () => running.export(),
    (rows) => rows.length === 1,
  )
  const tail = new Tail(['--json'])
  await tail.until(({ lines }) => lines.length === 1)
  const made = [
    before,
    await decide('https://claude.ai/'),
    await decide('https://gemini.google.com/'),
  ]
  await tail.until(({ lines }) => lines.length === 3)

  await running.stop()
  await tail.until(({ err }) => err.includes('Cordon does not run here: waiting for it'))
  running = await place.start()
  made.push(await decide('https://chatgpt.com/'))
  await tail.until(({ lines }) => lines.length === 4)
  t.same(
    linesOf(tail.out).map(({ decision_id: id }) => id),
    made,
  )
  t.equal(await tail.end('SIGINT'), 0, 'Ctrl-C ends it well')
})

t.test('lines for people: one a decision, and nothing that a terminal would obey', async (t) => {
  const evil = 'mal\u001b[31mory\u001b]0;x\u0007\r\nDENY\u202e'
  await decide('https://chatgpt.com/', evil)
  await eventually(
    () => running.export(),
    (rows) => rows.length === 5,
  )
  const { code, out } = await place.cordon(['tail', '-n', '2', '--no-follow'])
  t.equal(code, 0)
  const lines = out.split('\n')
  t.equal(lines.length, 3, 'two lines and an end')
  t.match(
    lines[0],
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}ALLOW, would be REVIEW {2}maya {2}ChatGPT {2}send_prompt {2}no policy/,
  )
  t.notMatch(out, /[^\n\P{Cc}]|\p{Cf}/u, 'no control characters, no colours in a pipe')
})

t.test('filters, times and counts', async (t) => {
  const shown = async (...args: string[]): Promise<number> =>
    linesOf(await place.done(['tail', '--json', '--no-follow', ...args])).length
  t.equal(await shown('--service', 'claude'), 1)
  t.equal(await shown('--since', '1h'), 5)
  t.equal(await shown('--since', '1h', '--service', 'chatgpt'), 3)
  t.equal(await shown('--since', new Date(Date.now() + 3_600_000).toISOString()), 0)
  t.equal(await shown('-n', '0'), 0)
  t.equal(await shown('-q', 'gemini'), 1)
  for (const args of [
    ['-n', 'x'],
    ['--since', 'soon'],
    ['--decision', 'MAYBE'],
  ])
    t.equal((await place.cordon(['tail', '--no-follow', ...args])).code, 2, args.join(' '))
})

t.test('a reader that goes away ends it', async (t) => {
  const tail = new Tail(['--json'])
  await tail.until(({ lines }) => lines.length === 5)
  tail.child.stdout?.destroy()
  await decide('https://chatgpt.com/')
  const [code] = (await once(tail.child, 'close')) as [number | null]
  t.equal(code, 0)
})

t.test('reports add up', async (t) => {
  await eventually(
    () => running.export(),
    (rows) => rows.length === 6,
  )
  const top = JSON.parse(await place.done(['report', 'top', '--json'])) as {
    items: { name: string; count: number }[]
  }
  t.match(top.items, [
    { name: 'chatgpt', count: 4, decisions: { ALLOW: 4, DENY: 0, REVIEW: 0 } },
    { name: 'claude', count: 1 },
    { name: 'gemini', count: 1 },
  ])
  const { body } = await running.call('/v1/reports/trend?bucket=day', writer)
  t.match(body, { read: 'decisions_hourly', items: [{ name: null, count: 6 }] })
  const { out } = await place.cordon(['report', 'top', '--by', 'person'])
  t.match(out, /maya +5/)
  const fresh = await running.call('/v1/reports/first-seen?by=person', writer)
  t.match(fresh.body, { items: [{ count: 1 }, { name: 'maya', person: /^person-/, count: 5 }] })
})

t.test(
  'while no Cordon runs the store is looked at, and left to the one that starts',
  async (t) => {
    await running.stop()
    t.equal(linesOf(await place.done(['tail', '--json', '--no-follow', '-n', '3'])).length, 3)
    t.match(await place.done(['report', 'top']), /chatgpt +4/)
    const tail = new Tail(['--json', '-n', '1'])
    await tail.until(({ err }) => err.includes('waiting for it'))
    running = await place.start()
    const id = await decide('https://claude.ai/')
    await tail.until(({ lines }) => lines.length === 2)
    t.equal(linesOf(tail.out)[1]?.['decision_id'], id)
    t.equal(await tail.end('SIGTERM'), 0)
  },
)
