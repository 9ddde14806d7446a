// Refusals: each dialect, and that nothing of a reason, a name or a header gets out of its place.

import { STATUS_CODES } from 'node:http'
import t from 'tap'
import { ownHead } from '../../src/http1/write.ts'
import type { Refusal, RefusedRequest } from '../../src/proxy/ports.ts'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { ALLOWED, DENIED } from '../support/proxy-rig.ts'
import { aService } from '../support/services.ts'

const EVIL = [
  'a\r\nX-Evil: 1',
  'a\r\n\r\n<script>alert(1)</script>',
  'a\nX-Evil: 1',
  'a\0b',
  '"; x="',
  'a\\',
  '\\"',
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "'&amp;<b>",
  '\u2028\u2029\u0085',
  '\ud800 alone',
  'größe 語 👍',
  'x'.repeat(5000),
  '$& $1 $`',
]

function refusal(details: string, more: Partial<Refusal> = {}): Refusal {
  return { status: 403, error: 'http_request_denied', details, ...more }
}

function denied(reason: string, protocol?: string, name = 'A service'): Refusal {
  return refusal(reason, {
    decision: { ...DENIED, reason },
    service: aService({ id: 'a', name, ...(protocol === undefined ? {} : { protocol }) }),
  })
}

function request(
  headers: Record<string, string> = {},
  more: Partial<RefusedRequest> = {},
): RefusedRequest {
  return {
    method: 'POST',
    host: 'a.example',
    header: (name) => headers[name],
    isConnect: false,
    keepAlive: true,
    ...more,
  }
}

/** As an HTTP/1.1 connection writes it. */
function renderRefusal(given: Refusal, to: RefusedRequest, contact?: string): Buffer {
  const { status, fields, body } = refusalOf(given, to, contact)
  const connection = !to.keepAlive ? 'close' : to.minor === 0 ? 'keep-alive' : undefined
  return Buffer.concat([
    Buffer.from(ownHead(status, STATUS_CODES[status] ?? 'Refused', fields, connection)),
    body,
  ])
}

interface Shown {
  readonly status: string
  readonly fields: ReadonlyMap<string, string>
  readonly names: readonly string[]
  readonly body: string
}

function shown(response: Buffer): Shown {
  const text = response.toString('latin1')
  const blank = text.indexOf('\r\n\r\n')
  const [status = '', ...lines] = text.slice(0, blank).split('\r\n')
  const pairs = lines.map((line) => {
    const colon = line.indexOf(': ')
    return [line.slice(0, colon), line.slice(colon + 2)] as const
  })
  return {
    status,
    fields: new Map(pairs),
    names: pairs.map(([name]) => name),
    body: response.subarray(blank + 4).toString('utf8'),
  }
}

function tags({ body }: Shown): readonly string[] {
  return body.match(/<[a-z!/][^>]*/gi) ?? []
}

t.test('the service’s own clients can read it', async (t) => {
  const message = `not here (decision ${DENIED.decision_id})`
  const openai = {
    error: { message, type: 'policy_violation', param: null, code: 'policy_denied' },
  }
  for (const [protocol, body] of [
    ['openai', openai],
    ['custom', openai],
    [undefined, openai],
    ['anthropic', { type: 'error', error: { type: 'permission_error', message } }],
    ['gemini', { error: { code: 403, message, status: 'PERMISSION_DENIED' } }],
  ] as const) {
    for (const isConnect of [false, true]) {
      const {
        status,
        fields,
        body: text,
      } = shown(renderRefusal(denied('not here', protocol), request({}, { isConnect })))
      t.equal(status, 'HTTP/1.1 403 Forbidden')
      t.strictSame(JSON.parse(text), body)
      t.equal(fields.get('Proxy-Status'), 'cordon; error=http_request_denied; details="not here"')
      t.equal(fields.get('X-Cordon-Decision-Id'), DENIED.decision_id)
      t.equal(fields.get('x-should-retry'), 'false')
      t.equal(fields.get('Content-Type'), 'application/json')
      t.equal(fields.get('Content-Length'), String(Buffer.byteLength(text)))
    }
  }
})

t.test('a navigation gets a page, a tunnel and an API client never do', async (t) => {
  for (const [headers, isConnect, isPage] of [
    [{ 'sec-fetch-dest': 'document' }, false, true],
    [{ accept: 'text/html,application/xhtml+xml;q=0.9' }, false, true],
    [{ accept: 'TEXT/HTML' }, false, true],
    [{ 'sec-fetch-dest': 'empty', accept: '*/*' }, false, false],
    [{ accept: 'text/event-stream' }, false, false],
    [{ accept: 'application/json' }, false, false],
    [{}, false, false],
    [{ 'sec-fetch-dest': 'document', accept: 'text/html' }, true, false],
  ] as const) {
    const { fields } = shown(
      renderRefusal(denied('no', 'anthropic'), request(headers, { isConnect })),
    )
    const type = isPage ? 'text/html; charset=utf-8' : 'application/json'
    t.equal(fields.get('Content-Type'), type, JSON.stringify(headers))
  }
  const page = shown(
    renderRefusal(
      { ...denied('because', 'openai', 'Some Chat'), alternative: 'House Chat' },
      request({ accept: 'text/html' }),
    ),
  )
  for (const part of ['Because.', 'Some Chat', 'House Chat', DENIED.decision_id])
    t.match(page.body, part)
  t.match(page.fields.get('Content-Security-Policy'), "default-src 'none'")
})

t.test('no text gets out of its place', async (t) => {
  const plain = shown(renderRefusal(denied('plain'), request())).names
  const page = (made: Refusal): Shown =>
    shown(renderRefusal({ ...made, alternative: 'x' }, request({ accept: 'text/html' })))
  const deniedTags = tags(page(denied('x')))
  const plainTags = tags(page(refusal('x')))
  for (const evil of EVIL) {
    const label = encodeURIComponent(evil.slice(0, 30).toWellFormed())
    for (const made of [denied(evil, 'openai', evil), refusal(evil)]) {
      const api = shown(renderRefusal(made, request()))
      if (made.decision !== undefined) t.strictSame(api.names, plain, label)
      t.notOk(api.fields.has('X-Evil'), label)
      t.match(
        api.fields.get('Proxy-Status'),
        /^cordon; error=\w+; details="(?:[^"\\]|\\["\\])*"$/,
        label,
      )
      t.match(api.fields.get('Proxy-Status'), /^[\x20-\x7e]{1,900}$/, label)
      const { error } = JSON.parse(api.body)
      t.ok(error.message.startsWith(evil.toWellFormed()) || error.message.startsWith(evil), label)

      const evilPage = shown(
        renderRefusal(
          { ...made, alternative: evil },
          request({ accept: 'text/html', origin: evil }, { host: evil }),
        ),
      )
      t.notOk(evilPage.fields.has('Access-Control-Allow-Origin'), label)
      t.strictSame(tags(evilPage), made.decision === undefined ? plainTags : deniedTags, label)
      t.equal(evilPage.fields.get('Content-Length'), String(Buffer.byteLength(evilPage.body)))
    }
  }
})

t.test('says what may be tried again, and when', async (t) => {
  for (const [status, mayRetry] of [
    [400, false],
    [403, false],
    [404, false],
    [407, true],
    [421, false],
    [431, false],
    [429, true],
    [500, true],
    [502, true],
    [503, true],
    [504, true],
  ] as const) {
    const made = refusal('no', { status, ...(status === 503 ? { retryAfterSeconds: 5 } : {}) })
    const { fields } = shown(renderRefusal(made, request()))
    t.equal(fields.get('x-should-retry'), mayRetry ? undefined : 'false', String(status))
    t.equal(fields.get('Retry-After'), status === 503 ? '5' : undefined)
  }
  const asked = shown(renderRefusal(refusal('who', { status: 407, challenge: true }), request()))
  t.equal(asked.fields.get('Proxy-Authenticate'), 'Basic realm="Cordon", charset="UTF-8"')
})

t.test('a review says whom to wait for', async (t) => {
  const decision = { ...ALLOWED, decision: 'REVIEW' as const, reason: 'risky', review_id: 'r-1' }
  const api = shown(renderRefusal(refusal('risky', { decision }), request()))
  t.equal(api.fields.get('X-Cordon-Review-Id'), 'r-1')
  t.equal(JSON.parse(api.body).error.message, `risky (decision ${ALLOWED.decision_id})`)
})

t.test('the connection is named as it is meant, and HEAD has no body', async (t) => {
  for (const [keepAlive, minor, want] of [
    [true, 1, undefined],
    [true, 0, 'keep-alive'],
    [false, 1, 'close'],
    [false, 0, 'close'],
  ] as const)
    t.equal(
      shown(renderRefusal(refusal('no'), request({}, { keepAlive, minor }))).fields.get(
        'Connection',
      ),
      want,
    )
  const head = shown(renderRefusal(refusal('no'), request({}, { method: 'HEAD' })))
  t.equal(head.body, '')
  t.not(head.fields.get('Content-Length'), '0')
})

t.test('the format that was spoken counts more than the service', async (t) => {
  for (const [format, protocol, path] of [
    ['anthropic', 'openai', 'permission_error'],
    ['anthropic-legacy', undefined, 'permission_error'],
    ['gemini', 'custom', 'PERMISSION_DENIED'],
    ['gemini-live', 'openai', 'PERMISSION_DENIED'],
    ['openai-chat', 'anthropic', 'policy_denied'],
    ['openai-responses', 'gemini', 'policy_denied'],
    ['mcp-2025', 'anthropic', 'policy_denied'],
  ] as const)
    t.match(
      shown(renderRefusal({ ...denied('no', protocol), format }, request())).body,
      `"${path}"`,
      format,
    )
})

t.test('as a structure it says the same, for HTTP/2', async (t) => {
  for (const headers of [{}, { accept: 'text/html', origin: 'https://chat.example' }]) {
    for (const method of ['POST', 'HEAD']) {
      const made = { ...denied('no', 'gemini'), alternative: 'House Chat' }
      const one = refusalOf(made, request(headers, { method }), 'help@acme.example')
      const text = shown(renderRefusal(made, request(headers, { method }), 'help@acme.example'))
      t.equal(text.status, `HTTP/1.1 ${one.status} Forbidden`)
      t.strictSame(new Map(one.fields), text.fields)
      t.equal(one.body.toString(), text.body)
    }
  }
})

t.test('a page of another origin can read a denial, and only a denial', async (t) => {
  for (const [origin, isEchoed] of [
    ['https://chat.example', true],
    ['http://[::1]:8080', true],
    ['null', true],
    ['chrome-extension://abcdefgh', true],
    ['https://chat.example/path', false],
    ['*', false],
    ['https://a.example, https://b.example', false],
    ['', false],
  ] as const) {
    const { fields } = shown(renderRefusal(denied('no'), request({ origin })))
    t.equal(fields.get('Access-Control-Allow-Origin'), isEchoed ? origin : undefined, origin)
    t.equal(fields.get('Access-Control-Allow-Credentials'), isEchoed ? 'true' : undefined)
    t.equal(fields.get('Vary'), isEchoed ? 'Origin' : undefined)
    t.equal(fields.get('Access-Control-Allow-Methods'), undefined, 'no preflight is answered')
  }
  const origin = 'https://chat.example'
  const preflight = request(
    { origin, 'access-control-request-method': 'POST' },
    { method: 'OPTIONS' },
  )
  t.match(shown(renderRefusal(denied('no'), preflight)).status, '403')
  for (const [made, more] of [
    [refusal('no'), {}],
    [denied('no'), { isConnect: true }],
  ] as const)
    t.notOk(
      shown(renderRefusal(made, request({ origin }, more))).fields.has(
        'Access-Control-Allow-Origin',
      ),
    )
})

t.test('the page leads to whoever grants exceptions, with the decision filled in', async (t) => {
  const page = (made: Refusal, contact?: string): string =>
    shown(renderRefusal(made, request({ accept: 'text/html' }), contact)).body
  const id = DENIED.decision_id
  t.match(page(denied('no')), /give your security team the decision id/)
  const mail = page(denied('no'), 'ai-help@acme.example')
  t.match(mail, /<a class="button" href="mailto:ai-help@acme\.example\?subject=[^"]+">Ask for an/)
  t.match(mail, `Decision%3A%20${id}`)
  t.match(
    page(denied('no'), 'https://help.acme.example/ask?form=ai'),
    `href="https://help.acme.example/ask?form=ai&#38;decision_id=${id}"`,
  )
  const review = { ...ALLOWED, decision: 'REVIEW' as const, reason: 'risky', review_id: 'r-1' }
  const asked = page(refusal('risky', { decision: review }), 'ai-help@acme.example')
  t.match(asked, /Somebody has been asked/)
  t.match(asked, /Ask about it/)
  t.match(page(refusal('gone', { status: 502 }), 'ai-help@acme.example'), /Ask about it/)
  for (const evil of ['javascript:alert(1)', 'http://a.example/', ...EVIL])
    t.notMatch(page(denied('no'), evil), /class="button"/, encodeURIComponent(evil.toWellFormed()))
})

t.test('a WebSocket is told within 123 bytes, with the decision id at the end', async (t) => {
  t.equal(webSocketReason(denied('not here')), `not here; decision ${DENIED.decision_id}`)
  t.equal(webSocketReason(refusal('closing')), 'closing')
  for (const evil of [...EVIL, 'ä'.repeat(37), '👍'.repeat(18), '👍'.repeat(400)]) {
    for (const made of [denied(evil), refusal(evil)]) {
      const reason = webSocketReason(made)
      t.ok(Buffer.byteLength(reason) <= 123, encodeURIComponent(evil.slice(0, 30).toWellFormed()))
      t.ok(reason.isWellFormed())
      if (made.decision !== undefined) t.ok(reason.endsWith(DENIED.decision_id))
    }
  }
})
