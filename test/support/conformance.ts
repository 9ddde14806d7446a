// OPA's public conformance cases, compiled as OPA compiles them and run through our binding.
//
// They come with OPA's source, through Go's module cache; nothing of them lies in this repository. Cases are
// compiled many at once, each with its packages and data under a name of its own; one that does not fit in
// there, or answers otherwise, is compiled alone as it was written, and only that counts.

import { execFile } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { parseExact, stringifyExact } from '../../src/base/exact-json.ts'
import { canonical } from '../../src/policy/combine.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { fileOfBundle } from '../../src/policy/rego/bundle.ts'
import { OPA_VERSION } from '../../src/policy/rego/toolchain.ts'
import { Shard } from '../../src/policy/rego/wasm.ts'
import { toolchain } from './policy-folder.ts'

export interface ConformanceCase {
  readonly note: string
  readonly query: string
  readonly modules?: readonly string[]
  readonly data?: Readonly<Record<string, unknown>>
  readonly input?: unknown
  readonly input_term?: string
  readonly want_defined?: boolean
  readonly want_result?: readonly Readonly<Record<string, unknown>>[]
  readonly want_error_code?: string
  readonly want_error?: string
  readonly sort_bindings?: boolean
  readonly strict_error?: boolean
  readonly env?: unknown
}

/** Undefined: it answers as it should. */
export type Shortfall = string | undefined

const MODULE = `github.com/open-policy-agent/opa@${OPA_VERSION}`
const CASES = 'v1/test/cases/testdata/v1'
const AT_ONCE = 40
const BUILDS = 2

/** All cases of OPA's own version, or why they are not at hand. */
export async function conformanceCases(): Promise<readonly ConformanceCase[] | string> {
  let dir: string
  try {
    const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', MODULE], {
      cwd: tmpdir(),
    })
    dir = join((JSON.parse(stdout) as { Dir: string }).Dir, CASES)
  } catch {
    return `"go mod download ${MODULE}" does not bring them here`
  }
  return globSync('**/*.{yaml,json}', { cwd: dir })
    .toSorted()
    .flatMap((file) => {
      const text = readFileSync(join(dir, file), 'utf8')
      const { cases } = parse(text, { intAsBigInt: true, maxAliasCount: -1 }) as {
        cases: readonly ConformanceCase[]
      }
      return cases.map((each) => plainNumbers(each) as ConformanceCase)
    })
}

/** Each case by its name with what it falls short in. */
export async function runCases(
  cases: readonly ConformanceCase[],
): Promise<ReadonlyMap<string, Shortfall>> {
  const results = new Map<string, Shortfall>()
  const alone: ConformanceCase[] = []
  const batches: ConformanceCase[][] = []
  const fit = cases.filter((each) => {
    if (canMove(each)) return true
    alone.push(each)
    return false
  })
  for (let at = 0; at < fit.length; at += AT_ONCE) batches.push(fit.slice(at, at + AT_ONCE))
  await inTurn(batches, async (batch) => {
    const found = await runTogether(batch)
    for (const each of batch) {
      if (found?.get(each) === true) results.set(each.note, undefined)
      else alone.push(each)
    }
  })
  await inTurn(alone, async (each) => {
    results.set(each.note, await runAlone(each))
  })
  return results
}

async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const runner = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: BUILDS }, runner))
}

/** Whether its packages and data can stand under another name by changing the text. */
function canMove({
  modules = [],
  query,
  want_error,
  want_error_code,
  env,
}: ConformanceCase): boolean {
  if (want_error !== undefined || want_error_code !== undefined || env !== undefined) return false
  const texts = [...modules, query]
  return texts.every(
    (text) => !/\bdata\b(?!\.[a-zA-Z_])/.test(text) && !/rego\.metadata|opa\.runtime/.test(text),
  )
}

function moved(text: string, name: string): string {
  return text
    .replaceAll(/\bdata\./g, `data.${name}.`)
    .replaceAll(/^(\s*package\s+)/gm, `$1${name}.`)
}

async function runTogether(
  batch: readonly ConformanceCase[],
): Promise<ReadonlyMap<ConformanceCase, boolean> | undefined> {
  const modules = batch.flatMap((each, index) => [
    ...(each.modules ?? []).map((text) => moved(text, `c${index}`)),
    answerModule(each, `entry${index}`, moved(each.query, `c${index}`)),
  ])
  const wasm = await build(
    modules,
    batch.map((_, index) => `entry${index}/answer`),
  )
  if (wasm instanceof Error) return undefined
  const data = stringifyExact(
    Object.fromEntries(batch.map(({ data: own = {} }, index) => [`c${index}`, own])),
  )
  try {
    const shard = new Shard({ wasm, data }, createHostBuiltins())
    return new Map(
      batch.map((each, index) => [
        each,
        shortfall(shard, `entry${index}/answer`, each) === undefined,
      ]),
    )
  } catch {
    // One of them calls what is not offered.
    return undefined
  }
}

async function runAlone(each: ConformanceCase): Promise<Shortfall> {
  const modules = [...(each.modules ?? []), answerModule(each, 'conformance_entry', each.query)]
  const wasm = await build(modules, ['conformance_entry/answer'])
  if (wasm instanceof Error)
    return each.want_error_code !== undefined || each.want_error !== undefined
      ? undefined
      : `not compiled: ${wasm.message}`
  try {
    const shard = new Shard({ wasm, data: stringifyExact(each.data ?? {}) }, createHostBuiltins())
    return shortfall(shard, 'conformance_entry/answer', each)
  } catch (error) {
    return error instanceof Error ? error.message : 'failed'
  }
}

/** All bindings of a query's variables, which are those that the expected result names. */
function answerModule(
  { want_result: [first = {}] = [] }: ConformanceCase,
  name: string,
  query: string,
): string {
  const names = Object.keys(first)
  const bindings = names.map((each) => `${JSON.stringify(each)}: ${each}`).join(', ')
  return `package ${name}\n\nanswer := [{${bindings}} | ${query}]\n`
}

async function build(
  modules: readonly string[],
  entrypoints: readonly string[],
): Promise<Uint8Array | Error> {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-conformance-'))
  try {
    mkdirSync(join(dir, 'm'))
    for (const [index, text] of modules.entries())
      writeFileSync(join(dir, 'm', `m${index}.rego`), text)
    const entries = entrypoints.flatMap((entrypoint) => ['-e', entrypoint])
    const { code, stdout, stderr } = await toolchain().run(
      ['build', '-t', 'wasm', ...entries, '-o', 'b.tar.gz', 'm'],
      { cwd: dir },
    )
    if (code !== 0) return new Error((stderr || stdout).trim().split('\n').slice(0, 3).join(' '))
    return fileOfBundle(readFileSync(join(dir, 'b.tar.gz')), 'policy.wasm')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function shortfall(shard: Shard, entrypoint: string, each: ConformanceCase): Shortfall {
  const input = inputOf(each)
  if (input === undefined) return 'the input is no JSON'
  const problem = shard.setInput(Buffer.from(input))
  if (problem !== undefined) return problem.error
  const result = shard.evaluate(entrypoint)
  const bindings =
    'value' in result && Array.isArray(result.value) ? (result.value as unknown[]) : []
  if (each.want_error !== undefined || each.want_error_code !== undefined) {
    if ('error' in result) return undefined
    // Where built-ins fail in silence, as here, nothing is defined.
    return each.strict_error === true && bindings.length === 0 ? undefined : 'no error'
  }
  if ('error' in result) return `error: ${result.error}`
  if (each.want_result !== undefined) {
    const own = shown(bindings, each.sort_bindings === true)
    const wanted = shown(each.want_result, each.sort_bindings === true)
    return own === wanted ? undefined : `${own.slice(0, 300)}, not ${wanted.slice(0, 300)}`
  }
  const isDefined = bindings.length > 0
  return isDefined === (each.want_defined ?? false) ? undefined : `defined: ${isDefined}`
}

function inputOf({ input_term: term, input }: ConformanceCase): string | undefined {
  if (term === undefined) return stringifyExact(input === undefined ? {} : input)
  try {
    parseExact(term)
    return term
  } catch {
    return undefined
  }
}

/** Bindings have no order; what is inside of them has one, unless the case says otherwise. */
function shown(bindings: readonly unknown[], areSets: boolean): string {
  const each = bindings.map((binding) => canonical(areSets ? sorted(binding) : binding))
  return `[${each.toSorted().join(',')}]`
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(sorted).toSorted((a, b) => (canonical(a) < canonical(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sorted(item)]))
}

/** Integers that a double holds, as numbers again. */
function plainNumbers(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (Array.isArray(value)) return value.map(plainNumbers)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainNumbers(item)]))
}
