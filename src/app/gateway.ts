// What every process that decides is made of: ids, directory, spool, corridor.

import { join } from 'node:path'
import { IdSource } from '../base/ids.ts'
import type { Config } from '../config/schema.ts'
import type { BudgetCounter, ListedCounter } from '../context/budget-counter.ts'
import { RedisBudgets } from '../context/budget-redis.ts'
import { Directory, type DirectorySource } from '../context/directory.ts'
import { RedisCache } from '../context/redis-cache.ts'
import type { SharedCache } from '../context/shared-cache.ts'
import { Budgets } from '../decision/budgets.ts'
import { Corridor, type CorridorOptions, type Reviews, type Rules } from '../decision/decide.ts'
import type { ExceptionDesk } from '../decision/exceptions.ts'
import { Spool } from '../ledger/spool.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { BodyReader } from '../proxy/body-reader.ts'
import { Classifier } from './classifier.ts'
import type { PointMode } from './point-mode.ts'

export interface Gateway {
  readonly ids: IdSource
  readonly spool: Spool
  readonly directory: Directory
  readonly corridor: Corridor
  readonly shared: SharedCache | undefined
  /** Of all gateways, where there is a Redis. */
  readonly redisBudgets: ListedCounter | undefined
  /** Reads large bodies where it stops nobody. */
  readonly reader: BodyReader
  /** What a reload may change here: what becomes of reviews, what is searched and recorded. */
  reload(config: Config): void
  close(): Promise<void>
}

export interface GatewayParts {
  readonly config: Config
  readonly log: Log
  readonly metrics: Metrics
  readonly source: DirectorySource
  readonly reviews: Reviews
  readonly exceptions: ExceptionDesk
  /** Who counts budgets where there is no Redis: one for all processes of this machine. */
  readonly counter: BudgetCounter
  readonly rules: () => Rules
  readonly mode: PointMode
  /** Of the tenant: what keys of people are made with. */
  readonly personSecret: Uint8Array
  readonly onWritten: () => void
}

export function openGateway(parts: GatewayParts): Gateway {
  const { config, log, metrics } = parts
  let current = config
  const ids = new IdSource()
  const spool = new Spool({
    dir: join(config.data_dir, 'ledger'),
    tenant: config.tenant,
    fsync: config.ledger.fsync,
    whenFull: config.ledger.when_full,
    limitBytes: config.ledger.spool_limit,
    now: Date.now,
    log,
    onLost: (count) => metrics.spoolGapRecords.inc(count),
    onWritten: parts.onWritten,
    onWriteSeconds: (seconds) => metrics.spoolWriteSeconds.observe(seconds),
    onSyncSeconds: (seconds) => metrics.spoolSyncSeconds.observe(seconds),
    onUnproved: (seconds) => metrics.checkpointAgeSeconds.set(seconds),
  })
  const shared = config.redis_url === '' ? undefined : new RedisCache(config.redis_url, log)
  const directory = new Directory({
    source: parts.source,
    metrics,
    tenant: config.tenant,
    ...(shared === undefined ? {} : { shared }),
  })
  const redisBudgets =
    config.redis_url === '' ? undefined : new RedisBudgets(config.redis_url, config.tenant, log)
  tellBudgets(metrics, config)
  const classifier = new Classifier(() => metrics.limits.inc({ limit: 'content' }))
  const corridor = new Corridor(
    {
      ids,
      people: directory,
      classify: (content) => classifier.classify(content, current.proxy.limits.body_inspect_bytes),
      ledger: spool,
      reviews: parts.reviews,
      exceptions: parts.exceptions,
      budgets: new Budgets({
        counter: redisBudgets ?? parts.counter,
        settings: () => ({ budgets: current.budgets, onError: current.budgets_on_error }),
        metrics,
      }),
      metrics,
      now: Date.now,
      rules: parts.rules,
      mode: () => parts.mode.current(),
    },
    optionsOf(() => current, parts.personSecret),
  )
  return {
    ids,
    spool,
    directory,
    corridor,
    shared,
    redisBudgets,
    reader: classifier,
    reload: (next) => {
      current = next
      tellBudgets(metrics, next)
    },
    close: async () => {
      await classifier.close()
      await spool.close()
      await shared?.close()
      redisBudgets?.close()
    },
  }
}

/** A series that begins with its first event hides that event from `increase`. */
function tellBudgets({ budgetDenied, budgetCuts }: Metrics, { budgets }: Config): void {
  for (const { id: budget, cut } of budgets) {
    budgetDenied.inc({ budget }, 0)
    if (cut) budgetCuts.inc({ budget }, 0)
  }
}

/** Read anew for every request, so that a reload takes hold with the next one. */
function optionsOf(current: () => Config, personSecret: Uint8Array): CorridorOptions {
  return {
    personSecret,
    get tenant() {
      return current().tenant
    },
    get review() {
      return current().policy.review
    },
    get holdTimeoutMs() {
      return current().policy.hold_timeout
    },
    get record() {
      return current().ledger.record
    },
    get urlPaths() {
      return current().ledger.url_paths
    },
    get risk() {
      return current().risk
    },
  }
}
