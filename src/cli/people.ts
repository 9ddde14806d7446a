// `cordon user add`, `cordon user risk`, `cordon token create`, `cordon key create`.

import { CordonError } from '../base/errors.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

interface Common {
  readonly config?: string
  readonly json?: boolean
}

export async function userAdd(
  io: Io,
  name: string,
  options: Common & {
    readonly email?: string
    readonly department?: string
    readonly group: readonly string[]
  },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const { email, department, group } = options
  const added = (await withAdmin(io, config, (commands) =>
    commands.addUser({
      name,
      groups: group,
      ...(email === undefined ? {} : { email }),
      ...(department === undefined ? {} : { department }),
    }),
  )) as { user_id: string }
  if (options.json === true) printJson(io, { name, ...added })
  else io.out.write(`user ${name} added (${added.user_id})\n`)
  return 0
}

export async function userRemove(io: Io, name: string, options: Common): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const removed = (await withAdmin(io, config, (commands) =>
    commands.removeUser({ user: name }),
  )) as { user_id: string }
  if (options.json === true) printJson(io, removed)
  else io.out.write(`user removed (${removed.user_id})\n`)
  return 0
}

export async function userRisk(io: Io, person: string, options: Common): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const risk = await withAdmin(io, config, (commands) => commands.personRisk({ person }))
  if (options.json === true) {
    printJson(io, risk)
    return 0
  }
  const { own_score: score, level, points, half_life_days: days, violations } = risk
  const who = risk.user === null ? risk.person : `${risk.user.name} (${risk.person})`
  io.out.write(
    `${who}: own score ${score} of 100, ${level}; ${points} points, half after ${days} days\n`,
  )
  if (violations.length > 0)
    printRows(
      io,
      false,
      ['day', 'policy', 'service', 'severity', 'points'],
      violations.map(({ policy_id: policy, service_id: service, ...rest }) => ({
        ...rest,
        policy: policy ?? '-',
        service,
      })),
    )
  return 0
}

/** Only the token goes to stdout, so that a script can take it. */
export async function createToken(
  io: Io,
  options: Common & { readonly user: string },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const { token } = (await withAdmin(io, config, (commands) =>
    commands.createToken({ user: options.user }),
  )) as { token: string }
  if (options.json === true) printJson(io, { user: options.user, token })
  else {
    io.out.write(`${token}\n`)
    io.err.write('this token is shown once; use it as the password of Basic\n')
  }
  return 0
}

export async function createKey(
  io: Io,
  options: Common & {
    readonly name: string
    readonly scope: readonly string[]
    readonly user?: string
  },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const scopes = options.scope
    .flatMap((each) => each.split(','))
    .map((each) => each.trim())
    .filter((each) => each !== '')
  if (scopes.length === 0)
    throw new CordonError('INPUT_INVALID', 'a key needs a --scope, such as decisions:read')
  const { key } = (await withAdmin(io, config, (commands) =>
    commands.createKey({
      name: options.name,
      scopes,
      ...(options.user === undefined ? {} : { user: options.user }),
    }),
  )) as { key: string }
  if (options.json === true) printJson(io, { name: options.name, scopes, key })
  else {
    io.out.write(`${key}\n`)
    io.err.write('this key is shown once; send it as Authorization: Bearer KEY\n')
  }
  return 0
}
