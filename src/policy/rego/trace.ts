// Which expressions of a Rego policy failed for an input, by OPA's own trace.
//
// The wasm tells no steps, so OPA evaluates the same texts once more: offline, with a time limit, the rules' index
// switched off, because what an index leaves out was never tried. Without OPA nothing is told, and that is said.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CordonError } from '../../base/errors.ts'
import { stringifyExact } from '../../base/exact-json.ts'
import type { FailedExpression } from '../../model/explanation.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { PolicyFolder, SourceFile } from '../folder.ts'
import { isObject } from '../metadata.ts'
import { testCapabilities } from './capabilities.ts'
import type { Toolchain } from './toolchain.ts'

const RULES = ['decision', 'deny', 'review', 'allow']
const TIME_LIMIT = '5s'
/** Policies in one run. */
const MAX_POLICIES = 20
/** Events of one run that are read. */
const MAX_EVENTS = 20_000
const MAX_TEXT = 200
const MAX_FAILED = 10

type Failed = ReadonlyMap<string, readonly FailedExpression[]>

/** By policy id; a text says why nobody can tell them. */
export async function failedExpressions(
  folders: readonly PolicyFolder[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
  policies: readonly PolicyMetadata[],
  document: unknown,
): Promise<Failed | string> {
  if (toolchain.find() === undefined)
    return 'which expression of a Rego policy failed is not told: OPA is not installed here'
  const found = new Map<string, readonly FailedExpression[]>()
  let asked = 0
  for (const folder of folders) {
    const files = new Map(folder.rego.map((file) => [file.path, file]))
    const some = policies.filter(({ file }) => files.has(file)).slice(0, MAX_POLICIES)
    if (some.length === 0) continue
    asked += some.length
    const told = await traceFolder(folder, toolchain, some, document)
    if (typeof told === 'string') return told
    for (const [id, failed] of told) found.set(id, failed)
  }
  return asked === 0 && policies.length > 0
    ? 'which expression of a Rego policy failed is not told: the files have changed since they were loaded'
    : found
}

async function traceFolder(
  folder: PolicyFolder,
  toolchain: Pick<Toolchain, 'run'>,
  policies: readonly PolicyMetadata[],
  document: unknown,
): Promise<Failed | string> {
  const work = mkdtempSync(join(tmpdir(), 'cordon-trace-'))
  try {
    mkdirSync(join(work, 'sources'))
    const copies = new Map<string, SourceFile>()
    for (const [index, file] of folder.rego.entries()) {
      const copy = `sources/file-${index}.rego`
      copies.set(copy, file)
      writeFileSync(join(work, copy), file.text)
    }
    writeFileSync(join(work, 'data.json'), stringifyExact(folder.data))
    writeFileSync(join(work, 'capabilities.json'), await testCapabilities(toolchain))
    const { code, stdout } = await toolchain.run(
      [
        'eval',
        '--capabilities',
        'capabilities.json',
        '--format',
        'json',
        '--explain',
        'fails',
        '--stdin-input',
        '--timeout',
        TIME_LIMIT,
        '--disable-indexing',
        '--disable-early-exit',
        '--data',
        'data.json',
        ...[...copies.keys()].flatMap((copy) => ['--data', copy]),
        queryOf(policies, folder),
      ],
      { cwd: work, input: stringifyExact(document) },
    )
    return code === 0
      ? failuresIn(stdout, policies, copies)
      : 'which expression of a Rego policy failed is not told: OPA could not evaluate it in time'
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    return `which expression of a Rego policy failed is not told: ${error.message}`
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** All rules of the convention in one query that always holds, so that OPA tries each. */
function queryOf(policies: readonly PolicyMetadata[], folder: PolicyFolder): string {
  const refs = policies.flatMap((policy) => {
    const file = folder.rego.find(({ path }) => path === policy.file)
    const name = /^\s*package\s+([^\s#;]+)/m.exec(file?.text ?? '')?.[1]
    return name === undefined
      ? []
      : RULES.filter((rule) => new RegExp(String.raw`^${rule}\b`, 'm').test(file?.text ?? '')).map(
          (rule) => `[x | x := data.${name}.${rule}]`,
        )
  })
  return `[${refs.join(', ')}]`
}

/** The failed expressions in the files of the policies themselves, each once, in the order of the text. */
function failuresIn(
  stdout: string,
  policies: readonly PolicyMetadata[],
  copies: ReadonlyMap<string, SourceFile>,
): Failed | string {
  let report: unknown
  try {
    report = JSON.parse(stdout)
  } catch {
    return 'which expression of a Rego policy failed is not told: OPA told nothing that can be read'
  }
  const events =
    isObject(report) && Array.isArray(report['explanation']) ? report['explanation'] : []
  const ids = new Map(policies.map(({ file, id }) => [file, id]))
  const rows = new Map<string, Map<number, FailedExpression>>()
  const inner = new Set<unknown>()
  for (const event of events.slice(0, MAX_EVENTS) as unknown[]) {
    if (!isObject(event)) continue
    const { Op: op, QueryID: query, ParentID: parent } = event
    if (op === 'Enter' && (inner.has(parent) || isBody(event))) inner.add(query)
    // What fails behind a `not`, or for one item of a comprehension, is no reason: the expression around it is.
    if (op !== 'Fail' || inner.has(query)) continue
    const place = placeOf(event)
    const file = place === undefined ? undefined : copies.get(place.file)
    const id = file === undefined ? undefined : ids.get(file.path)
    if (place === undefined || file === undefined || id === undefined) continue
    const text = file.text.split('\n')[place.row - 1]?.trim().slice(0, MAX_TEXT) ?? ''
    const own = rows.get(id) ?? new Map<number, FailedExpression>()
    own.set(place.row, { file: file.path, row: place.row, text })
    rows.set(id, own)
  }
  return new Map(
    [...rows].map(([id, own]) => [
      id,
      [...own.values()].toSorted((a, b) => a.row - b.row).slice(0, MAX_FAILED),
    ]),
  )
}

/** Whether a query begins that is a part of an expression: a negation, a comprehension, `every`. */
function isBody(event: Readonly<Record<string, unknown>>): boolean {
  return Array.isArray(event['Node']) && placeOf(event)?.file !== ''
}

function placeOf(
  event: Readonly<Record<string, unknown>>,
): { readonly file: string; readonly row: number } | undefined {
  const location = event['Location']
  if (!isObject(location)) return undefined
  const { file, row } = location
  return typeof file === 'string' && typeof row === 'number'
    ? { file: file.replace(/^\.\//, ''), row }
    : undefined
}
