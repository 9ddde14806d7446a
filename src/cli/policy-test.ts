// `cordon policy test`: a gate for whoever has only a folder of policies.

import { RE2JS } from 're2js'
import { compileOptions } from '../app/rules.ts'
import { CordonError } from '../base/errors.ts'
import { type Coverage, coverageOf } from '../policy/test-coverage.ts'
import { junitOf, oneLine, tapOf, type TestFormat } from '../policy/test-formats.ts'
import { runPolicyTests, type TestResult } from '../policy/test-runner.ts'
import { configOf, type ExitCode, type Io, printJson } from './io.ts'
import { foldersOf, loadFrom } from './policy.ts'

export interface PolicyTestOptions {
  readonly config?: string
  readonly json?: boolean
  readonly format: TestFormat
  readonly run?: string
  readonly verbose?: boolean
  readonly coverage?: boolean
  readonly threshold?: string
  readonly failOnEmpty?: boolean
  readonly failUnlisted?: boolean
}

/** Exit code 1: a test failed, or what the options ask for does not hold. */
export async function policyTest(
  io: Io,
  dirs: readonly string[],
  options: PolicyTestOptions,
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const threshold = thresholdOf(options.threshold)
  const wanted = filterOf(options.run)
  const folders = foldersOf(io, dirs, config)
  const { toolchain } = compileOptions(io.env, false)
  const policies = await loadFrom(io, config, folders, config.policy.combining)
  const tests = { dirs: folders, toolchain, policies }
  const ran = await runPolicyTests({ ...tests, wanted })
  const results = options.failUnlisted === true ? ran.map(unlistedFails) : ran
  const isCovering = options.coverage === true || threshold !== undefined
  // OPA tells coverage only where all of its tests hold.
  const isHolding = !ran.some(({ file, outcome }) => outcome === 'fail' && file.endsWith('.rego'))
  const coverage = isCovering && isHolding ? await coverageOf(tests) : undefined

  const format = options.json === true ? 'json' : options.format
  if (format === 'json') printJson(io, coverage === undefined ? results : { results, coverage })
  else if (format === 'tap') io.out.write(tapOf(results))
  else if (format === 'junit') io.out.write(junitOf(results))
  else io.out.write(textOf(results, options.verbose === true))
  if (coverage !== undefined && format !== 'json')
    (format === 'text' ? io.out : io.err).write(coverageText(coverage))

  const complaints = [
    ...(isCovering && !isHolding ? ['coverage is told once the tests in Rego hold'] : []),
    ...(results.length === 0 && options.failOnEmpty === true ? ['there are no tests'] : []),
    ...(coverage !== undefined && threshold !== undefined && coverage.percent < threshold
      ? [`the tests cover ${coverage.percent} %, and ${threshold} % are asked for`]
      : []),
  ]
  if (ran.length === 0 && options.failOnEmpty !== true)
    io.err.write(
      `note: no test ran${options.run === undefined ? ': tests end with _test.rego or .test.yaml' : ''}\n`,
    )
  for (const complaint of complaints) io.err.write(`cordon: ${complaint}\n`)
  return complaints.length > 0 || results.some(({ outcome }) => outcome === 'fail') ? 1 : 0
}

function unlistedFails(result: TestResult): TestResult {
  return result.outcome === 'unlisted' ? { ...result, outcome: 'fail' } : result
}

function thresholdOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const threshold = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(threshold <= 100))
    throw new CordonError('INPUT_INVALID', `--threshold is a number from 0 to 100, not "${text}"`)
  return threshold
}

/** RE2's syntax, as OPA's --run has it; linear in the name. */
function filterOf(pattern: string | undefined): (name: string) => boolean {
  if (pattern === undefined) return () => true
  try {
    const compiled = RE2JS.compile(pattern)
    return (name) => compiled.matcher(name).find()
  } catch (error) {
    throw new CordonError('INPUT_INVALID', `--run is no pattern: ${(error as Error).message}`)
  }
}

function textOf(results: readonly TestResult[], all: boolean): string {
  const count = (outcome: TestResult['outcome']): number =>
    results.filter((result) => result.outcome === outcome).length
  const told = results
    .filter(({ outcome }) => all || outcome !== 'pass')
    .map(({ outcome, name, file, line, detail }) =>
      detail === undefined
        ? `${outcome} ${file}:${line}: ${oneLine(name)}\n`
        : `${outcome} ${file}:${line}: ${oneLine(name)}: ${detail}\n`,
    )
  const unlisted = count('unlisted') === 0 ? '' : `, ${count('unlisted')} unlisted`
  return `${told.join('')}${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped${unlisted}\n`
}

function coverageText({ percent, covered, total, files }: Coverage): string {
  const lines = files.flatMap((file) => [
    `${file.percent} % ${file.file}`,
    ...file.missing.map(({ line, end, policy_id: id, part, never }) => {
      if (part === undefined)
        return end === undefined
          ? `  line ${line} is not reached`
          : `  lines ${line}-${end} are not reached`
      return `  line ${line}, ${id}: never ${never}: ${part.replaceAll(/\s+/g, ' ')}`
    }),
  ])
  return `${[...lines, `coverage: ${percent} % (${covered} of ${total})`].join('\n')}\n`
}
