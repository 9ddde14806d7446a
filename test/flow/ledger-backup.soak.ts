// The guide about backups, its blocks run as they stand there: against a real PostgreSQL that keeps its write-ahead
// log, a real ledger that goes on meanwhile, and databases that are thrown away.

import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { env, execPath, getuid } from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { company } from '../support/company.ts'
import { eventually, linesOf, MAIN, Place, type Running } from '../support/cordon.ts'
import { caughtUp, missingFrom } from '../support/ledger-census.ts'
import { freePort, noPostgres, noTimescale } from '../support/postgres.ts'
import { ask, StandIn } from '../support/through-proxy.ts'

const GUIDE = readFileSync(
  join(import.meta.dirname, '../../docs/guides/backup-and-restore.md'),
  'utf8',
)
const BIN = '/usr/lib/postgresql/15/bin'
const TOOLS = ['pg_dump', 'pg_restore', 'pg_basebackup', 'pg_ctl', 'psql', 'createdb', 'dropdb']
const skip = existsSync(BIN) ? noPostgres() : 'PostgreSQL 15 is not installed'

t.setTimeout(1_200_000)

/** A place, its database and the shell in which the blocks run. */
class Site {
  readonly place = new Place()
  readonly backup = join(this.place.dir, 'backup')
  readonly wal = join(this.place.dir, 'wal')
  readonly pgData = join(this.place.dir, 'pg')
  readonly owed = new Set<string>()
  readonly #standIn: StandIn
  readonly #port: number
  #running: Running | undefined

  constructor(standIn: StandIn, port: number) {
    this.#standIn = standIn
    this.#port = port
    chmodSync(this.place.dir, 0o777)
    for (const dir of [this.backup, this.wal]) {
      mkdirSync(dir)
      chmodSync(dir, 0o777)
    }
    const bin = join(this.place.dir, 'bin')
    mkdirSync(bin)
    const script = (name: string, command: string): void => {
      writeFileSync(join(bin, name), `#!/bin/sh\nexec ${command} "$@"\n`)
      chmodSync(join(bin, name), 0o755)
    }
    script('cordon', `${execPath} ${MAIN}`)
    // PostgreSQL refuses to run as root.
    const as = getuid?.() === 0 ? 'setpriv --reuid postgres --regid postgres --clear-groups ' : ''
    for (const tool of TOOLS) script(tool, `${as}${BIN}/${tool}`)
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.#port}/cordon`
  }

  configure(database: string): void {
    this.place.configure({
      ...company(this.place, this.#standIn.port),
      data_dir: '.cordon',
      database_url: database,
    })
  }

  /** What a block prints; rejects where its last command fails. */
  shell(block: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
    const settings = {
      PATH: `${join(this.place.dir, 'bin')}:${env['PATH'] ?? ''}`,
      BACKUP: this.backup,
      WAL: this.wal,
      PGDATA: this.pgData,
      CORDON_DATABASE_URL: this.url,
      MAINTENANCE_URL: this.url.replace(/cordon$/, 'postgres'),
      ...more,
    }
    const options = { cwd: this.place.dir, env: settings, timeout: 200_000 }
    return new Promise((resolve, reject) => {
      execFile('bash', ['--norc', '-c', block], options, (error, out, err) => {
        if (error === null) resolve(out)
        else reject(new Error(`${block}\nended with ${String(error.code)}:\n${out}${err}`))
      })
    })
  }

  async startDatabase(options: { readonly timescale: boolean }): Promise<void> {
    mkdirSync(this.pgData, { mode: 0o700 })
    if (getuid?.() === 0) {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
      chownSync(this.pgData, id('-u'), id('-g'))
    }
    await this.shell(
      `pg_ctl initdb --silent --pgdata "$PGDATA" --options '-U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync'`,
    )
    const settings = [
      'archive_mode = on',
      `archive_command = 'test ! -f ${this.wal}/%f && cp %p ${this.wal}/%f'`,
      `port = ${this.#port}`,
      `unix_socket_directories = '${this.wal}'`,
      ...(options.timescale ? [`shared_preload_libraries = 'timescaledb'`] : []),
    ]
    writeFileSync(join(this.pgData, 'postgresql.conf'), `${settings.join('\n')}\n`, { flag: 'a' })
    await this.shell(`pg_ctl start --wait --pgdata "$PGDATA" --log "$WAL/log" > /dev/null`)
    await this.shell(`createdb --maintenance-db "$MAINTENANCE_URL" cordon`)
  }

  async start(): Promise<void> {
    this.#running = await this.place.start()
  }

  async stop(): Promise<void> {
    const code = await this.#running?.stop()
    if (code !== 0) throw new Error(`it ended with ${String(code)}`)
  }

  /** Decisions that clients are told of. */
  async decide(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const { headers } = await ask(this.#running?.proxyPort ?? 0, 'http://openai.bad.test/')
      this.owed.add(String(headers['x-cordon-decision-id']))
    }
  }

  /** Everything is in the store, once. */
  async isWhole(t: Test, when: string): Promise<void> {
    const owed = { owed: this.owed, passed: new Set<string>() }
    const found = await caughtUp(this.url, owed)
    t.same(missingFrom(found, owed), [], `${when}: nothing is missing`)
    t.same(found.doubled.concat(found.holes), [], `${when}: nothing is there twice`)
    t.equal(found.told, 0, `${when}: nobody speaks of a loss`)
  }

  async remove(): Promise<void> {
    await this.#running?.stop('SIGKILL')
    if (existsSync(this.pgData))
      await this.shell(`pg_ctl stop --mode immediate --pgdata "$PGDATA"`).catch(() => undefined)
    this.place.remove()
  }
}

t.test(
  'PostgreSQL: a dump, a point in time, a ledger folder that is older',
  { skip, timeout: 1_000_000 },
  async (t) => {
    const standIn = await new StandIn().listen()
    const site = new Site(standIn, await freePort())
    t.teardown(async () => {
      await site.remove()
      standIn.close()
    })
    const [copy = ''] = blocks('## The ledger folder while Cordon writes to it')
    const [dump = '', restore = '', verify = ''] = blocks('## PostgreSQL')
    const [base = '', pointInTime = ''] = blocks('### To a point in time')
    const [moveAway = ''] = blocks('## The ledger folder is older than the store')

    await site.startDatabase({ timescale: false })
    site.configure(site.url)
    await site.start()
    await site.decide(10)
    await site.shell(dump)
    await Promise.all([site.decide(50), site.shell(copy)])
    await site.shell(base)
    await site.decide(10)
    await site.isWhole(t, 'before')
    await site.stop()

    await site.shell('dropdb --maintenance-db "$MAINTENANCE_URL" cordon')
    await site.shell(restore)
    await site.start()
    await site.isWhole(t, 'after a dump from the middle')
    await site.decide(5)
    await site.isWhole(t, 'and it goes on')
    await site.shell(verify)

    const moment = new Date().toISOString().replace('T', ' ').replace('Z', '+00')
    await wait(1100)
    await site.decide(10)
    await site.isWhole(t, 'before the disaster')
    await site.stop()
    // Two, because what a restore is to end before must be there to be seen.
    await site.shell(
      `psql --quiet --dbname "$MAINTENANCE_URL" --output /dev/null --command 'select pg_switch_wal()'`,
    )
    await site.shell('pg_ctl stop --wait --pgdata "$PGDATA"')
    // Whoever restores is the user that PostgreSQL runs as; here that is another one.
    await site.shell(
      `umask 0\n${pointInTime.replace(/^pg_ctl start.*$/m, '$& --log "$WAL/restored" > /dev/null')}`,
      { MOMENT: moment },
    )
    await site.start()
    await site.isWhole(t, 'after a restore to a point in time')
    await site.shell(verify)
    await site.stop()

    await site.shell('mv .cordon/ledger .cordon/ledger.true; cp -a "$BACKUP/ledger" .cordon/ledger')
    const refused = await site.place.cordon(['start'], { cwd: site.place.dir })
    t.equal(refused.code, 3, 'a folder that is older than the store is refused')
    t.match(refused.err, /ledger is an older copy: .*Move the folder away and start again/)
    await site.shell(moveAway)
    await site.start()
    await site.decide(5)
    await site.isWhole(t, 'a new ledger over the same store')
    await site.stop()
    await site.shell(verify)
    await site.shell('cordon ledger verify')
  },
)

t.test('TimescaleDB: a dump', { skip: noTimescale(), timeout: 600_000 }, async (t) => {
  const standIn = await new StandIn().listen()
  const site = new Site(standIn, await freePort())
  t.teardown(async () => {
    await site.remove()
    standIn.close()
  })
  const [dump = '', , verify = ''] = blocks('## PostgreSQL')
  const [restore = ''] = blocks('## TimescaleDB')
  await site.startDatabase({ timescale: true })
  site.configure(site.url)
  await site.start()
  await site.decide(10)
  await site.isWhole(t, 'before')
  await site.shell(dump)
  await site.decide(10)
  await site.isWhole(t, 'before the disaster')
  await site.stop()
  await site.shell('dropdb --maintenance-db "$MAINTENANCE_URL" cordon')
  await site.shell(restore)
  await site.start()
  await site.isWhole(t, 'after a dump from the middle')
  await site.shell(verify)
})

t.test(
  'the embedded store: a copy as a whole, and its database alone',
  { timeout: 600_000 },
  async (t) => {
    const standIn = await new StandIn().listen()
    const site = new Site(standIn, 0)
    t.teardown(async () => {
      await site.remove()
      standIn.close()
    })
    const [copy = '', whole = '', databaseAlone = ''] = blocks('## Embedded store')
    const embedded = { CORDON_DATABASE_URL: '' }
    const exported = async (): Promise<string[]> =>
      linesOf(await site.shell('cordon ledger export', embedded))
        .map((line) => String(line['decision_id']))
        .toSorted()
    site.configure('')
    await site.start()
    await site.decide(10)
    await site.shell(copy, embedded)
    const inCopy = [...site.owed].toSorted()
    await site.start()
    await site.decide(10)
    await site.stop()

    await site.shell(databaseAlone, embedded)
    await site.start()
    const all = [...site.owed].toSorted()
    await eventually(exported, (ids) => ids.length >= all.length)
    t.same(await exported(), all, 'what the older database lacks is shipped again')
    await site.stop()

    await site.shell(whole, embedded)
    await site.start()
    t.same(await exported(), inCopy, 'the copy is as it was')
    await site.stop()
  },
)

/** The blocks under a heading. */
function blocks(heading: string): string[] {
  const at = GUIDE.indexOf(`\n${heading}\n`)
  if (at === -1) throw new Error(`the guide has no heading ${heading}`)
  const [text = ''] = GUIDE.slice(at + heading.length + 2).split(/^##+ /m)
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
}
