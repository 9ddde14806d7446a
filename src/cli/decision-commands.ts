// `cordon tail` and `cordon report`: what is decided. What each does stands in the file of its name.

import { type Command, InvalidArgumentError, Option } from 'commander'
import { EFFECTS, MODES, SEVERITIES } from '../model/decision.ts'
import { SOURCES } from '../model/request.ts'
import type { Filter } from '../store/filters.ts'
import {
  type Bucket,
  BUCKETS,
  QUESTION_BY,
  QUESTION_OF,
  type QuestionBy,
} from '../store/questions.ts'
import { common, type Common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { ReportKind } from './report.ts'

const TAIL_EXAMPLES = `
Examples:
  $ cordon tail                                         until Ctrl-C, over restarts of Cordon too
  $ cordon tail --decision DENY --department Finance
  $ cordon tail --since 15m -q '"api key" -test' --no-follow
  $ cordon tail --json | jq -r .user.name               one decision a line`

const REPORT_EXAMPLES = `
Examples:
  $ cordon report top --by person --decision DENY       who is refused most?
  $ cordon report top --by policy --of violations       which policies refuse?
  $ cordon report trend --bucket day --by department    does it grow?
  $ cordon report first-seen --from 2026-11-21T00:00:00Z`

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
  ['exception_id', new Option('--exception <id>', 'that had a part in it').argParser(idOf)],
  ['q', new Option('-q, --query <words>', 'words that all occur, "a phrase", or, -not')],
]

function idOf(text: string): string {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
    throw new InvalidArgumentError('must be an id, as lists show it')
  return text
}

export function decisionCommands(program: Command, io: Io, run: Run): void {
  const tail = common(program.command('tail'), 'decisions live, whether Cordon runs or not')
    .option('-n, --lines <count>', 'so many of the newest first (default 10, with --since all)')
    .option('--since <time>', 'RFC 3339, or how long ago, such as 15m')
    .option('-f, --follow', 'go on with what comes', true)
    .option('--no-follow', 'end with what is there')
  for (const [, option] of FILTERS) tail.addOption(option)
  tail
    .addHelpText('after', TAIL_EXAMPLES)
    .action((options: Common & TailGiven) =>
      run(async () =>
        (await import('./tail.ts')).tail(io, { ...options, filter: filterOf(options) }),
      )(),
    )
  reportCommands(program, io, run)
}

/** Options that are filters of reports; what sums do not know is not among them. */
const SUMMED = new Set([
  'user',
  'department',
  'service',
  'policy',
  'decision',
  'would_be',
  'mode',
  'severity',
  'source',
  'action',
])

const REPORTS: readonly (readonly [ReportKind, string])[] = [
  ['trend', 'how many decisions or violations, by hour or day'],
  ['top', 'services, departments, policies, people or others with the most'],
  ['first-seen', 'what was seen for the first time, the newest first'],
]

function reportCommands(program: Command, io: Io, run: Run): void {
  const report = program.command('report').description('what was decided, in figures')
  for (const [kind, description] of REPORTS) {
    const command = common(report.command(kind), description)
      .addOption(new Option('--of <what>').choices(QUESTION_OF).default('decisions'))
      .addOption(
        new Option(
          '--by <what>',
          kind === 'trend' ? 'one line of each' : 'default service',
        ).choices(QUESTION_BY),
      )
      .option('--from <time>', 'RFC 3339; default a week before --to')
      .option('--to <time>', 'RFC 3339, exclusive; default now')
    if (kind === 'trend')
      command.addOption(new Option('--bucket <width>').choices(BUCKETS).default('hour'))
    if (kind !== 'first-seen')
      command.option('--exact', 'read the rows themselves, at most 31 days, instead of sums')
    command
      .option('--would-be-policy <id>', 'that would have decided')
      .option('--limit <count>', 'at most 1000', '20')
      .option('--cursor <text>', 'where the former page ended')
    for (const [name, option] of FILTERS) if (SUMMED.has(name)) command.addOption(option)
    command.addHelpText('after', REPORT_EXAMPLES).action((given: Common & ReportGiven) =>
      run(async () => {
        const { of, by, from, to, bucket, exact, wouldBePolicy, limit, cursor, ...options } = given
        const question = {
          ...filterOf(options),
          ...onlyGiven({ of, from, to, exact, would_be_policy: wouldBePolicy, cursor }),
          limit: Number(limit),
        }
        const { report: answer } = await import('./report.ts')
        return answer(io, kind, { ...options, ...onlyGiven({ by, bucket }), question })
      })(),
    )
  }
}

interface ReportGiven {
  readonly of: (typeof QUESTION_OF)[number]
  readonly by?: QuestionBy
  readonly from?: string
  readonly to?: string
  readonly bucket?: Bucket
  readonly exact?: boolean
  readonly wouldBePolicy?: string
  readonly limit: string
  readonly cursor?: string
}

function onlyGiven<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
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
