// `cordon budget list` and `cordon budget show`: what is left, and whose it is.

import type { BudgetPage, BudgetQuery, BudgetRow } from '../app/budget-desk.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

export type BudgetOptions = Common & Omit<BudgetQuery, 'budget'>

export async function budgetList(io: Io, options: BudgetOptions): Promise<ExitCode> {
  const page = await pageOf(io, options)
  if (options.json === true) printJson(io, page)
  else print(io, page, ['budget', 'whose', 'used', 'limit', 'left', 'window', 'more_at'])
  return 0
}

export async function budgetShow(
  io: Io,
  budget: string,
  options: BudgetOptions,
): Promise<ExitCode> {
  const page = await pageOf(io, options, budget)
  if (options.json === true) {
    printJson(io, page)
    return 0
  }
  const [first] = page.items
  if (first !== undefined) {
    const { limit, unit, window, kind, then, cut } = first
    const ends = cut ? '; a running answer ends with it' : ''
    io.out.write(`${budget}: ${limit} ${unit} in ${window} (${kind}), then ${then}${ends}\n`)
  }
  print(io, page, ['whose', 'used', 'left', 'more_at'])
  return 0
}

async function pageOf(
  io: Io,
  { user, department, service, model, limit, cursor, ...options }: BudgetOptions,
  budget?: string,
): Promise<BudgetPage> {
  const { config } = configOf(io, options)
  return withAdmin(io, config, (commands) =>
    commands.budgets({
      ...(budget === undefined ? {} : { budget }),
      ...(user === undefined ? {} : { user }),
      ...(department === undefined ? {} : { department }),
      ...(service === undefined ? {} : { service }),
      ...(model === undefined ? {} : { model }),
      ...(limit === undefined ? {} : { limit }),
      ...(cursor === undefined ? {} : { cursor }),
    }),
  )
}

function print(io: Io, page: BudgetPage, columns: readonly string[]): void {
  if (page.items.length === 0) io.err.write('no budget concerns that\n')
  else
    printRows(
      io,
      false,
      columns,
      page.items.map((row) => ({
        budget: row.budget_id,
        whose: whose(row),
        used: row.used,
        limit: `${row.limit} ${row.unit}`,
        left: row.remaining,
        window: row.window,
        more_at: row.used === 0 ? '' : row.resets_at,
      })),
    )
  if (page.next_cursor !== null) io.err.write(`more: --cursor ${page.next_cursor}\n`)
  if (!page.complete) io.err.write('there are more counts than were looked through\n')
}

function whose({ subject }: BudgetRow): string {
  if (subject === null) return '-'
  const { person, user, department, service, model } = subject
  const who = user?.name ?? person
  const parts = [who, department, service, model].filter((part) => part !== undefined)
  return parts.length === 0 ? 'all' : parts.map((part) => (part === '' ? '-' : part)).join(', ')
}
