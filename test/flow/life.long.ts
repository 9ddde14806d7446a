// From start to end: what it measures, what it takes up on SIGHUP, what survives the loss of a worker, a drain, a kill.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { company, keyWith, POLICIES, SERVICES } from '../support/company.ts'
import { eventually, linesOf, Place } from '../support/cordon.ts'
import { dial } from '../support/peers.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

/** Requests to /slow are answered when the test says so. */
const waiting: ServerResponse[] = []
const standIn = await new StandIn((incoming, response) => {
  if (incoming.url === '/slow') waiting.push(response)
  else response.end('done')
}).listen()
const place = await new Place().withStore()
const settings = company(place, standIn.port, { proxy: { workers: 2 } })
place.configure(settings)
let cordon = await place.start()
const key = await keyWith(place, 'decisions:write')
const noPromtool = await withoutPromtool()

t.teardown(async () => {
  await cordon.stop('SIGKILL')
  standIn.close()
  place.remove()
})

const scrape = async (): Promise<string> => (await fetch(`${cordon.metrics}/metrics`)).text()

t.test('one scrape tells of all workers, by the names that are promised', async (t) => {
  for (let n = 0; n < 12; n++) await ask(cordon.proxyPort, 'http://openai.bad.test/')
  await cordon.call('/v1/decisions', key, {
    action: 'paste',
    resource: { url: 'https://chat.open.test/' },
  })
  const text = await eventually(scrape, (metrics) =>
    /^cordon_violations_total\{severity="high"\} 1$/m.test(metrics),
  )
  const [, count] =
    /^cordon_decisions_total\{decision="DENY",source="proxy",mode="enforce"\} (\d+)$/m.exec(text) ??
    []
  t.equal(count, '12', 'every request, whichever worker had it')
  t.match(
    text,
    /^cordon_decisions_total\{decision="ALLOW",source="api_gateway",mode="enforce"\} 1$/m,
  )
  for (const name of [
    'cordon_ai_decisions_total',
    'cordon_decision_duration_seconds',
    'cordon_policy_errors_total',
    'cordon_requests_total',
    'cordon_upstream_duration_seconds',
    'cordon_spool_records',
    'cordon_spool_bytes',
    'cordon_spool_gap_records_total',
    'cordon_recorder_lag_seconds',
    'cordon_recorder_batches_total',
    'cordon_context_cache_total',
    'cordon_signatures',
    'cordon_policies',
    'cordon_policy_revision_info',
    'cordon_interception_total',
    'cordon_ai_bytes_total',
    'cordon_connections',
    'process_cpu_seconds_total',
    'nodejs_eventloop_lag_seconds',
  ])
    t.match(text, new RegExp(`^# TYPE ${name} `, 'm'), name)
  const signatures = Number(/^cordon_signatures (\d+)$/m.exec(text)?.[1])
  t.ok(signatures > 100 && signatures < 5000, 'not added up over the processes')
  t.match(text, /^cordon_policies\{mode="enforce"\} 3$/m)
  t.match(text, /^cordon_policies\{mode="warn"\} 1$/m)
})

t.test('promtool finds nothing to say', { skip: noPromtool }, async (t) => {
  t.same(await promtool(await scrape()), { code: 0, said: '' })
})

t.test('it says that it lives and that it is ready', async (t) => {
  t.equal((await fetch(`${cordon.metrics}/healthz`)).status, 200)
  const ready = await fetch(`${cordon.metrics}/readyz`)
  t.equal(ready.status, 200)
  const { checks } = (await ready.json()) as { checks: { name: string; ok: boolean }[] }
  t.same(
    checks.map(({ name, ok }) => [name, ok]),
    [
      ['store', true],
      ['stored_policies', true],
      ['upkeep', true],
      ['spool', true],
      ['gateways', true],
      ['gateway_spools', true],
    ],
  )
  t.equal((await fetch(`${cordon.metrics}/nothing`)).status, 404)
  t.equal((await fetch(`${cordon.metrics}/metrics`, { method: 'POST' })).status, 405)
})

t.test('a second start on the folder is refused, of any role', async (t) => {
  const { code, err } = await place.cordon(['start'])
  t.equal(code, 3)
  t.match(err, /in use by process \d+/)
})

t.test(
  'SIGHUP takes policies, signatures and settings; a bad one leaves the last good',
  async (t) => {
    const status = async (host: string): Promise<number> =>
      (await ask(cordon.proxyPort, `http://${host}/`)).status
    t.equal(await status('openai.bad.test'), 403)
    place.write(
      'policies/ours.cedar',
      POLICIES.replace('"banned"', '"renamed"').replace(
        'Category::"banned"',
        'Category::"nothing"',
      ),
    )
    t.match(await cordon.reload(), /"reloaded"/)
    t.equal(await status('openai.bad.test'), 200, 'another policy')

    place.write('policies/ours.cedar', 'forbid (principal, action, resource) when { nonsense };')
    const refused = await cordon.reload()
    t.match(refused, /reload refused/)
    t.match(refused, /ours\.cedar:1:\d+/)
    t.equal(await status('openai.bad.test'), 200, 'as before')
    place.write('policies/ours.cedar', POLICIES)

    place.write('signatures/ours.yaml', `${SERVICES}  - {id: BAD}\n`)
    t.match(await cordon.reload(), /ours\.yaml:\d+:\d+.*reload refused/)
    place.write(
      'signatures/ours.yaml',
      `${SERVICES}  - {id: new-one, name: New, service_type: banned, domains: [plain.test]}\n`,
    )
    t.match(await cordon.reload(), /"reloaded"/)
    t.equal(await status('plain.test'), 403, 'another signature')
    t.equal(await status('openai.bad.test'), 403)

    writeFileSync(place.file, 'proxy: {lisen: 1}')
    t.match(await cordon.reload(), /did you mean .*listen.*reload refused/)
    place.configure({
      ...settings,
      proxy: { ...(settings['proxy'] as object), htpasswd: 'absent' },
    })
    t.match(await cordon.reload(), /absent.*reload refused/)
    t.equal(await status('openai.bad.test'), 403, 'as before')

    place.configure({
      ...settings,
      tenant: 'another',
      policy: { dirs: ['policies'], mode: 'audit' },
    })
    t.match(await cordon.reload(), /"reloaded"/)
    t.match(cordon.said, /"settings":\["tenant"\].*next start/)
    t.equal(await status('openai.bad.test'), 200, 'audit')
    place.configure(settings)
    await cordon.reload()
  },
)

t.test('a worker that dies is replaced, and its records are not lost', async (t) => {
  const { headers } = await ask(cordon.proxyPort, 'http://anthropic.bad.test/')
  const workers = childrenOf(cordon.child.pid ?? 0)
  t.equal(workers.length, 2)
  const from = cordon.said.length
  process.kill(workers[0] ?? 0, 'SIGKILL')
  t.equal(
    (await ask(cordon.proxyPort, 'http://openai.bad.test/')).status,
    403,
    'the other one serves on',
  )
  await cordon.hear(/took the place/, undefined, from)
  const ready = await fetch(`${cordon.metrics}/readyz`)
  t.match(await ready.text(), /2 of 2 ready/)
  t.match(await scrape(), /^cordon_worker_restarts_total 1$/m)
  await eventually(
    () => cordon.call(`/v1/decisions/${String(headers['x-cordon-decision-id'])}`, key),
    ({ status }) => status === 200,
  )
})

t.test('kill -9 loses no decision that was answered', async (t) => {
  const asked = Array.from({ length: 60 }, () => ask(cordon.proxyPort, 'http://gemini.bad.test/'))
  const answered = (await Promise.all(asked)).map(({ headers }) =>
    String(headers['x-cordon-decision-id']),
  )
  const byApi = await cordon.call('/v1/decisions/batch', key, {
    requests: Array.from({ length: 100 }, () => ({
      action: 'paste',
      resource: { url: 'https://gemini.bad.test/' },
    })),
  })
  answered.push(
    ...(byApi.body['decisions'] as { decision_id: string }[]).map(({ decision_id: id }) => id),
  )
  const workers = childrenOf(cordon.child.pid ?? 0)
  for (const pid of workers) process.kill(pid, 'SIGKILL')
  await cordon.stop('SIGKILL')
  const kept = new Set(
    linesOf(await place.done(['ledger', 'export'])).map((row) => row['decision_id']),
  )
  t.same(
    answered.filter((id) => !kept.has(id)),
    [],
  )
  cordon = await place.start()
  const again = linesOf(await place.done(['ledger', 'export']))
  t.equal(
    again.length,
    new Set(again.map((row) => row['decision_id'])).size,
    'and counts none twice',
  )
})

t.test('SIGTERM lets a running answer finish, takes nothing new, and ends with 0', async (t) => {
  const running = ask(cordon.proxyPort, 'http://chat.open.test/slow')
  await eventually(
    () => Promise.resolve(waiting.length),
    (count) => count === 1,
  )
  const idle = await dial(cordon.proxyPort)
  const ended = cordon.stop()
  await idle.untilEnded()
  idle.socket.destroy()
  await eventually(
    () => canConnect(cordon.proxyPort),
    (can) => !can,
  )
  t.equal((await fetch(`${cordon.metrics}/readyz`)).status, 503, 'and says so')
  waiting[0]?.end('late')
  const { status, body, headers } = await running
  t.equal(status, 200)
  t.equal(body, 'late')
  t.equal(headers.connection, 'close')
  t.equal(await ended, 0)
  t.same(
    readdirSync(place.dataDir).filter((name) => /\.(?:sock|lock)$/.test(name)),
    [],
  )
})

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
}

function withoutPromtool(): Promise<false | string> {
  return new Promise((resolve) => {
    execFile('promtool', ['--version'], (error) =>
      resolve(error === null ? false : 'promtool is not installed'),
    )
  })
}

async function promtool(
  metrics: string,
): Promise<{ readonly code: number | null; readonly said: string }> {
  let said = ''
  const child = execFile('promtool', ['check', 'metrics'])
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (part: string) => {
      said += part
    })
  child.stdin?.end(metrics)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}
