// Do OPA's own conformance cases have their results in our binding?
//
// What falls short is listed by name and reason in conformance-gaps.yaml; one that is listed and does not fall short any
// more is a failure too, so that the list stays true.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { conformanceCases, runCases } from '../support/conformance.ts'
import { withoutOpa } from '../support/policy-folder.ts'

interface Gap {
  readonly reason: string
  /** Names of cases; one that ends in `*` means all that begin so. */
  readonly cases: readonly string[]
}

const GAPS = parse(
  readFileSync(join(import.meta.dirname, 'conformance-gaps.yaml'), 'utf8'),
) as readonly Gap[]

const cases = withoutOpa() || (await conformanceCases())

t.test('OPA’s cases', { skip: typeof cases === 'string' ? cases : false }, async (t) => {
  if (typeof cases === 'string') return
  const results = await runCases(cases)
  const short = [...results].filter(([, problem]) => problem !== undefined)
  const isListed = (note: string): boolean =>
    GAPS.some((gap) =>
      gap.cases.some((name) =>
        name.endsWith('*') ? note.startsWith(name.slice(0, -1)) : note === name,
      ),
    )
  t.comment(`${results.size} cases, ${results.size - short.length} as OPA has them`)
  t.ok(results.size > 2000)
  t.same(
    short.filter(([note]) => !isListed(note)),
    [],
    'nothing falls short that is not listed',
  )
  const unneeded = GAPS.flatMap((gap) => gap.cases).filter(
    (name) =>
      !short.some(([note]) =>
        name.endsWith('*') ? note.startsWith(name.slice(0, -1)) : note === name,
      ),
  )
  t.same(unneeded, [], 'nothing is listed that does not fall short')
})
