// The same calls of built-ins by OPA's own evaluator and by OPA's wasm in our binding.
//
// One rule for each built-in; operands come in the input, so that nothing is folded. `{"$set": [...]}`
// stands for a set.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseExact, stringifyExact } from '../../src/base/exact-json.ts'
import { canonical } from '../../src/policy/combine.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { fileOfBundle } from '../../src/policy/rego/bundle.ts'
import { Shard } from '../../src/policy/rego/wasm.ts'
import { toolchain } from './policy-folder.ts'

export interface BuiltinCall {
  readonly name: string
  readonly args: readonly unknown[]
}

export interface Answered {
  readonly call: string
  /** The type and the value as canonical text, `undefined`, or the error. */
  readonly opa: string
  readonly own: string
}

const HELPERS = `
un(x) := {un1(y) | some y in x["$set"]} if { is_object(x); x["$set"] } else := [un1(y) | some y in x] if is_array(x) else := {k: un1(v) | some k, v in x} if is_object(x) else := x
un1(x) := {y | some y in x["$set"]} if { is_object(x); x["$set"] } else := x
`

export async function askBoth(calls: readonly BuiltinCall[]): Promise<readonly Answered[]> {
  const names = [...new Set(calls.map(({ name, args }) => `${name}/${args.length}`))]
  const ruleOf = ({ name, args }: BuiltinCall): string =>
    `r${names.indexOf(`${name}/${args.length}`)}`
  const rules = names.map((name, index) => {
    const [builtin = '', count = '0'] = name.split('/')
    const operands = Array.from({ length: Number(count) }, (_, at) => `un(c[${at}])`).join(', ')
    return `r${index}[i] := [type_name(v), v] if { some i, c in input.r${index}; v := ${builtin}(${operands}) }`
  })
  const dir = mkdtempSync(join(tmpdir(), 'cordon-differential-'))
  try {
    writeFileSync(join(dir, 'b.rego'), `package b\n${rules.join('\n')}\n${HELPERS}`)
    const byRule: Record<string, unknown[]> = {}
    const places = calls.map((call) => {
      const list = (byRule[ruleOf(call)] ??= [])
      list.push(call.args)
      return list.length - 1
    })
    writeFileSync(join(dir, 'input.json'), stringifyExact(byRule))
    const opa = toolchain()
    const evaluated = await opa.run(['eval', '-d', 'b.rego', '-i', 'input.json', 'data.b'], {
      cwd: dir,
    })
    const answer = parseExact(evaluated.stdout) as {
      result: [{ expressions: [{ value: Record<string, Record<string, unknown>> }] }]
    }
    const wanted = answer.result[0].expressions[0].value
    const entries = names.flatMap((_, index) => ['-e', `b/r${index}`])
    await opa.run(['build', '-t', 'wasm', ...entries, '-o', 'b.tar.gz', 'b.rego'], { cwd: dir })
    const wasm = fileOfBundle(readFileSync(join(dir, 'b.tar.gz')), 'policy.wasm')
    const shard = new Shard({ wasm, data: '{}' }, createHostBuiltins())
    return calls.map((call, index) => {
      const rule = ruleOf(call)
      const opaSays = wanted[rule]?.[String(places[index])]
      return {
        call: `${call.name}(${call.args.map((arg) => stringifyExact(arg)).join(', ')})`,
        opa: opaSays === undefined ? 'undefined' : canonical(opaSays),
        own: ownAnswer(shard, rule, call),
      }
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function ownAnswer(shard: Shard, rule: string, { args }: BuiltinCall): string {
  shard.setInput(Buffer.from(stringifyExact({ [rule]: [args] })))
  const result = shard.evaluate(`b/${rule}`)
  if ('error' in result) return `error: ${result.error}`
  const value = 'value' in result ? (result.value as Record<string, unknown>)['0'] : undefined
  return value === undefined ? 'undefined' : canonical(value)
}
