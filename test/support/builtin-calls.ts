// Calls of built-ins with OPA's results: kept in a table, and asked of OPA itself where it is installed.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseExact } from '../../src/base/exact-json.ts'
import { toolchain } from './policy-folder.ts'

export const TABLE = join(import.meta.dirname, '../policy/builtin-calls.json')

export interface Call {
  readonly name: string
  /** Terms of Rego. */
  readonly args: readonly string[]
  /** One result, or none where the call is undefined. */
  readonly result: readonly unknown[]
}

export function readCalls(): readonly Call[] {
  return parseExact(readFileSync(TABLE, 'utf8')) as readonly Call[]
}

/** OPA's results in the order of the calls; the operands pass a function, so that nothing is folded. */
export async function askOpa(calls: readonly Omit<Call, 'result'>[]): Promise<readonly Call[]> {
  const rules = calls.map(({ name, args }, index) => {
    const operands = args.map((_, at) => `a[${at}]`).join(', ')
    return `r["${index}"] := [x | a := same([${args.join(', ')}]); x := ${name}(${operands})]`
  })
  const module = ['package t', ...rules, 'same(v) := y if some y in [v]', ''].join('\n')
  const dir = mkdtempSync(join(tmpdir(), 'cordon-calls-'))
  try {
    writeFileSync(join(dir, 't.rego'), module)
    const file = join(dir, 't.rego')
    const { stdout } = await toolchain().run(['eval', '-f', 'json', '-d', file, 'data.t.r'])
    const answer = parseExact(stdout) as {
      result: [{ expressions: [{ value: Record<string, unknown[]> }] }]
    }
    const values = answer.result[0].expressions[0].value
    return calls.map(({ name, args }, index) => ({ name, args, result: values[index] ?? [] }))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
