import { join } from 'node:path'
import t from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import { loadCatalogue } from '../../src/signatures/load.ts'

t.test('what is wrong is told with file, line and column', async (t) => {
  const deep = `- &a [x,x,x,x,x,x,x,x]\n${'bcdef'
    .split('')
    .map((name, index) => `- &${name} [${Array(8).fill(`*${'abcde'[index]}`).join(',')}]`)
    .join('\n')}\n- {id: a, name: a, capabilities: *f}`
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      'services:\n  - id: a\n    nmae: A\n',
      /a\.yaml:3:5: unknown key "nmae" \(did you mean "name"\?\)/,
    ],
    ['servces: []\n', /a\.yaml:1:1: unknown key "servces" \(did you mean "services"\?\)/],
    [
      'services:\n  - {id: a, name: A, domains: [ok.example, "Acme.Example"]}\n',
      /a\.yaml:2:44: an item of domains must be written as "acme\.example"/,
    ],
    [
      '- {id: a, name: A, domains: [bücher.example]}\n',
      /must be written as "xn--bcher-kva\.example"/,
    ],
    [
      '- {id: a, name: A, domains: ["https://x.example"]}\n',
      /an item of domains must be a host name/,
    ],
    ['- {id: a, name: A, domains: ["*.x.example"]}\n', /an item of domains must be a host name/],
    ['- {id: a, name: A, domains: x.example}\n', /domains must be a list/],
    [
      '- {id: a, name: A, host_patterns: ["^(a"]}\n',
      /a\.yaml:1:36: an item of host_patterns must be an anchored RE2/,
    ],
    ['- {id: a, name: A, host_patterns: ["a\\\\.example"]}\n', /anchored RE2/],
    ['- {id: a, name: A, user_agents: ["(?=x)"]}\n', /an RE2 expression/],
    ['- {id: a, name: A, headers: [{name: "a b"}]}\n', /needs the name of a header/],
    ['- {id: a, name: A, headers: [{name: a, patern: x}]}\n', /unknown key "patern"/],
    ['- {id: a, name: A, shared_hosts: [{host: "*:70000", paths: [/x]}]}\n', /needs a host/],
    [
      '- {id: a, name: A, shared_hosts: [{host: x.example, paths: [x]}]}\n',
      /paths that begin with/,
    ],
    ['- {id: a, name: A, shared_hosts: [{host: x.example, paths: []}]}\n', /needs a list of paths/],
    ['- {id: a, name: A, approval_status: fine}\n', /must be one of approved/],
    ['- {id: a, name: A, risk_score: 101}\n', /whole number from 0 to 100/],
    ['- {id: a, name: A, confidence: .nan}\n', /number from 0 to 1/],
    ['- {id: A, name: A}\n', /id must be a short name in lower case/],
    ['- {name: A}\n', /needs an id/],
    ['- {id: a}\n', /no known service/],
    ['- {id: a, name: null}\n', /name must be a text/],
    ['- {id: a, name: A, parent: b}\n', /the parent "b" is no known service/],
    ['- {id: a, name: A, parent: a}\n', /its own descendant/],
    ['- {id: a, name: A, parent: b}\n- {id: b, name: B, parent: a}\n', /its own descendant/],
    [
      '- {id: a, name: A}\n- {id: a, name: B}\n',
      /a\.yaml:2:3: the id "a" stands in .*a\.yaml:1 already/,
    ],
    ['- {id: a, name: A, __proto__: x}\n', /unknown key "__proto__"/],
    ['- {id: a, id: b, name: A}\n', /a\.yaml:1:\d+: .*unique/],
    ['a: [\n', /a\.yaml:\d+:\d+: /],
    ['- x\n', /must be a map/],
    ['x\n', /must be a map of vendor and services/],
    ['vendor: [x]\nservices: []\n', /vendor must be a text/],
    ['vendor: x\n', /needs a list of services/],
    [deep, /a\.yaml:\d+:\d+: .*alias/i],
  ]
  for (const [source, expected] of cases) {
    const dir = t.testdir({ 'a.yaml': source })
    try {
      loadCatalogue([dir])
      t.fail(`accepted: ${source}`)
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      t.equal(error.code, 'SIGNATURE_INVALID')
      t.match(error.problems.map(formatProblem).join('\n'), expected, source.slice(0, 60))
    }
  }
})

t.test('later folders override the fields they name and add what is new', async (t) => {
  const root = t.testdir({
    shipped: {
      'acme.yaml':
        'vendor: Acme\nservices:\n  - {id: chat, name: Chat, domains: [chat.example], risk_score: 10, risk_tier: low}\n',
    },
    own: {
      'one.yml':
        '{id: chat, approval_status: approved, risk_score: 60, risk_tier: null, prohibited_for: [Interns]}',
      nested: {
        'two.yaml': '- {id: house, name: House, domains: [chat.example, localhost, 10.0.0.7]}',
      },
      '.hidden': { 'x.yaml': 'nonsense: [' },
      'empty.yaml': '',
      'notes.txt': 'no yaml',
    },
  })
  const catalogue = loadCatalogue([join(root, 'shipped'), join(root, 'own')])
  t.equal(catalogue.size, 2)
  const chat = catalogue.get('chat')
  t.match(chat, {
    name: 'Chat',
    vendor: 'Acme',
    domains: ['chat.example'],
    approval_status: 'approved',
    risk_score: 60,
    prohibited_for: ['Interns'],
    mode: 'enforce',
  })
  t.equal(chat?.risk_tier, undefined)
  const at = (host: string): string | undefined =>
    catalogue.match({ host, port: 443, scheme: 'https', path: '/' })?.service.id
  t.equal(at('chat.example'), 'house', 'a later entry takes a host over')
  t.equal(at('localhost'), 'house')
  t.equal(at('10.0.0.7'), 'house')
  t.equal(at('1.10.0.0.7'), 'house')
  t.not(catalogue.digest, loadCatalogue([join(root, 'shipped')]).digest)
})

t.test('a folder that is not there is named', async (t) => {
  const missing = join(t.testdir(), 'gone')
  t.throws(() => loadCatalogue([missing]), { code: 'NOT_FOUND', message: /gone/ })
})
