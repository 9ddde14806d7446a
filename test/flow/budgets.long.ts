// Budgets and risk through the whole program: workers that share a count, gateways that share a Redis, answers that are
// cut, and what people and policies see of it.

import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { hire, keyWith, loginOf } from '../support/company.ts'
import { eventually, Place, type Running, type Settings } from '../support/cordon.ts'
import { noRedis, startRedis } from '../support/redis.ts'
import { type Answer, ask } from '../support/through-proxy.ts'

const WORD = 'x'.repeat(40)
const EVENTS = 200
/** Answers whose reader went away before their end. */
let abandoned = 0

/** Streams ten tokens at a time, in the format that the path names. */
const origin = createServer((request, response) => {
  request.resume()
  if (request.url?.includes('/whole') === true) {
    response.setHeader('content-type', 'application/json')
    response.end('{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":70}}')
    return
  }
  if (request.url?.includes('/v1/') !== true) {
    response.end('hello')
    return
  }
  const isClaude = request.url.includes('/messages')
  void stream(response, (n) =>
    isClaude
      ? `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${WORD}"}}\n\n`
      : `data: {"id":"${n}","choices":[{"index":0,"delta":{"content":"${WORD}"}}]}\n\n`,
  )
})

async function stream(response: ServerResponse, event: (n: number) => string): Promise<void> {
  response.setHeader('content-type', 'text/event-stream')
  response.on('close', () => {
    if (!response.writableEnded) abandoned += 1
  })
  for (let n = 0; n < EVENTS && !response.destroyed; n++) {
    response.write(event(n))
    await new Promise((resolve) => {
      setTimeout(resolve, 5)
    })
  }
  response.end('data: [DONE]\n\n')
}

origin.listen(0, '127.0.0.1')
await new Promise((resolve) => {
  origin.once('listening', resolve)
})
const { port } = origin.address() as AddressInfo

const SERVICES = `
vendor: Test
services:
  - {id: open-chat, name: Open Chat, service_type: chat, protocol: openai, domains: [chat.open.test], approval_status: approved, risk_tier: medium}
  - {id: claude-like, name: Claude Like, service_type: chat, protocol: anthropic, domains: [api.claude.test], approval_status: approved}
  - {id: small, name: Small, service_type: chat, protocol: openai, domains: [api.small.test], approval_status: approved}
  - {id: banned, name: Banned, service_type: banned, protocol: openai, domains: [api.banned.test], approval_status: approved}
`
const POLICIES = `
@id("banned")
@priority("900")
@severity("critical")
@reason("this service is banned")
forbid (principal, action, resource in Cordon::Category::"banned");

@id("too-risky")
@priority("800")
@severity("critical")
@reason("too many violations")
forbid (principal, action, resource == Cordon::Service::"small")
when { context has risk && context.risk has own_score && context.risk.own_score > 20 };
`
const REGO = `# METADATA
# scope: package
# custom:
#   cordon:
#     id: half-used
#     priority: 700
package acme.half

deny contains "half of it is used" if {
	input.resource.id == "claude-like"
	input.context.budget.seen.used >= 2
}
`

function settings(place: Place, more: Settings): Settings {
  place.write('signatures/ours.yaml', SERVICES)
  place.write('policies/ours.cedar', POLICIES)
  place.write('policies/half.rego', REGO)
  const hosts = [
    'chat.open.test',
    'api.claude.test',
    'api.small.test',
    'api.banned.test',
    'plain.test',
  ]
  return {
    signatures: { dirs: ['signatures'] },
    policy: { dirs: ['policies'] },
    ...more,
    proxy: {
      workers: 2,
      resolve: Object.fromEntries(hosts.map((host) => [`${host}:80`, `127.0.0.1:${port}`])),
    },
  }
}

const places: Place[] = []
const running: Running[] = []
async function begin(more: Settings): Promise<Running> {
  const place = await new Place().withStore()
  places.push(place)
  place.configure(settings(place, more))
  const cordon = await place.start()
  running.push(cordon)
  return cordon
}
t.teardown(async () => {
  for (const cordon of running) await cordon.stop()
  for (const place of places) place.remove()
  origin.close()
  origin.closeAllConnections()
})

const cordon = await begin({
  budgets: [
    {
      id: 'per-person',
      per: ['user'],
      match: { services: ['open-chat'], actions: ['access_ai_service'] },
      limit: 5,
      unit: 'requests',
      window: '1h',
    },
    {
      id: 'small-tokens',
      match: { services: ['small'] },
      limit: 500,
      unit: 'tokens',
      window: '1h',
      cut: true,
    },
    {
      id: 'claude-tokens',
      match: { services: ['claude-like'] },
      limit: 300,
      unit: 'tokens',
      window: '1h',
      cut: true,
      reason: 'no more of Claude this hour',
    },
    {
      id: 'seen',
      match: { services: ['claude-like'] },
      limit: 4,
      unit: 'requests',
      window: '1h',
      // oxlint-disable-next-line no-thenable -- as the setting is called
      then: 'none',
    },
  ],
})
const { place } = cordon
await hire(place)
const [maya, ben] = await Promise.all([loginOf(place, 'maya'), loginOf(place, 'ben')])
const key = await keyWith(place, 'decisions:read,decisions:write')

function prompt(host: string, path: string, more: object = {}): Promise<Answer> {
  return ask(cordon.proxyPort, `http://${host}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'm',
      stream: true,
      messages: [{ role: 'user', content: 'hi' }],
      ...more,
    }),
    login: maya,
  })
}

t.test('all workers of a machine count together, each person apart', async (t) => {
  const many = await Promise.all(
    Array.from({ length: 12 }, () =>
      ask(cordon.proxyPort, 'http://chat.open.test/a', { login: maya }),
    ),
  )
  t.equal(many.filter(({ status }) => status === 200).length, 5)
  const refused = many.find(({ status }) => status === 403)
  t.ok(Number(refused?.headers['retry-after']) > 0)
  t.equal(refused?.headers['x-should-retry'], 'false')
  t.match(refused?.headers['proxy-status'], /budget .*per-person.* of 5 requests in 1h is used up/)
  t.match(refused?.body, /"code":"policy_denied"/)
  t.equal((await ask(cordon.proxyPort, 'http://chat.open.test/a', { login: ben })).status, 200)
  t.equal((await ask(cordon.proxyPort, 'http://plain.test/a', { login: maya })).status, 200)
  const [row] = await decisions((each) => each['primary_policy_id'] === 'budget:per-person')
  t.match(row, { decision: 'DENY', obligations: [] })
})

t.test(
  'a stream that uses its budget up ends with an error that SDKs read, and a record',
  async (t) => {
    const answer = await prompt('api.small.test', '/v1/chat/completions')
    t.equal(answer.status, 200)
    const events = answer.body.split('\n\n').filter((event) => event !== '')
    t.ok(events.length > 20 && events.length < EVENTS, `${events.length}`)
    const error = /^data: (.*)$/.exec(events.at(-1) ?? '')?.[1] ?? '{}'
    t.match(JSON.parse(error), {
      error: {
        type: 'policy_violation',
        code: 'policy_denied',
        message: /"small-tokens".* ran out during the answer \(decision /,
      },
    })
    for (const event of events.slice(0, -1))
      t.ok(event.startsWith('data: {"id"'), 'no half of an event')
    await eventually(
      async () => abandoned,
      (count) => count >= 1,
    )
    const rows = await decisions(
      ({ service, resource }) => (service ?? resource) !== undefined,
      'small',
    )
    t.match(rows.map(({ decision }) => String(decision)).toSorted(), ['ALLOW', 'DENY'])
    const cut = rows.find(({ decision }) => decision === 'DENY')
    t.equal(cut?.['primary_policy_id'], 'budget:small-tokens')
    t.equal(cut?.['request_id'], rows.find(({ decision }) => decision === 'ALLOW')?.['request_id'])
    const next = await prompt('api.small.test', '/v1/chat/completions')
    t.equal(next.status, 403, 'and nothing is left')
  },
)

t.test('in the words of Anthropic, with the reason of the settings', async (t) => {
  const answer = await prompt('api.claude.test', '/v1/messages', { max_tokens: 100 })
  t.equal(answer.status, 200)
  t.match(
    answer.body,
    /\n\nevent: error\ndata: \{"type":"error","error":\{"type":"permission_error"/,
  )
  const refused = await prompt('api.claude.test', '/v1/messages', { max_tokens: 100 })
  t.equal(refused.status, 403)
  t.match(JSON.parse(refused.body), {
    error: { message: /^no more of Claude this hour \(decision / },
  })
})

t.test('policies read budgets, at every door, and a refused request uses nothing', async (t) => {
  const seen: unknown[] = []
  for (let n = 0; n < 3; n++) {
    const { body } = await cordon.call('/v1/decisions', key, {
      user: { name: 'ben' },
      action: 'access_ai_service',
      resource: { url: 'https://api.claude.test/' },
    })
    seen.push([body['decision'], body['primary_policy_id']])
  }
  // One prompt was let through before.
  t.same(seen, [
    ['ALLOW', null],
    ['DENY', 'half-used'],
    ['DENY', 'half-used'],
  ])
})

t.test('a risk score with every decision, and a score of the own that moves', async (t) => {
  const risk = async (): Promise<Record<string, unknown>> => {
    const { body, status } = await cordon.call('/v1/people/maya/risk', key)
    t.equal(status, 200)
    return body
  }
  t.match(await risk(), { own_score: 0, violations: [] }, 'budgets raise no risk')
  t.equal((await ask(cordon.proxyPort, 'http://api.banned.test/', { login: maya })).status, 403)
  const moved = await eventually(risk, ({ own_score: score }) => score !== 0)
  t.match(moved, {
    user: { name: 'maya' },
    violations: [{ policy_id: 'banned', severity: 'critical' }],
  })
  t.ok(Number(moved['own_score']) > 25)

  const refused = await eventually(
    async () => ask(cordon.proxyPort, 'http://api.small.test/', { login: maya }),
    ({ status }) => status === 403,
  )
  t.match(refused.body, /too many violations/)
  const [row] = await decisions((each) => each['primary_policy_id'] === 'too-risky')
  const { body } = await cordon.call(`/v1/decisions/${String(row?.['decision_id'])}`, key)
  t.match(body['risk'], {
    factors: { history: Number },
    own_score: moved['own_score'],
    signals: { 'history.own_score': Number },
  })
  t.ok(Number(body['risk_score']) > 0)
  t.same((await risk())['points'], moved['points'], 'what follows from the risk adds nothing')
  t.match(await place.done(['user', 'risk', 'maya']), /^maya \(person-\w+\): own score \d+ of 100/)
  t.match(JSON.parse(await place.done(['user', 'risk', 'maya', '--json'])), {
    violations: [{ policy_id: 'banned' }],
  })
})

t.test('metrics tell it', async (t) => {
  const text = await (await fetch(`${cordon.metrics}/metrics`)).text().catch(() => '')
  const found = text === '' ? await (await fetch(cordon.metrics)).text() : text
  t.match(found, /cordon_budget_denied_total\{budget="per-person"\} 7/)
  t.match(found, /cordon_budget_cuts_total\{budget="small-tokens"\} 1/)
})

t.test('what is recorded verifies', async (t) => {
  t.equal((await place.cordon(['ledger', 'verify'])).code, 0)
  t.equal((await place.cordon(['ledger', 'verify', '--database'])).code, 0)
})

t.test(
  'gateways over one Redis count together; without it they do as they are told',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.kill())
    const shared = {
      redis_url: redis.url,
      budgets: [{ id: 'all', limit: 7, unit: 'requests', window: '1h' }],
    }
    const open = await begin(shared)
    const shut = await begin({ ...shared, budgets_on_error: 'deny' })
    const many = await Promise.all(
      [open, shut].flatMap(({ proxyPort }) =>
        Array.from({ length: 10 }, () => ask(proxyPort, 'http://chat.open.test/')),
      ),
    )
    t.equal(many.filter(({ status }) => status === 200).length, 7)
    await redis.kill()
    t.equal((await ask(open.proxyPort, 'http://chat.open.test/')).status, 200)
    const refused = await ask(shut.proxyPort, 'http://chat.open.test/')
    t.equal(refused.status, 403)
    t.match(refused.body, /cannot be counted at the moment/)
    await redis.start()
    await eventually(
      async () => (await ask(shut.proxyPort, 'http://chat.open.test/')).status,
      (status) => status === 200,
    )
  },
)

async function decisions(
  holds: (row: Record<string, unknown>) => boolean,
  service?: string,
): Promise<readonly Record<string, unknown>[]> {
  const query = service === undefined ? '' : `&service=${service}`
  return eventually(
    async () => {
      const { body } = await cordon.call(`/v1/decisions?limit=100${query}`, key)
      return (body['items'] as Record<string, unknown>[]).filter(holds)
    },
    (rows) => rows.length > (service === undefined ? 0 : 1),
  )
}
