// `cordon policy test`: the tests that lie beside policies, `*_test.rego` by OPA and `*.test.yaml` here.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { stringifyExact } from '../base/exact-json.ts'
import { Pace } from '../base/pace.ts'
import type { Verdict } from '../model/decision.ts'
import { byCodePoint } from './combine.ts'
import { type PolicyFolder, readFolder } from './folder.ts'
import { isObject } from './metadata.ts'
import { testCapabilities } from './rego/capabilities.ts'
import type { RunResult, Toolchain } from './rego/toolchain.ts'
import { differences, readTableTests, type TableCase } from './table-tests.ts'

export interface TestResult {
  readonly file: string
  readonly line: number
  readonly name: string
  /** unlisted: a combination of a table of which no row speaks. */
  readonly outcome: 'pass' | 'fail' | 'skip' | 'unlisted'
  /** Why it failed or was skipped; of an unlisted one what the policies say. */
  readonly detail?: string
  /** What it took, where that is known. */
  readonly seconds?: number
}

export interface TestOptions {
  readonly dirs: readonly string[]
  readonly toolchain: Pick<Toolchain, 'run'>
  /** The policies of all these folders together, as they would be enforced. */
  readonly policies: { decide(document: unknown): Verdict }
  /** Which tests by name; all where absent. */
  readonly wanted?: (name: string) => boolean
  /** For table tests together, not counting what else the process does meanwhile; absent: as long as they take. */
  readonly timeLimitMs?: number
}

/**
 * Throws POLICY_INVALID for a test file that is malformed or takes too long, POLICY_TOOLCHAIN_MISSING where Rego tests need
 * OPA.
 */
export async function runPolicyTests(options: TestOptions): Promise<readonly TestResult[]> {
  const { wanted = () => true, timeLimitMs = Infinity } = options
  const results: TestResult[] = []
  const pace = new Pace()
  let usedMs = 0
  for (const folder of options.dirs.map(readFolder)) {
    if (folder.regoTests.length > 0) results.push(...(await runRego(folder, options.toolchain)))
    for (const file of folder.tableTests) {
      await pace.point()
      const from = performance.now()
      const tests = readTableTests(file).filter(({ name }) => wanted(name))
      usedMs += performance.now() - from
      for (const test of tests) {
        await pace.point()
        if (usedMs > timeLimitMs) throw tooLong(file.path, test.line, timeLimitMs)
        const since = performance.now()
        results.push(runCase(file.path, test, options.policies))
        usedMs += performance.now() - since
      }
    }
  }
  return results.filter(({ name }) => wanted(name))
}

function tooLong(file: string, line: number, limitMs: number): CordonError {
  const message = `the table tests take more than ${limitMs / 1000} s, those before this one included: have fewer cases`
  const problems = [{ file, line, column: 1, message }]
  return new CordonError('POLICY_INVALID', `${file}: ${message}`, { problems })
}

function runCase(
  file: string,
  { name, line, input, expect }: TableCase,
  policies: TestOptions['policies'],
): TestResult {
  const verdict = policies.decide(input)
  const at = { file, line, name }
  if (expect === null) {
    const detail = `no row speaks of it; the answer is ${verdict.decision}`
    return { ...at, outcome: 'unlisted', detail }
  }
  const found = differences(verdict, expect)
  return found.length === 0
    ? { ...at, outcome: 'pass' }
    : { ...at, outcome: 'fail', detail: found.join('; ') }
}

/** `opa test` over everything of the folder; the data documents go in one file, at their places. */
async function runRego(
  folder: PolicyFolder,
  toolchain: TestOptions['toolchain'],
): Promise<readonly TestResult[]> {
  const work = mkdtempSync(join(tmpdir(), 'cordon-test-'))
  try {
    const data = join(work, 'data.json')
    writeFileSync(data, stringifyExact(folder.data))
    const paths = [...folder.rego, ...folder.regoTests].map(({ path }) => path)
    const run = async (): Promise<RunResult> => {
      const capabilities = join(work, 'capabilities.json')
      writeFileSync(capabilities, await testCapabilities(toolchain))
      return toolchain.run([
        'test',
        '--format',
        'json',
        '--capabilities',
        capabilities,
        data,
        ...paths,
      ])
    }
    const { stdout, stderr } = await run().catch((error: unknown) => {
      throw error instanceof CordonError
        ? new CordonError(error.code, `${folder.dir}: tests in Rego need OPA; ${error.message}`)
        : error
    })
    return resultsOf(stdout, stderr, folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function resultsOf(stdout: string, stderr: string, folder: PolicyFolder): readonly TestResult[] {
  let report: unknown
  try {
    report = JSON.parse(stdout)
  } catch {
    report = undefined
  }
  if (!Array.isArray(report)) {
    const message = (stderr === '' ? stdout : stderr).trim()
    throw new CordonError('POLICY_INVALID', `${folder.dir}: OPA refuses the tests: ${message}`)
  }
  const results = (report as unknown[]).map((item): TestResult => {
    const test = isObject(item) ? item : {}
    const place = isObject(test['location']) ? test['location'] : {}
    const name = `${String(test['package']).replace(/^data\./, '')}.${String(test['name'])}`
    const { duration } = test
    const at = {
      file: String(place['file']),
      line: Number(place['row']),
      name,
      ...(typeof duration === 'number' ? { seconds: duration / 1e9 } : {}),
    }
    if (test['skip'] === true) return { ...at, outcome: 'skip', detail: 'marked as todo' }
    if (test['error'] !== undefined) return { ...at, outcome: 'fail', detail: errorOf(test) }
    return test['fail'] === true
      ? { ...at, outcome: 'fail', detail: 'the test rule does not hold' }
      : { ...at, outcome: 'pass' }
  })
  return results.toSorted((a, b) => byCodePoint(a.file, b.file) || a.line - b.line)
}

function errorOf({ error }: Readonly<Record<string, unknown>>): string {
  return isObject(error) && typeof error['message'] === 'string'
    ? error['message']
    : JSON.stringify(error)
}
