// What is asked, what must come of it, and what did: by what the client saw, and by what the ledger says.

import Table from 'cli-table3'

export interface Step {
  readonly who: string
  readonly client: string
  /** Of the record: the id of the service, or the host where none is known. */
  readonly service: string
  /** Decision and policy of the last record, as `DENY secrets-to-external`; undefined: none is made. */
  readonly decided?: string
  /** How much of it was seen; undefined: no door saw anything, somebody asked. */
  readonly visibility?: string
  /** How many records it leaves. Default: one where something is decided. */
  readonly records?: number
  /** What the client must see. */
  readonly expected: RegExp
  /** Asks, and tells what the client saw. */
  readonly run: () => Promise<string>
}

export interface Played {
  readonly step: Step
  readonly saw: string
}

/** A line of `cordon ledger export`. */
export interface Recorded {
  readonly decision: string
  readonly primary_policy_id: string | null
  readonly user: { readonly name: string | null }
  readonly resource: { readonly id: string | null; readonly host: string | null }
  readonly visibility: string | null
  readonly source: string
}

/** One after the other; a step that throws saw its error. */
export async function play(steps: readonly Step[]): Promise<Played[]> {
  const played: Played[] = []
  for (const step of steps) {
    try {
      played.push({ step, saw: await step.run() })
    } catch (error) {
      const saw =
        error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error)
      played.push({ step, saw })
    }
  }
  return played
}

export function recordsOf({ decided, records }: Step): number {
  return records ?? (decided === undefined ? 0 : 1)
}

/** Prints a table and gives how many rows are not as expected. Records are taken out of `records`, in order. */
export function print(title: string, played: readonly Played[], records: Recorded[]): number {
  const head = ['who', 'client', 'service', 'decision', 'seen', 'what the client saw', '']
  const table = new Table({ head, style: { head: [], border: [], compact: true } })
  let wrong = 0
  for (const { step, saw } of played) {
    const found = take(step, records)
    const decided = found && `${found.decision} ${found.primary_policy_id ?? '(default)'}`
    const problems = [
      ...(step.expected.test(saw) ? [] : [`expected ${String(step.expected)}, saw ${saw}`]),
      ...(decided === step.decided ? [] : [`expected ${step.decided ?? 'no record'}`]),
      ...((found?.visibility ?? undefined) === step.visibility
        ? []
        : [`expected ${step.visibility ?? 'nothing'} to be seen`]),
    ]
    if (problems.length > 0) wrong += 1
    table.push([
      step.who,
      step.client,
      step.service,
      decided ?? '',
      found?.visibility ?? '',
      saw.length > 80 ? `${saw.slice(0, 77)}...` : saw,
      problems.length === 0 ? 'ok' : problems.join('\n'),
    ])
  }
  process.stdout.write(`\n${title}\n${table.toString()}\n`)
  return wrong
}

/** The last of the records that a step left: they are in order for a person and a service. */
function take(step: Step, records: Recorded[]): Recorded | undefined {
  let last: Recorded | undefined
  for (let left = recordsOf(step); left > 0; left--) {
    const index = records.findIndex(
      ({ user, resource }) =>
        (user.name ?? 'nobody') === step.who && (resource.id ?? resource.host) === step.service,
    )
    if (index === -1) return undefined
    ;[last] = records.splice(index, 1)
  }
  return last
}
