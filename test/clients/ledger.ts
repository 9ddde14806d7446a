// What the ledger must say at the end: one decision for each request, the one that the client was told of.

import { eventually, type Running } from '../support/cordon.ts'
import type { Client } from './clients.ts'
import type { Column } from './columns.ts'
import type { Job } from './jobs.ts'
import type { Cell } from './report.ts'

export interface Told {
  readonly column: Column
  readonly client: Client
  readonly job: Job
  readonly login: string
  readonly decisionId: string | undefined
}

interface Row {
  readonly decision_id: string
  readonly decision: string
  readonly action: string
  /** Null until the request has ended. */
  readonly visibility: string | null
  readonly visibility_reason: string | null
  readonly user: { readonly name: string | null }
}

/** The cells, those of them failing that the ledger tells another story of. */
export async function checkLedger(
  running: Running,
  cells: readonly Cell[],
  told: readonly Told[],
): Promise<Cell[]> {
  const logins = new Set(told.map(({ login }) => login))
  const rows = await eventually(
    async () => (await running.export()) as unknown as Row[],
    (found) =>
      found.every(({ visibility }) => visibility !== null) &&
      [...logins].every((login) => found.some(({ user }) => user.name === login)),
  ).catch(async () => (await running.export()) as unknown as Row[])
  return cells.map((cell) => {
    const asked = told.find(
      ({ column, client, job }) =>
        column === cell.column && client === cell.client && job === cell.job,
    )
    if (asked === undefined || cell.holds !== true) return cell
    const problem = problemOf(asked, rows, told)
    return problem === undefined ? cell : { ...cell, holds: false, text: problem }
  })
}

function problemOf(asked: Told, rows: readonly Row[], told: readonly Told[]): string | undefined {
  const { login, decisionId, column } = asked
  const own = rows.filter(({ user }) => user.name === login)
  if (decisionId !== undefined) {
    const row = own.find(({ decision_id: id }) => id === decisionId)
    if (row === undefined) return 'the ledger does not have the decision that the client was told'
    if (row.decision !== 'DENY') return `the ledger says ${row.decision}`
  }
  const jobs = told.filter((other) => other.login === login).map(({ job }) => job)
  const other = own.filter(({ decision }) => decision !== column.decision).length
  // Of a WebSocket its messages of text are seen, each as a request of its own; the frames around them are not.
  const unseen = own.filter(
    ({ visibility, visibility_reason: why }) => visibility !== 'content' && why !== 'websocket',
  ).length
  if (unseen > 0) return `${unseen} requests were not seen with their content`
  if (column.decision === 'DENY')
    return own.length - other === jobs.length
      ? undefined
      : `${own.length - other} denials for ${jobs.length} requests`
  if (other > 0) return `${other} decisions are others`
  const prompts = own.filter(({ action }) => action === 'send_prompt').length
  const wanted = jobs.filter(({ name }) => name !== 'page').length
  return prompts === wanted ? undefined : `${prompts} decided prompts for ${wanted} requests`
}
