// Writes OPA's results into the table of built-in calls: `node test/policy/record-builtins.ts`.
//
// Calls are added to the table by hand, with `[]` as the result.

import { writeFileSync } from 'node:fs'
import { stringifyExact } from '../../src/base/exact-json.ts'
import { askOpa, readCalls, TABLE } from '../support/builtin-calls.ts'

const recorded = await askOpa(readCalls())
writeFileSync(TABLE, `[\n${recorded.map((call) => stringifyExact(call)).join(',\n')}\n]\n`)
