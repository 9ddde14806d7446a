import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { SERVICE_KEYS } from '../../src/signatures/fields.ts'
import { readSources } from '../../src/signatures/files.ts'
import { loadCatalogue } from '../../src/signatures/load.ts'
import { matchLine } from '../../src/signatures/match-line.ts'

const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'signatures')
const HEAD = '# yaml-language-server: $schema=./schema.json\n'
const catalogue = loadCatalogue([FOLDER])
const schema = JSON.parse(readFileSync(join(FOLDER, 'schema.json'), 'utf8'))

t.test('every shipped file is valid for the loader and for editors', async (t) => {
  t.equal(catalogue.size, 628)
  const validate = new Ajv2020({ allErrors: true, strict: false }).compile(schema)
  const wrong = readSources(FOLDER).filter(
    ({ source }) => !source.startsWith(HEAD) || !validate(parse(source)),
  )
  t.same(
    wrong.map(({ file }) => file),
    [],
  )
})

t.test('schema, reference page and loader name the same keys', async (t) => {
  const keys = Object.keys(SERVICE_KEYS)
  t.same(Object.keys(schema.$defs.service.properties), keys)
  const page = readFileSync(join(ROOT, 'docs/reference/signatures.md'), 'utf8')
  const [, table = ''] = /## Keys of an entry\n([^#]*)/.exec(page) ?? []
  t.same(
    Array.from(table.matchAll(/^\| `(\w+)`/gm), ([, key]) => key),
    keys,
  )
})

t.test('every domain and shared path leads to its own entry', async (t) => {
  const found = (host: string, port: number, written: string): string | undefined => {
    const [path = '/', query] = written
      .replaceAll(/\{\w+\}/g, 'x')
      .replace(/\*$/, 'z')
      .split('?')
    return catalogue.match({
      host,
      port,
      scheme: 'https',
      path,
      ...(query === undefined ? {} : { query }),
    })?.service.id
  }
  const astray: string[] = []
  const expect = (id: string, host: string, port: number, path: string): void => {
    const service = found(host, port, path)
    if (service !== id) astray.push(`${host}:${port}${path} leads to ${service}, not ${id}`)
  }
  for (const { id, domains, shared_hosts: shared } of catalogue.all()) {
    for (const domain of domains) {
      expect(id, domain, 443, '/none-of-any-path')
      expect(id, `never-a-label.${domain}`, 443, '/none-of-any-path')
    }
    for (const { host, paths } of shared) {
      const port = host.startsWith('*:') ? Number(host.slice(2)) : 443
      const name = host.startsWith('*:') ? '127.0.0.1' : host.replace('*', 'tenant')
      for (const path of paths) expect(id, name, port, path)
    }
  }
  t.same(astray, [])
})

const UUID = '0a1b2c3d-0000-4000-8000-000000000000'
/** url, service, match, headers */
const CASES: readonly (readonly [string, string | null, string | null, Record<string, string>?])[] =
  [
    ['https://chatgpt.com/', 'chatgpt', 'domain'],
    ['HTTPS://ChatGPT.COM./backend-api/conversation', 'chatgpt', 'domain'],
    ['https://chatgpt.com:8443/x', 'chatgpt', 'domain'],
    ['wss://chatgpt.com/ws', 'chatgpt', 'domain'],
    ['https://user:word@api.openai.com/v1/models', 'openai-api', 'domain'],
    ['https://api.openai.com@evil.example/', null, null],
    ['https://openai.com.evil.example/', null, null],
    ['https://notopenai.com/', null, null],
    ['https://chatgpt.com../', null, null],
    ['https://evil.example/https://api.openai.com/', null, null],
    ['https://evil.example/?u=api.openai.com', null, null],
    ['https://evil.example#api.openai.com', null, null],
    ['https:\\\\api.openai.com\\v1', 'openai-api', 'domain'],
    ['https:api.openai.com/v1', 'openai-api', 'domain'],
    ['https:///api.openai.com/v1', 'openai-api', 'domain'],
    ['ht\ntps://api.ope\tnai.com/\rv1', 'openai-api', 'domain'],
    ['https://api%2Eopenai%2ecom/', 'openai-api', 'domain'],
    ['https://api。openai。com/', 'openai-api', 'domain'],
    ['https://chatgpt\u00AD.com\u200B/', 'chatgpt', 'domain'],
    ['https://evil.example\\@api.openai.com/', null, null],
    ['https://evil.example?@api.openai.com/', null, null],
    ['https://chatgpt.com\u0000/', null, null],
    ['https://[fe80::1%25eth0]:11434/api/chat', null, null],
    ['api.openai.com', null, null],
    ['//api.openai.com/', null, null],
    ['https://www.bing.com//chat', null, null],
    ['https://www.bing.com/chat%2F', null, null],
    ['https://www.bing.com/CHAT', null, null],
    ['http://100.64.1.1:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['http://foo.localhost.:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['http://0:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['localhost:11434', null, null],
    ['https://ａｐｉ.openai.com/', 'openai-api', 'domain'],
    ['https://ap%69.openai.com/', 'openai-api', 'domain'],
    ['https://сhatgpt.com/', null, null],
    [' https://api.anthropic.com/v1/messages\n', 'anthropic-api', 'domain'],
    ['api.anthropic.com:443', 'anthropic-api', 'domain'],
    ['API.Anthropic.com.:443', 'anthropic-api', 'domain'],
    ['www.bing.com:443', null, null],
    ['[::1]:443', null, null],
    ['https://chatgpt.com/backend-api/codex/responses', 'openai-codex', 'path'],
    ['https://chatgpt.com/backend-api/x/../codex/responses', 'openai-codex', 'path'],
    ['https://chatgpt.com/backend-api/%63odex/responses', 'openai-codex', 'path'],
    ['https://chatgpt.com/backend-api/x/%2e%2E/codex/responses', 'openai-codex', 'path'],
    ['https://chatgpt.com/backend-api/codexes', 'chatgpt', 'domain'],
    ['https://www.bing.com/chat', 'bing-copilot', 'path'],
    ['https://www.bing.com/chat/x?q=1', 'bing-copilot', 'path'],
    ['https://www.bing.com/chatter', null, null],
    ['https://www.bing.com/', null, null],
    ['https://www.google.com/search?q=x&udm=50', 'google-search-ai', 'path'],
    ['https://www.google.com/search?q=x&udm=5', null, null],
    ['https://www.google.com/search/?udm=50', null, null],
    ['https://duckduckgo.com/?q=a&ia=chat', 'duck-ai', 'path'],
    ['https://kagi.com/', null, null],
    ['https://kagi.com/assistant', 'kagi-assistant', 'path'],
    ['https://acme.slack.com/api/ai.summarize', 'slack-ai', 'path'],
    ['https://slack.com/api/ai.summarize', null, null],
    ['https://api.cloudflare.com/client/v4/accounts/abc/ai/run/x', 'cloudflare-workers-ai', 'path'],
    ['https://api.cloudflare.com/client/v4/accounts/a/b/ai/run', null, null],
    ['https://api.githubcopilot.com/mcp/', 'api-mcp-github', 'path'],
    ['https://api.githubcopilot.com/chat/completions', 'github-copilot', 'domain'],
    ['https://api.eu.mistral.ai/v1/chat/completions', 'mistral-api', 'domain'],
    ['https://europe-west1-aiplatform.googleapis.com/v1/x', 'vertex-ai', 'host_pattern'],
    [
      'https://bedrock-runtime.us-east-1.amazonaws.com.cn/model/x/invoke',
      'aws-bedrock',
      'host_pattern',
    ],
    ['https://bedrock-runtime.us-east-1.amazonaws.com.evil.example/', null, null],
    ['http://127.0.0.1:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['http://[::1]:11434/api/tags', 'ollama-local', 'api_pattern'],
    ['http://0x7f.1:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['http://localhost:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['http://[::ffff:10.0.0.8]:11434/api/chat', 'ollama-local', 'api_pattern'],
    ['http://localhost:11434/api/chatter', null, null],
    ['http://203.0.113.9:11434/api/chat', null, null],
    ['http://runtime.example:11434/api/chat', null, null],
    ['http://localhost:11435/api/chat', null, null],
    ['http://192.168.1.2:1234/v1/models', 'local-openai-compatible', 'api_pattern'],
    [
      'https://api.anthropic.com/v1/messages',
      'claude-code',
      'user_agent',
      { 'User-Agent': 'claude-cli/2.0 (x)' },
    ],
    ['https://api.anthropic.com/v1/messages', 'claude-code', 'header', { 'X-APP': 'cli' }],
    [
      'https://api.anthropic.com/v1/messages',
      'anthropic-api',
      'domain',
      { 'X-Stainless-Lang': 'js' },
    ],
    ['https://claude.ai/api/x', 'claude-code', 'user_agent', { 'user-agent': 'claude-cli/2.0' }],
    ['https://claude.ai/api/x', 'claude', 'domain', { 'user-agent': 'claude-cl' }],
    [
      'https://api.openai.com/v1/responses',
      'openai-codex',
      'header',
      { originator: 'codex_cli_rs' },
    ],
    ['https://api.openai.com/v1/responses', 'openai-api', 'domain', { session_id: UUID }],
    [
      'https://api.githubcopilot.com/mcp/',
      'api-mcp-github',
      'path',
      { 'user-agent': 'copilot/1.0' },
    ],
    ['https://evil.example/', null, null, { 'user-agent': 'claude-cli/2.0' }],
    [`https://${'a.'.repeat(3000)}openai.com/`, null, null],
  ]

t.test('hostile and odd URLs lead where a browser would go', async (t) => {
  for (const [url, service, match, headers] of CASES) {
    const answer = JSON.parse(matchLine(catalogue, JSON.stringify({ url, headers })))
    if (answer.error !== undefined) t.equal(service, null, answer.error)
    else
      t.same(
        answer,
        { url, service, match },
        `${url.slice(0, 80)} ${JSON.stringify(headers ?? {})}`,
      )
  }
})

t.test('the method tells where it is known', async (t) => {
  const at = (method?: string): unknown =>
    JSON.parse(
      matchLine(catalogue, JSON.stringify({ url: 'http://localhost:11434/api/tags', method })),
    ).service
  t.equal(at(), 'ollama-local')
  t.equal(at('get'), 'ollama-local')
  t.equal(at('DELETE'), null)
})

t.test('a malformed line gives an error in its place', async (t) => {
  for (const line of [
    '',
    'x',
    '[]',
    'null',
    '{}',
    '{"url":1}',
    '{"url":""}',
    '{"url":"nonsense"}',
    '{"url":"ftp://chatgpt.com/"}',
    '{"url":"https://"}',
    '{"url":"https://a b/"}',
    '{"url":"host:99999"}',
    '{"url":"user@host:443"}',
    '{"url":"https://x/","method":1}',
    '{"url":"https://x/","headers":[]}',
    '{"url":"https://x/","headers":{"a":1}}',
    JSON.stringify({ url: `https://x/${'a'.repeat(70_000)}` }),
  ]) {
    const answer = JSON.parse(matchLine(catalogue, line))
    t.same(Object.keys(answer), ['error'], line.slice(0, 60))
    t.type(answer.error, 'string')
  }
})

t.test('needsPath is true where a path could change the answer', async (t) => {
  t.equal(catalogue.needsPath('www.bing.com', 443), true)
  t.equal(catalogue.needsPath('chatgpt.com', 443), true)
  t.equal(catalogue.needsPath('api.openai.com', 443), false)
  t.equal(catalogue.needsPath('127.0.0.1', 11434), true)
  t.equal(catalogue.needsPath('evil.example', 11434), false)
})
