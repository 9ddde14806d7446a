// Door 1 from outside: traffic in, policy decided, answer enforced, decision recorded.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { company, hire, keyWith, loginOf } from '../support/company.ts'
import { eventually, Place, type Settings } from '../support/cordon.ts'
import { filesHolding } from '../support/files-holding.ts'
import { dial } from '../support/peers.ts'
import { ask, basic, curl, StandIn, withoutCurl } from '../support/through-proxy.ts'

const standIn = await new StandIn().listen()
const place = await new Place().withStore()
const settings = company(place, standIn.port, { proxy: { workers: 2 } })
place.configure(settings)
const cordon = await place.start()
await hire(place)
const [maya, ben, key] = await Promise.all([
  loginOf(place, 'maya'),
  loginOf(place, 'ben'),
  keyWith(place, 'decisions:read,reviews:write', 'maya'),
])
const noCurl = await withoutCurl()
/** What must be found nowhere afterwards. */
const secret = `sk-proj-${randomBytes(24).toString('hex')}`

t.teardown(async () => {
  await cordon.stop()
  standIn.close()
  place.remove()
})

t.test('an allowed request reaches the origin, without what belongs to the proxy', async (t) => {
  const answer = await ask(cordon.proxyPort, 'http://chat.open.test/v1/chat?key=hidden', {
    method: 'POST',
    body: 'a question',
    login: maya,
    headers: { 'x-cordon-test': '1', 'proxy-connection': 'keep-alive' },
  })
  t.equal(answer.status, 200)
  t.equal(answer.body, 'POST 10')
  const seen = standIn.received.at(-1)
  t.equal(seen?.url, '/v1/chat?key=hidden', 'the origin gets the query')
  t.equal(seen?.headers.host, 'chat.open.test')
  t.notOk(
    Object.keys(seen?.headers ?? {}).find((name) =>
      /^(?:proxy-|x-cordon-|via$|forwarded$)/.test(name),
    ),
  )
})

t.test('curl goes through, by absolute form and by CONNECT', { skip: noCurl }, async (t) => {
  const plain = await curl(
    '--proxy',
    cordon.proxy,
    '--proxy-user',
    maya,
    'http://chat.open.test/hello',
  )
  t.same(plain, { code: 0, out: 'GET 0' })
  // The stand-in speaks no TLS: what counts is the tunnel.
  const tunnel = await curl(
    '--proxy',
    cordon.proxy,
    '--proxytunnel',
    '--proxy-user',
    maya,
    'http://chat.open.test:80/hello',
  )
  t.same(tunnel, { code: 0, out: 'GET 0' })
  const denied = await curl(
    '--proxy',
    cordon.proxy,
    '--proxy-user',
    maya,
    '--output',
    '/dev/null',
    '--write-out',
    '%{http_connect}',
    'https://anthropic.bad.test/',
  )
  t.equal(denied.out, '403')
})

t.test('a secret in the body of a request is found before a byte of it leaves', async (t) => {
  const before = standIn.received.length
  const { status, body } = await ask(cordon.proxyPort, 'http://chat.open.test/v1/x', {
    method: 'POST',
    body: JSON.stringify({ prompt: secret }),
    login: maya,
  })
  t.equal(status, 403)
  t.match(body, 'the text holds a secret')
  t.notMatch(body, secret)
  t.equal(standIn.received.length, before)
})

t.test(
  'a denial speaks the dialect of the service and carries the id that the ledger has',
  async (t) => {
    const bodies: Record<string, (body: string) => unknown> = {
      'openai.bad.test': (body) => {
        const { error } = JSON.parse(body) as { error: Record<string, unknown> }
        t.match(error, { type: 'policy_violation', param: null, code: 'policy_denied' })
        return error['message']
      },
      'anthropic.bad.test': (body) => {
        const { type, error } = JSON.parse(body) as { type: string; error: Record<string, unknown> }
        t.equal(type, 'error')
        t.equal(error['type'], 'permission_error')
        return error['message']
      },
      'gemini.bad.test': (body) => {
        const { error } = JSON.parse(body) as { error: Record<string, unknown> }
        t.match(error, { code: 403, status: 'PERMISSION_DENIED' })
        return error['message']
      },
    }
    const before = standIn.received.length
    const ids: string[] = []
    for (const [host, messageOf] of Object.entries(bodies)) {
      const { status, headers, body } = await ask(
        cordon.proxyPort,
        `http://${host}/v1/x?q=${secret}`,
        {
          method: 'POST',
          body: JSON.stringify({ prompt: 'hello' }),
          login: maya,
          headers: { accept: 'text/event-stream' },
        },
      )
      t.equal(status, 403, host)
      const id = String(headers['x-cordon-decision-id'])
      t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/, 'a UUIDv7')
      t.equal(messageOf(body), `this service is banned (decision ${id})`)
      t.match(
        headers['proxy-status'],
        /^cordon; error=http_request_denied; details="this service is banned"/,
      )
      t.equal(headers['x-should-retry'], 'false')
      t.match(headers['content-type'], /^application\/json/)
      ids.push(id)
    }
    t.equal(standIn.received.length, before, 'nothing reached the origin')
    await Promise.all(ids.map(recorded))
    const rows = await cordon.export()
    const row = rows.find(({ decision_id: id }) => id === ids[0])
    t.match(row, {
      decision: 'DENY',
      reason: 'this service is banned',
      source: 'proxy',
      action: 'access_ai_service',
      user: { name: 'maya', department: 'Engineering' },
      resource: {
        id: 'bad-openai',
        name: 'Bad One',
        host: 'openai.bad.test',
        path: '/v1/x',
        known: true,
        ai: true,
        category: 'banned',
      },
      primary_policy_id: 'banned',
      mode: 'enforce',
      findings: [],
    })
  },
)

t.test('a browser gets a page, and nothing that a page could be made to run', async (t) => {
  for (const headers of [{ accept: 'text/html,*/*' }, { 'sec-fetch-dest': 'document' }]) {
    const {
      status,
      headers: fields,
      body,
    } = await ask(cordon.proxyPort, 'http://openai.bad.test/<script>', { headers, login: maya })
    t.equal(status, 403)
    t.match(fields['content-type'], /^text\/html/)
    t.match(body, /This service is banned/)
    t.match(body, String(fields['x-cordon-decision-id']))
    t.notMatch(body, /<script/)
  }
})

t.test('CONNECT: a tunnel carries bytes both ways, a denied one says why', async (t) => {
  const open = await dial(cordon.proxyPort)
  open.say(
    `CONNECT chat.open.test:443 HTTP/1.1\r\nHost: chat.open.test:443\r\nProxy-Authorization: ${basic(maya)}\r\n\r\n`,
  )
  t.match(await open.hear('\r\n\r\n'), /^HTTP\/1\.1 200 /)
  open.say('GET /through HTTP/1.1\r\nHost: inside\r\n\r\n')
  t.match(await open.hear('GET 0'), /^HTTP\/1\.1 200 OK/)
  open.socket.destroy()

  const denied = await dial(cordon.proxyPort)
  denied.say(
    `CONNECT anthropic.bad.test:443 HTTP/1.1\r\nHost: anthropic.bad.test:443\r\nProxy-Authorization: ${basic(maya)}\r\nConnection: close\r\n\r\n`,
  )
  const answer = await denied.hearAll()
  t.match(answer, /^HTTP\/1\.1 403 /)
  t.match(answer, /\r\nProxy-Status: cordon; error=http_request_denied/)
  t.match(answer, /"permission_error"/)
})

t.test('who asks decides: the same request is denied to an intern', async (t) => {
  const { status, body } = await ask(cordon.proxyPort, 'http://chat.open.test/', { login: ben })
  t.equal(status, 403)
  t.match(body, /interns may not chat/)
  const byMail = ben.replace(/^ben/, 'BEN@acme.example')
  t.equal((await ask(cordon.proxyPort, 'http://chat.open.test/', { login: byMail })).status, 403)
})

t.test('wrong credentials are 407, never anonymous, and the connection stays usable', async (t) => {
  const peer = await dial(cordon.proxyPort)
  const say = (login: string): void =>
    peer.say(
      `GET http://chat.open.test/ HTTP/1.1\r\nHost: chat.open.test\r\nProxy-Authorization: ${basic(login)}\r\n\r\n`,
    )
  say('maya:wrong')
  const refused = await peer.hear('"proxy_407"}}')
  t.match(refused, /^HTTP\/1\.1 407 /)
  t.match(refused, /\r\nProxy-Authenticate: Basic /)
  say(maya.replace(/^maya/, 'ben'))
  t.match(await peer.hear('"proxy_407"}}'), /^HTTP\/1\.1 407 /, "a token is its owner's only")
  say(maya)
  t.match(await peer.hear('GET 0'), /^HTTP\/1\.1 200 /)
  peer.socket.destroy()
})

t.test('a monitor-only service is recorded and never refused', async (t) => {
  t.equal((await ask(cordon.proxyPort, 'http://watched.test/', { login: maya })).status, 200)
  const [row] = await listed('service=watched')
  t.match(row, { decision: 'ALLOW', would_be: 'DENY', obligations: [] })
})

t.test('a warn policy tells the client and lets it pass', async (t) => {
  const { status, headers } = await ask(cordon.proxyPort, 'http://frowned.test/', { login: maya })
  t.equal(status, 200)
  t.equal(headers['x-cordon-warning'], 'we frown upon this')
})

t.test('what is no AI service passes and leaves no record', async (t) => {
  t.equal((await ask(cordon.proxyPort, 'http://plain.test/some/page', { login: maya })).status, 200)
  // Records keep their order, so a later one tells that this one was not made.
  const { headers } = await ask(cordon.proxyPort, 'http://openai.bad.test/', { login: maya })
  await recorded(String(headers['x-cordon-decision-id']))
  const { body } = await cordon.call('/v1/decisions?service=plain.test', key)
  t.same(body['items'], [])
})

t.test('addresses inside are no way in', async (t) => {
  for (const host of ['127.0.0.1', 'localhost', '169.254.169.254', '[::1]', '10.0.0.1', '0x7f.1']) {
    const { status } = await ask(cordon.proxyPort, `http://${host}/`, { login: maya })
    t.equal(status, 403, host)
  }
  const own = await ask(cordon.proxyPort, `http://127.0.0.1:${cordon.proxyPort}/`, { login: maya })
  t.equal(own.status, 403)
})

t.test(
  'the break-glass mode holds for every worker at once, and enforcing again ends it',
  async (t) => {
    const denied = (): Promise<{ status: number; headers: Record<string, unknown> }> =>
      ask(cordon.proxyPort, 'http://openai.bad.test/', { login: maya })
    await place.done(['mode', 'audit', '--for', '10m'])
    // Several, so that both workers answer.
    for (let n = 0; n < 8; n++) {
      const { status, headers } = await denied()
      t.equal(status, 200)
      t.notOk(headers['x-cordon-warning'], 'audit tells the client nothing')
    }
    await place.done(['mode', 'warn'])
    const warned = await ask(cordon.proxyPort, 'http://frowned.test/', { login: maya })
    t.equal(warned.status, 200)
    t.ok(warned.headers['x-cordon-warning'])
    t.match((await listed('service=bad-openai&decision=ALLOW'))[0], {
      mode: 'audit',
      would_be: 'DENY',
    })
    await place.done(['mode', 'enforce', '--for', '1s'])
    t.equal((await denied()).status, 403)
  },
)

t.test(
  'REVIEW: refused with an id, let through where so set, held until somebody answers',
  async (t) => {
    const refused = await ask(cordon.proxyPort, 'http://asked.test/', { login: maya })
    t.equal(refused.status, 403)
    const reviewId = String(refused.headers['x-cordon-review-id'])
    const pending = await cordon.call('/v1/reviews?status=pending', key)
    t.match((pending.body['items'] as unknown[])[0], {
      review_id: reviewId,
      status: 'pending',
      service_id: 'asked',
    })
    const again = await ask(cordon.proxyPort, 'http://asked.test/', { login: maya })
    t.equal(again.headers['x-cordon-review-id'], reviewId, 'one pending for the same')

    await reconfigure({ ...settings, policy: { dirs: ['policies'], review: 'allow' } })
    t.equal((await ask(cordon.proxyPort, 'http://asked.test/', { login: maya })).status, 200)

    await reconfigure({
      ...settings,
      policy: { dirs: ['policies'], review: 'hold', hold_timeout: '60s' },
    })
    const held = ask(cordon.proxyPort, 'http://asked.test/held', { login: ben })
    const { body } = await eventually(
      () => cordon.call('/v1/reviews?status=pending', key),
      ({ body }) => (body['items'] as unknown[]).length === 2,
    )
    t.notOk(
      standIn.received.some(({ url }) => url === '/held'),
      'nothing has left yet',
    )
    const [newest] = body['items'] as { review_id: string }[]
    const answer = await cordon.call(`/v1/reviews/${newest?.review_id}`, key, {
      decision: 'approve',
      comment: 'fine',
    })
    t.equal(answer.status, 200)
    t.match(answer.body, { status: 'approved', comment: 'fine' })
    t.equal((await held).status, 200)
    t.equal(
      (await ask(cordon.proxyPort, 'http://asked.test/', { login: ben })).status,
      200,
      'for a while',
    )
    t.equal(
      (await cordon.call(`/v1/reviews/${newest?.review_id}`, key, { decision: 'deny' })).status,
      409,
    )

    const other = ask(cordon.proxyPort, 'http://asked.test/', { login: maya })
    // The pending one of the first request: its answer frees whoever waits for it.
    await eventually(
      () => cordon.call('/v1/reviews?status=pending', key),
      ({ body: { items } }) => (items as { count: number }[])[0]?.count === 4,
    )
    await cordon.call(`/v1/reviews/${reviewId}`, key, { decision: 'deny' })
    t.equal((await other).status, 403)

    await reconfigure({
      ...settings,
      policy: { dirs: ['policies'], review: 'hold', hold_timeout: '1s' },
    })
    const late = await ask(cordon.proxyPort, 'http://asked.test/', { login: maya })
    t.equal(late.status, 403, 'nobody answered')
    await reconfigure(settings)
  },
)

t.test('the access log has every request in combined format, without queries', async (t) => {
  await ask(cordon.proxyPort, `http://plain.test/page?q=${secret}`, {
    login: maya,
    headers: { referer: `http://from.test/x?${secret}`, 'user-agent': 'a "quoted" agent' },
  })
  const log = await eventually(
    () => Promise.resolve(readFileSync(join(place.dir, 'access.log'), 'utf8')),
    (text) => text.includes('test/page '),
  )
  const line = log.split('\n').find((text) => text.includes('test/page ')) ?? ''
  t.match(
    line,
    /^127\.0\.0\.1 - maya \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET http:\/\/plain\.test\/page HTTP\/1\.1" 200 5 "http:\/\/from\.test\/x" "a \\"quoted\\" agent"$/,
  )
  t.match(log, / 407 /)
  t.match(log, /"CONNECT chat\.open\.test:443 HTTP\/1\.1" 200 /)
})

t.test('no prompt, secret, query or credential lies anywhere afterwards', async (t) => {
  await cordon.stop()
  const found = filesHolding(place.dir, [secret, 'key=hidden', maya.slice(5), ben.slice(4), key])
  t.same(found, [])
  for (const text of [secret, maya.slice(5)]) t.notMatch(cordon.said, text)
  t.not(filesHolding(place.dir, ['this service is banned']).length, 0, 'the search finds')
})

/** The decision, once it is in the store. */
async function recorded(id: string): Promise<Record<string, unknown>> {
  const { body } = await eventually(
    () => cordon.call(`/v1/decisions/${id}`, key),
    ({ status }) => status === 200,
  )
  return body
}

/** The newest decisions of a filter, once there is one. */
async function listed(filter: string): Promise<Record<string, unknown>[]> {
  const { body } = await eventually(
    () => cordon.call(`/v1/decisions?${filter}`, key),
    ({ body: { items } }) => (items as unknown[]).length > 0,
  )
  return body['items'] as Record<string, unknown>[]
}

async function reconfigure(next: Settings): Promise<void> {
  place.configure(next)
  const said = await cordon.reload()
  if (!said.includes('"reloaded"')) throw new Error(said)
}
