// `cordon review`: the queue of reviews, and the answers.

import type { DeskAct } from '../app/desk-acts.ts'
import type { ExceptionTerms } from '../governance/exceptions.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { keyIn } from './key-file.ts'

type Row = Readonly<Record<string, unknown>>
type Page = { readonly items: readonly Row[]; readonly next_cursor: string | null }
export type KeyGiven = Common & { readonly key?: string }

export async function reviewList(
  io: Io,
  filter: Readonly<Record<string, string | number | undefined>>,
  options: KeyGiven,
): Promise<ExitCode> {
  const page = (await desk(io, options, { act: 'reviews', filter })) as Page
  if (options.json === true) printJson(io, page)
  else {
    printRows(
      io,
      false,
      ['review_id', 'status', 'due', 'assignee', 'person', 'service', 'policy', 'action', 'count'],
      page.items.map((review) => ({
        review_id: review['review_id'],
        status: review['overdue'] === true ? 'overdue' : review['status'],
        due: review['due_at'],
        assignee: review['assignee_name'] ?? review['assignee'],
        person: review['person_name'] ?? review['person'],
        service: review['service_id'],
        policy: review['policy_id'],
        action: review['action'],
        count: review['count'],
      })),
    )
    tellMore(io, page)
  }
  return 0
}

export async function reviewShow(io: Io, id: string, options: KeyGiven): Promise<ExitCode> {
  return show(io, options, await desk(io, options, { act: 'review', id }))
}

export async function reviewAnswer(
  io: Io,
  id: string,
  decision: 'approve' | 'deny',
  options: KeyGiven & { readonly comment?: string },
  exception?: ExceptionTerms,
): Promise<ExitCode> {
  const { comment } = options
  const review = (await desk(io, options, {
    act: 'answerReview',
    id,
    answer: {
      decision,
      ...(comment === undefined ? {} : { comment }),
      ...(exception === undefined ? {} : { exception }),
    },
  })) as Row
  if (options.json === true) printJson(io, review)
  else {
    const made = review['exception_id']
    const until = review['valid_until']
    const then =
      typeof made === 'string'
        ? `; exception ${made} is in force`
        : typeof until === 'string'
          ? `; the same request passes until ${until}`
          : ''
    io.out.write(`review ${id} is ${String(review['status'])}${then}\n`)
  }
  return 0
}

export async function reviewAssign(
  io: Io,
  id: string,
  to: string | undefined,
  options: KeyGiven,
): Promise<ExitCode> {
  const review = (await desk(io, options, {
    act: 'assignReview',
    id,
    assignee: to ?? null,
  })) as Row
  if (options.json === true) printJson(io, review)
  else
    io.out.write(
      to === undefined
        ? `review ${id} is nobody's in particular\n`
        : `review ${id} is for ${nameOf(review['assignee_name'], to)}\n`,
    )
  return 0
}

/** Asks the Cordon that runs, else the store; with `--key` its owner acts. */
export async function desk(io: Io, options: KeyGiven, act: DeskAct): Promise<unknown> {
  const { config } = configOf(io, options)
  const key = keyIn(io, options.key)
  const signed = key === undefined ? act : { ...act, key }
  return withAdmin(io, config, (commands) => commands.deskAct(signed))
}

export function tellMore(io: Io, { next_cursor: next }: Page): void {
  if (next !== null) io.err.write(`there is more: --cursor ${next}\n`)
}

/** One thing, a line for each thing that is known of it; a person by name and id. */
export function show(io: Io, options: Common, value: unknown): ExitCode {
  if (options.json === true) {
    printJson(io, value)
    return 0
  }
  const row = value as Row
  const lines = Object.entries(row).flatMap(([name, each]): [string, string][] => {
    if (each === null || each === '' || name.endsWith('_name')) return []
    const called = row[`${name}_name`]
    return [[name, typeof called === 'string' ? `${called} (${textOf(each)})` : textOf(each)]]
  })
  const width = Math.max(...lines.map(([name]) => name.length))
  for (const [name, text] of lines) io.out.write(`${name.padEnd(width)}  ${text}\n`)
  return 0
}

function nameOf(name: unknown, otherwise: string): string {
  return typeof name === 'string' ? name : otherwise
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const { id, name } = value as Row
  if (typeof name !== 'string') return JSON.stringify(value)
  return typeof id === 'string' ? `${name} (${id})` : name
}
