// What the tests of policy folders have seen: Rego by line, as OPA counts; Cedar by the parts of a statement.
//
// Table tests run in the same engines as a decision, which count nothing. So for Rego OPA evaluates the policies that
// each case asked once more, beside the tests in Rego. A part of a Cedar statement is covered twice: it has held, and
// it has failed.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { stringifyExact } from '../base/exact-json.ts'
import type { Verdict } from '../model/decision.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import { byCodePoint } from './combine.ts'
import type { PolicyDetail } from './engine.ts'
import { type PolicyFolder, readFolder } from './folder.ts'
import { isObject } from './metadata.ts'
import { testCapabilities } from './rego/capabilities.ts'
import type { RunResult, Toolchain } from './rego/toolchain.ts'
import { readTableTests } from './table-tests.ts'

export interface Coverage {
  readonly covered: number
  readonly total: number
  /** 0-100, one digit after the point. */
  readonly percent: number
  readonly files: readonly FileCoverage[]
}

export interface FileCoverage {
  readonly file: string
  readonly language: PolicyMetadata['language']
  /** Rego: lines. Cedar: parts of statements, each counted for holding and for failing. */
  readonly covered: number
  readonly total: number
  readonly percent: number
  readonly missing: readonly Missing[]
}

export interface Missing {
  readonly line: number
  /** The last line of a range. */
  readonly end?: number
  readonly policy_id?: string
  /** The part of a Cedar statement, and what no test has seen it do. */
  readonly part?: string
  readonly never?: 'held' | 'failed'
}

export interface CoverageOptions {
  readonly dirs: readonly string[]
  readonly toolchain: Pick<Toolchain, 'run'>
  readonly policies: {
    readonly policies: readonly PolicyMetadata[]
    decide(document: unknown): Verdict
    detail(id: string, document: unknown): PolicyDetail
  }
}

/** A document that a test asked about, and the ids of the policies that were asked. */
interface Asked {
  readonly input: unknown
  readonly ids: ReadonlySet<string>
}

/** Throws as `runPolicyTests` does, and where a test in Rego fails. */
export async function coverageOf(options: CoverageOptions): Promise<Coverage> {
  const { dirs, policies, toolchain } = options
  const folders = dirs.map(readFolder)
  const asked = folders.flatMap(({ tableTests }) =>
    tableTests.flatMap(readTableTests).map(({ input }): Asked => {
      const { policies_evaluated: entries } = policies.decide(input)
      return { input, ids: new Set(entries.map(({ policy_id: id }) => id)) }
    }),
  )
  const files: FileCoverage[] = []
  for (const folder of folders)
    if (folder.rego.length > 0) files.push(...(await ofRego(folder, asked, options, toolchain)))
  files.push(...ofCedar(asked, options))
  const covered = files.reduce((sum, file) => sum + file.covered, 0)
  const total = files.reduce((sum, file) => sum + file.total, 0)
  return {
    covered,
    total,
    percent: percent(covered, total),
    files: files.toSorted((a, b) => byCodePoint(a.file, b.file)),
  }
}

/** Nothing to cover is covered. */
function percent(covered: number, total: number): number {
  return total === 0 ? 100 : Math.floor((covered / total) * 1000) / 10
}

const CELLS = 'cordon_table_cells'
const RULES = ['decision', 'deny', 'review', 'allow', 'obligations', 'reason']

async function ofRego(
  folder: PolicyFolder,
  asked: readonly Asked[],
  { policies }: CoverageOptions,
  toolchain: CoverageOptions['toolchain'],
): Promise<readonly FileCoverage[]> {
  const packages = new Map(
    folder.rego.flatMap((file) => {
      const { id } = policies.policies.find((policy) => policy.file === file.path) ?? {}
      const [, path] = /^\s*package\s+([^\s#]+)/m.exec(file.text) ?? []
      return id === undefined || path === undefined ? [] : [[id, path] as const]
    }),
  )
  const cells = asked.filter(({ ids }) => [...ids].some((id) => packages.has(id)))
  const tests = cells.map(({ ids }, at) => {
    const rules = [...ids].flatMap((id) => {
      const path = packages.get(id)
      return path === undefined ? [] : RULES.map((rule) => `data.${path}.${rule}`)
    })
    // Undefined or not: it was evaluated.
    const steps = rules.map((rule) => `\tcount([v | v := ${rule} with input as cell]) >= 0`)
    return `test_${at} if {\n\tcell := data.${CELLS}[${at}]\n${steps.join('\n')}\n}`
  })
  const work = mkdtempSync(join(tmpdir(), 'cordon-coverage-'))
  try {
    const data = join(work, 'data.json')
    const documents = isObject(folder.data) ? folder.data : {}
    writeFileSync(data, stringifyExact({ ...documents, [CELLS]: cells.map(({ input }) => input) }))
    const cellTests = join(work, 'cells_test.rego')
    writeFileSync(cellTests, `package ${CELLS}_test\n\n${tests.join('\n\n')}\n`)
    const paths = [...folder.rego, ...folder.regoTests].map(({ path }) => path)
    const capabilities = join(work, 'capabilities.json')
    writeFileSync(capabilities, await testCapabilities(toolchain))
    const given = ['--coverage', '--format', 'json', '--capabilities', capabilities]
    const run = (...files: readonly string[]): Promise<RunResult> =>
      toolchain.run(['test', ...given, ...files])
    const whole = await run(data, cellTests, ...paths)
    // Where a test does not hold, or a policy errs, OPA tells that and no coverage.
    const told = reportOf(whole) ?? reportOf(await run(data, ...paths))
    if (told !== undefined) return filesOf(told, folder)
    const { stdout, stderr } = whole
    const message = (stderr === '' ? stdout : stderr).trim().slice(0, 500)
    throw new CordonError('POLICY_INVALID', `${folder.dir}: OPA tells no coverage: ${message}`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

type Report = Readonly<Record<string, unknown>>

/** What OPA's report tells of each file. */
function reportOf({ stdout }: RunResult): Report | undefined {
  try {
    const report: unknown = JSON.parse(stdout)
    return isObject(report) && isObject(report['files']) ? report['files'] : undefined
  } catch {
    return undefined
  }
}

function filesOf(files: Report, folder: PolicyFolder): readonly FileCoverage[] {
  return folder.rego.flatMap(({ path }): FileCoverage[] => {
    const told = files[path] ?? files[path.replace(/^\//, '')]
    if (!isObject(told)) return []
    const covered = Number(told['covered_lines'] ?? 0)
    const total = covered + Number(told['not_covered_lines'] ?? 0)
    const ranges = Array.isArray(told['not_covered']) ? (told['not_covered'] as unknown[]) : []
    return [
      {
        file: path,
        language: 'rego',
        covered,
        total,
        percent: percent(covered, total),
        missing: ranges.map((range) => {
          const line = rowOf(range, 'start')
          const end = rowOf(range, 'end')
          return end > line ? { line, end } : { line }
        }),
      },
    ]
  })
}

function rowOf(range: unknown, end: 'start' | 'end'): number {
  const place = isObject(range) ? range[end] : undefined
  return isObject(place) ? Number(place['row']) : 0
}

/** What a part of a statement has done in some test. */
interface Seen {
  readonly text: string
  held: boolean
  failed: boolean
}

function ofCedar(asked: readonly Asked[], { policies }: CoverageOptions): readonly FileCoverage[] {
  const files = new Map<string, { covered: number; total: number; missing: Missing[] }>()
  for (const policy of policies.policies) {
    if (policy.language !== 'cedar') continue
    const parts = partsSeen(policy, asked, policies)
    const file = files.get(policy.file) ?? { covered: 0, total: 0, missing: [] }
    files.set(policy.file, file)
    for (const { text, held, failed } of parts) {
      file.total += 2
      file.covered += Number(held) + Number(failed)
      const at = { line: policy.line ?? 1, policy_id: policy.id, part: text }
      if (!held) file.missing.push({ ...at, never: 'held' })
      if (!failed) file.missing.push({ ...at, never: 'failed' })
    }
  }
  return [...files].map(([file, { covered, total, missing }]) => ({
    file,
    language: 'cedar',
    covered,
    total,
    percent: percent(covered, total),
    missing,
  }))
}

/** The head is one part: who is out of scope was not asked, and so it has failed. */
function partsSeen(
  { id }: PolicyMetadata,
  asked: readonly Asked[],
  policies: CoverageOptions['policies'],
): readonly Seen[] {
  const parts: Seen[] = []
  const note = (document: unknown, counts: boolean): void => {
    const { clauses = [] } = policies.detail(id, document)
    const conditions = clauses.filter(({ text }) => /^(?:when|unless)\b/.test(text))
    const heads = clauses.filter((clause) => !conditions.includes(clause))
    const head =
      heads.length === 0
        ? []
        : [
            {
              text: heads.map(({ text }) => text).join(', '),
              holds: heads.every(({ holds }) => holds === true),
            },
          ]
    for (const [at, { text, holds }] of [...head, ...conditions].entries()) {
      parts[at] ??= { text, held: false, failed: false }
      const part = parts[at]
      if (!counts || holds === null) continue
      if (holds) part.held = true
      else part.failed = true
    }
  }
  note({}, false)
  for (const { input, ids } of asked) {
    if (ids.has(id)) note(input, true)
    else {
      const [first] = parts
      if (first !== undefined && !/^(?:when|unless)\b/.test(first.text)) first.failed = true
    }
  }
  return parts
}
