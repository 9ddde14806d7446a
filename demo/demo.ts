// `npm run demo`: a sample company, stand-in AI services, real clients. Prints who asked what and what came of it;
// exits 0 only if each is as expected.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Anthropic from '@anthropic-ai/sdk'
import Table from 'cli-table3'
import OpenAI from 'openai'
import { fetch, ProxyAgent, request } from 'undici'
import { type RunningCordon, startCordon } from './cordon.ts'
import { startStandIn } from './stand-ins.ts'

interface Row {
  readonly who: string
  readonly client: string
  readonly service: string
  readonly saw: string
  /** What must be seen. */
  readonly expected: RegExp
  readonly decision: string
  readonly policy: string
}

const here = import.meta.dirname
/** The one row that asks no service, so that no decision is recorded. */
const REVIEWS = 'reviews API'
const standIn = await startStandIn()
const cordon = await startCordon({
  proxy: {
    resolve: Object.fromEntries(
      ['api.openai.com', 'api.anthropic.com', 'chat.deepseek.com'].map((host) => [
        `${host}:80`,
        `127.0.0.1:${standIn.port}`,
      ]),
    ),
  },
  signatures: { dirs: [join(here, 'signatures')] },
})
let failed = 0
try {
  await cordon.cordon(
    'context',
    'import',
    ...['departments', 'groups', 'users'].map((kind) => join(here, `company/${kind}.csv`)),
  )
  const rows = await play(cordon)
  const table = new Table({
    head: ['who', 'client', 'service', 'decision', 'policy', 'what the client saw', ''],
    style: { head: [], border: [], compact: true },
  })
  for (const { who, client, service, decision, policy, saw, expected } of rows) {
    const right = expected.test(saw)
    if (!right) failed += 1
    table.push([
      who,
      client,
      service,
      decision,
      policy,
      saw.length > 90 ? `${saw.slice(0, 87)}...` : saw,
      right ? 'ok' : `expected ${String(expected)}`,
    ])
  }
  process.stdout.write(
    `${table.toString()}\n${failed === 0 ? 'everything as expected' : `${failed} not as expected`}\n`,
  )
} finally {
  await cordon.stop()
  await standIn.close()
}
process.exitCode = failed === 0 ? 0 : 1

async function play(running: RunningCordon): Promise<Row[]> {
  const tokens = new Map<string, string>()
  for (const name of ['maya', 'ben', 'carla'])
    tokens.set(name, (await running.cordon('token', 'create', '--user', name)).trim())
  const key = (
    await running.cordon(
      'key',
      'create',
      '--name',
      'demo',
      '--user',
      'omar',
      '--scope',
      'decisions:write,decisions:read,reviews:write',
    )
  ).trim()
  // The SDKs take a fetch of the caller's choice: this one goes through the proxy as that person.
  const as = (name: string): typeof globalThis.fetch => {
    const dispatcher = new ProxyAgent({
      uri: running.proxy,
      token: `Basic ${Buffer.from(`${name}:${tokens.get(name) ?? ''}`).toString('base64')}`,
    })
    const proxied = (input: string, init?: RequestInit): Promise<unknown> =>
      fetch(input, { ...(init as object), dispatcher })
    return proxied as typeof globalThis.fetch
  }
  const openAi = (name: string): OpenAI =>
    new OpenAI({
      apiKey: 'demo',
      baseURL: 'http://api.openai.com/v1',
      fetch: as(name),
    })
  const claude = (name: string): Anthropic =>
    new Anthropic({
      apiKey: 'demo',
      baseURL: 'http://api.anthropic.com',
      fetch: as(name),
    })
  const call = (path: string, body: unknown): Promise<Record<string, unknown>> =>
    post(`${running.api}${path}`, key, body)
  const rows: Omit<Row, 'decision' | 'policy'>[] = []
  const add = async (
    who: string,
    client: string,
    service: string,
    expected: RegExp,
    run: () => Promise<string>,
  ): Promise<void> => {
    rows.push({ who, client, service, expected, saw: await seen(run) })
  }
  const messages = [{ role: 'user' as const, content: 'Say hello' }]

  await add('maya', 'openai', 'openai-api', /^Hello from the stand-in$/, async () => {
    const answer = await openAi('maya').chat.completions.create({ model: 'gpt-5', messages })
    return answer.choices[0]?.message.content ?? ''
  })
  await add('maya', 'openai, streaming', 'openai-api', /^Hello from the stand-in$/, async () => {
    let text = ''
    for await (const chunk of await openAi('maya').chat.completions.create({
      model: 'gpt-5',
      messages,
      stream: true,
    }))
      text += chunk.choices[0]?.delta.content ?? ''
    return text
  })
  await add(
    'ben',
    'openai',
    'openai-api',
    /^PermissionDeniedError: 403 .*prohibited.*\(decision [0-9a-f-]{36}\)/,
    async () => {
      await openAi('ben').chat.completions.create({ model: 'gpt-5', messages })
      return 'an answer'
    },
  )
  await add(
    'carla',
    '@anthropic-ai/sdk',
    'anthropic-api',
    /^PermissionDeniedError: 403 .*review/,
    async () => {
      await claude('carla').messages.create({ model: 'claude-opus', max_tokens: 20, messages })
      return 'an answer'
    },
  )
  await add('omar', REVIEWS, 'anthropic-api', /^approved carla$/, async () => {
    const listed = (await get(`${running.api}/v1/reviews?status=pending`, key)) as {
      items: { review_id: string; service_id: string }[]
    }
    const review = listed.items.find(({ service_id: service }) => service === 'anthropic-api')
    const answered = await call(`/v1/reviews/${review?.review_id ?? ''}`, {
      decision: 'approve',
      comment: 'for the demo',
    })
    return `${String(answered['status'])} carla`
  })
  await add(
    'carla',
    '@anthropic-ai/sdk, streaming',
    'anthropic-api',
    /^Hello from the stand-in$/,
    async () => {
      let text = ''
      for await (const event of await claude('carla').messages.create({
        model: 'claude-opus',
        max_tokens: 20,
        messages,
        stream: true,
      })) {
        if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
          text += event.delta.text
      }
      return text
    },
  )
  await add('nobody', 'curl, http', 'deepseek', /^403 .*prohibited/, () =>
    curl(running, 'http://chat.deepseek.com/'),
  )
  await add(
    'nobody',
    'curl, https',
    'deepseek',
    /CONNECT tunnel failed, response 403|HTTP code 403/,
    () => curl(running, 'https://chat.deepseek.com/'),
  )
  const ask = (text: string) => async (): Promise<string> => {
    const decided = await call('/v1/decisions', {
      user: { email: 'maya@acme.example' },
      action: 'send_prompt',
      resource: { url: 'https://api.openai.com/v1/chat/completions', method: 'POST' },
      content: { text },
      context: { source: 'ide_plugin' },
    })
    return `${String(decided['decision'])}: ${String(decided['reason'])}`
  }
  await add(
    'maya',
    'decision endpoint',
    'openai-api',
    /^ALLOW/,
    ask('please explain this function'),
  )
  await add(
    'maya',
    'decision endpoint',
    'openai-api',
    /^DENY: .*secret/,
    ask(`why does this fail? GITHUB_TOKEN=ghp_${'a1B2c3D4e5F6g7H8i9J0'.repeat(2).slice(0, 36)}`),
  )
  return withDecisions(running, rows)
}

/** The records, once they are all in the store; five seconds are plenty. */
async function exported(running: RunningCordon, wanted: number): Promise<string[]> {
  for (let attempt = 0; ; attempt++) {
    const lines = (await running.cordon('ledger', 'export')).trim().split('\n')
    if (lines.length >= wanted || attempt === 10) return lines
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** What the ledger says of each row: the newest decision on that service by that person, in order. */
async function withDecisions(
  running: RunningCordon,
  rows: readonly Omit<Row, 'decision' | 'policy'>[],
): Promise<Row[]> {
  const lines = await exported(running, rows.filter(({ client }) => client !== REVIEWS).length)
  const decisions = lines.map(
    (line) =>
      JSON.parse(line) as {
        decision: string
        primary_policy_id: string | null
        user: { name: string | null }
        resource: { id: string | null }
      },
  )
  const left = [...decisions]
  return rows.map((row) => {
    const index = left.findIndex(
      ({ user, resource }) => (user.name ?? 'nobody') === row.who && resource.id === row.service,
    )
    const [found] = index === -1 ? [] : left.splice(index, 1)
    return {
      ...row,
      decision: found?.decision ?? '',
      policy: found?.primary_policy_id ?? (found === undefined ? '' : '(default)'),
    }
  })
}

async function seen(run: () => Promise<string>): Promise<string> {
  try {
    return await run()
  } catch (error) {
    return error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error)
  }
}

async function curl(running: RunningCordon, url: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('curl', [
      '-sS',
      '-x',
      running.proxy,
      '-w',
      '%{http_code} ',
      '-o',
      '-',
      url,
    ])
    const body = stdout.slice(0, stdout.lastIndexOf('}') + 1)
    const { error } = JSON.parse(body) as { error: { message: string } }
    return `${stdout.slice(body.length).trim()} ${error.message}`
  } catch (error) {
    return error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
  }
}

async function post(url: string, key: string, body: unknown): Promise<Record<string, unknown>> {
  const { body: answer } = await request(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return (await answer.json()) as Record<string, unknown>
}

async function get(url: string, key: string): Promise<unknown> {
  const { body } = await request(url, { headers: { authorization: `Bearer ${key}` } })
  return body.json()
}
