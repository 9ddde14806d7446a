// A corridor for tests, with settings as a fresh Cordon has them where a test does not say otherwise.

import { loadConfig } from '../../src/config/load.ts'
import type { CorridorOptions, CorridorParts } from '../../src/decision/decide.ts'
import { NO_BUDGETS } from './no-budgets.ts'

const { config } = loadConfig({ env: {}, cwd: import.meta.dirname })

/** What a corridor is made of: no exceptions, no budgets, nobody with a past. */
export function corridorOptions(
  parts: Omit<CorridorParts, 'exceptions' | 'budgets'>,
  options: Partial<CorridorOptions>,
): [CorridorParts, CorridorOptions] {
  return [
    {
      ...parts,
      exceptions: { of: () => [], claim: () => Promise.resolve(undefined) },
      budgets: NO_BUDGETS,
    },
    {
      tenant: 'default',
      review: 'refuse',
      holdTimeoutMs: 1000,
      record: 'ai',
      urlPaths: true,
      personSecret: Buffer.alloc(32, 1),
      risk: config.risk,
      ...options,
    },
  ]
}
