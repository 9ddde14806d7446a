// `cordon exception`: asked for, decided by somebody else, revoked.

import type { DeskAct } from '../app/desk-acts.ts'
import type { ExceptionRequest } from '../governance/exceptions.ts'
import { type ExitCode, type Io, printJson, printRows } from './io.ts'
import { desk, type KeyGiven, show, tellMore } from './review.ts'

type Row = Readonly<Record<string, unknown>>
type Filter = Readonly<Record<string, string | number | undefined>>

export async function exceptionRequest(
  io: Io,
  request: ExceptionRequest,
  options: KeyGiven,
): Promise<ExitCode> {
  const made = (await desk(io, options, { act: 'requestException', request })) as Row
  if (options.json === true) printJson(io, made)
  else
    io.out.write(
      `exception ${String(made['exception_id'])} waits for somebody else to approve it\n`,
    )
  return 0
}

export async function exceptionList(io: Io, filter: Filter, options: KeyGiven): Promise<ExitCode> {
  const page = (await desk(io, options, { act: 'exceptions', filter })) as {
    readonly items: readonly Row[]
    readonly next_cursor: string | null
  }
  if (options.json === true) {
    printJson(io, page)
    return 0
  }
  printRows(
    io,
    false,
    ['exception_id', 'status', 'for', 'lifts', 'until', 'uses', 'reason'],
    page.items.map((each) => ({
      exception_id: each['exception_id'],
      status: each['status'],
      for: whomOf(each),
      lifts: whatOf(each),
      until: each['effective_until'],
      uses: usesOf(each),
      reason: each['reason'],
    })),
  )
  tellMore(io, page)
  return 0
}

export async function exceptionShow(
  io: Io,
  id: string,
  options: KeyGiven & { readonly uses?: boolean; readonly limit?: number },
): Promise<ExitCode> {
  if (options.uses !== true)
    return show(io, options, await desk(io, options, { act: 'exception', id }))
  const filter = options.limit === undefined ? {} : { limit: options.limit }
  const page = (await desk(io, options, { act: 'exceptionUses', id, filter })) as {
    readonly items: readonly Row[]
    readonly next_cursor: string | null
  }
  if (options.json === true) {
    printJson(io, page)
    return 0
  }
  printRows(
    io,
    false,
    ['time', 'decision', 'person', 'action', 'service', 'decision_id'],
    page.items.map((each) => ({
      time: each['time'],
      decision: each['decision'],
      person: (each['user'] as Row)['name'],
      action: each['action'],
      service: (each['resource'] as Row)['id'] ?? (each['resource'] as Row)['host'],
      decision_id: each['decision_id'],
    })),
  )
  return 0
}

export async function exceptionDecide(
  io: Io,
  act: Extract<DeskAct, { readonly act: 'approveException' | 'denyException' | 'revokeException' }>,
  options: KeyGiven,
): Promise<ExitCode> {
  const decided = (await desk(io, options, act)) as Row
  if (options.json === true) printJson(io, decided)
  else io.out.write(`exception ${act.id} is ${String(decided['status'])}\n`)
  return 0
}

function whomOf({ user, group, department }: Row): string {
  const name = user === null ? undefined : ((user as Row)['name'] ?? (user as Row)['id'])
  return [name, group, department].filter((each) => typeof each === 'string').join(' in ')
}

function whatOf({ policy_id: policy, service_id: service, lifts }: Row): string {
  const what = String(lifts === 'policy' ? policy : lifts)
  return typeof service === 'string' ? `${what} at ${service}` : what
}

function usesOf({ usage_count: count, conditions }: Row): string {
  const { max_uses: most } = conditions as { readonly max_uses?: number }
  return most === undefined ? String(count) : `${String(count)} of ${most}`
}
