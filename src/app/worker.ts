// A gateway worker: sockets, policies, memory and one spool writer. Started by the primary.

import cluster from 'node:cluster'
import { lookup } from 'node:dns'
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { CordonError } from '../base/errors.ts'
import type { DirectorySource } from '../context/directory.ts'
import type { MovedRisk } from '../context/shared-cache.ts'
import type { Reviews } from '../decision/decide.ts'
import { openLog } from '../observe/log.ts'
import { Metrics } from '../observe/metrics.ts'
import { ToldExceptions } from './exceptions-in-force.ts'
import { openGateway } from './gateway.ts'
import {
  type InterceptionBeginning,
  type OpenedInterception,
  openInterception,
} from './interception.ts'
import { Link } from './link.ts'
import type { Beginning, PrimaryCalls, WorkerCalls } from './messages.ts'
import { PointMode } from './point-mode.ts'
import { type OpenProxy, openProxy } from './proxy-door.ts'
import { alarmQuarantine } from './quarantine-alarm.ts'
import { ReviewAnswers } from './review-answers.ts'
import { type Environment, type LoadedRules, loadRules, retire, withPolicies } from './rules.ts'

/** Runs until the primary says drain, or goes away. */
export async function runWorker(env: Environment): Promise<void> {
  const log = openLog({ role: 'gateway', worker: cluster.worker?.id ?? 0 }, process.stderr)
  const metrics = new Metrics()
  const answers = new ReviewAnswers()
  let running: Running | undefined
  // Rules that change while it begins are taken once it has begun.
  const begun = Promise.withResolvers<Running>()
  const link = new Link(
    {
      send: (message) => process.send?.(message),
      onMessage: (listener) => process.on('message', listener),
      onGone: (listener) => process.on('disconnect', listener),
    },
    {
      reload: async (beginning: Beginning) => (await begun.promise).reload(beginning),
      takePolicies: async (folders) => (await begun.promise).takePolicies(folders),
      rejudge: () => running?.proxy.rejudge(),
      reopenLogs: () => running?.proxy.reopenLog(),
      metrics: () => metrics.values(),
      health: () => ({ spool: running?.gateway.spool.failure }),
      mode: (override) => running?.mode.override(override),
      intercept: (interception) => running?.intercept(interception),
      peopleChanged: () => running?.peopleChanged(),
      riskMoved: (moved: readonly MovedRisk[]) => running?.gateway.directory.moveRisks(moved),
      exceptions: (change) => exceptions.take(change),
      reviewAnswered: ({ reviewId, state }) => answers.answered(reviewId, state),
      backlog: (bytes) => running?.gateway.spool.setBacklog(bytes),
      drain: async (graceMs) => {
        await running?.drain(graceMs)
        setImmediate(() => process.exit(0))
      },
    } satisfies { [K in keyof WorkerCalls]: (argument: never) => unknown },
  )
  const call = <K extends keyof PrimaryCalls>(
    name: K,
    argument: Parameters<PrimaryCalls[K]>[0],
  ): Promise<Awaited<ReturnType<PrimaryCalls[K]>>> => link.call(name, argument)

  const exceptions = new ToldExceptions({
    all: () => call('exceptions', undefined as never),
    claim: (ids) => call('claimUses', ids),
  })

  // The primary decides when to end; a terminal sends these to the whole group.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => undefined)
  process.on('SIGHUP', () => undefined)
  process.on('disconnect', () => process.exit(1))

  await begin().catch(async (error: unknown) => {
    // The primary tells it, and knows whether it matters.
    const known = error instanceof CordonError ? error : undefined
    const message = error instanceof Error ? error.message : String(error)
    log.error({ err: message }, 'a gateway worker cannot begin')
    const why = {
      code: known?.code ?? 'INTERNAL',
      message,
      problems: known?.problems ?? [],
    } as const
    await call('failed', why).catch(() => undefined)
    process.exit(1)
  })

  async function begin(): Promise<void> {
    const beginning = await call('begin', undefined as never)
    let { config } = beginning
    const mode = new PointMode(config.policy.mode, Date.now)
    mode.override(beginning.override)
    let rules = await loadRules(config, beginning.catalogue, env, beginning.policyFolders)
    alarmQuarantine(rules.policies, log, metrics)
    const source: DirectorySource = {
      find: (principal) => call('findPerson', principal),
      asset: (hostname) => call('findAsset', hostname),
    }
    const reviews: Reviews = {
      open: (request) => call('openReview', request),
      answer: (reviewId, timeoutMs, cancelled) => answers.wait(reviewId, timeoutMs, cancelled),
    }
    const gateway = openGateway({
      config,
      log,
      metrics,
      source,
      reviews,
      exceptions,
      counter: {
        take: (asked) => call('takeBudgets', asked),
        adjust: (changes) => link.notify('adjustBudgets', changes),
      },
      rules: () => rules,
      mode,
      personSecret: beginning.personSecret,
      onWritten: () => link.notify('written', undefined),
    })
    await Promise.all([gateway.spool.ready, exceptions.begin()])
    const proxy = await openProxy({
      config,
      log,
      metrics,
      gateway,
      verifyToken: (login, token) => call('verifyToken', { login, token }),
      ownAddresses: addressesOf(),
      lookup,
      readFile: (path) => readFileSync(path, 'utf8'),
      interception: rulesOf(beginning, rules),
      catalogue: () => rules.catalogue,
    })
    running = {
      gateway,
      proxy,
      mode,
      reload: async (next) => {
        const fresh = await loadRules(next.config, next.catalogue, env, next.policyFolders)
        const former = rules
        // First: the proxy's own pages tell of the catalogue in force.
        rules = fresh
        alarmQuarantine(fresh.policies, log, metrics)
        config = next.config
        proxy.reload(config, rulesOf(next, fresh))
        gateway.reload(config)
        mode.configure(config.policy.mode)
        retire(former)
        return fresh.revision
      },
      takePolicies: async (folders) => {
        const fresh = await withPolicies(rules, config, env, folders)
        const former = rules
        rules = fresh
        alarmQuarantine(fresh.policies, log, metrics)
        retire(former)
        return fresh.revision
      },
      intercept: (interception) =>
        proxy.intercept(openInterception(config, rules.catalogue, interception)),
      peopleChanged: () => {
        gateway.directory.forget()
        proxy.forgetCredentials()
      },
      drain: async (graceMs) => {
        await proxy.close(graceMs)
        await gateway.close()
      },
    }
    begun.resolve(running)
    await call('listening', proxy.addresses)
  }
}

interface Running {
  readonly gateway: ReturnType<typeof openGateway>
  readonly proxy: OpenProxy
  readonly mode: PointMode
  reload(beginning: Beginning): Promise<string>
  takePolicies(folders: readonly string[]): Promise<string>
  intercept(interception: InterceptionBeginning): void
  peopleChanged(): void
  drain(graceMs: number): Promise<void>
}

function rulesOf(
  { config, interception }: Beginning,
  { catalogue }: LoadedRules,
): OpenedInterception | undefined {
  return interception === undefined ? undefined : openInterception(config, catalogue, interception)
}

/** Addresses of this machine: a request to one of our own listeners would go round in a circle. */
function addressesOf(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address }) => address),
  )
}
