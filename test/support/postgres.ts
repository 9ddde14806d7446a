// A real PostgreSQL for one test file: data folder, port and process of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, getuid } from 'node:process'
import { createInterface } from 'node:readline'
import { Client } from 'pg'

export interface TestPostgres {
  /** An empty database of its own. */
  database(): Promise<string>
  readonly port: number
  /** Of its first process. */
  readonly pid: number
  /** Dies as if the machine had lost it; what was committed is on the disk. */
  kill(): Promise<void>
  /** Again, on the same port and with what it held. */
  start(): Promise<void>
  /** Answers nothing, although connections stay open (SIGSTOP of all its processes). */
  pause(): void
  resume(): void
  stop(): Promise<void>
}

const VERSIONS = '/usr/lib/postgresql'

/** Why there is none; false where there is one. */
export function noPostgres(): string | false {
  return binaries() === undefined && 'PostgreSQL is not installed (initdb is not found)'
}

/** Why there is no TimescaleDB; false where there is one. */
export function noTimescale(): string | false {
  const bin = binaries()
  if (bin === undefined) return noPostgres()
  // Where Debian's packages keep what belongs to /usr/lib/postgresql/<version>/bin.
  const share = join(bin, '..').replace('/lib/', '/share/')
  return (
    !existsSync(join(share, 'extension/timescaledb.control')) &&
    'TimescaleDB is not installed beside PostgreSQL'
  )
}

export async function startPostgres(
  options: {
    readonly timescale?: boolean
    /** That TimescaleDB is run under; with `apache` it has neither compression nor continuous aggregates. */
    readonly license?: 'timescale' | 'apache'
    /** `name=value`, in place of what tests need, such as fsync=off. */
    readonly settings?: readonly string[]
  } = {},
): Promise<TestPostgres> {
  const bin = binaries()
  if (bin === undefined) throw new Error('PostgreSQL is not installed')
  const dir = mkdtempSync(join(tmpdir(), 'cordon-postgres-'))
  const owner = ownerOf()
  if (owner !== undefined) chownSync(dir, owner.uid, owner.gid)
  const data = join(dir, 'data')
  const as = owner === undefined ? {} : owner
  execFileSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'],
    { ...as, cwd: dir, stdio: 'ignore' },
  )
  const port = await freePort()
  const run = async (): Promise<ChildProcess> => {
    const started = spawn(
      join(bin, 'postgres'),
      [
        '-D',
        data,
        '-p',
        String(port),
        '-k',
        dir,
        '-c',
        'fsync=off',
        '-c',
        'log_min_messages=log',
      ].concat(
        options.timescale === true
          ? [
              '-c',
              'shared_preload_libraries=timescaledb',
              '-c',
              `timescaledb.license=${options.license ?? 'timescale'}`,
              '-c',
              'timescaledb.telemetry_level=off',
            ]
          : [],
        (options.settings ?? []).flatMap((setting) => ['-c', setting]),
      ),
      { ...as, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    await ready(started)
    return started
  }
  let server = await run()
  // Its own processes and those that serve connections.
  const signal = (name: NodeJS.Signals): void => {
    const pid = server.pid ?? 0
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    for (const each of [pid, ...children.split(' ').filter(Boolean).map(Number)]) {
      try {
        process.kill(each, name)
      } catch {
        // It has ended meanwhile.
      }
    }
  }
  const url = (name: string): string => `postgres://postgres@127.0.0.1:${port}/${name}`
  let next = 1
  return {
    database: async () => {
      const name = `test_${next++}`
      const client = new Client({ connectionString: url('postgres') })
      await client.connect()
      try {
        await client.query(`create database ${name}`)
      } finally {
        await client.end()
      }
      return url(name)
    },
    port,
    get pid() {
      return server.pid ?? 0
    },
    kill: async () => {
      signal('SIGKILL')
      await ended(server)
    },
    start: async () => {
      server = await run()
    },
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    stop: async () => {
      // Immediate: nobody needs what is in it.
      server.kill('SIGQUIT')
      await ended(server)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
}

function binaries(): string | undefined {
  const newest = existsSync(VERSIONS)
    ? readdirSync(VERSIONS).toSorted((a, b) => Number(b) - Number(a))
    : []
  const folders = [
    ...newest.map((version) => join(VERSIONS, version, 'bin')),
    ...(env['PATH'] ?? '').split(':'),
  ]
  return folders.find((folder) => existsSync(join(folder, 'initdb')))
}

/** PostgreSQL refuses to run as root. */
function ownerOf(): { readonly uid: number; readonly gid: number } | undefined {
  if (getuid?.() !== 0) return undefined
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

async function ready(server: ChildProcess): Promise<void> {
  if (server.stderr === null) return
  const lines: string[] = []
  for await (const line of createInterface({ input: server.stderr })) {
    lines.push(line)
    if (line.includes('ready to accept connections')) {
      server.stderr.resume()
      return
    }
  }
  throw new Error(`PostgreSQL does not start: ${lines.join('\n')}`)
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  if (typeof address !== 'object' || address === null) throw new Error('no port is free')
  return address.port
}
