// The store opened by a command of its own, while no Cordon runs.

import { join } from 'node:path'
import { accountOf } from '../app/account.ts'
import { openAdmin } from '../app/admin.ts'
import { type BudgetPage, type BudgetQuery, budgetsPage } from '../app/budget-desk.ts'
import { type Commands, commandsOf } from '../app/control.ts'
import { runDeskAct } from '../app/desk-acts.ts'
import { Erasing } from '../app/erasing.ts'
import { checkLedgerAge } from '../app/ledger-age.ts'
import { personSecret } from '../app/person-secret.ts'
import { runPolicyAct } from '../app/policy-acts.ts'
import { openPolicyDesk } from '../app/policy-desk.ts'
import { readCatalogue } from '../app/rules.ts'
import { CordonError } from '../base/errors.ts'
import { IdSource } from '../base/ids.ts'
import { type Config, PROGRAM_DIR } from '../config/schema.ts'
import { RedisBudgets } from '../context/budget-redis.ts'
import { RedisCache } from '../context/redis-cache.ts'
import { realDisk } from '../ledger/disk.ts'
import { Recorder } from '../ledger/recorder.ts'
import { Spool } from '../ledger/spool.ts'
import { personKey } from '../model/person.ts'
import { type Log, openLog } from '../observe/log.ts'
import { Metrics } from '../observe/metrics.ts'
import { describeFolder } from '../policy/describe.ts'
import { openStore, type Store } from '../store/open.ts'
import { PolicyVersions } from '../store/policy-versions.ts'
import { RecordSink } from '../store/records.ts'
import type { Io } from './io.ts'

/** What is recorded meanwhile is shipped before the store is closed. */
export async function withStore<T>(
  io: Io,
  config: Config,
  use: (commands: Commands) => Promise<T>,
): Promise<T> {
  const log = openLog({ role: 'cli' }, { write: (line) => writeErrors(io, line) })
  const store = await openStore({
    databaseUrl: config.database_url,
    dataDir: config.data_dir,
    migrationsDir: join(PROGRAM_DIR, 'migrations'),
    log,
  })
  await checkLedgerAge(config.data_dir, store.db).catch(async (error: unknown) => {
    await store.close()
    throw error
  })
  const dir = join(config.data_dir, 'ledger')
  const ids = new IdSource()
  const spool = new Spool({
    dir,
    tenant: config.tenant,
    fsync: config.ledger.fsync,
    whenFull: 'refuse',
    limitBytes: config.ledger.spool_limit,
    now: Date.now,
    // A command has nothing else to do while the disk works, and ends before a thread would have begun.
    disk: realDisk,
    log,
  })
  const redis = config.redis_url === '' ? undefined : new RedisCache(config.redis_url, log)
  const metrics = new Metrics({ processMetrics: false })
  const sink = new RecordSink({
    db: store.db,
    nextId: () => ids.next(),
    onViolation: () => undefined,
    riskHistory: () => config.risk.history,
  })
  const recorder = new Recorder(
    {
      sink,
      metrics,
      log,
      onBacklog: () => undefined,
      onMissing: ({ from, to, count }) =>
        spool.note({
          kind: 'gap',
          tenant: config.tenant,
          time: Date.now(),
          from,
          to,
          count,
          reason: 'corrupt',
        }),
    },
    {
      dir,
      archiveDir: config.ledger.archive.dir,
      archiveKeepMs: config.ledger.archive.keep,
      archiveLimitBytes: config.ledger.archive.limit,
      now: Date.now,
    },
  )
  try {
    await recorder.flush()
    const secret = await personSecret(store.db, config.tenant, config.data_dir)
    const erasing = new Erasing({
      store,
      tenant: config.tenant,
      dataDir: config.data_dir,
      archiveDir: config.ledger.archive.dir,
      log,
      ship: () => recorder.flush(),
      // Nothing is recorded after an erasure, which is the last thing that its command does.
      endSegments: () => spool.close(),
      withoutArchiving: (act) => recorder.withoutArchiving(act),
    })
    const admin = openAdmin(() => config, store, spool, ids, secret, erasing, {
      ship: () => recorder.flush(),
      onPeopleChanged: async () => {
        await redis?.invalidate().catch(() => undefined)
      },
      onModeChanged: () => undefined,
      onReviewAnswered: () => undefined,
      onExceptionsChanged: () => Promise.resolve(),
      nameable: async () => {
        const { services } = readCatalogue(config, io.env)
        const stored = await new PolicyVersions(store.db, config.tenant).activeFiles()
        return {
          policies: new Set([...folderPolicies(), ...stored].map(({ id }) => id)),
          services: new Set(services.map(({ id }) => id)),
        }
      },
    })
    const folderPolicies = once(() => config.policy.dirs.flatMap(describeFolder))
    const desk = openPolicyDesk({
      current: () => config,
      env: io.env,
      store,
      spool,
      ids,
      secret,
      folderPolicies,
      bundleFolders: () => [],
      services: () => readCatalogue(config, io.env).services,
      onPublished: () => undefined,
    })
    const acts = {
      desk,
      findKey: (key: string) => admin.credentials.findKey(key),
      account: accountOf(config.data_dir),
    }
    const result = await use(
      commandsOf(
        admin,
        store,
        (act) => runPolicyAct(acts, act),
        (act) => runDeskAct({ admin, account: acts.account }, act),
        (query) => ownBudgets(config, log, { db: store.db, secret }, query),
      ),
    )
    await spool.close()
    await recorder.flush()
    return result
  } finally {
    await spool.close()
    await redis?.close()
    await store.close()
  }
}

/** Whatever Cordon counted in memory is gone with it. */
async function ownBudgets(
  { redis_url: url, tenant, budgets, ledger }: Config,
  log: Log,
  { db, secret }: { readonly db: Store['db']; readonly secret: Uint8Array },
  query: BudgetQuery,
): Promise<BudgetPage> {
  if (url === '')
    throw new CordonError(
      'STORE_UNAVAILABLE',
      'no Cordon runs here, and without redis_url budgets are counted in its memory',
    )
  const counter = new RedisBudgets(url, tenant, log)
  try {
    return await budgetsPage(
      {
        db,
        tenant,
        personKey: (person) => personKey(secret, tenant, person),
        budgets: () => budgets,
        counter,
        pseudonymous: () => ledger.pseudonymous,
      },
      query,
    )
  } finally {
    counter.close()
  }
}

/** A command tells its own failures; of the log only what nobody else tells. */
function writeErrors(io: Io, line: string): void {
  if (line.startsWith('{"level":"error"')) io.err.write(line)
}

/** What is costly to make is made when somebody asks. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}
