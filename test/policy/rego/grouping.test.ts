// Do policies stay where they are when others come, go and change?

import * as fc from 'fast-check'
import t from 'tap'
import { groupByScope, type Groupable } from '../../../src/policy/rego/grouping.ts'

const SERVICES = Array.from({ length: 40 }, (_, index) => `service-${index}`)
const DEPARTMENTS = ['Sales', 'Legal', 'Finance']

function policies(count: number): Groupable[] {
  return Array.from({ length: count }, (_, index) => ({
    packageName: `acme.p${index}`,
    scope:
      index % 5 === 0
        ? {}
        : {
            services: [SERVICES[index % SERVICES.length] ?? ''],
            departments: [DEPARTMENTS[index % 3] ?? ''],
          },
  }))
}

const names = (groups: readonly (readonly Groupable[])[]): string[] =>
  groups.map((group) => group.map(({ packageName }) => packageName).join(' '))

const TEN_THOUSAND = groupByScope(policies(10_000))

t.test('about a hundred stand together, everyone once', async (t) => {
  const groups = TEN_THOUSAND
  const sizes = groups.map(({ length }) => length)
  t.ok(Math.max(...sizes) <= 128)
  const mean = 10_000 / groups.length
  t.ok(mean > 50 && mean < 128, `${mean} a group`)
  t.equal(new Set(groups.flat()).size, 10_000)
  t.same(names(groupByScope(policies(128))), names([policies(128)]), 'a small folder is one shard')
})

t.test('policies of one service stand together', async (t) => {
  const groups = TEN_THOUSAND
  const touched = groups.filter((group) =>
    group.some(({ scope }) => scope.services?.includes('service-7') === true),
  )
  t.ok(touched.length <= 6, `${touched.length} groups for 200 policies of one service`)
})

t.test('one that is added touches its own group alone', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 300 }),
      fc.integer({ min: 0, max: 10_000 }),
      (count, n) => {
        const all = policies(count)
        const added = { packageName: `new.p${n}`, scope: { services: [SERVICES[n % 40] ?? ''] } }
        const before = new Set(names(groupByScope(all)))
        const after = names(groupByScope([...all, added]))
        const fresh = after.filter((group) => !before.has(group))
        // Its group, or the parts of its group where that had become too large.
        const members = fresh.flatMap((group) => group.split(' '))
        return fresh.length <= 2 || members.length === 129
      },
    ),
    { numRuns: 30 },
  )
})

t.test(
  'the order in which policies are given does not matter for who stands with whom',
  async () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(policies(300), { minLength: 300 }), (shuffled) => {
        const sorted = (groups: string[]): string[] =>
          groups.map((group) => group.split(' ').toSorted().join(' ')).toSorted()
        return (
          sorted(names(groupByScope(shuffled))).join() ===
          sorted(names(groupByScope(policies(300)))).join()
        )
      }),
      { numRuns: 10 },
    )
  },
)
