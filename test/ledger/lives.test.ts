// Whatever happens to a ledger: what was acknowledged is there, in order and once, and what was signed fits.
// Many more of them: lives.soak.ts.

import * as fc from 'fast-check'
import t from 'tap'
import { live, step } from '../support/ledger-lives.ts'

for (const fsync of ['batch', 'record', 'off'] as const) {
  t.test(`fsync ${fsync}: random lives`, async () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => live(steps, fsync)),
      { numRuns: 12 },
    )
  })
}
