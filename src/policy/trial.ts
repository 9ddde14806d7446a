// Policies run over the worst inputs before they are in force, where a hang stops nobody.
//
// WebAssembly that runs cannot be interrupted, so a thread runs it, which is killed where a policy does not
// come back. One that exceeds its limits is refused with its name and its place. What has passed once is not
// tried again: passes are remembered by the hash of what runs (a shard with its data, a statement), of the release and
// of the limits, so that a change tries only what it changes.

import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import type { Problem } from '../base/errors.ts'
import { Pace } from '../base/pace.ts'
import { openThread } from '../base/thread.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { CedarPolicy } from './cedar/read.ts'
import { BUDGET_MS } from './quarantine.ts'
import { LIMITS, type ShardCode } from './rego/wasm.ts'

/** What is run at once. */
export type TrialJob =
  | {
      readonly kind: 'rego'
      readonly code: ShardCode
      /** Of each policy the names of its rules, for `Shard.ruleOf`. */
      readonly answers: readonly (readonly string[])[]
      readonly reads: readonly string[]
    }
  | {
      readonly kind: 'cedar'
      readonly policies: readonly CedarPolicy[]
      readonly reads: readonly string[]
      /** Asked all at once, and told of as the first of them. */
      readonly isTogether?: true
    }

/** Policies by their number in the job, with what they exceeded. */
export type TrialAnswer = readonly Exceeded[]

interface Exceeded {
  readonly index: number
  readonly problem: string
}

/** In memory that both threads see: the policy that runs, and how many runs have begun. */
export const PROGRESS = { policy: 0, steps: 1 } as const

/** A shard or a statement, which passes or does not. */
export interface Trial {
  readonly job: TrialJob
  /** Of the job's policies, in its order. */
  readonly policies: readonly PolicyMetadata[]
  /** sha256 over what runs: policies with the same one behave the same. */
  readonly key: string
}

/** Trials that run as one job: the policies of the one, then those of the next. */
interface Batch {
  readonly job: TrialJob
  readonly trials: readonly Trial[]
}

/** Longer than any evaluation that its limits end, on a machine with other work. */
const HANG_MS = 10_000
const LOOK_EVERY_MS = 100
const MOST_PASSED = 100_000
/** Statements of one batch. */
const TRIED_AT_ONCE = 100

/** What is wrong with these policies; `cacheDir`: where passes are remembered, `hangMs`: after which nobody waits. */
export async function tryOut(
  trials: readonly Trial[],
  cacheDir: string,
  hangMs = HANG_MS,
): Promise<readonly Problem[]> {
  if (trials.length === 0) return []
  const file = join(cacheDir, 'passed.json')
  const passed = await readPassed(file)
  const circumstances = await circumstancesOf()
  const pace = new Pace()
  const names = new Map<Trial, string>()
  for (const trial of trials) {
    names.set(trial, hashOf(`${circumstances} ${trial.key}`))
    await pace.point()
  }
  const fresh = trials.filter((trial) => !passed.has(names.get(trial) ?? ''))
  if (fresh.length === 0) return []
  const problems: Problem[] = []
  const failed = new Set<Trial>()
  const thread = new TrialThread(hangMs)
  try {
    for (const batch of batchesOf(fresh)) {
      const members = batch.trials.flatMap((trial) =>
        trial.policies.map((policy) => ({ trial, policy })),
      )
      for (const { index, problem } of await exceededIn(thread, batch)) {
        const member = members[index]
        if (member === undefined) continue
        failed.add(member.trial)
        problems.push(problemOf(member.policy, problem))
      }
    }
  } finally {
    await thread.close()
  }
  // Those that were used last stand last, and are kept longest.
  for (const trial of trials) {
    const name = names.get(trial) ?? ''
    passed.delete(name)
    if (!failed.has(trial)) passed.add(name)
  }
  await writePassed(file, passed)
  return problems
}

/** A shard is one by itself; statements are many, and small. */
function batchesOf(trials: readonly Trial[]): readonly Batch[] {
  const batches: Batch[] = []
  const statements: Trial[] = []
  for (const trial of trials) {
    if (trial.job.kind === 'rego') batches.push({ job: trial.job, trials: [trial] })
    else statements.push(trial)
  }
  for (let at = 0; at < statements.length; at += TRIED_AT_ONCE) {
    const some = statements.slice(at, at + TRIED_AT_ONCE)
    const policies = some.flatMap(({ job }) => (job.kind === 'cedar' ? job.policies : []))
    const reads = new Set(some.flatMap(({ job }) => job.reads))
    batches.push({ job: { kind: 'cedar', policies, reads: [...reads] }, trials: some })
  }
  return batches
}

/** What exceeds its limits, each policy once. */
async function exceededIn(thread: TrialThread, { job }: Batch): Promise<TrialAnswer> {
  // What keeps the limits of one of them all together keeps them one by one.
  if (job.kind === 'cedar') {
    const together = await thread.run({ ...job, isTogether: true }, [])
    if (!('index' in together) && together.length === 0) return []
  }
  const ended: Exceeded[] = []
  for (;;) {
    const answer = await thread.run(
      job,
      ended.map(({ index }) => index),
    )
    if (!('index' in answer)) return [...ended, ...answer]
    ended.push(answer)
  }
}

function problemOf({ id, file, line = 1 }: PolicyMetadata, problem: string): Problem {
  const message = `${id} takes too long for a large input: ${problem}`
  return { file, line, column: 1, message }
}

/** One thread at a time; after a kill there is another one. */
class TrialThread {
  readonly #progress = new Int32Array(new SharedArrayBuffer(8))
  readonly #hangMs: number
  #worker: Worker | undefined

  constructor(hangMs: number) {
    this.#hangMs = hangMs
  }

  /** The job's answer, or the policy that the thread did not survive. */
  run(job: TrialJob, skip: readonly number[]): Promise<TrialAnswer | Exceeded> {
    const worker = this.#open()
    return new Promise((resolve, reject) => {
      Atomics.store(this.#progress, PROGRESS.steps, 0)
      let steps = -1
      let since = performance.now()
      const look = setInterval(() => {
        const now = Atomics.load(this.#progress, PROGRESS.steps)
        if (now !== steps) {
          steps = now
          since = performance.now()
        } else if (now > 0 && performance.now() - since > this.#hangMs) {
          const index = Atomics.load(this.#progress, PROGRESS.policy)
          end()
          const problem = `it did not come back within ${this.#hangMs / 1000} s`
          void this.close().then(() => resolve({ index, problem }))
        }
      }, LOOK_EVERY_MS)
      const onMessage = (answer: TrialAnswer): void => {
        end()
        resolve(answer)
      }
      const onError = (error: Error): void => {
        end()
        this.#worker = undefined
        const index = Atomics.load(this.#progress, PROGRESS.policy)
        if (Atomics.load(this.#progress, PROGRESS.steps) === 0) reject(error)
        else resolve({ index, problem: `the thread that ran it has ended: ${error.message}` })
      }
      const end = (): void => {
        clearInterval(look)
        worker.off('message', onMessage)
        worker.off('error', onError)
      }
      worker.on('message', onMessage)
      worker.on('error', onError)
      worker.postMessage({ ...job, skip })
    })
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #open(): Worker {
    this.#worker ??= openThread(
      new URL('./trial-thread.ts', import.meta.url),
      this.#progress.buffer,
    )
    return this.#worker
  }
}

/** Another release may take longer, have other worst cases, or allow less. */
async function circumstancesOf(): Promise<string> {
  const manifest = await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')
  return JSON.stringify([hashOf(manifest), process.version, BUDGET_MS, LIMITS])
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

async function readPassed(file: string): Promise<Set<string>> {
  try {
    return new Set(JSON.parse(await readFile(file, 'utf8')) as string[])
  } catch {
    return new Set()
  }
}

/** A cache: what cannot be written is tried again the next time. */
async function writePassed(file: string, passed: ReadonlySet<string>): Promise<void> {
  const fresh = `${file}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(fresh, JSON.stringify([...passed].slice(-MOST_PASSED)))
    await rename(fresh, file)
  } catch {
    await rm(fresh, { force: true }).catch(() => undefined)
  }
}
