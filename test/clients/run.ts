// `npm run clients [-- --only python,curl] [--json]`: real clients through a real Cordon to stand-in AI services.
// Prints the matrix, writes docs/clients.md (a whole run only), and exits 1 if a cell does not hold.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { closeChromium } from './chromium.ts'
import { type Client, CLIENTS } from './clients.ts'
import { COLUMNS, type Column, wrongPassword } from './columns.ts'
import { Cordons } from './cordons.ts'
import { output } from './install.ts'
import { HOSTS, type Job } from './jobs.ts'
import { checkLedger, type Told } from './ledger.ts'
import { makePki } from './pki.ts'
import { asJson, asPage, asTable, type Cell } from './report.ts'
import { Pace, StandIn } from './stand-in.ts'

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, json: { type: 'boolean', default: false } },
})
const only = values.only.split(',').filter((word) => word !== '')
const groups = new Set<string>(CLIENTS.map(({ group }) => group))
const clients = CLIENTS.filter(
  ({ id, group }) =>
    only.length === 0 ||
    only.some((word) => (groups.has(word) ? word === group : id.includes(word))),
)

const dir = mkdtempSync(join(tmpdir(), 'cordon-clients-'))
const pki = await makePki(dir, HOSTS)
const standIn = await new StandIn(pki).listen()
const logins = clients.flatMap((client) => COLUMNS.map((column) => loginOf(column, client)))
const cordons = await Cordons.start(dir, pki, standIn.port, logins)
const told: Told[] = []
let cells: Cell[] = []
const versions = new Map<Client, string>()
try {
  for (const client of clients) cells.push(...(await rowsOf(client)))
  cells = await checkLedger(cordons.inside.running, cells, told)
} finally {
  await closeChromium()
  await cordons.stop()
  standIn.close()
  rmSync(dir, { recursive: true, force: true })
}

const matrix = { cells, versions }
process.stdout.write(
  values.json ? `${JSON.stringify(asJson(matrix), undefined, 2)}\n` : `${asTable(matrix)}\n`,
)
if (only.length === 0) {
  const page = join(import.meta.dirname, '../../docs/clients.md')
  writeFileSync(page, asPage(matrix))
  await output('npx', ['oxfmt', page])
}
const failed = cells.filter(({ holds }) => holds === false).length
const empty = cells.filter(({ holds }) => holds === undefined).length
process.stderr.write(
  `${cells.length - failed - empty} cells hold, ${failed} do not, ${empty} are empty\n`,
)
process.exit(failed === 0 ? 0 : 1)

async function rowsOf(client: Client): Promise<Cell[]> {
  try {
    versions.set(client, await client.prepare())
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return COLUMNS.flatMap((column) =>
      client.jobs.map((job) => emptyCell(client, column, job, text)),
    )
  }
  const rows: Cell[] = []
  for (const column of COLUMNS) rows.push(...(await cellsOf(client, column)))
  process.stderr.write(`${client.title}: done\n`)
  return rows
}

async function cellsOf(client: Client, column: Column): Promise<Cell[]> {
  const cordon = cordons[column.cordon]
  const login = loginOf(column, client)
  const session = await client.open({
    port: cordon.running.proxyPort,
    login,
    password: column.rightPassword ? cordons.password : wrongPassword(),
    trust: cordon.trust,
  })
  const made: Cell[] = []
  for (const job of client.jobs) {
    if (!column.concerns(job)) {
      made.push(emptyCell(client, column, job, 'nothing is said'))
      continue
    }
    const prompt = column.prompt()
    const pace = new Pace()
    standIn.pace = pace
    standIn.reached.length = 0
    const answer = await session.ask(job, prompt, () => pace.told())
    // A page that had to be opened first, and what a browser asks before it asks, are not what this is about.
    const reached = standIn.reached.filter(
      ({ method }) => method === 'WS' || method === (job.name === 'page' ? 'GET' : 'POST'),
    )
    const seen = { client, job, prompt, answer, reached, held: pace.held }
    const { holds, text, decisionId } = column.judge(seen)
    made.push({ column, client, job, holds, text })
    if (column.decision !== undefined) told.push({ column, client, job, login, decisionId })
  }
  await session.close()
  return made
}

function emptyCell(client: Client, column: Column, job: Job, text: string): Cell {
  return { column, client, job, holds: undefined, text }
}

function loginOf(column: Column, client: Client): string {
  return `${column.login}.${client.id}`
}
