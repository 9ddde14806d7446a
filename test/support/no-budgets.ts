// A corridor without budgets, and with the risk score as it is set by default.

import { tmpdir } from 'node:os'
import { loadConfig } from '../../src/config/load.ts'
import { MemoryBudgets } from '../../src/context/budget-memory.ts'
import { Budgets } from '../../src/decision/budgets.ts'
import type { RiskSettings } from '../../src/model/risk.ts'

export const NO_BUDGETS = new Budgets({
  counter: new MemoryBudgets(Date.now),
  settings: () => ({ budgets: [], onError: 'allow' }),
  metrics: { budgetErrors: { inc: () => undefined } },
})

export const RISK: RiskSettings = loadConfig({ env: {}, cwd: tmpdir() }).config.risk
