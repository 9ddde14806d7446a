// Which hosts are intercepted: against a reading that tries every word and every service one by one.

import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import { CordonError, formatProblem } from '../../src/base/errors.ts'
import type { AiService } from '../../src/model/service.ts'
import { Catalogue, isShared } from '../../src/signatures/catalogue.ts'
import { Interception, type Plan } from '../../src/signatures/interception.ts'
import { loadCatalogue } from '../../src/signatures/load.ts'
import { PINNED, PINNED_HOSTS } from '../../src/signatures/pinned.ts'
import { aService } from '../support/services.ts'

const shipped = loadCatalogue([join(import.meta.dirname, '../../signatures')])
const NONE = aService({ id: 'x' })

const chat: AiService = {
  ...NONE,
  id: 'chat',
  service_type: 'chatbot',
  domains: ['chat.example', 'alpha.test'],
  api_hosts: ['api.chat.example'],
  support_domains: ['static.example'],
}
const deep: AiService = {
  ...NONE,
  id: 'deep',
  service_type: 'llm_api',
  domains: ['deep.chat.example'],
  host_patterns: ['^[a-z]+\\.models\\.cloud\\.test$'],
}
const shop: AiService = {
  ...NONE,
  id: 'shop',
  service_type: 'search',
  api_hosts: ['www.shop.test'],
  shared_hosts: [
    { host: 'www.shop.test', paths: ['/ai'] },
    { host: '*.tenants.test', paths: ['/ai'] },
  ],
}
const local: AiService = {
  ...NONE,
  id: 'local',
  service_type: 'llm_api',
  shared_hosts: [{ host: '*:11434', paths: ['/api'] }],
}
const child: AiService = {
  ...NONE,
  id: 'child',
  parent: 'chat',
  service_type: 'code_assistant',
  api_hosts: ['api.chat.example', 'alpha.test'],
}
const catalogue = new Catalogue([chat, deep, shop, local, child])

function made(services: readonly string[], never: readonly string[] = [], pinned: string[] = []) {
  return new Interception({ services, never }, catalogue, pinned)
}

function said(plan: Plan): string {
  return plan.intercept ? 'intercept' : plan.reason
}

t.test('a service is opened on its hosts, and on nobody else’s', async (t) => {
  const cases: readonly (readonly [string[], string, string])[] = [
    [['chat'], 'chat.example', 'intercept'],
    [['chat'], 'ws.chat.example', 'intercept'],
    [['chat'], 'api.chat.example', 'intercept'],
    [['chat'], 'static.example', 'not_selected'],
    [['static.example'], 'static.example', 'intercept'],
    [['chat'], 'deep.chat.example', 'not_selected'],
    [['chat'], 'x.deep.chat.example', 'not_selected'],
    [['deep'], 'deep.chat.example', 'intercept'],
    [['deep'], 'chat.example', 'not_selected'],
    [['deep'], 'a.models.cloud.test', 'intercept'],
    [['deep'], 'a.b.models.cloud.test', 'not_selected'],
    [['shop'], 'www.shop.test', 'intercept'],
    [['shop'], 'shop.test', 'not_selected'],
    [['shop'], 'acme.tenants.test', 'intercept'],
    [['shop'], 'tenants.test', 'not_selected'],
    [['child'], 'api.chat.example', 'intercept'],
    [['child'], 'chat.example', 'not_selected'],
    [['llm_api'], 'a.models.cloud.test', 'intercept'],
    [['*'], 'deep.chat.example', 'intercept'],
    [['*'], 'elsewhere.test', 'not_selected'],
    [['unknown'], 'elsewhere.test', 'intercept'],
    [['unknown'], '10.1.2.3', 'intercept'],
    [['unknown'], 'chat.example', 'not_selected'],
    [['unknown'], 'www.shop.test', 'not_selected'],
    [['unknown'], 'a.models.cloud.test', 'not_selected'],
    [['Models.Example.'], 'models.example', 'intercept'],
    [['models.example'], 'a.models.example', 'not_selected'],
    [['*.models.example'], 'a.models.example', 'intercept'],
    [['*.models.example'], 'models.example', 'not_selected'],
    [['^m[0-9]+\\.example$'], 'm7.example', 'intercept'],
    [['^m[0-9]+\\.example$'], 'xm7.example', 'not_selected'],
    [['bücher.example'], 'xn--bcher-kva.example', 'intercept'],
  ]
  for (const [services, host, expected] of cases)
    t.equal(said(made(services).plan(host, 443)), expected, `${services.join(',')}: ${host}`)
})

t.test('names that only look alike are not opened', async (t) => {
  const all = made(['*', '*.models.example', 'one.example'])
  for (const host of [
    'notchat.example',
    'chat.example.evil.test',
    'chat-example.test',
    'chat.examples',
    'xmodels.example',
    'one.example.evil.test',
    'xone.example',
    'a.models.cloud.test.evil.test',
    'example',
    `${'a.'.repeat(125)}chat.example.test`,
  ])
    t.equal(said(all.plan(host, 443)), 'not_selected', host)
})

t.test('a local runtime is opened on its port, on private hosts only', async (t) => {
  const some = made(['local'])
  t.equal(said(some.plan('gpu-box', 11434)), 'intercept')
  t.equal(said(some.plan('10.0.0.9', 11434)), 'intercept')
  t.equal(said(some.plan('gpu-box', 443)), 'not_selected')
  t.equal(said(some.plan('elsewhere.test', 11434)), 'intercept', '.test is a private name')
  t.equal(said(some.plan('elsewhere.example', 11434)), 'not_selected')
  t.same(some.domains, [], 'such hosts have no name that an authority could be constrained to')
})

t.test('never wins over all, a host named in full over the shipped list', async (t) => {
  const pins = ['pin.chat.example', '*.under.chat.example']
  t.equal(said(made(['chat'], [], pins).plan('pin.chat.example', 443)), 'pinned')
  t.equal(said(made(['*.chat.example'], [], pins).plan('pin.chat.example', 443)), 'pinned')
  t.equal(said(made(['chat'], [], pins).plan('a.under.chat.example', 443)), 'pinned')
  t.equal(said(made(['chat'], [], pins).plan('under.chat.example', 443)), 'intercept')
  t.equal(said(made(['pin.chat.example'], [], pins).plan('pin.chat.example', 443)), 'intercept')
  t.equal(said(made(['unknown'], [], ['pin.test']).plan('pin.test', 443)), 'pinned')
  for (const word of ['pin.chat.example', '*.chat.example', '^pin\\..*$'])
    t.equal(
      said(made(['pin.chat.example'], [word], pins).plan('pin.chat.example', 443)),
      'never',
      word,
    )
})

t.test('an entry of the catalogue opens its hosts by itself, or keeps them shut', async (t) => {
  const marked = new Catalogue([
    { ...chat, intercept: true },
    { ...deep, intercept: false },
    { ...shop, shared_hosts: [{ host: 'www.shop.test', paths: ['/ai'] }], intercept: false },
  ])
  const plans = (services: string[]) => new Interception({ services, never: [] }, marked, [])
  t.equal(said(plans([]).plan('chat.example', 443)), 'intercept')
  t.equal(said(plans(['*']).plan('deep.chat.example', 443)), 'never')
  t.equal(said(plans(['deep']).plan('a.models.cloud.test', 443)), 'never')
  t.equal(said(plans(['*.shop.test']).plan('www.shop.test', 443)), 'never')
  t.equal(said(plans(['www.shop.test']).plan('www.shop.test', 443)), 'intercept', 'named in full')
})

t.test('a word that names nothing is refused, with the nearest that does', async (t) => {
  const refused = (services: string[], never: string[]): string => {
    try {
      made(services, never)
      return ''
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      t.equal(error.code, 'CONFIG_INVALID')
      return error.problems.map(formatProblem).join('\n')
    }
  }
  t.match(refused(['chta'], []), /proxy\.intercept\.services: "chta" .*did you mean "chat"/)
  t.match(refused(['chatbots'], []), /did you mean "chatbot"/)
  t.match(refused(['unkown'], []), /did you mean "unknown"/)
  t.match(refused(['https://chat.example'], []), /is no service, category, host/)
  t.match(refused(['chat.example:443'], []), /is no service, category, host/)
  t.match(refused(['^(chat$'], []), /is no service, category, host/)
  t.match(refused(['^chat'], []), /is no service, category, host/)
  t.match(refused(['*.*.example'], []), /is no service, category, host/)
  t.match(refused([], ['chat']), /proxy\.intercept\.never: "chat" is a service: .*intercept: false/)
  t.match(refused([], ['a b']), /"a b" is no host/)
})

t.test('an authority is constrained to registrable domains, where there is a bound', async (t) => {
  t.same(made(['chat', 'deep', 'shop']).domains, [
    'alpha.test',
    'chat.example',
    'cloud.test',
    'shop.test',
    'tenants.test',
  ])
  t.same(made(['a.b.co.uk', 'x.hf.space', '*.y.hf.space']).domains, [
    'b.co.uk',
    'x.hf.space',
    'y.hf.space',
  ])
  t.same(made(['*.hf.space', 'x.hf.space']).domains, ['hf.space'], 'one owner, so a bound')
  t.same(made(['^[a-z]+\\.shop\\.test(\\.cn)?$']).domains, ['shop.test', 'test.cn'])
  t.same(made(['10.1.2.3', 'chat']).domains, ['alpha.test', 'chat.example'])
  t.same(made(['*.gpu.internal']).domains, ['gpu.internal'])
  for (const open of ['unknown', '*.com', '*.co.uk', '^.*$', '^(a|b)$'])
    t.equal(made([open]).domains, undefined, open)
})

t.test('what is never opened asks for no domain', async (t) => {
  t.same(made(['chat'], ['alpha.test', '*.alpha.test']).domains, ['chat.example'])
  t.same(made(['chat'], ['*.alpha.test']).domains, ['alpha.test', 'chat.example'])
  t.same(made(['shop'], [], ['www.shop.test']).domains, ['tenants.test'])
})

t.test('the shipped catalogue: a service alone, each category, and everything', async (t) => {
  const plans = (services: string[]) =>
    new Interception({ services, never: [] }, shipped, PINNED_HOSTS)
  t.same(plans(['anthropic-api']).domains, ['anthropic.com'])
  t.ok((plans(['aws-bedrock']).domains ?? []).includes('amazonaws.com.cn'))
  const all = plans(['*']).domains
  t.ok(all !== undefined && all.length > 100, `bounded: ${all?.length} domains`)
  t.equal(said(plans(['*']).plan('desktop.chatgpt.com', 443)), 'pinned')
  t.equal(said(plans(['*']).plan('mtls.api.openai.com', 443)), 'pinned')
  t.equal(said(plans(['*']).plan('chatgpt.com', 443)), 'intercept')
  t.equal(said(plans(['*']).plan('github.com', 443)), 'intercept', 'shared: paths are seen inside')
  t.equal(said(plans(['unknown']).plan('gateway.icloud.com', 443)), 'pinned')
  const ids = new Set(Array.from(shipped.all(), ({ id }) => id))
  const types = new Set(Array.from(shipped.all(), (service) => service.service_type))
  t.same(
    [...types].filter((type) => ids.has(type ?? '')),
    [],
    'no category is a service too',
  )
  for (const word of ['*', 'unknown']) t.notOk(ids.has(word) || types.has(word), word)
})

t.test('the shipped catalogue: whoever a host belongs to decides', async (t) => {
  const services = [...shipped.all()]
  const names = services.flatMap(({ domains, api_hosts: hosts }) => [...domains, ...hosts])
  const wrong: string[] = []
  for (const { id } of services.filter((_, index) => index % 25 === 0)) {
    const one = new Interception({ services: [id], never: [] }, shipped, [])
    const service = shipped.get(id)
    for (const name of names) {
      const owner = shipped.match({ host: name, port: 443, scheme: 'https' })?.service.id
      const reaches =
        service?.domains.includes(name) === true ||
        service?.api_hosts.includes(name) === true ||
        service?.shared_hosts.some(({ host }) => host === name || name.endsWith(host.slice(1)))
      const plan = one.plan(name, 443).intercept
      if (owner === id ? !plan : plan && reaches !== true) wrong.push(`${id} on ${name}`)
    }
  }
  t.same(wrong, [])
})

t.test('the shipped list: every host is canonical and has its evidence', async (t) => {
  for (const { hosts, source, client, checked } of PINNED) {
    t.match(source, /^https:\/\/\S+$/)
    t.match(checked, /^20\d\d-\d\d$/)
    t.ok(client !== '' && hosts.length > 0)
    for (const host of hosts) t.match(host, /^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+$/)
  }
  t.equal(new Set(PINNED_HOSTS).size, PINNED_HOSTS.length)
})

t.test('as a reading does that tries everything', async () => {
  const label = fc.constantFrom('a', 'b', 'ai', 'x-y')
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
  const dotted = name.filter((text) => text.includes('.'))
  const word = fc.oneof(
    dotted,
    name.map((text) => `*.${text}`),
    name.map((text) => `^[a-z]+\\.${text.replaceAll('.', '\\.')}$`),
  )
  const shared = fc.oneof(
    name,
    name.map((text) => `*.${text}`),
  )
  const service = fc.record({
    domains: fc.array(name, { maxLength: 2 }),
    api_hosts: fc.array(name, { maxLength: 2 }),
    host_patterns: fc.array(
      name.map((text) => `^[a-z]+\\.${text.replaceAll('.', '\\.')}$`),
      { maxLength: 1 },
    ),
    shared_hosts: fc.array(shared, { maxLength: 1 }),
    child: fc.boolean(),
    mark: fc.constantFrom(undefined, undefined, undefined, true, false),
  })
  const world = fc.record({
    services: fc.array(service, { maxLength: 4 }),
    chosen: fc.subarray(['s0', 's1', 's2', 's3', 'unknown', '*']),
    words: fc.array(word, { maxLength: 2 }),
    never: fc.array(word, { maxLength: 2 }),
    pinned: fc.array(
      word.filter((text) => !text.startsWith('^')),
      { maxLength: 2 },
    ),
    hosts: fc.array(name, { minLength: 1, maxLength: 8 }),
  })
  fc.assert(
    fc.property(world, (made) => {
      const services = made.services.map((one, index): AiService => ({
        ...NONE,
        id: `s${index}`,
        domains: one.domains,
        api_hosts: one.api_hosts,
        host_patterns: one.host_patterns,
        shared_hosts: one.shared_hosts.map((host) => ({ host, paths: ['/'] })),
        ...(one.child && index > 0 ? { parent: 's0' } : {}),
        ...(one.mark === undefined ? {} : { intercept: one.mark }),
      }))
      const chosen = made.chosen.filter(
        (id) => !/^s\d$/.test(id) || Number(id[1]) < services.length,
      )
      const settings = { services: [...chosen, ...made.words], never: made.never }
      const built = new Interception(settings, new Catalogue(services), made.pinned)
      const { domains } = built
      for (const host of made.hosts) {
        const expected = plainly(host, services, { ...made, chosen })
        // Asked twice: the second answer is a remembered one.
        const plans = [said(built.plan(host, 443)), said(built.plan(host, 443))]
        const isCovered =
          expected !== 'intercept' ||
          domains === undefined ||
          domains.some((domain) => host === domain || host.endsWith(`.${domain}`))
        if (plans.some((plan) => plan !== expected) || !isCovered)
          throw new Error(`${host}: ${plans.join()}, not ${expected}; ${domains?.join()}`)
      }
    }),
    { numRuns: 200 },
  )
})

interface Plainly {
  readonly chosen: readonly string[]
  readonly words: readonly string[]
  readonly never: readonly string[]
  readonly pinned: readonly string[]
}

function plainly(host: string, services: readonly AiService[], made: Plainly): string {
  const covers = (word: string): boolean => {
    if (word.startsWith('^')) return new RegExp(word).test(host)
    return word.startsWith('*.') ? host.endsWith(word.slice(1)) : word === host
  }
  const selected = ({ id, intercept }: AiService): boolean =>
    intercept === true || made.chosen.includes('*') || made.chosen.includes(id)
  if (made.never.some(covers)) return 'never'
  if (made.words.includes(host)) return 'intercept'
  if (made.pinned.some(covers)) return 'pinned'

  const labels = host.split('.')
  const names = labels.map((_, index) => labels.slice(index).join('.'))
  const shares = (service: AiService, name: string): boolean =>
    service.shared_hosts.some((shared) => shared.host === (name === host ? name : `*.${name}`))
  const claims = (service: AiService, name: string): boolean =>
    service.domains.includes(name) || (service.api_hosts.includes(name) && !isShared(service, name))
  const owns = (service: AiService, name: string): boolean =>
    service.domains.includes(name) || (claims(service, name) && service.parent === undefined)
  const matches = ({ host_patterns: patterns }: AiService): boolean =>
    patterns.some((pattern) => new RegExp(pattern).test(host))

  const verdict = (group: readonly AiService[]): string | undefined => {
    if (group.some(({ intercept }) => intercept === false)) return 'never'
    return group.some(selected) ? 'selected' : undefined
  }
  let found: string | undefined
  for (const name of names) {
    found = verdict(services.filter((one) => claims(one, name) || shares(one, name)))
    if (found === undefined && services.some((one) => owns(one, name))) found = 'other'
    if (found !== undefined) break
  }
  found ??= verdict(services.filter(matches))
  if (found === 'never') return 'never'
  if (made.words.some(covers) || found === 'selected') return 'intercept'
  const known =
    found !== undefined ||
    services.some(matches) ||
    names.some((name) => services.some((one) => shares(one, name)))
  return made.chosen.includes('unknown') && !known ? 'intercept' : 'not_selected'
}
