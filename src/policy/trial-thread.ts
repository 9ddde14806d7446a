// The thread in which policies run before they are in force: it can be killed.
//
// Which policy it is at stands in shared memory, because nothing can be asked of a thread that hangs.

import { parentPort, workerData } from 'node:worker_threads'
import { CedarEngine } from './cedar/engine.ts'
import { BUDGET_MS } from './quarantine.ts'
import { createHostBuiltins } from './rego/builtins/registry.ts'
import { Shard } from './rego/wasm.ts'
import { PROGRESS, type TrialAnswer, type TrialJob } from './trial.ts'
import { worstCases } from './worst-case.ts'

/** Whoever else uses the caches of the processor is no reason to refuse a policy. */
const TRIES = 3

const progress = new Int32Array(workerData as SharedArrayBuffer)
const builtins = createHostBuiltins()

parentPort?.on('message', (job: TrialJob & { readonly skip: readonly number[] }) => {
  parentPort?.postMessage(job.kind === 'rego' ? tryRego(job, job.skip) : tryCedar(job, job.skip))
})

function tryRego(
  { code, answers, reads }: Extract<TrialJob, { kind: 'rego' }>,
  skip: readonly number[],
): TrialAnswer {
  const shard = new Shard(code, builtins)
  const rules = answers.map((names) => names.flatMap((name) => shard.ruleOf(name) ?? []))
  return tryAll(rules.length, skip, reads, (document) => {
    const json = JSON.stringify(document)
    let isSet = false
    return (index) => {
      // What cannot be read by the shard at all is no policy's fault.
      if (!isSet && shard.setInput(json) !== undefined) return undefined
      isSet = true
      const answer = shard.answer(rules[index] ?? [])
      if (!('error' in answer)) return undefined
      isSet = false
      return answer.isLimit ? answer.error : undefined
    }
  })
}

function tryCedar(
  { policies, reads, isTogether }: Extract<TrialJob, { kind: 'cedar' }>,
  skip: readonly number[],
): TrialAnswer {
  const engine = new CedarEngine(policies, true)
  const all = [...policies.keys()]
  const questions = isTogether === true ? [all] : all.map((index) => [index])
  const answer = tryAll(questions.length, skip, reads, (document) => {
    const input = { document, json: () => Buffer.from(JSON.stringify(document)) }
    return (index) => {
      engine.evaluate(questions[index] ?? [], input)
      return undefined
    }
  })
  engine.close()
  return answer
}

/** Runs each question over each document; the first limit that one exceeds is enough. */
function tryAll(
  count: number,
  skip: readonly number[],
  reads: readonly string[],
  runnerFor: (document: unknown) => (index: number) => string | undefined,
): TrialAnswer {
  const problems = new Map<number, string>()
  for (const document of worstCases(reads)) {
    const run = runnerFor(document)
    for (let index = 0; index < count; index++) {
      if (skip.includes(index) || problems.has(index)) continue
      progress[PROGRESS.policy] = index
      Atomics.add(progress, PROGRESS.steps, 1)
      const problem = exceeded(() => run(index))
      if (problem !== undefined) problems.set(index, problem)
    }
  }
  return [...problems].map(([index, problem]) => ({ index, problem }))
}

function exceeded(run: () => string | undefined): string | undefined {
  let least = Infinity
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const before = process.threadCpuUsage()
    const limit = run()
    if (limit !== undefined) return limit
    const { user, system } = process.threadCpuUsage(before)
    least = Math.min(least, (user + system) / 1000)
    if (least <= BUDGET_MS) return undefined
  }
  return `time limit: ${Math.round(least)} ms, where ${BUDGET_MS} ms are allowed`
}
