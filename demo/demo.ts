// `npm run demo`: a sample company, stand-in AI services, real clients, in the open and inside TLS. Prints who asked
// what and what came of it; exits 0 only if each is as expected.

import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { atTheDoor } from './at-the-door.ts'
import { StandInAuthority } from './authority.ts'
import { Clients } from './clients.ts'
import { CordonFolder, type RunningCordon } from './cordon.ts'
import { insideTls } from './inside-tls.ts'
import { play, type Played, print, type Recorded, recordsOf } from './rows.ts'
import { StandIns } from './stand-ins.ts'

const here = import.meta.dirname
const HOSTS = ['api.openai.com', 'api.anthropic.com', 'chat.deepseek.com', 'desktop.chatgpt.com']
const UNKNOWN = 'chat.startup.example'

const authority = new StandInAuthority('Stand-ins')
const standIns = await new StandIns(authority).listen()
const folder = new CordonFolder()
try {
  process.exitCode = (await run()) === 0 ? 0 : 1
} finally {
  standIns.close()
  folder.remove()
}

/** How much was not as expected. */
async function run(): Promise<number> {
  const [open, secure] = standIns.ports
  const standInsFile = folder.file('stand-ins.pem', authority.root)
  const at = (hosts: readonly string[], from: number, port: number): [string, string][] =>
    hosts.map((host) => [`${host}:${from}`, `127.0.0.1:${port}`])
  folder.configure({
    proxy: {
      resolve: Object.fromEntries([
        ...at(HOSTS, 80, open),
        ...at([...HOSTS, UNKNOWN], 443, secure),
      ]),
      trust: [standInsFile],
      intercept: {
        enabled: true,
        services: ['openai-api', 'anthropic-api', 'chatgpt', '*.startup.example'],
      },
    },
    policy: { dirs: [join(here, '../policies'), join(here, 'policies')] },
    signatures: { dirs: [join(here, 'signatures')] },
  })
  await folder.cordon('ca', 'init', '--owner', 'Acme')
  const caFile = join(folder.dir, 'acme-root.pem')
  await folder.cordon('ca', 'export', '--out', caFile)
  const cordon = await folder.start()
  try {
    const clients = await hire(cordon)
    const door = await play(atTheDoor(clients))
    const inside = await play(insideTls({ clients, standIns, caFile, standInsFile }))
    const records = await exported(cordon, [...door, ...inside])
    const wrong =
      print('At the door: plain HTTP, tunnels and the decision endpoint', door, records) +
      print('Inside TLS: the clients trust the root of Acme', inside, records) +
      (await shown(cordon, 'coverage', /content +- /)) +
      (await shown(cordon, 'ca show', /limited to +.*openai\.com.*startup\.example/))
    process.stdout.write(
      `\n${wrong === 0 ? 'everything as expected' : `${wrong} not as expected`}\n`,
    )
    if (wrong > 0) process.stdout.write(`its log:\n${cordon.log()}`)
    return wrong
  } finally {
    await cordon.stop()
  }
}

/** The sample company, a token for each of its people and a key. */
async function hire(running: RunningCordon): Promise<Clients> {
  const files = ['departments', 'groups', 'users'].map((kind) => join(here, `company/${kind}.csv`))
  await running.cordon('context', 'import', ...files)
  const tokens = new Map<string, string>()
  for (const name of ['maya', 'ben', 'carla'])
    tokens.set(name, (await running.cordon('token', 'create', '--user', name)).trim())
  const scopes = 'decisions:write,decisions:read,reviews:write'
  const keyOf = ['--name', 'demo', '--user', 'omar', '--scope', scopes]
  const key = await running.cordon('key', 'create', ...keyOf)
  const ca = await running.cordon('ca', 'export')
  return new Clients({ proxy: running.proxy, api: running.api, key: key.trim(), tokens, ca })
}

/** The records, once they are all in the store with how they ended; five seconds are plenty. */
async function exported(running: RunningCordon, played: readonly Played[]): Promise<Recorded[]> {
  const wanted = played.reduce((sum, { step }) => sum + recordsOf(step), 0)
  for (let attempt = 0; ; attempt++) {
    const lines = (await running.cordon('ledger', 'export')).trim().split('\n')
    const records = lines.map((line) => JSON.parse(line) as Recorded)
    const ended = records.every(({ source, visibility }) => source !== 'proxy' || visibility)
    if ((records.length >= wanted && ended) || attempt === 10) return records
    await pause(500)
  }
}

/** Prints what a command says. */
async function shown(running: RunningCordon, command: string, expected: RegExp): Promise<number> {
  const out = await running.cordon(...command.split(' '))
  const right = expected.test(out)
  process.stdout.write(
    `\n$ cordon ${command}\n${out}${right ? '' : `expected ${String(expected)}\n`}`,
  )
  return right ? 0 : 1
}
