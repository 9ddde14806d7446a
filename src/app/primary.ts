// The primary process of `cordon start`: store, recorder, API, metrics and control socket, and the workers.
//
// Order: lock, store, rules, gateway, API and metrics, control socket, workers; the reverse when it ends.

import cluster, { type Worker } from 'node:cluster'
import type { Server } from 'node:http'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { KeyRing } from '../api/key.ts'
import { openApi } from '../api/server.ts'
import { CordonError, formatProblem } from '../base/errors.ts'
import type { Listen } from '../config/leaf.ts'
import { loadConfig } from '../config/load.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import type { Reviews } from '../decision/decide.ts'
import { Recorder } from '../ledger/recorder.ts'
import { openLog } from '../observe/log.ts'
import { aggregate, Metrics } from '../observe/metrics.ts'
import { destinationOf } from '../signatures/url.ts'
import { StoredDirectory } from '../store/directory.ts'
import { takeLock } from '../store/lock.ts'
import { openStore } from '../store/open.ts'
import { RecordSink } from '../store/records.ts'
import { openAdmin } from './admin.ts'
import { commandsOf, serveControl } from './control.ts'
import { openGateway } from './gateway.ts'
import { Link } from './link.ts'
import type { Beginning, PrimaryCalls, WorkerCalls } from './messages.ts'
import { type Check, observeServer } from './observe-door.ts'
import { type ModeOverride, PointMode } from './point-mode.ts'
import { ReviewAnswers } from './review-answers.ts'
import { type Role, ROLES } from './roles.ts'
import { type Environment, type LoadedRules, loadRules, readCatalogue } from './rules.ts'
import { servicesPage } from './services-page.ts'

export interface PrimaryOptions {
  readonly config: Config
  readonly role: Role
  readonly version: string
  readonly env: Environment
  readonly configFile: string | undefined
  readonly cwd: string
}

export interface Primary {
  /** Where it listens, as people write it. */
  readonly addresses: {
    readonly proxy: readonly string[]
    readonly api: readonly string[]
    readonly observe: readonly string[]
  }
  reload(): Promise<void>
  /** Drains and stops. */
  close(): Promise<void>
}

const DRAIN_MS = 30_000
const READY_TIMEOUT_MS = 120_000
const PING_MS = 2000
const STALLED_MS = 15_000
const SCRAPE_WAIT_MS = 1000
const MODE_LOOK_MS = 5000

export async function startPrimary(options: PrimaryOptions): Promise<Primary> {
  const { role, env } = options
  let { config } = options
  const log = openLog({ role }, process.stderr)
  if (config.database_url === '' && role !== 'all') {
    throw new CordonError(
      'CONFIG_INVALID',
      `role ${role} needs a database that processes can share: set database_url (the embedded one works with role all only)`,
    )
  }
  const locks = lockRoles(config.data_dir, role)
  const metrics = new Metrics()
  const closers: (() => Promise<void> | void)[] = [
    () => {
      for (const lock of locks) lock.release()
    },
  ]
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer()
  }
  try {
    const [store, catalogueRead] = await Promise.all([
      openStore({
        databaseUrl: config.database_url,
        dataDir: config.data_dir,
        migrationsDir: join(PROGRAM_DIR, 'migrations'),
        log,
      }),
      Promise.resolve(readCatalogue(config)),
    ])
    closers.push(() => store.close())
    let catalogue = catalogueRead
    let rules: LoadedRules = await loadRules(config, catalogue, env)
    const describe = (): void => {
      metrics.signatures.set(rules.catalogue.size)
      metrics.policyRevision.reset()
      metrics.policyRevision.set({ revision: rules.revision }, 1)
      for (const mode of ['enforce', 'warn', 'audit'] as const) {
        metrics.policies.set(
          { mode },
          rules.policies.policies.filter((policy) => policy.mode === mode).length,
        )
      }
    }
    describe()

    const mode = new PointMode(config.policy.mode, Date.now)
    const answers = new ReviewAnswers()
    const people = new StoredDirectory(store.db, config.tenant)
    const workers = new Map<
      number,
      { link: Link; worker: Worker; seenAt: number; ready: boolean }
    >()
    const tellAll = <K extends keyof WorkerCalls>(
      name: K,
      argument: Parameters<WorkerCalls[K]>[0],
    ): void => {
      for (const { link } of workers.values()) link.notify(name, argument)
    }

    let recorder: Recorder | undefined
    const reviews: Reviews = {
      open: (request) => admin.reviews.open(request),
      answer: (reviewId, timeoutMs, cancelled) => answers.wait(reviewId, timeoutMs, cancelled),
    }
    const gateway = openGateway({
      config,
      log,
      metrics,
      source: people,
      reviews,
      rules: () => rules,
      mode,
      onWritten: () => recorder?.poke(),
    })
    closers.push(() => gateway.close())
    let override: ModeOverride | undefined
    const takeOverride = (next: ModeOverride | undefined): void => {
      override = next
      mode.override(next)
      tellAll('mode', next)
    }
    const admin = openAdmin(config, store, gateway.spool, gateway.ids, {
      onPeopleChanged: async () => {
        gateway.directory.forget()
        tellAll('peopleChanged', undefined as never)
        await gateway.shared
          ?.invalidate()
          .catch((error: unknown) =>
            log.warn({ err: String(error) }, 'redis was not told of changed people'),
          )
      },
      onModeChanged: takeOverride,
      onReviewAnswered: (reviewId, state) => {
        answers.answered(reviewId, state)
        tellAll('reviewAnswered', { reviewId, state })
      },
    })
    takeOverride(await admin.modeOverride())
    // Other gateways of the same store learn of a break-glass mode by looking.
    const modeLook = setInterval(() => {
      admin.modeOverride().then(
        (next) => {
          if (next?.until !== override?.until || next?.mode !== override?.mode) takeOverride(next)
        },
        () => undefined,
      )
    }, MODE_LOOK_MS).unref()
    closers.push(() => clearInterval(modeLook))

    if (role !== 'gateway') {
      recorder = new Recorder(
        {
          sink: new RecordSink({
            db: store.db,
            nextId: () => gateway.ids.next(),
            onViolation: (severity) => metrics.violations.inc({ severity }),
          }),
          metrics,
          log,
          onBacklog: ({ bytes }) => {
            gateway.spool.setBacklog(bytes)
            tellAll('backlog', bytes)
          },
        },
        {
          dir: join(config.data_dir, 'ledger'),
          archiveDir: config.ledger.archive.dir,
          now: Date.now,
        },
      )
      recorder.start()
      const started = recorder
      closers.push(() => started.stop())
    }

    const addresses = { proxy: [] as string[], api: [] as string[], observe: [] as string[] }
    if (role === 'all' || role === 'control') {
      const api = await openApi({
        decider: gateway.corridor,
        ids: gateway.ids,
        keys: new KeyRing(admin.credentials),
        metrics,
        log,
        version: options.version,
        destinationOf,
        records: {
          decisions: (filter) => admin.lists.decisions(filter),
          decision: (id) => admin.lists.decision(id),
          violations: (filter) => admin.lists.violations(filter),
          reviews: (filter) => admin.lists.reviews(filter),
          services: (filter) => Promise.resolve(servicesPage(rules.catalogue.all(), filter)),
        },
        desk: {
          answer: (id, answer, by) =>
            admin.answerReview(
              id,
              answer,
              by.user === undefined
                ? { type: 'integration', name: by.name }
                : {
                    type: 'user',
                    id: by.user.id,
                    ...(by.user.name === undefined ? {} : { name: by.user.name }),
                  },
            ),
        },
      })
      closers.push(() => api.close())
      for (const listen of config.api.listen)
        addresses.api.push(addressText(await api.listen(listenOptions(listen))))
    }

    const checks = async (): Promise<readonly Check[]> => [
      await storeCheck(() => admin.modeOverride()),
      {
        name: 'spool',
        ok: gateway.spool.failure === undefined,
        ...(gateway.spool.failure === undefined ? {} : { detail: gateway.spool.failure }),
      },
      ...(await workerChecks(
        workers,
        role === 'all' || role === 'gateway' ? workerCount(config) : 0,
      )),
    ]
    for (const listen of config.observe.listen) {
      const server = observeServer({
        checks,
        metrics: async () => aggregate([await metrics.values(), ...(await workerMetrics(workers))]),
      })
      addresses.observe.push(await listenTo(server, listen))
      closers.push(() => closeServer(server))
    }
    if (role === 'all' || role === 'control') {
      const control = await serveControl(config.data_dir, commandsOf(admin))
      closers.push(() => closeServer(control))
    }

    let closing = false
    if (role === 'all' || role === 'gateway') {
      cluster.schedulingPolicy = cluster.SCHED_NONE
      cluster.setupPrimary({
        exec: join(import.meta.dirname, '../main.ts'),
        args: ['worker'],
        serialization: 'advanced',
      })
      const beginning = (): Beginning => ({ config, catalogue, override })
      const fork = (): Promise<readonly string[]> =>
        new Promise((resolve, reject) => {
          const worker = cluster.fork()
          const link = new Link(
            {
              send: (message) =>
                worker.isConnected() &&
                worker.send(
                  message as never,
                  (error) =>
                    error && log.debug({ err: error.message }, 'a worker could not be told'),
                ),
              onMessage: (listener) => worker.on('message', listener),
              onGone: (listener) => worker.on('disconnect', listener),
            },
            {
              begin: () => Promise.resolve(beginning()),
              listening: (bound: readonly string[]) => {
                const known = workers.get(worker.id)
                if (known !== undefined) known.ready = true
                resolve(bound)
              },
              findPerson: (principal) => people.find(principal),
              findAsset: (hostname) => people.asset(hostname),
              verifyToken: ({ login, token }) => admin.credentials.verifyToken(login, token),
              openReview: (request) => admin.reviews.open(request),
              written: () => recorder?.poke(),
            } satisfies { [K in keyof PrimaryCalls]: (argument: never) => unknown },
          )
          workers.set(worker.id, { link, worker, seenAt: Date.now(), ready: false })
          worker.once('exit', (code, signal) => {
            workers.delete(worker.id)
            reject(new CordonError('INTERNAL', `a gateway worker ended (${signal ?? code})`))
            if (closing) return
            metrics.workerRestarts.inc()
            log.error(
              { worker: worker.id, code, signal },
              'a gateway worker ended; another one starts',
            )
            setTimeout(() => {
              if (!closing)
                fork().catch((error: unknown) =>
                  log.error({ err: String(error) }, 'a gateway worker did not start'),
                )
            }, 500)
          })
        })
      closers.push(async () => {
        closing = true
        await Promise.allSettled(
          [...workers.values()].map(({ link }) => link.call('drain', DRAIN_MS, DRAIN_MS + 5000)),
        )
        for (const { worker } of workers.values()) worker.process.kill('SIGKILL')
      })
      const [bound] = await withTimeout(
        Promise.all(Array.from({ length: workerCount(config) }, fork)),
        READY_TIMEOUT_MS,
      )
      addresses.proxy.push(...(bound ?? []))
      // A worker whose loop stands still serves nobody: another one takes its place.
      const watch = setInterval(() => {
        for (const entry of workers.values()) {
          entry.link.call('health', undefined, STALLED_MS).then(
            () => {
              entry.seenAt = Date.now()
            },
            () => undefined,
          )
          if (entry.ready && Date.now() - entry.seenAt > STALLED_MS) {
            log.error({ worker: entry.worker.id }, 'a gateway worker stands still and is ended')
            entry.worker.process.kill('SIGKILL')
          }
        }
      }, PING_MS).unref()
      closers.push(() => clearInterval(watch))
    }

    return {
      addresses,
      close,
      reload: async () => {
        try {
          const loaded = loadConfig({ file: options.configFile, env, cwd: options.cwd })
          const nextCatalogue = readCatalogue(loaded.config)
          const next = await loadRules(loaded.config, nextCatalogue, env)
          config = {
            ...loaded.config,
            data_dir: config.data_dir,
            database_url: config.database_url,
            tenant: config.tenant,
          }
          catalogue = nextCatalogue
          await Promise.all(
            [...workers.values()].map(({ link }) =>
              link.call(
                'reload',
                { config, catalogue, override } satisfies Beginning,
                READY_TIMEOUT_MS,
              ),
            ),
          )
          rules = next
          mode.configure(config.policy.mode)
          describe()
          log.info({ revision: rules.revision }, 'reloaded')
        } catch (error) {
          const problems = error instanceof CordonError ? error.problems.map(formatProblem) : []
          log.error(
            { err: error instanceof Error ? error.message : String(error), problems },
            'reload refused; the last good revision stays in force',
          )
        }
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** `all` excludes every other role on the folder, and the other way round. */
function lockRoles(dataDir: string, role: Role): { release(): void }[] {
  const wanted = role === 'all' ? ROLES : [role]
  const taken: { release(): void }[] = []
  try {
    for (const each of wanted)
      taken.push(takeLock(join(dataDir, `${each}.lock`), `the role ${each} of ${dataDir}`))
    return taken
  } catch (error) {
    for (const lock of taken) lock.release()
    throw error
  }
}

function workerCount({ proxy }: Config): number {
  return proxy.workers === 'auto' ? availableParallelism() : proxy.workers
}

type Workers = ReadonlyMap<number, { readonly link: Link; readonly ready: boolean }>

async function workerMetrics(workers: Workers): Promise<object[][]> {
  const all = await Promise.allSettled(
    [...workers.values()].map(({ link }) =>
      link.call<object[]>('metrics', undefined, SCRAPE_WAIT_MS),
    ),
  )
  return all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}

async function workerChecks(workers: Workers, wanted: number): Promise<Check[]> {
  if (wanted === 0) return []
  const ready = [...workers.values()].filter((worker) => worker.ready)
  const health = await Promise.allSettled(
    ready.map(({ link }) =>
      link.call<{ spool: string | undefined }>('health', undefined, SCRAPE_WAIT_MS),
    ),
  )
  const spool = health.flatMap((each) =>
    each.status === 'fulfilled' && each.value.spool !== undefined ? [each.value.spool] : [],
  )
  return [
    { name: 'gateways', ok: ready.length > 0, detail: `${ready.length} of ${wanted} ready` },
    {
      name: 'gateway_spools',
      ok: spool.length === 0,
      ...(spool[0] === undefined ? {} : { detail: spool[0] }),
    },
  ]
}

async function storeCheck(ask: () => Promise<unknown>): Promise<Check> {
  try {
    await withTimeout(ask(), 2000)
    return { name: 'store', ok: true }
  } catch (error) {
    // Traffic goes on without the store; it is told, not refused.
    return {
      name: 'store',
      ok: true,
      detail: `away: ${error instanceof Error ? error.message : 'unknown error'}`,
    }
  }
}

function listenOptions(listen: Listen): { host: string; port: number } | { path: string } {
  return listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port }
}

async function listenTo(server: Server, listen: Listen): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new CordonError('CONFIG_INVALID', `observe.listen: ${error.message}`)),
    )
    server.listen(listenOptions(listen), resolve)
  })
  const bound = server.address()
  return typeof bound === 'object' && bound !== null
    ? addressText(
        `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
      )
    : `unix:${bound ?? ''}`
}

function addressText(address: string): string {
  return address
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
}

function withTimeout<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new CordonError('STORE_UNAVAILABLE', `no answer within ${ms} ms`)),
      ms,
    )
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
