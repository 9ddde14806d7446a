// `cordon check`: everything that can be checked without starting; `--effective` tells what would be enforced.
//
// A database is neither made nor migrated.

import { accessSync, constants, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { loadAuthority } from '../app/authority.ts'
import { connectControl, type Standing } from '../app/control.ts'
import { answers } from '../app/listening.ts'
import { namedFileProblems } from '../app/named-files.ts'
import { type LoadedRules, loadRules, readCatalogue } from '../app/rules.ts'
import { CordonError, formatProblem, type Place, type Problem } from '../base/errors.ts'
import type { Listen } from '../config/leaf.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import { ACTIONS, SOURCES } from '../model/request.ts'
import { openLog } from '../observe/log.ts'
import { type KnownNames, policyWarnings, scopeWarnings } from '../policy/check.ts'
import type { Interception } from '../signatures/interception.ts'
import { effectiveView, printEffective } from './effective.ts'
import { interceptionOf, interceptionWarnings } from './interception.ts'
import { configOf, type ExitCode, type Io, printJson } from './io.ts'

export async function check(
  io: Io,
  options: { readonly config?: string; readonly json?: boolean; readonly effective?: boolean },
): Promise<ExitCode> {
  const { config, file, place } = configOf(io, options)
  const problems: Problem[] = []
  const attempt = async <T>(
    step: () => T | Promise<T>,
    at = file ?? 'cordon',
  ): Promise<T | undefined> => {
    try {
      return await step()
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      problems.push(
        ...(error.problems.length > 0 ? error.problems : [{ file: at, message: error.message }]),
      )
      return undefined
    }
  }
  problems.push(...namedFileProblems(config))
  const catalogue = await attempt(() => readCatalogue(config, io.env))
  const rules =
    catalogue === undefined ? undefined : await attempt(() => loadRules(config, catalogue, io.env))
  const plans =
    rules === undefined ? undefined : await attempt(() => interceptionOf(config, rules.catalogue))
  const authority =
    plans === undefined || !config.proxy.intercept.enabled
      ? undefined
      : await attempt(
          () => loadAuthority(config, plans.domains, { env: io.env, ask: false }),
          'proxy.intercept.enabled',
        )
  const running = await connectControl(config.data_dir)
  const users = rules === undefined ? [] : scopedUsers(rules)
  let standing: Standing | undefined
  if (running !== undefined) {
    standing = await attempt(() => running.standing({ users }))
    await running.close()
  } else {
    problems.push(...(await listenProblems(config)))
    standing = await attempt(() => storeStanding(io, config, users))
  }
  const warnings =
    rules === undefined
      ? []
      : [
          ...policyWarnings(config.policy.dirs),
          ...scopeWarnings(rules.policies.policies, knownNames(config, rules, standing)),
          ...(plans === undefined ? [] : interceptionWarnings(config, rules, plans)),
          ...(authority?.warnings ?? []).map((message) => ({
            file: 'proxy.intercept.ca',
            message,
          })),
        ].map((warning) => placed(warning, place))
  const view =
    rules === undefined || plans === undefined || options.effective !== true
      ? undefined
      : effectiveView(config, rules, standing, plans)

  // The embedded database can do what it always could; of a server it may come as a surprise.
  const lacking = config.database_url === '' ? [] : (standing?.lacks ?? [])
  for (const lack of lacking) io.err.write(`note: database_url: ${lack}\n`)
  for (const warning of warnings) io.err.write(`warning: ${formatProblem(warning)}\n`)
  const wrong = problems.map((problem) => placed(problem, place))
  for (const problem of wrong) io.err.write(`${formatProblem(problem)}\n`)
  const ok = problems.length === 0
  if (options.json === true) {
    printJson(io, {
      ok,
      problems: wrong,
      warnings,
      ...(view === undefined ? {} : { effective: view }),
    })
  } else if (!ok)
    io.err.write(`cordon: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n`)
  else if (view !== undefined) printEffective(io, view)
  else io.out.write(`ok: ${summary(rules, plans, warnings.length)}\n`)
  return ok ? 0 : 1
}

/** What is wrong with a setting stands where the setting was given. */
function placed(problem: Problem, place: (path: string) => Place): Problem {
  const setting = problem.file
  if (!setting.startsWith('proxy.intercept.')) return problem
  const given = place(setting)
  return given.file === setting ? problem : { ...given, message: `${setting}: ${problem.message}` }
}

function summary(
  rules: LoadedRules | undefined,
  plans: Interception | undefined,
  warnings: number,
): string {
  const hosts = plans?.selection.hosts.length ?? 0
  const patterns = plans?.selection.patterns.length ?? 0
  return [
    `${rules?.catalogue.size ?? 0} AI services`,
    `${rules?.policies.policies.length ?? 0} policies`,
    ...(hosts === 0 ? [] : [`${hosts} hosts intercepted`]),
    ...(patterns === 0 ? [] : [`${patterns} host patterns intercepted`]),
    ...(warnings === 0 ? [] : [`${warnings} warning${warnings === 1 ? '' : 's'}`]),
  ].join(', ')
}

function scopedUsers({ policies }: LoadedRules): readonly string[] {
  return [...new Set(policies.policies.flatMap(({ scope }) => scope.users ?? []))]
}

/** What a scope can name; where the store cannot be asked, its names are not judged. */
function knownNames(
  { proxy }: Config,
  { catalogue }: LoadedRules,
  standing: Standing | undefined,
): KnownNames {
  const services = [...catalogue.all()]
  const directory = standing?.names
  const mapped = (key: 'user' | 'department'): string[] =>
    proxy.networks.flatMap((network) => network[key] ?? [])
  return {
    services: new Set(services.map(({ id }) => id)),
    categories: new Set([
      'unknown_ai',
      ...services.flatMap((service) => service.service_type ?? []),
    ]),
    vendors: new Set(services.flatMap(({ vendor }) => vendor ?? [])),
    actions: new Set(ACTIONS),
    sources: new Set(SOURCES),
    ...(directory === undefined
      ? {}
      : {
          users: new Set([...directory.users, ...mapped('user')]),
          departments: new Set([...directory.departments, ...mapped('department')]),
          groups: new Set(directory.groups),
          roles: new Set(directory.roles),
        }),
  }
}

/** The store of a Cordon that does not run here; undefined where it is yet to be made or migrated. */
async function storeStanding(
  io: Io,
  config: Config,
  users: readonly string[],
): Promise<Standing | undefined> {
  const folder = config.data_dir
  if (config.database_url === '' && !existsSync(join(folder, 'pg'))) {
    mustBeWritable(folder)
    return undefined
  }
  const [{ openAsItIs }, { directoryNames }, { modeInForce }, { lacks, meansOf }] =
    await Promise.all([
      import('../store/open.ts'),
      import('../store/names.ts'),
      import('../store/modes.ts'),
      import('../store/series.ts'),
    ])
  const store = await openAsItIs({
    databaseUrl: config.database_url,
    dataDir: folder,
    migrationsDir: join(PROGRAM_DIR, 'migrations'),
    log: openLog({ role: 'cli' }, { write: () => undefined }),
  })
  if (store === undefined) {
    io.err.write('warning: the database is not of this release yet; "cordon start" migrates it\n')
    return undefined
  }
  try {
    return {
      names: await directoryNames(store.db, config.tenant, users),
      override: (await modeInForce(store.db, config.tenant, Date.now())) ?? null,
      lacks: lacks(await meansOf(store.db)),
    }
  } finally {
    await store.close()
  }
}

function mustBeWritable(folder: string): void {
  let at = folder
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  try {
    accessSync(at, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new CordonError('CONFIG_INVALID', `data_dir: ${folder} cannot be made or written`, {
      cause: error,
    })
  }
}

async function listenProblems(config: Config): Promise<readonly Problem[]> {
  const lists = [
    ['proxy.listen', config.proxy.listen],
    ['api.listen', config.api.listen],
    ['observe.listen', config.observe.listen],
  ] as const
  const problems: Problem[] = []
  const taken = new Map<string, string>()
  for (const [setting, list] of lists) {
    for (const listen of list) {
      const text = listen.kind === 'unix' ? listen.path : `${listen.host}:${listen.port}`
      const other = taken.get(text)
      const wrong =
        other === undefined ? await listenProblem(listen) : `is an address of ${other} already`
      if (wrong !== undefined) problems.push({ file: setting, message: `${text} ${wrong}` })
      if (listen.kind === 'unix' || listen.port !== 0) taken.set(text, setting)
    }
  }
  return problems
}

async function listenProblem(listen: Listen): Promise<string | undefined> {
  if (listen.kind === 'unix') {
    const folder = dirname(listen.path)
    if (existsSync(listen.path))
      return (await answers(listen.path)) ? 'is listened on by another process' : undefined
    try {
      accessSync(folder, constants.W_OK)
      return undefined
    } catch {
      return `cannot be made: ${folder} is no folder that can be written`
    }
  }
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(`cannot be listened on (${error.code ?? error.message})`),
    )
    server.listen({ host: listen.host, port: listen.port }, () =>
      server.close(() => resolve(undefined)),
    )
  })
}
