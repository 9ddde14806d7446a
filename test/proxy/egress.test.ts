// Where a request may go: every spelling of an internal address, mixed and alternating answers, exceptions.

import type { LookupAddress } from 'node:dns'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Egress, type EgressOptions } from '../../src/proxy/egress.ts'
import type { Refusal, Route } from '../../src/proxy/ports.ts'
import { parseTarget } from '../../src/proxy/target.ts'

type Answers = Record<string, readonly string[] | (() => readonly string[])>

function egress(options: Partial<EgressOptions> = {}, answers: Answers = {}): Egress {
  return new Egress({
    ports: [80, 443],
    connectPorts: [443],
    private: 'deny',
    allow: [],
    resolve: new Map(),
    ownAddresses: ['203.0.114.7', 'fe80::1%eth0', '2600::7'],
    ownPorts: [3128],
    hostsFile: '',
    lookup: (name, _options, done) => {
      const answer = answers[name]
      const list = typeof answer === 'function' ? answer() : answer
      if (list === undefined) done(Object.assign(new Error('none'), { code: 'ENOTFOUND' }), [])
      else
        done(
          null,
          list.map((address): LookupAddress => ({
            address,
            family: address.includes(':') ? 6 : 4,
          })),
        )
    },
    ...options,
  })
}

/** What becomes of a request line: a status, or the address that is dialled. */
async function fate(guard: Egress, method: string, target: string): Promise<number | string> {
  const read = parseTarget(method, target, undefined)
  if ('status' in read) return read.status
  const isConnect = method === 'CONNECT'
  const barred = guard.check(read.destination, isConnect)
  if (barred !== undefined) return barred.status
  const route: Route | Refusal = await guard.route(read.destination, isConnect)
  return 'status' in route ? route.status : `${route.address} ${route.port}`
}

const V4 = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '127.255.255.254',
  '2130706433',
  '017700000001',
  '0x7f000001',
  '0x7f.1',
  '0X7F.0.0.0x1',
  '0177.0.0.1',
  '00000177.0.0.1',
  '127.0.0.1.',
  '0',
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '012.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '3232235521',
  '0xc0a80001',
  '169.254.169.254',
  '0xa9fea9fe',
  '2852039166',
  '169.16689662',
  '0251.0376.0251.0376',
  '100.64.0.1',
  '100.127.255.255',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '4294967295',
  '203.0.114.7',
]
const V6 = [
  '::',
  '::1',
  '0:0:0:0:0:0:0:1',
  '0000:0000:0000:0000:0000:0000:0000:0001',
  '::127.0.0.1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::FFFF:7F00:0001',
  '::ffff:10.0.0.1',
  '::ffff:169.254.169.254',
  '::ffff:8.8.8.8',
  '::ffff:0:127.0.0.1',
  '64:ff9b::127.0.0.1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b::8.8.8.8',
  '64:ff9b:1::1',
  '2002:7f00:1::',
  '2002:a9fe:a9fe::1',
  '2002:808:808::1',
  '2001:0:4136:e378:8000:63bf:80ff:fffe',
  '2001::1',
  '2001:db8::1',
  '3fff::1',
  '5f00::1',
  '100::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'febf::1',
  'fec0::1',
  'ff02::1',
  '2600::7',
]
const MALFORMED = [
  '127.0.0.1%00',
  '127.0.0.1%2e',
  '127%2e0%2e0%2e1',
  '%31%32%37.0.0.1',
  '[::1%lo]',
  '[::1%25lo]',
  '[fe80::1%25eth0]',
  '[127.0.0.1]',
  '[::1',
  '::1',
  '[::g]',
  '[]',
  '127.0.0.1..',
  'localhost..',
  '256.256.256.256',
  '127.0.0.256',
  '0x7f.0.0.1.1',
  '-a.example',
  'a..example',
  '.example',
  'user@localhost',
  'user:word@localhost',
  'localhost\\',
  'a,b',
  'a;b',
  'a"b',
  'a<b',
  "a'b",
  'a b',
  'a\tb',
  'x'.repeat(64),
  `${'x.'.repeat(127)}xx`,
]

t.test('no spelling of an internal address is reached, by GET or CONNECT', async (t) => {
  const guard = egress()
  for (const host of [...V4, ...V6.map((address) => `[${address}]`)]) {
    t.equal(await fate(guard, 'GET', `http://${host}/`), 403, host)
    t.equal(await fate(guard, 'GET', `http://${host}:443/x`), 403, host)
    t.equal(await fate(guard, 'CONNECT', `${host}:443`), 403, host)
    t.equal(await fate(guard, 'CONNECT', `${host}:80`), 403, host)
  }
  for (const host of MALFORMED) {
    t.equal(await fate(guard, 'GET', `http://${host}/`), 400, host)
    t.equal(await fate(guard, 'CONNECT', `${host}:443`), 400, host)
  }
  for (const host of ['１２７.0.0.1', '①②⑦.0.0.1', '127。0。0。1', '127｡0｡0｡1'])
    t.equal(await fate(guard, 'CONNECT', `${host}:443`), 403, host)
})

t.test(
  'a name is reached at the address that was checked, whatever the next answer is',
  async (t) => {
    let asked = 0
    const guard = egress(
      {},
      {
        'rebind.example.': () => (asked++ % 2 === 0 ? ['8.8.8.8'] : ['127.0.0.1']),
        'mixed.example.': ['10.0.0.1', '::1', '9.9.9.9', '::ffff:127.0.0.1', '8.8.4.4'],
        'inside.example.': ['192.168.1.1', 'fd00::1'],
        'mapped.example.': ['::ffff:192.168.1.1'],
        'six.example.': ['2606:4700::1'],
        localhost: ['127.0.0.1'],
        intranet: ['10.0.0.9'],
      },
    )
    for (let index = 0; index < 24; index++) {
      const found = await fate(
        egress({}, { 'a.example.': () => (index % 2 === 0 ? ['8.8.8.8'] : ['127.0.0.1']) }),
        'CONNECT',
        'a.example:443',
      )
      t.equal(found, index % 2 === 0 ? '8.8.8.8 443' : 403)
      t.not(await fate(guard, 'CONNECT', 'rebind.example:443'), '127.0.0.1 443')
    }
    t.equal(asked, 1, 'an answer is kept for a while')
    t.strictSame(await guard.route({ host: 'mixed.example', port: 443, scheme: 'https' }, true), {
      address: '9.9.9.9',
      family: 4,
      port: 443,
      others: [{ address: '8.8.4.4', family: 4 }],
    })
    t.equal(await fate(guard, 'GET', 'http://inside.example/'), 403)
    t.equal(await fate(guard, 'GET', 'http://mapped.example/'), 403)
    t.equal(await fate(guard, 'GET', 'http://LOCALHOST./'), 403)
    t.equal(await fate(guard, 'GET', 'http://intranet/'), 403)
    t.equal(await fate(guard, 'GET', 'http://six.example/'), '2606:4700::1 80')
    t.equal(await fate(guard, 'GET', 'http://nowhere.example/'), 502)
  },
)

t.test('only the ports that are named, in both forms', async (t) => {
  const guard = egress({}, { 'a.example.': ['8.8.8.8'] })
  for (const port of [1, 22, 25, 3128, 6379, 8080, 8443, 11211, 65_535]) {
    t.equal(await fate(guard, 'GET', `http://a.example:${port}/`), 403)
    t.equal(await fate(guard, 'CONNECT', `a.example:${port}`), 403)
  }
  t.equal(await fate(guard, 'GET', 'http://a.example:443/'), '8.8.8.8 443')
  t.equal(await fate(guard, 'CONNECT', 'a.example:80'), '8.8.8.8 80')
  const odd = egress({ ports: [8080], connectPorts: [8443] }, { 'a.example.': ['8.8.8.8'] })
  t.equal(await fate(odd, 'GET', 'http://a.example/'), 403)
  t.equal(await fate(odd, 'GET', 'http://a.example:8443/'), 403)
  t.equal(await fate(odd, 'CONNECT', 'a.example:8443'), '8.8.8.8 8443')
})

t.test('exceptions open what they name and nothing beside it', async (t) => {
  const guard = egress(
    {
      allow: [
        '10.1.0.0/16',
        'Wiki.Corp.Example.',
        'git.corp.example:8080',
        '127.0.0.1',
        '[::1]:8081',
        '64:ff9b::/96',
        '192.168.7.7:8082',
      ],
    },
    {
      'wiki.corp.example.': ['192.168.3.4'],
      'git.corp.example.': ['192.168.3.5'],
      'app.corp.example.': ['10.1.2.3'],
      'other.corp.example.': ['10.2.2.3'],
      'fixed.corp.example.': ['192.168.7.7'],
      'nat.example.': ['64:ff9b::808:808'],
      'nat-inside.example.': ['64:ff9b::a00:1'],
    },
  )
  for (const [method, target, want] of [
    ['GET', 'http://10.1.9.9/', '10.1.9.9 80'],
    ['GET', 'http://10.2.0.1/', 403],
    ['GET', 'http://10.1.9.9:8080/', 403],
    ['GET', 'http://[::ffff:10.1.9.9]/', '::ffff:a01:909 80'],
    ['GET', 'http://wiki.corp.example/', '192.168.3.4 80'],
    ['GET', 'http://wiki.corp.example:8080/', 403],
    ['GET', 'http://sub.wiki.corp.example/', 502],
    ['GET', 'http://git.corp.example:8080/', '192.168.3.5 8080'],
    ['GET', 'http://git.corp.example/', 403],
    ['GET', 'http://app.corp.example/', '10.1.2.3 80'],
    ['GET', 'http://other.corp.example/', 403],
    ['GET', 'http://127.1/', '127.0.0.1 80'],
    ['GET', 'http://127.0.0.2/', 403],
    ['GET', 'http://127.0.0.1:3128/', 403],
    ['CONNECT', '[::1]:8081', '::1 8081'],
    ['CONNECT', '[::1]:443', 403],
    ['CONNECT', '192.168.7.7:8082', '192.168.7.7 8082'],
    ['CONNECT', '192.168.7.7:443', 403],
    ['GET', 'http://nat.example/', '64:ff9b::808:808 80'],
    ['GET', 'http://nat-inside.example/', 403],
  ] as const)
    t.equal(await fate(guard, method, target), want, target)
})

t.test('where everything is allowed, this proxy itself is not', async (t) => {
  const guard = egress(
    { private: 'allow', ports: [80, 3128] },
    { 'loop.example.': ['127.0.0.1'], 'me.example.': ['203.0.114.7'], localhost: ['::1'] },
  )
  for (const host of [
    '127.0.0.1',
    '127.8.8.8',
    '0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '203.0.114.7',
    '[2600::7]',
    'loop.example',
    'me.example',
    'localhost',
  ]) {
    t.equal(await fate(guard, 'GET', `http://${host}:3128/`), 403, host)
    t.type(await fate(guard, 'GET', `http://${host}/`), 'string', host)
  }
})

t.test('resolve leads elsewhere, for one host and port', async (t) => {
  const guard = egress(
    {
      resolve: new Map([
        ['API.openai.com:443', '127.0.0.1:18443'],
        ['api.openai.com:80', '[::1]:18080'],
        ['odd.example:9999', 'localhost:9998'],
        ['[2606::1]:443', '10.0.0.1:1'],
      ]),
    },
    { localhost: ['::1', '127.0.0.1'], 'api.openai.com.': ['8.8.8.8'] },
  )
  t.equal(await fate(guard, 'CONNECT', 'api.OpenAI.com.:443'), '127.0.0.1 18443')
  t.equal(await fate(guard, 'GET', 'http://api.openai.com/v1'), '::1 18080')
  t.equal(await fate(guard, 'GET', 'http://odd.example:9999/'), '::1 9998')
  t.equal(await fate(guard, 'CONNECT', '[2606::1]:443'), '10.0.0.1 1')
  t.equal(await fate(guard, 'CONNECT', 'sub.api.openai.com:443'), 502)
  t.equal(await fate(guard, 'GET', 'http://localhost:9998/'), 403)
})

t.test('the hosts file counts for names with dots, and is read anew when it changes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-hosts-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const hostsFile = join(folder, 'hosts')
  const line = '8.8.8.8 \t Known.Example  alias # known.other\n'
  writeFileSync(hostsFile, `# people\n\n${line}nonsense other\n2606::1 known.example\n`)
  const guard = egress({ hostsFile }, { 'known.example.': ['9.9.9.9'] })
  t.equal(await fate(guard, 'GET', 'http://known.example/'), '8.8.8.8 80')
  t.equal(await fate(guard, 'GET', 'http://known.other/'), 502)
  writeFileSync(hostsFile, '127.0.0.1 late.example trick.example\n')
  t.equal(await fate(guard, 'GET', 'http://late.example/'), 403)
  t.equal(await fate(guard, 'GET', 'http://gone.example/'), 502)
})
