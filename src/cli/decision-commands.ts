// `cordon tail`: what is decided. What it does stands in the file of its name.

import { type Command, Option } from 'commander'
import { EFFECTS, MODES, SEVERITIES } from '../model/decision.ts'
import { SOURCES } from '../model/request.ts'
import type { Filter } from '../store/filters.ts'
import { common, type Common, type Run } from './common.ts'
import type { Io } from './io.ts'

/** Options that are filters of decisions, as the API names them. */
const FILTERS: readonly (readonly [name: string, option: Option])[] = [
  [
    'user',
    new Option('--user <person>', 'name, email or id; a pseudonym where people are shown so'),
  ],
  ['department', new Option('--department <name>')],
  ['service', new Option('--service <id>', 'service id or host')],
  ['policy', new Option('--policy <id>')],
  ['decision', new Option('--decision <effect>').choices(EFFECTS)],
  ['would_be', new Option('--would-be <effect>', 'of warn and audit').choices(EFFECTS)],
  ['mode', new Option('--mode <mode>').choices(MODES)],
  ['severity', new Option('--severity <severity>', 'of the violation').choices(SEVERITIES)],
  ['source', new Option('--source <source>').choices(SOURCES)],
  ['action', new Option('--action <action>')],
  ['host', new Option('--host <host>')],
  ['model', new Option('--model <model>')],
  ['finding', new Option('--finding <type>', 'such as email')],
  ['q', new Option('-q, --query <words>', 'words that all occur, "a phrase", or, -not')],
]

export function decisionCommands(program: Command, io: Io, run: Run): void {
  const tail = common(program.command('tail'), 'decisions live, whether Cordon runs or not')
    .option('-n, --lines <count>', 'so many of the newest first (default 10, with --since all)')
    .option('--since <time>', 'RFC 3339, or how long ago, such as 15m')
    .option('-f, --follow', 'go on with what comes', true)
    .option('--no-follow', 'end with what is there')
  for (const [, option] of FILTERS) tail.addOption(option)
  tail.action((options: Common & TailGiven) =>
    run(async () =>
      (await import('./tail.ts')).tail(io, { ...options, filter: filterOf(options) }),
    )(),
  )
}

interface TailGiven {
  readonly lines?: string
  readonly since?: string
  readonly follow: boolean
}

function filterOf(given: object): Filter {
  const values = given as Readonly<Record<string, string | undefined>>
  return Object.fromEntries(
    FILTERS.flatMap(([name, option]) => {
      const value = values[option.attributeName()]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
