// The proxy script, read as browsers read it: evaluated with nothing but the language, and in Chromium.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import t from 'tap'
import { PROGRAM_DIR } from '../../src/config/schema.ts'
import { pacHostsOf, type PacHosts, pacScript } from '../../src/setup/pac.ts'
import { loadServices } from '../../src/signatures/load.ts'
import { aService } from '../support/services.ts'

const PROXY = 'PROXY proxy.acme.example:3128'

function find(hosts: PacHosts | undefined): (url: string) => string {
  const context = createContext({})
  runInContext(pacScript('proxy.acme.example:3128', hosts), context)
  return (url) => {
    const { hostname } = new URL(url)
    return String(
      runInContext(`FindProxyForURL(${JSON.stringify(url)}, ${JSON.stringify(hostname)})`, context),
    )
  }
}

t.test('everything goes to the proxy but what is local', async (t) => {
  const where = find(undefined)
  for (const url of [
    'https://chatgpt.com/',
    'http://EXAMPLE.com./',
    'wss://api.openai.com/v1/realtime',
    'https://8.8.8.8/',
    'https://172.32.0.1/',
    'https://[2606:4700::1111]/',
    'https://localhost.example.com/',
    'https://10.example.com/',
  ])
    t.equal(where(url), PROXY, url)
  for (const url of [
    'http://localhost:8080/',
    'http://wiki/',
    'http://printer.local/',
    'http://a.b.internal./',
    'http://127.0.0.1/',
    'http://10.1.2.3/',
    'http://192.168.0.1/',
    'http://172.16.0.1/',
    'http://172.31.255.255/',
    'http://169.254.169.254/',
    'http://[::1]:3128/',
    'http://[fe80::1]/',
    'http://[fd00::1]/',
    'ftp://example.com/',
  ])
    t.equal(where(url), 'DIRECT', url)
})

t.test('the script for AI services sends those hosts and what lies below them', async (t) => {
  const hosts = pacHostsOf([
    aService({
      id: 'a',
      name: 'A',
      domains: ['chat.example'],
      host_patterns: ['^[a-z0-9-]+\\.ai\\.azure\\.example$'],
    }),
    aService({
      id: 'b',
      name: 'B',
      api_hosts: ['api.b.example'],
      shared_hosts: [
        { host: '*.cloud.example', paths: ['/ai'] },
        { host: '*:11434', paths: ['/api'] },
      ],
    }),
  ])
  t.strictSame(hosts?.domains, ['api.b.example', 'chat.example', 'cloud.example'])
  const where = find(hosts)
  for (const host of [
    'chat.example',
    'a.b.chat.example',
    'api.b.example',
    'x.cloud.example',
    'my-1.ai.azure.example',
  ])
    t.equal(where(`https://${host}/`), PROXY, host)
  for (const host of [
    'example',
    'www.example.com',
    'notchat.example',
    'chat.example.evil.com',
    'b.example',
    'ai.azure.example',
    'constructor.test',
    '__proto__.test',
  ])
    t.equal(where(`https://${host}/`), 'DIRECT', host)
})

t.test('a pattern that an old JavaScript might read otherwise sends everything', async (t) => {
  for (const [pattern, isKept] of [
    ['^(?:a|b)\\.x\\.example$', true],
    ['^[a-z]{2,5}-\\d+\\.x\\.example$', true],
    ['(?i)^a\\.example$', false],
    ['^[[:alpha:]]+\\.example$', false],
    ['^\\pL+\\.example$', false],
    ['^a++\\.example$', false],
    ['^(a', false],
  ] as const)
    t.equal(
      pacHostsOf([aService({ id: 'a', name: 'A', host_patterns: [pattern] })]) !== undefined,
      isKept,
      pattern,
    )
})

t.test('the shipped catalogue makes a script that knows its own hosts', async (t) => {
  const { services } = loadServices([join(PROGRAM_DIR, 'signatures')])
  const hosts = pacHostsOf(services)
  t.ok(hosts, 'every shipped pattern can be written')
  const where = find(hosts)
  for (const host of [
    'chatgpt.com',
    'api.openai.com',
    'api.anthropic.com',
    'claude.ai',
    'generativelanguage.googleapis.com',
  ])
    t.equal(where(`https://${host}/`), PROXY, host)
  for (const host of ['example.com', 'wikipedia.org'])
    t.equal(where(`https://${host}/`), 'DIRECT', host)
})

t.test('nothing of a name gets out of its string', async (t) => {
  const evil = '"};alert(1)//</script>\u2028'
  const context = createContext({ alert: () => t.fail('ran') })
  const script = pacScript(evil, { domains: [evil], patterns: [] })
  runInContext(script, context)
  t.equal(runInContext('FindProxyForURL("https://a.example/", "a.example")', context), 'DIRECT')
  t.match(script, /^[\n\u0020-\u007E]*$/)
})

const CHROMIUM = '/usr/bin/chromium'
t.test(
  'Chromium takes the script and sends a page to the proxy that it names',
  { skip: existsSync(CHROMIUM) ? false : 'no Chromium here' },
  async (t) => {
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url ?? '')
      if (request.url === '/proxy.pac') {
        response.setHeader('content-type', 'application/x-ns-proxy-autoconfig')
        response.end(pacScript(`127.0.0.1:${port}`, undefined))
      } else response.end('<p>through the proxy</p>')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const child = spawn(
      CHROMIUM,
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        `--user-data-dir=${t.testdir()}`,
        `--proxy-pac-url=http://127.0.0.1:${port}/proxy.pac`,
        '--dump-dom',
        'http://page.acme.example/',
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
    let dom = ''
    child.stdout.on('data', (part: Buffer) => (dom += part.toString('utf8')))
    await once(child, 'close')
    t.match(dom, /through the proxy/)
    t.ok(asked.includes('http://page.acme.example/'), 'in absolute form')
  },
)
