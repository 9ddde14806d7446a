import * as fc from 'fast-check'
import t from 'tap'
import type { Destination } from '../../src/model/request.ts'
import type { AiService, ServiceMatch } from '../../src/model/service.ts'
import { Catalogue } from '../../src/signatures/catalogue.ts'
import { aService } from '../support/services.ts'

const NAMES = ['a.x', 'b.x', 'x', 'c.b.x', 'a.b.x', 'xx', 'a.y', 'y', 'ba.x'] as const
const PATHS = ['/', '/p', '/p/', '/p/q', '/pq', '/p/{id}/r', '/p/q*', '/p?k=v', '/q'] as const
const SEEN = ['/', '/p', '/p/', '/p/q', '/pq', '/p/q/r', '/p/1/r/s', '/p//r', '/q', '/z'] as const

const name = fc.constantFrom(...NAMES)
const paths = fc.uniqueArray(fc.constantFrom(...PATHS), { minLength: 1, maxLength: 3 })
const oneService = fc.record({
  domains: fc.uniqueArray(name, { maxLength: 2 }),
  host_patterns: fc.subarray(
    ['^[ab]\\.x$', '^.*\\.b\\.x$', '^a\\.y|b\\.a\\.x$', '^[a-z]+\\.(x|y)$'],
    {
      maxLength: 1,
    },
  ),
  shared_hosts: fc.array(
    fc.record({
      host: fc.oneof(
        name,
        name.map((text) => `*.${text}`),
      ),
      paths,
    }),
    { maxLength: 2 },
  ),
  api_hosts: fc.uniqueArray(name, { maxLength: 1 }),
})
const manyServices = fc
  .array(oneService, { maxLength: 6 })
  .map((list) => list.map((fields, index) => aService({ id: `s${index}`, ...fields })))
const destination = fc.record({
  host: name,
  path: fc.constantFrom(...SEEN),
  query: fc.constantFrom(undefined, 'k=v', 'a=b&k=v', 'k=vv'),
})

t.test('the index answers as the rules read one by one', async (t) => {
  fc.assert(
    fc.property(manyServices, destination, (services, { host, path, query }) => {
      const where: Destination = {
        host,
        port: 443,
        scheme: 'https',
        path,
        ...(query === undefined ? {} : { query }),
      }
      const index = new Catalogue(services)
      const expected = bruteForce(services, host, path, query)
      for (const round of ['first', 'remembered']) {
        const found = index.match(where)
        const shown = found === undefined ? [] : [found.match, found.service.id]
        // Entries that claim a thing equally may differ only where the rules name no order: same host, same pattern.
        if (!expected.some((one) => one.join() === shown.join()))
          throw new Error(`${round}: ${shown.join()} is none of ${JSON.stringify(expected)}`)
      }
    }),
    { numRuns: 600 },
  )
  t.pass('2000 random catalogues')
})

/** All answers that the rules allow; more than one only where entries are equal in everything. */
function bruteForce(
  services: readonly AiService[],
  host: string,
  path: string,
  query: string | undefined,
): string[][] {
  const labels = host.split('.')
  const names = labels.map((_, index) => labels.slice(index).join('.'))
  for (const above of names) {
    const rules = services.flatMap((service) =>
      service.shared_hosts
        .filter(({ host: h }) => (above === host ? h === above : h === `*.${above}`))
        .flatMap((shared) => shared.paths.filter((p) => pathFits(p, path, query)))
        .map((p) => ({
          id: service.id,
          length: p.replace(/\*$/, '').length + (p.endsWith('*') ? 1 : 0),
        })),
    )
    if (rules.length > 0) {
      const longest = Math.max(...rules.map(({ length }) => length))
      return rules.filter(({ length }) => length === longest).map(({ id }) => ['path', id])
    }
    const owner = services.findLast(({ domains }) => domains.includes(above))
    const api = services.find(
      ({ api_hosts: hosts, shared_hosts: shared }) =>
        hosts.includes(above) &&
        !shared.some(
          ({ host: h }) => h === above || (h.startsWith('*.') && above.endsWith(h.slice(1))),
        ),
    )
    const whole = owner ?? api
    if (whole !== undefined) return [['domain', whole.id]]
  }
  const patterned = services.filter(({ host_patterns: list }) =>
    list.some((text) => new RegExp(`^(?:${text})$`).test(host)),
  )
  return patterned.length === 0 ? [[]] : patterned.map(({ id }) => ['host_pattern', id])
}

function pathFits(pattern: string, path: string, query: string | undefined): boolean {
  const [base = '', wanted] = pattern.split('?')
  if (wanted !== undefined) return path === base && (query ?? '').split('&').includes(wanted)
  const end = base.endsWith('*') ? '' : base.endsWith('/') ? '' : '(?:/|$)'
  return new RegExp(`^${base.replace(/\*$/, '').replace('{id}', '[^/]+')}${end}`).test(path)
}

const HOST = aService({
  id: 'host',
  domains: ['api.example'],
  shared_hosts: [{ host: 'api.example', paths: ['/own/'] }],
})
const CHILD = aService({
  id: 'child',
  parent: 'host',
  api_hosts: ['other.example', 'deep.api.example'],
  headers: [
    { name: 'X-Client', pattern: '^child$' },
    { name: 'X-Common', distinctive: false },
    { name: 'X-Tenant', kind: 'tenant_restriction' },
    { name: 'X-Present' },
  ],
  user_agents: ['^child/'],
})
const OTHER = aService({ id: 'other', domains: ['other.example'] })
const SIBLING = aService({
  id: 'sibling',
  parent: 'host',
  domains: ['sibling.example', 'api.example'],
  user_agents: ['child/2', '^sibling/'],
})
const THIRD = aService({ id: 'third', domains: ['third.example'] })
const GUEST = aService({
  id: 'guest',
  parent: 'sibling',
  api_hosts: ['third.example'],
  user_agents: ['^child/'],
})

t.test('a child is told by its own headers, then by its user agent', async (t) => {
  const catalogue = new Catalogue([SIBLING, CHILD, HOST, OTHER, THIRD, GUEST])
  const at = (host: string, headers: Record<string, string>): ServiceMatch | undefined =>
    catalogue.match({
      host,
      port: 443,
      scheme: 'https',
      path: '/',
      headers: new Map(Object.entries(headers)),
    })
  const cases: readonly (readonly [string, Record<string, string>, string, string])[] = [
    ['api.example', {}, 'host', 'domain'],
    ['api.example', { 'x-client': 'child' }, 'child', 'header'],
    ['api.example', { 'x-client': 'children' }, 'host', 'domain'],
    ['api.example', { 'x-present': '' }, 'child', 'header'],
    ['api.example', { 'x-common': 'a', 'x-tenant': 'b' }, 'host', 'domain'],
    ['api.example', { 'user-agent': 'child/1' }, 'child', 'user_agent'],
    ['api.example', { 'user-agent': 'sibling/1' }, 'sibling', 'user_agent'],
    ['api.example', { 'x-client': 'child', 'user-agent': 'sibling/1' }, 'child', 'header'],
    ['api.example', { 'user-agent': `child/${'x'.repeat(9000)}` }, 'host', 'domain'],
    ['other.example', { 'user-agent': 'child/1' }, 'child', 'user_agent'],
    ['third.example', { 'user-agent': 'child/1' }, 'guest', 'user_agent'],
    ['other.example', {}, 'other', 'domain'],
    ['deep.api.example', {}, 'host', 'domain'],
    ['sibling.example', {}, 'sibling', 'domain'],
    ['sibling.example', { 'user-agent': 'sibling/1' }, 'sibling', 'domain'],
  ]
  for (const [host, headers, id, match] of cases) {
    const found = at(host, headers)
    t.same(
      [found?.service.id, found?.match],
      [id, match],
      `${host} ${Object.values(headers).join().slice(0, 40)}`,
    )
  }
  t.equal(at('other.example', { 'user-agent': 'child/1' })?.parent?.id, 'other')
  t.equal(at('sibling.example', {})?.parent, undefined)
  t.equal(at('api.example', { 'x-client': 'child' })?.parent?.id, 'host')
})

t.test('while the path is hidden only whole hosts count', async (t) => {
  const shared = aService({
    id: 'shared',
    shared_hosts: [{ host: 'both.example', paths: ['/'] }],
    api_hosts: ['both.example'],
  })
  const catalogue = new Catalogue([HOST, shared])
  const tunnel = { port: 443, scheme: 'https' } as const
  t.equal(catalogue.match({ host: 'both.example', ...tunnel }), undefined)
  t.equal(catalogue.match({ host: 'both.example', path: '/x', ...tunnel })?.service.id, 'shared')
  t.equal(catalogue.match({ host: 'api.example', ...tunnel })?.service.id, 'host')
})
