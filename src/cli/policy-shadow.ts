// `cordon policy shadow`: what policies in warn and audit would have changed.

import { CordonError } from '../base/errors.ts'
import type { ShadowReport } from '../governance/shadow.ts'
import type { Counts } from '../policy/replay-tally.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { timeOf } from './times.ts'

export interface ShadowGiven {
  readonly config?: string
  readonly json?: boolean
  readonly from?: string
  readonly to?: string
  readonly top: string
}

const COLUMNS = ['decisions', 'newly_denied', 'newly_reviewed', 'newly_allowed'] as const

export async function policyShadow(
  io: Io,
  id: string | undefined,
  given: ShadowGiven,
): Promise<ExitCode> {
  const { config } = configOf(io, given)
  timeOf('--from', given.from)
  timeOf('--to', given.to)
  const top = Number(given.top)
  if (!Number.isInteger(top) || top < 1 || top > 1000)
    throw new CordonError('INPUT_INVALID', '--top must be a whole number from 1 to 1000')
  const range = {
    ...(given.from === undefined ? {} : { from: given.from }),
    ...(given.to === undefined ? {} : { to: given.to }),
  }
  return withAdmin(io, config, async (commands): Promise<ExitCode> => {
    if (id === undefined) {
      const lines = await commands.shadows(range)
      if (given.json === true) printJson(io, lines)
      else
        printRows(
          io,
          false,
          ['policy', ...COLUMNS],
          lines.map(({ policy_id: policy, ...counts }) => ({ policy, ...counts })),
        )
      return 0
    }
    const report = await commands.shadow({ policy: id, ...range, top })
    if (given.json === true) printJson(io, report)
    else print(io, report)
    return 0
  })
}

function print(io: Io, report: ShadowReport): void {
  const { from, to, all_decisions: all, by, newest, people_from: peopleFrom } = report
  io.out.write(`${report.policy_id}, ${from} to ${to}\n`)
  io.out.write(
    `of ${all} decisions it would have changed ${report.changed}: ${COLUMNS.slice(1)
      .map((name) => `${report[name]} ${name.replace('_', ' ')}`)
      .join(', ')}\n`,
  )
  for (const [name, { items, other }] of Object.entries(by)) {
    if (items.length === 0) continue
    const since = name === 'user' && peopleFrom > from ? ` (since ${peopleFrom})` : ''
    io.out.write(`\n`)
    const rows = items.map((counts) => ({ [`${name}${since}`]: counts.name ?? '-', ...counts }))
    const rest: Record<string, unknown>[] =
      other === null ? [] : [{ [`${name}${since}`]: othersText(other), ...other }]
    printRows(io, false, [`${name}${since}`, ...COLUMNS], [...rows, ...rest])
  }
  if (newest.length === 0) return
  io.out.write('\n')
  printRows(
    io,
    false,
    ['time', 'decision', 'would_be', 'department', 'service', 'decision_id'],
    newest.map((each) => ({ ...each })),
  )
}

function othersText({ names }: Counts & { readonly names: number | null }): string {
  return names === null ? 'others' : `${names} others`
}
