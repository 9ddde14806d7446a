// `cordon review` and `cordon exception`: what waits for people. What each does stands in the file of its name.

import { type Command, InvalidArgumentError, Option } from 'commander'
import { CordonError } from '../base/errors.ts'
import { parseDuration } from '../base/size.ts'
import { EXCEPTION_STATUSES, type ExceptionConditions, LIFTS } from '../model/exception.ts'
import { type Source, SOURCES } from '../model/request.ts'
import { collect, common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { KeyGiven } from './review.ts'

const REVIEW_EXAMPLES = [
  'review list                                     what waits, the oldest first',
  'review list --overdue --assignee none',
  'review show REVIEW_ID',
  'review assign REVIEW_ID maya',
  'review approve REVIEW_ID --comment "for the audit only"',
  'review approve REVIEW_ID --exception --for 7d --max-uses 20',
  'review deny REVIEW_ID --comment "ask legal first"',
]

const REVIEW_NOTES = `
With --key a person acts with an API key of theirs (reviews:write), else the account that owns data_dir does.
Nobody approves their own request.`

const EXCEPTION_EXAMPLES = [
  'exception request --user maya --policy pii-to-external --for 7d --reason "migration test"',
  'exception request --group legal --service chatgpt --max-uses 50 --until 2026-12-24T00:00:00Z --reason "contract review"',
  'exception list --status pending',
  'exception approve EXCEPTION_ID --key boss.key',
  'exception deny EXCEPTION_ID --reason "use the approved service"',
  'exception show EXCEPTION_ID --uses',
  'exception revoke EXCEPTION_ID --reason "the test is over"',
]

const EXCEPTION_NOTES = `
With --key a person acts with an API key of theirs (exceptions:write), else the account that owns data_dir does.
Nobody approves what they asked for, or what is for them.`

const MAX_LIMIT = 1000

interface ConditionsGiven {
  readonly until?: string
  readonly from?: string
  readonly for?: string
  readonly maxUses?: number
  readonly dataType: readonly string[]
  readonly hours?: { readonly from: number; readonly to: number }
  readonly weekday: readonly number[]
  readonly source: readonly Source[]
  readonly action: readonly string[]
  readonly reason?: string
  readonly justification?: string
}

export function deskCommands(program: Command, io: Io, run: Run): void {
  reviewCommands(program, io, run)
  exceptionCommands(program, io, run)
}

function reviewCommands(program: Command, io: Io, run: Run): void {
  const review = program
    .command('review')
    .description('requests that wait for somebody’s answer')
    .addHelpText('after', helpOf(REVIEW_EXAMPLES, REVIEW_NOTES))
  keyed(review.command('list'), 'the queue, the oldest first')
    .addOption(
      new Option('--status <status>')
        .choices(['pending', 'approved', 'denied', 'expired', 'all'])
        .default('pending'),
    )
    .option('--assignee <user>', 'a user, by whatever they are called; or none')
    .option('--overdue', 'those beyond their time only')
    .option('--user <person>', 'whose request it was')
    .option('--service <id>')
    .option('--policy <id>')
    .option('--newest', 'the newest first')
    .option('--limit <count>', 'at most 1000', limitOf, 100)
    .option('--cursor <text>', 'where the former page ended')
    .action((options) =>
      run(async () => {
        const { status, assignee, overdue, user, service, policy, newest, limit, cursor } =
          options as Readonly<Record<string, string | undefined>>
        const filter = given({
          status: status === 'all' ? undefined : status,
          assignee,
          overdue: overdue === undefined ? undefined : 'true',
          user,
          service,
          policy,
          order: newest === undefined ? 'oldest' : 'newest',
          limit,
          cursor,
        })
        return (await import('./review.ts')).reviewList(io, filter, options as KeyGiven)
      })(),
    )
  keyed(review.command('show'), 'one review')
    .argument('<id>')
    .action((id: string, options) =>
      run(async () => (await import('./review.ts')).reviewShow(io, id, options as KeyGiven))(),
    )
  terms(
    keyed(
      review.command('approve'),
      'let through what is held, and the same request for policy.review_valid',
    ),
  )
    .argument('<id>')
    .option('--comment <text>')
    .option('--exception', 'make an exception for the person, in place of policy.review_valid')
    .action((id: string, options) =>
      run(async () => {
        const { exception, ...rest } = options as ConditionsGiven & { exception?: boolean }
        const { reviewAnswer } = await import('./review.ts')
        const wanted = exceptionTerms(rest)
        const isAsked = exception === true || Object.keys(wanted).length > 0
        return reviewAnswer(io, id, 'approve', rest as never, isAsked ? wanted : undefined)
      })(),
    )
  keyed(review.command('deny'), 'refuse what is held')
    .argument('<id>')
    .option('--comment <text>')
    .action((id: string, options) =>
      run(async () =>
        (await import('./review.ts')).reviewAnswer(io, id, 'deny', options as never),
      )(),
    )
  keyed(review.command('assign'), 'say who is to answer')
    .argument('<id>')
    .argument('[user]', 'name, e-mail address, external id or id; absent: nobody in particular')
    .action((id: string, user: string | undefined, options) =>
      run(async () =>
        (await import('./review.ts')).reviewAssign(io, id, user, options as KeyGiven),
      )(),
    )
}

function exceptionCommands(program: Command, io: Io, run: Run): void {
  const exception = program
    .command('exception')
    .description('what policies refuse, allowed to somebody for a while')
    .addHelpText('after', helpOf(EXCEPTION_EXAMPLES, EXCEPTION_NOTES))
  terms(keyed(exception.command('request'), 'ask for one; somebody else approves it'))
    .option('--user <user>', 'whom it is for: name, e-mail address, external id or id')
    .option('--department <name>', 'whom it is for: the department and all below it')
    .option('--group <name>', 'whom it is for')
    .option('--policy <id>', 'what it lifts')
    .option('--service <id>', 'where: a service of the catalogue, or a host that it does not know')
    .addOption(
      new Option(
        '--lifts <what>',
        'without a policy: all that refuses there, or its defaults',
      ).choices(LIFTS),
    )
    .action((options) =>
      run(async () => {
        const { user, department, group, policy, service, lifts } = options as never as Readonly<
          Record<string, string | undefined>
        >
        const { reason = '', ...wanted } = exceptionTerms(options as ConditionsGiven)
        const request = {
          ...given({ user, department, group, policy, service, lifts }),
          ...wanted,
          reason,
        }
        const { exceptionRequest } = await import('./exception.ts')
        return exceptionRequest(io, request as never, options as KeyGiven)
      })(),
    )
  keyed(exception.command('list'), 'exceptions, the newest first')
    .addOption(new Option('--status <status>').choices(EXCEPTION_STATUSES))
    .option('--user <user>')
    .option('--department <name>')
    .option('--group <name>')
    .option('--policy <id>')
    .option('--service <id>')
    .option('--limit <count>', 'at most 1000', limitOf, 100)
    .option('--cursor <text>', 'where the former page ended')
    .action((options) =>
      run(async () => {
        const { status, user, department, group, policy, service, limit, cursor } =
          options as Readonly<Record<string, string | undefined>>
        const filter = given({
          status,
          user,
          department,
          group,
          policy,
          service,
          limit,
          cursor,
        })
        return (await import('./exception.ts')).exceptionList(io, filter, options as KeyGiven)
      })(),
    )
  keyed(exception.command('show'), 'one exception, or what it let through')
    .argument('<id>')
    .option('--uses', 'the decisions that it had a part in, the newest first')
    .option('--limit <count>', 'of uses, at most 1000', limitOf)
    .action((id: string, options) =>
      run(async () => (await import('./exception.ts')).exceptionShow(io, id, options as never))(),
    )
  keyed(exception.command('approve'), 'never by who asked for it, nor by whom it is for')
    .argument('<id>')
    .option('--comment <text>')
    .action((id: string, options) =>
      run(async () => {
        const { comment } = options as { comment?: string }
        const act = { act: 'approveException', id, ...given({ comment }) } as const
        return (await import('./exception.ts')).exceptionDecide(io, act, options as KeyGiven)
      })(),
    )
  for (const [name, act, description] of [
    ['deny', 'denyException', 'of one that waits'],
    ['revoke', 'revokeException', 'of one that is in force; within two seconds it holds nowhere'],
  ] as const)
    keyed(exception.command(name), description)
      .argument('<id>')
      .requiredOption('--reason <text>')
      .action((id: string, options) =>
        run(async () => {
          const { reason } = options as { reason: string }
          const { exceptionDecide } = await import('./exception.ts')
          return exceptionDecide(io, { act, id, reason }, options as KeyGiven)
        })(),
      )
}

function keyed(command: Command, description: string): Command {
  const name = `${command.parent?.name() ?? ''} ${command.name()} `
  const examples = [...REVIEW_EXAMPLES, ...EXCEPTION_EXAMPLES].filter((each) =>
    each.startsWith(name),
  )
  return common(command, description)
    .option('--key <file>', 'a file with an API key: its owner acts, within its scopes')
    .addHelpText('after', helpOf(examples, ''))
}

function helpOf(examples: readonly string[], notes: string): string {
  return `\nExamples:\n${examples.map((each) => `  $ cordon ${each}\n`).join('')}${notes}`
}

/** The conditions of an exception. */
function terms(command: Command): Command {
  return command
    .option('--reason <text>', 'why, as lists show it')
    .option('--justification <text>', 'for whoever decides about it')
    .option('--from <time>', 'RFC 3339; default at once')
    .option('--until <time>', 'RFC 3339, exclusive; default without an end')
    .option('--for <duration>', 'until so long from now, such as 7d')
    .option('--max-uses <count>', 'decisions that it may let through', wholeNumber)
    .option(
      '--data-type <name>',
      'finding type or category that may be in it (repeatable)',
      collect,
      [],
    )
    .option('--hours <from-to>', 'of the day at the gateway, such as 8-18', hoursOf)
    .option('--weekday <day>', '1 (Monday) to 7 (repeatable)', collectNumber, [])
    .option('--source <source>', `the door: ${SOURCES.join(', ')} (repeatable)`, collectSource, [])
    .option('--action <action>', 'such as send_prompt (repeatable)', collect, [])
}

function exceptionTerms(options: ConditionsGiven) {
  const { reason, justification, from, until, maxUses, hours } = options
  const conditions = given({
    max_uses: maxUses,
    hours,
    data_types: filled(options.dataType),
    weekdays: filled(options.weekday),
    sources: filled(options.source),
    actions: filled(options.action),
  }) as ExceptionConditions
  return given({
    reason,
    justification,
    from,
    until: options.for === undefined ? until : endOf(options.for, until),
    conditions: Object.keys(conditions).length === 0 ? undefined : conditions,
  })
}

function endOf(duration: string, until: string | undefined): string {
  const ms = parseDuration(duration)
  if (ms === undefined || ms <= 0)
    throw new CordonError('INPUT_INVALID', '--for must be a duration with a unit, such as 7d')
  if (until !== undefined)
    throw new CordonError('INPUT_INVALID', 'say when it ends once: --for or --until')
  return new Date(Date.now() + ms).toISOString()
}

function filled<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list
}

function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}

function collectSource(text: string, all: readonly Source[]): Source[] {
  const source = SOURCES.find((each) => each === text)
  if (source === undefined) throw new InvalidArgumentError(`must be one of ${SOURCES.join(', ')}`)
  return [...all, source]
}

function wholeNumber(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw new InvalidArgumentError('must be a whole number from 1')
  return number
}

function collectNumber(text: string, all: readonly number[]): number[] {
  return [...all, wholeNumber(text)]
}

function limitOf(text: string): number {
  const limit = wholeNumber(text)
  if (limit > MAX_LIMIT) throw new InvalidArgumentError(`must be ${MAX_LIMIT} at most`)
  return limit
}

function hoursOf(text: string): { readonly from: number; readonly to: number } {
  const [, from = '', to = ''] = /^(\d{1,2})-(\d{1,2})$/.exec(text) ?? []
  if (from === '') throw new InvalidArgumentError('must be two hours, such as 8-18')
  return { from: Number(from), to: Number(to) }
}
