// `cordon ledger hold`: what a legal hold covers is not deleted.

import type { AsJson } from '../app/control.ts'
import type { Hold } from '../store/holds.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

export async function holdAdd(
  io: Io,
  name: string,
  options: Common & {
    readonly user?: string
    readonly person?: string
    readonly from?: string
    readonly to?: string
    readonly reason: string
  },
): Promise<ExitCode> {
  const { user, person, from, to, reason } = options
  const { config } = configOf(io, options)
  const hold = await withAdmin(io, config, (commands) =>
    commands.placeHold({
      name,
      reason,
      ...(user === undefined ? {} : { user }),
      ...(person === undefined ? {} : { person }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    }),
  )
  if (options.json === true) printJson(io, hold)
  else io.out.write(`hold "${hold.name}" is in force: ${coverOf(hold)} is kept\n`)
  return 0
}

export async function holdList(io: Io, options: Common): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const holds = await withAdmin(io, config, (commands) => commands.holds({}))
  if (options.json === true) {
    printJson(io, holds)
    return 0
  }
  printRows(
    io,
    false,
    ['name', 'covers', 'since', 'by', 'reason', 'released'],
    holds.map((hold) => ({
      name: hold.name,
      covers: coverOf(hold),
      since: hold.created_at,
      by: hold.created_by,
      reason: hold.reason,
      released:
        hold.released_at === null
          ? ''
          : `${hold.released_at} by ${hold.released_by ?? ''}: ${hold.release_reason ?? ''}`,
    })),
  )
  return 0
}

export async function holdRelease(
  io: Io,
  name: string,
  options: Common & { readonly reason: string },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const hold = await withAdmin(io, config, (commands) =>
    commands.releaseHold({ name, reason: options.reason }),
  )
  if (options.json === true) printJson(io, hold)
  else io.out.write(`hold "${hold.name}" is released: ${coverOf(hold)} goes as its age says\n`)
  return 0
}

function coverOf({ person_keys: keys, time_from: from, time_to: to }: AsJson<Hold>): string {
  return [
    keys === null ? 'everything' : 'one person',
    ...(from === null ? [] : [`from ${from}`]),
    ...(to === null ? [] : [`before ${to}`]),
  ].join(' ')
}
