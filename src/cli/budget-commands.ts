// `cordon budget`: what it does stands in src/cli/budgets.ts.

import { type Command, InvalidArgumentError } from 'commander'
import type { BudgetOptions } from './budgets.ts'
import { common, type Run } from './common.ts'
import type { Io } from './io.ts'

const LIST_EXAMPLES = `
Examples:
  $ cordon budget list                                  every budget, and whom it is counted for
  $ cordon budget list --user maya                      why is maya refused?
  $ cordon budget list --service chatgpt --json | jq '.items[] | select(.remaining == 0)'`

const SHOW_EXAMPLES = `
Examples:
  $ cordon budget show tokens-of-research
  $ cordon budget show requests-per-person --user maya`

const MOST = 1000

export function budgetCommands(program: Command, io: Io, run: Run): void {
  const budget = program.command('budget').description('what is used and left of budgets')
  filtered(budget.command('list'), 'every budget, and whom it is counted for')
    .addHelpText('after', LIST_EXAMPLES)
    .action((options: BudgetOptions) =>
      run(async () => (await import('./budgets.ts')).budgetList(io, options))(),
    )
  filtered(budget.command('show'), 'one budget')
    .argument('<id>', 'as the settings call it')
    .addHelpText('after', SHOW_EXAMPLES)
    .action((id: string, options: BudgetOptions) =>
      run(async () => (await import('./budgets.ts')).budgetShow(io, id, options))(),
    )
}

function filtered(command: Command, description: string): Command {
  return common(command, description)
    .option('--user <person>', 'name, e-mail, external id, user id or pseudonym')
    .option('--department <name>')
    .option('--service <id>', 'service id')
    .option('--model <model>')
    .option('--limit <count>', `lines at once, at most ${MOST}`, limitOf)
    .option('--cursor <cursor>', 'the next lines')
}

function limitOf(text: string): number {
  const limit = Number(text)
  if (!/^\d{1,4}$/.test(text) || limit < 1 || limit > MOST)
    throw new InvalidArgumentError(`must be a number from 1 to ${MOST}`)
  return limit
}
