// Does the binding of our own answer as OPA's npm package does, for the same wasm and the same inputs?
//
// The package has few built-ins and no way to tell a set from a list; where those do not matter, both
// must say the same. The compiled forms lie in the repository, so nothing needs to be installed.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadPolicy } from '@open-policy-agent/opa-wasm'
import t, { type Test } from 'tap'
import { parseExact } from '../../src/base/exact-json.ts'
import { canonical } from '../../src/policy/combine.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import type { Manifest } from '../../src/policy/rego/manifest.ts'
import { type EntrypointResult, Shard } from '../../src/policy/rego/wasm.ts'
import { compileFiles, opaMissing } from '../support/rego-policies.ts'

const ROOT = join(import.meta.dirname, '../..')
const CASES = join(import.meta.dirname, 'cases')
const INPUTS = [
  '{}',
  '{"user":null,"resource":[],"content":5}',
  '{"user":{"name":"\\u0000é😀"},"context":{"time":{"hour":23}},"resource":{"ai":true,"known":false}}',
  '{"resource":{"id":"score-chat","vendor":"x","capabilities":["social_scoring"]},"action":"send_prompt"}',
  ...readdirSync(CASES).flatMap((name) =>
    readFileSync(join(CASES, name, 'input.ndjson'), 'utf8')
      .trim()
      .split('\n'),
  ),
].filter((line) => !/\d{16}/.test(line))

for (const name of ['policies', 'test/policy/twins', 'test/policy/eu_ai_act']) {
  t.test(`${name}: both bindings answer alike`, async (t) => {
    const dir = join(ROOT, name, 'compiled')
    const manifest = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as Manifest
    for (const [index, { file }] of manifest.shards.entries()) {
      const entrypoints = manifest.policies
        .filter(({ shard }) => shard === index)
        .flatMap(({ entrypoint, rules }) => rules.map((rule) => `${entrypoint}/${rule}`))
      await compare(t, readFileSync(join(dir, file)), entrypoints, INPUTS)
    }
  })
}

const FILES = {
  'forms.rego': `package forms
deny contains concat("-", ["a", input.name])
review := [x | some x in input.list; x != 2]
allow if { every x in input.list { is_number(x) } }
obligations contains {"type": t} if some t in object.keys(input.map)
decision := "DENY" if input.map.a[0] == 1 else := "REVIEW" if input.map.b
reason := upper(trim_space(input.name))`,
  'nested.rego': `package nested
deny[k] := v if some k, v in input.map
allow if walk(input, [_, "needle"])
review contains p if { some p, v; walk(input, [p, v]); v == null }`,
}

t.test('both bindings answer alike for rules of every form', { skip: opaMissing }, async (t) => {
  const { manifest, shards } = await compileFiles(FILES)
  const inputs = [
    '{"name":" é\\t","list":[1,2,3],"map":{"a":[1],"b":null}}',
    '{"name":"","list":["x"],"map":{"b":{"c":"needle"}}}',
    '{"list":[],"map":{}}',
    '{"name":5,"list":{"k":2.5},"map":{"é\\"":false}}',
  ]
  for (const { wasm } of shards)
    await compare(
      t,
      wasm,
      manifest.policies.flatMap(({ entrypoint, rules }) =>
        rules.map((rule) => `${entrypoint}/${rule}`),
      ),
      inputs,
    )
})

async function compare(
  t: Test,
  wasm: Uint8Array,
  entrypoints: readonly string[],
  inputs: readonly string[],
): Promise<void> {
  t.ok(entrypoints.length > 0 && inputs.length > 0, 'there is something to compare')
  const peer = await loadPolicy(new Uint8Array(wasm).buffer)
  const own = new Shard({ wasm, data: '{}' }, createHostBuiltins())
  const differences: unknown[] = []
  for (const line of inputs) {
    own.setInput(Buffer.from(line))
    for (const entrypoint of entrypoints) {
      const results = peer.evaluate(parseExact(line), entrypoint) as readonly { result: unknown }[]
      const peerSays = canonical(results.map(({ result }) => sorted(result)))
      const ownSays = canonical(valuesOf(own.evaluate(entrypoint)).map(sorted))
      if (ownSays !== peerSays) differences.push({ entrypoint, line, peerSays, ownSays })
    }
  }
  t.same(differences, [])
}

function valuesOf(result: EntrypointResult): readonly unknown[] {
  if ('error' in result) return [`error: ${result.error}`]
  return 'value' in result ? [result.value] : []
}

/** A set has no order, and both bindings show it as a list. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(sorted).toSorted((a, b) => (canonical(a) < canonical(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sorted(item)]))
}
