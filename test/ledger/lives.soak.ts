// Six thousand random lives of a ledger, each told by its seed: see lives.test.ts.

import * as fc from 'fast-check'
import t from 'tap'
import { live, step } from '../support/ledger-lives.ts'

for (const fsync of ['batch', 'record', 'off'] as const) {
  t.test(`fsync ${fsync}: random lives`, { timeout: 1_500_000 }, async (t) => {
    const { failed, seed, counterexample, errorInstance } = fc.check(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => live(steps, fsync)),
      { numRuns: 2000 },
    )
    t.comment(`seed ${seed}`)
    t.notOk(failed, `${JSON.stringify(counterexample)} ${String(errorInstance)}`)
  })
}
