// The primary process of `cordon start`: store, recorder, API, metrics and control socket, and the workers.
//
// Order: lock, store, rules, gateway, recorder, API and metrics, control socket, workers; the reverse when it ends. A store
// that is away keeps no gateway from coming up: src/app/store-contact.ts.

import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { join, sep } from 'node:path'
import { KeyRing } from '../api/key.ts'
import { openApi, REQUEST_TIMEOUT_MS } from '../api/server.ts'
import { CordonError } from '../base/errors.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import { MemoryBudgets } from '../context/budget-memory.ts'
import type { ReviewRequest, ReviewState } from '../decision/decide.ts'
import { askToEnd } from '../ledger/erase-folder.ts'
import { Recorder } from '../ledger/recorder.ts'
import { ERASURE_APPLIED } from '../model/erasure.ts'
import { personKey } from '../model/person.ts'
import type { RiskHistorySettings } from '../model/risk.ts'
import { type Log, openLog } from '../observe/log.ts'
import { aggregate, Metrics } from '../observe/metrics.ts'
import { destinationOf } from '../signatures/url.ts'
import { StoredDirectory } from '../store/directory.ts'
import { type Arrivals, telling } from '../store/follow.ts'
import { holdsInForce } from '../store/holds.ts'
import { takeLock } from '../store/lock.ts'
import { PolicyRevisions } from '../store/policy-revisions.ts'
import { RecordSink } from '../store/records.ts'
import { accountOf } from './account.ts'
import { openAdmin } from './admin.ts'
import { type BudgetDeskParts, budgetsPage } from './budget-desk.ts'
import { commandsOf, serveControl } from './control.ts'
import { runDeskAct } from './desk-acts.ts'
import { deskDue } from './desk-due.ts'
import { Due } from './due.ts'
import { Erasing } from './erasing.ts'
import { StoredExceptions } from './exceptions-in-force.ts'
import { ExplanationDesk } from './explanation-desk.ts'
import { type Gateway, openGateway } from './gateway.ts'
import { inTurn } from './in-turn.ts'
import { InterceptionAuthority } from './interception-authority.ts'
import { closeServer, clearSocket, drainServer, listenTo } from './listening.ts'
import type { Beginning } from './messages.ts'
import { checkNamedFiles } from './named-files.ts'
import { type Check, observeServer } from './observe-door.ts'
import { type ModeOverride, PointMode } from './point-mode.ts'
import { runPolicyAct } from './policy-acts.ts'
import { openPolicyDesk } from './policy-desk.ts'
import { PolicySources } from './policy-sources.ts'
import { alarmQuarantine } from './quarantine-alarm.ts'
import { reloader } from './reload.ts'
import { ThreadedReplays } from './replay-job.ts'
import { ReviewAnswers } from './review-answers.ts'
import { type Role, ROLES } from './roles.ts'
import {
  type Environment,
  type LoadedRules,
  loadOptions,
  loadRules,
  readCatalogue,
  retire,
  withPolicies,
} from './rules.ts'
import { ServedBundle } from './served-bundle.ts'
import { servicesPage } from './services-page.ts'
import { contactStore, type StoreContact } from './store-contact.ts'
import { StoreWatch } from './store-watch.ts'
import { UpkeepTimer } from './upkeep-timer.ts'
import { workerCount } from './worker-count.ts'
import { Workers } from './workers.ts'

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
  /** Rejects where it must not go on: the store that it began without is back, and is not the one it belongs to. */
  readonly fault: Promise<never>
  /** Drains and stops. */
  close(): Promise<void>
}

const API_DRAIN_MS = 10_000
/** Writers that are shipped at the same time; each holds a connection to the database. */
const LANES = 4

export async function startPrimary(options: PrimaryOptions): Promise<Primary> {
  const { role, env } = options
  let { config } = options
  const log = openLog({ role }, process.stderr)
  const serves = {
    gateway: role === 'all' || role === 'gateway',
    control: role === 'all' || role === 'control',
    recorder: role !== 'gateway',
  }
  if (config.database_url === '' && role !== 'all') {
    throw new CordonError(
      'CONFIG_INVALID',
      `role ${role} needs a database that processes can share: set database_url (the embedded one works with role all only)`,
    )
  }
  checkNamedFiles(config)
  const metrics = new Metrics()
  const closers: (() => Promise<void> | void)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer()
  }
  try {
    closeToOthers(config.data_dir, log)
    const locks = lockRoles(config.data_dir, role)
    closers.push(() => releaseAll(locks))

    const contact = await contactStore({
      options: {
        databaseUrl: config.database_url,
        dataDir: config.data_dir,
        migrationsDir: join(PROGRAM_DIR, 'migrations'),
        log,
      },
      tenant: config.tenant,
      mayWait: serves.gateway,
      log,
    })
    closers.push(() => contact.close())
    const { store, personSecret: secret } = contact

    let catalogue = readCatalogue(config, env)
    const rulesInTurn = inTurn()
    const revisions = new PolicyRevisions(store.db, config.tenant)
    const served = new ServedBundle(revisions, () => config.policy.bundle_signing)
    const sources = new PolicySources({
      config,
      role,
      version: options.version,
      revisions,
      log,
      metrics,
      inTurn: rulesInTurn,
      load: async (folders) => {
        const fresh = await withPolicies(rules, config, env, folders)
        return () => {
          retire(rules)
          rules = fresh
          describe(metrics, log, rules)
          return workers.takePolicies(folders)
        }
      },
      rejudge: () => workers.tell('rejudge', undefined),
      revision: () => rules.revision,
      onHead: () => served.changed(),
    })
    closers.push(() => sources.close())
    let rules = await sources.begin((folders) => loadRules(config, catalogue, env, folders))
    describe(metrics, log, rules)
    const authority = new InterceptionAuthority({
      log,
      env,
      current: () => ({ config, catalogue: rules.catalogue }),
      onRenewed: (renewed) => workers.tell('intercept', renewed),
    })
    closers.push(() => authority.close())
    if (serves.gateway) authority.take(await authority.load(config, rules.catalogue))

    // Who decides: the gateway of this process serves the API, those of the workers the proxy.
    const mode = new PointMode(config.policy.mode, Date.now)
    const answers = new ReviewAnswers()
    const people = new StoredDirectory(store.db, config.tenant)
    const exceptions = new StoredExceptions({
      db: store.db,
      tenant: config.tenant,
      log,
      tell: (change) => workers.tell('exceptions', change),
      onRevoked: () => workers.tell('rejudge', undefined),
    })
    closers.push(() => exceptions.close())
    let recorder: Recorder | undefined
    let upkeep: UpkeepTimer | undefined
    const counter = new MemoryBudgets(Date.now)
    const gateway = openGateway({
      config,
      log,
      metrics,
      source: people,
      reviews: {
        open: (request) => openReview(request),
        answer: (reviewId, timeoutMs, cancelled) => answers.wait(reviewId, timeoutMs, cancelled),
      },
      exceptions,
      counter,
      rules: () => rules,
      mode,
      personSecret: secret,
      onWritten: () => recorder?.poke(),
    })
    closers.push(() => gateway.close())

    // What administrators change is told to every process that decides.
    let override: ModeOverride | undefined
    const takeOverride = (next: ModeOverride | undefined): void => {
      override = next
      mode.override(next)
      workers.tell('mode', next)
    }
    const reviewAnswered = (reviewId: string, state: 'approved' | 'denied'): void => {
      answers.answered(reviewId, state)
      workers.tell('reviewAnswered', { reviewId, state })
    }
    const erasing = new Erasing({
      store,
      tenant: config.tenant,
      dataDir: config.data_dir,
      archiveDir: config.ledger.archive.dir,
      log,
      ship: () => recorder?.hasten(),
      endSegments: askToEnd,
      announce: async ({ tenant, erasure_id: id, person_keys: keys, before }) => {
        await gateway.spool.append({
          kind: 'audit',
          tenant,
          time: Date.now(),
          event_id: gateway.ids.next(),
          event_type: ERASURE_APPLIED,
          severity: 'info',
          actor: { type: 'system', name: 'recorder' },
          action: 'erase',
          result: 'success',
          data: { erasure_id: id, person_keys: keys, before: new Date(before).toISOString() },
        })
      },
      withoutArchiving: (act) => recorder?.withoutArchiving(act) ?? act(),
    })
    const replayJobs = new ThreadedReplays({
      db: store.db,
      tenant: config.tenant,
      env,
      log,
      now: Date.now,
      nextId: () => gateway.ids.next(),
      migrationsDir: join(PROGRAM_DIR, 'migrations'),
      settings: () => ({
        databaseUrl: config.database_url,
        combining: loadOptions(config, env, []).combining,
        pseudonymous: config.ledger.pseudonymous,
        dirs: [...config.policy.dirs, ...sources.bundleFolders()],
      }),
    })
    closers.push(() => replayJobs.close())
    const admin = openAdmin(() => config, store, gateway.spool, gateway.ids, secret, erasing, {
      replayJobs,
      ship: () => recorder?.poke(),
      onPeopleChanged: async () => {
        gateway.directory.forget()
        workers.tell('peopleChanged', undefined)
        await gateway.shared
          ?.invalidate()
          .catch((error: unknown) =>
            log.warn({ err: String(error) }, 'redis was not told of changed people'),
          )
      },
      onModeChanged: takeOverride,
      onReviewAnswered: reviewAnswered,
      onExceptionsChanged: () => exceptions.look(),
      nameable: () =>
        Promise.resolve({
          policies: new Set(rules.policies.policies.map(({ id }) => id)),
          services: new Set([...rules.catalogue.all()].map(({ id }) => id)),
        }),
    })
    // Held requests of the workers wait for an answer that another process may get.
    const openReview = async (request: ReviewRequest): Promise<ReviewState> => {
      const review = await admin.reviews.open(request)
      if (review.state === 'pending' && config.policy.review === 'hold')
        watch.held(review.review_id, config.policy.hold_timeout)
      return review
    }
    const beginning = (): Beginning => ({
      config,
      catalogue,
      override,
      interception: authority.current,
      personSecret: secret,
      policyFolders: sources.folders(),
    })
    const workers = new Workers({
      log,
      beginning,
      onRestart: () => metrics.workerRestarts.inc(),
      calls: {
        findPerson: (principal) => people.find(principal),
        findAsset: (hostname) => people.asset(hostname),
        verifyToken: ({ login, token }) => admin.credentials.verifyToken(login, token),
        openReview,
        exceptions: () => Promise.resolve(exceptions.all()),
        claimUses: (ids) => exceptions.claimUses(ids),
        takeBudgets: (asked) => counter.take(asked),
        adjustBudgets: (changes) => counter.adjust(changes),
        written: () => recorder?.poke(),
      },
    })
    // Until the store is back, the mode is that of the settings and no exception holds.
    if (contact.isThere) {
      takeOverride(await admin.modeOverride())
      await exceptions.look()
    }
    exceptions.start()
    // Other processes over the same store learn of a mode or an answer by looking.
    const watch = new StoreWatch({
      mode: () => admin.modeOverride(),
      onMode: (next) => {
        if (next?.until !== override?.until || next?.mode !== override?.mode) takeOverride(next)
      },
      answersTo: (ids) => admin.reviews.answersTo(ids),
      onAnswer: reviewAnswered,
      onTooManyHeld: () => metrics.limits.inc({ limit: 'held_reviews' }),
    })
    closers.push(() => watch.close())

    if (serves.recorder) {
      recorder = openRecorder(config, {
        contact,
        gateway,
        metrics,
        log,
        workers,
        arrivals: admin.arrivals,
        erasing,
        riskHistory: () => config.risk.history,
      })
      recorder.start()
      const started = recorder
      closers.push(() => started.stop())
      upkeep = new UpkeepTimer({ upkeep: admin.upkeep, log, metrics })
      const looking = upkeep
      closers.push(() => looking.stop())
      closers.push(() => erasing.stop())
      contact.whenThere(() => {
        looking.start()
        erasing.start()
      })
    }

    const stored = join(config.data_dir, 'policies', sep)
    const policies = openPolicyDesk({
      current: () => config,
      env,
      store,
      spool: gateway.spool,
      ids: gateway.ids,
      secret,
      folderPolicies: () => rules.policies.policies.filter(({ file }) => !file.startsWith(stored)),
      bundleFolders: () => sources.bundleFolders(),
      services: () => rules.catalogue.all(),
      onPublished: () => sources.lookNow(),
    })

    const explanations = new ExplanationDesk({
      db: store.db,
      tenant: config.tenant,
      current: () => config,
      env,
      rules: () => rules,
      folders: (which) => (which === 'all' ? sources.folders() : sources.bundleFolders()),
      revisions,
    })
    closers.push(() => explanations.close())

    const budgetDesk: BudgetDeskParts = {
      db: store.db,
      tenant: config.tenant,
      personKey: (person) => personKey(secret, config.tenant, person),
      budgets: () => config.budgets,
      counter: gateway.redisBudgets ?? (serves.gateway ? counter : undefined),
      pseudonymous: () => config.ledger.pseudonymous,
    }

    await gateway.spool.ready
    const addresses = { proxy: [] as string[], api: [] as string[], observe: [] as string[] }
    if (serves.control) {
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
          auditEvents: (filter) => admin.lists.auditEvents(filter),
          services: (filter) => Promise.resolve(servicesPage(rules.catalogue.all(), filter)),
        },
        reports: admin.coverage,
        questions: admin.questions,
        feed: admin.feed,
        arrivals: admin.arrivals,
        desk: {
          list: (filter) => admin.lists.reviews(filter),
          show: (id) => admin.desk.show(id),
          answer: (id, answer, by) => admin.desk.answer(id, answer, actorOf(by)),
          assign: (id, assignee, by) => admin.desk.assign(id, assignee, actorOf(by)),
        },
        exceptions: {
          list: (filter) => admin.lists.exceptions(filter),
          uses: (filter) => admin.lists.decisions(filter),
          show: (id) => admin.exceptions.show(id),
          request: (request, by) => admin.exceptions.request(request, actorOf(by)),
          approve: (id, comment, by) => admin.exceptions.approve(id, comment, actorOf(by)),
          deny: (id, reason, by) => admin.exceptions.deny(id, reason, actorOf(by)),
          revoke: (id, reason, by) => admin.exceptions.revoke(id, reason, actorOf(by)),
        },
        replays: {
          start: (request, by) => admin.replays.start(request, actorOf(by)),
          list: () => admin.replays.list(),
          get: (id) => admin.replays.get(id),
          cancel: (id) => admin.replays.cancel(id),
          shadow: (policy, query) => admin.replays.shadow(policy, query),
        },
        budgets: { list: (filter) => budgetsPage(budgetDesk, filter) },
        people: {
          reveal: (pseudonym, why, by) => admin.reveal(pseudonym, why, actorOf(by)),
          risk: (person) => admin.personRisk(person),
        },
        policies,
        conflicts: {
          list: (filter) => policies.conflicts.list(filter),
          show: (id) => policies.conflicts.show(id),
          scan: () => policies.conflicts.scan(),
          resolve: (id, notes, by) => policies.conflicts.resolve(id, notes, actorOf(by)),
        },
        explanations,
        bundles: served,
      })
      closers.push(() => api.close())
      await api.ready()
      for (const listen of config.api.listen) {
        const server = createServer((request, response) => api.routing(request, response))
        server.requestTimeout = REQUEST_TIMEOUT_MS
        addresses.api.push(await listenTo(server, 'api.listen', listen))
        closers.push(() => drainServer(server, API_DRAIN_MS))
      }
      // Before the servers wait for what is open.
      closers.push(() => api.endStreams())
      closers.push(() => served.close())
    }

    let draining = false
    const checks = async (): Promise<readonly Check[]> => [
      ...(draining ? [{ name: 'draining', ok: false }] : []),
      contact.check() ?? (await watch.check()),
      ...sources.checks(),
      ...(upkeep === undefined ? [] : [upkeep.check()]),
      spoolCheck(gateway),
      ...(await workers.checks()),
    ]
    for (const listen of config.observe.listen) {
      const server = observeServer({
        checks,
        metrics: async () => aggregate([await metrics.values(), ...(await workers.metrics())]),
      })
      addresses.observe.push(await listenTo(server, 'observe.listen', listen))
      closers.push(() => closeServer(server))
    }
    if (serves.control) {
      const acts = {
        desk: policies,
        findKey: (key: string) => admin.credentials.findKey(key),
        account: accountOf(config.data_dir),
      }
      const control = await serveControl(
        config.data_dir,
        commandsOf(
          admin,
          store,
          (act) => runPolicyAct(acts, act),
          (act) => runDeskAct({ admin, account: acts.account }, act),
          (query) => budgetsPage(budgetDesk, query),
        ),
      )
      closers.push(() => closeServer(control))
      for (const due of [
        new Due('dates of policies', () => policies.activation.carryOutDue(), log),
        new Due('reviews and exceptions', () => deskDue({ admin, metrics, log }), log),
      ]) {
        closers.push(() => due.stop())
        contact.whenThere(() => due.start())
      }
    }

    if (serves.gateway) {
      for (const listen of config.proxy.listen) await clearSocket(listen)
      closers.push(() => workers.close())
      addresses.proxy.push(...(await workers.start(workerCount(config))))
    }
    sources.start()

    return {
      addresses,
      fault: contact.fault,
      close: () => {
        draining = true
        return close()
      },
      reload: reloader({
        log,
        env,
        read: { file: options.configFile, env, cwd: options.cwd },
        current: () => config,
        folders: () => sources.folders(),
        inTurn: rulesInTurn,
        reopenLogs: () => workers.tell('reopenLogs', undefined),
        loadInterception: (next, from) => authority.load(next, from),
        take: async (next) => {
          retire(rules)
          ;({ config, catalogue, rules } = next)
          gateway.reload(config)
          mode.configure(config.policy.mode)
          describe(metrics, log, rules)
          authority.take(next.interception)
          await workers.reload(beginning())
          sources.tryAgain()
        },
      }),
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Keys and records lie here: nobody else may look in, whoever made the folder. */
function closeToOthers(dataDir: string, log: Log): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    chmodSync(dataDir, 0o700)
  } catch (error) {
    log.warn({ err: String(error) }, 'data_dir cannot be closed to other users of this machine')
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
    releaseAll(taken)
    throw error
  }
}

function releaseAll(locks: readonly { release(): void }[]): void {
  for (const lock of locks) lock.release()
}

function openRecorder(
  { data_dir: dataDir, ledger, tenant }: Config,
  parts: {
    readonly contact: StoreContact
    readonly gateway: Gateway
    readonly metrics: Metrics
    readonly log: Log
    readonly workers: Workers
    readonly arrivals: Arrivals
    readonly erasing: Erasing
    /** What a violation counts, by the settings in force. */
    readonly riskHistory: () => RiskHistorySettings
  },
): Recorder {
  const { contact, gateway, metrics, log, workers, arrivals, erasing, riskHistory } = parts
  const { store } = contact
  return new Recorder(
    {
      sink: telling(
        contact.guarded(
          new RecordSink({
            db: store.db,
            nextId: () => gateway.ids.next(),
            onViolation: (severity) => metrics.violations.inc({ severity }),
            onErased: () => erasing.lookAgain(),
            riskHistory,
            onRisk: (moved) => {
              gateway.directory.moveRisks(moved)
              workers.tell('riskMoved', moved)
              // Gateways elsewhere; whoever does not hear it reads it within minutes.
              gateway.shared?.tellRisk(moved).catch(() => undefined)
            },
          }),
        ),
        arrivals,
      ),
      metrics,
      log,
      onBacklog: ({ bytes }) => {
        gateway.spool.setBacklog(bytes)
        workers.tell('backlog', bytes)
      },
      onMissing: ({ from, to, count }) =>
        gateway.spool.note({
          kind: 'gap',
          tenant,
          time: Date.now(),
          from,
          to,
          count,
          reason: 'corrupt',
        }),
      held: async () =>
        (await holdsInForce(store.db)).map(({ time_from: from, time_to: to }) => ({
          from: from?.getTime(),
          to: to?.getTime(),
        })),
    },
    {
      dir: join(dataDir, 'ledger'),
      // The embedded database does one thing at a time.
      lanes: store.kind === 'embedded' ? 1 : LANES,
      archiveDir: ledger.archive.dir,
      archiveKeepMs: ledger.archive.keep,
      archiveLimitBytes: ledger.archive.limit,
      now: Date.now,
    },
  )
}

function describe(
  metrics: Metrics,
  log: Log,
  { catalogue, policies, revision }: LoadedRules,
): void {
  alarmQuarantine(policies, log, metrics)
  metrics.signatures.set(catalogue.size)
  metrics.policyRevision.reset()
  metrics.policyRevision.set({ revision }, 1)
  for (const mode of ['enforce', 'warn', 'audit'] as const) {
    const count = policies.policies.filter((policy) => policy.mode === mode).length
    metrics.policies.set({ mode }, count)
  }
}

function spoolCheck({ spool }: Gateway): Check {
  const { failure } = spool
  return failure === undefined
    ? { name: 'spool', ok: true }
    : { name: 'spool', ok: false, detail: failure }
}

function actorOf({
  name,
  user,
}: {
  readonly name: string
  readonly user?: { readonly id: string; readonly name?: string }
}): { readonly type: 'user' | 'integration'; readonly id?: string; readonly name?: string } {
  return user === undefined ? { type: 'integration', name } : { type: 'user', ...pick(user) }
}

function pick({ id, name }: { readonly id: string; readonly name?: string }): {
  readonly id: string
  readonly name?: string
} {
  return name === undefined ? { id } : { id, name }
}
