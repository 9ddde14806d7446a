// `cordon check`: everything that can be checked without starting; `--effective` tells what would be enforced.

import { createServer } from 'node:net'
import { join } from 'node:path'
import { connectControl } from '../app/control.ts'
import { loadRules, type LoadedRules, readCatalogue } from '../app/rules.ts'
import { CordonError, formatProblem, type Problem } from '../base/errors.ts'
import type { Listen } from '../config/leaf.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import { openLog } from '../observe/log.ts'
import { readFolder } from '../policy/folder.ts'
import { warningsOf } from '../policy/rego/warnings.ts'
import { openStore } from '../store/open.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

export async function check(
  io: Io,
  options: { readonly config?: string; readonly json?: boolean; readonly effective?: boolean },
): Promise<ExitCode> {
  const { config, file } = configOf(io, options)
  const problems: Problem[] = []
  const attempt = async <T>(step: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await step()
    } catch (error) {
      if (!(error instanceof CordonError)) throw error
      problems.push(
        ...(error.problems.length > 0
          ? error.problems
          : [{ file: file ?? 'cordon', message: error.message }]),
      )
      return undefined
    }
  }
  const catalogue = await attempt(() => readCatalogue(config))
  const rules =
    catalogue === undefined ? undefined : await attempt(() => loadRules(config, catalogue, io.env))
  const warnings =
    (await attempt(() =>
      config.policy.dirs.flatMap((dir) =>
        readFolder(dir).rego.flatMap((source) => [...warningsOf(source)]),
      ),
    )) ?? []
  const running = await connectControl(config.data_dir)
  await running?.close()
  if (running === undefined) {
    for (const [name, list] of [
      ['proxy.listen', config.proxy.listen],
      ['api.listen', config.api.listen],
      ['observe.listen', config.observe.listen],
    ] as const) {
      for (const listen of list) problems.push(...(await portProblem(name, listen)))
    }
    await attempt(async () => {
      const store = await openStore({
        databaseUrl: config.database_url,
        dataDir: config.data_dir,
        migrationsDir: join(PROGRAM_DIR, 'migrations'),
        log: openLog({}, { write: () => undefined }),
      })
      await store.close()
    })
  }
  for (const warning of warnings) io.err.write(`warning: ${formatProblem(warning)}\n`)
  for (const problem of problems) io.err.write(`${formatProblem(problem)}\n`)
  if (options.json === true) {
    printJson(io, {
      ok: problems.length === 0,
      problems,
      warnings,
      ...(rules === undefined || options.effective !== true
        ? {}
        : { effective: effective(config, rules) }),
    })
  } else if (problems.length > 0)
    io.err.write(`cordon: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n`)
  else if (options.effective === true && rules !== undefined) printEffective(io, config, rules)
  else
    io.out.write(
      `ok: ${rules?.catalogue.size ?? 0} AI services, ${rules?.policies.policies.length ?? 0} policies\n`,
    )
  return problems.length === 0 ? 0 : 1
}

/** What each policy would do to whom, strongest first, and what holds where none speaks. */
function effective(
  config: Config,
  { policies, revision }: LoadedRules,
): Readonly<Record<string, unknown>> {
  return {
    revision,
    mode: config.policy.mode,
    combining: config.policy.combining,
    default: config.policy.default,
    review: config.policy.review,
    on_error: config.policy.on_error,
    policies: policies.policies.map(({ id, name, mode, priority, severity, language, scope }) => ({
      id,
      name,
      mode: weaker(mode, config.policy.mode),
      priority,
      severity,
      language,
      scope,
    })),
  }
}

function printEffective(io: Io, config: Config, rules: LoadedRules): void {
  const { policy } = config
  io.out.write(
    `mode ${policy.mode}, combining ${policy.combining}, review ${policy.review}, errors ${policy.on_error}\n`,
  )
  printRows(
    io,
    false,
    ['priority', 'policy', 'mode', 'for'],
    rules.policies.policies.map(({ id, mode, priority, scope }) => ({
      priority,
      policy: id,
      mode: weaker(mode, policy.mode),
      for: scopeText(scope),
    })),
  )
  printRows(
    io,
    false,
    ['otherwise', 'answer'],
    Object.entries(policy.default).map(([kind, answer]) => ({ otherwise: kind, answer })),
  )
}

function scopeText(scope: Readonly<Record<string, readonly string[] | undefined>>): string {
  const parts = Object.entries(scope).flatMap(([key, list]) =>
    list === undefined || list.length === 0 ? [] : [`${key}: ${list.join(' or ')}`],
  )
  return parts.length === 0 ? 'everybody' : parts.join(', ')
}

const STRENGTH = ['audit', 'warn', 'enforce']

/** Effective is the weaker of point and policy. */
function weaker(a: string, b: string): string {
  return STRENGTH.indexOf(a) <= STRENGTH.indexOf(b) ? a : b
}

async function portProblem(name: string, listen: Listen): Promise<Problem[]> {
  if (listen.kind === 'unix') return []
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve([
        {
          file: name,
          message: `${listen.host}:${listen.port} cannot be listened on (${error.code ?? error.message})`,
        },
      ]),
    )
    server.listen({ host: listen.host, port: listen.port }, () => server.close(() => resolve([])))
  })
}
