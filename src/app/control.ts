// control.sock: what the command line asks of a Cordon that runs. HTTP with JSON over a socket of mode 0600.

import { once } from 'node:events'
import { chmodSync, existsSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Client } from 'undici'
import { CordonError, ERROR_CODES, type ErrorCode, type Problem } from '../base/errors.ts'
import type { Admin, ExportTable } from '../governance/admin.ts'
import type { Actor } from '../governance/audit.ts'
import type { Kind } from '../governance/columns.ts'
import type { ErasurePreview } from '../governance/erasure.ts'
import type { HoldRequest } from '../governance/holds.ts'
import type { PersonRisk } from '../governance/person-risk.ts'
import type { ReplayPolicies } from '../governance/replays.ts'
import type { Revealed } from '../governance/reveal.ts'
import type { ShadowLine, ShadowReport } from '../governance/shadow.ts'
import type { Mode } from '../model/decision.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import type { CoverageQuery, CoverageReport } from '../store/coverage.ts'
import type { ErasureState } from '../store/erasures.ts'
import type { Hold } from '../store/holds.ts'
import type { DirectoryNames } from '../store/names.ts'
import type { Store } from '../store/open.ts'
import type { Who } from '../store/people-found.ts'
import type { Answer, TrendQuestion } from '../store/questions.ts'
import type { Period } from '../store/recorded.ts'
import { lacks } from '../store/series.ts'
import type { RetentionReport, UpkeepRun } from '../store/upkeep.ts'
import type { NoteFile } from '../verify/anchors.ts'
import { type ProvedExport, provedLines } from '../verify/export-lines.ts'
import type { Report } from '../verify/report.ts'
import type { BudgetPage, BudgetQuery } from './budget-desk.ts'
import type { DeskAct } from './desk-acts.ts'
import type { ModeOverride } from './point-mode.ts'
import type { PolicyAct } from './policy-acts.ts'
import { socketPath } from './socket-path.ts'
import { tailLines, type TailQuery } from './tail.ts'

const MAX_REQUEST = 512 * 1024 * 1024
const ACTOR: Actor = { type: 'system', name: 'command line' }

export interface Standing {
  readonly names: DirectoryNames
  readonly override: ModeOverride | null
  /** What the database does not do by itself, in words. */
  readonly lacks: readonly string[]
}

/** As it comes out of JSON: the same whether Cordon runs or not. */
export type AsJson<T> = T extends Date
  ? string
  : T extends object
    ? { readonly [K in keyof T]: AsJson<T[K]> }
    : T

/** The acts of `Admin` that the command line knows, by name. */
export interface Commands {
  importContext(argument: { file: string; content: string; kind: Kind }): Promise<unknown>
  addUser(argument: {
    name: string
    email?: string
    department?: string
    groups?: readonly string[]
  }): Promise<unknown>
  removeUser(argument: { user: string }): Promise<unknown>
  /** What somebody's violations come to. */
  personRisk(argument: { person: string }): Promise<PersonRisk>
  /** What is left of budgets. */
  budgets(argument: BudgetQuery): Promise<BudgetPage>
  createToken(argument: { user: string }): Promise<unknown>
  createKey(argument: { name: string; scopes: readonly string[]; user?: string }): Promise<unknown>
  setMode(argument: { mode: Mode; forMs: number }): Promise<unknown>
  /** An act upon stored policies; what it answers stands in `PolicyAnswers`. */
  policyAct(argument: PolicyAct): Promise<unknown>
  /** An act upon reviews and exceptions. */
  deskAct(argument: DeskAct): Promise<unknown>
  /** What is in force beside files: the directory's names and the break-glass mode. */
  standing(argument: { users: readonly string[] }): Promise<Standing>
  coverage(argument: CoverageQuery): Promise<CoverageReport>
  report(argument: {
    kind: 'trend' | 'top' | 'first-seen'
    question: TrendQuestion
  }): Promise<Answer>
  /** What an erasure would take. */
  previewErasure(argument: Who): Promise<ErasurePreview>
  erase(argument: { who: Who; reason: string }): Promise<ErasureState>
  erasures(argument: Record<string, never>): Promise<ErasureState[]>
  reveal(argument: { pseudonym: string; reason: string }): Promise<Revealed>
  placeHold(argument: HoldRequest): Promise<AsJson<Hold>>
  releaseHold(argument: { name: string; reason: string }): Promise<AsJson<Hold>>
  holds(argument: Record<string, never>): Promise<readonly AsJson<Hold>[]>
  retention(argument: Record<string, never>): Promise<AsJson<RetentionReport>>
  /** What is in the database against what was signed; keys as vkey or PEM. */
  verifyStore(argument: {
    checkpoints: readonly NoteFile[]
    keys: readonly string[]
  }): Promise<Report>
  /** The ledger signs with another key from now on. */
  ledgerKeyRotated(argument: { number: number; vkey: string }): Promise<unknown>
  /** Null where another process is at it. */
  runUpkeep(argument: Record<string, never>): Promise<AsJson<UpkeepRun> | null>
  export(argument: {
    table: ExportTable
    format: 'ndjson' | 'csv'
    from?: string
    to?: string
  }): AsyncIterable<string>
  /** Lines of an export that proves itself, but for the last one, which is signed. */
  exportProved(argument: ProvedExport): AsyncIterable<string>
  /** Stored files as they would be: see `Replays.files`. */
  draftFiles(argument: ReplayPolicies): Promise<readonly StoredFile[]>
  shadow(argument: {
    policy: string
    from?: string
    to?: string
    top?: number
  }): Promise<ShadowReport>
  shadows(argument: { from?: string; to?: string }): Promise<readonly ShadowLine[]>
  /** Whole records of decisions, newest first, one a line with its personal part. */
  recorded(argument: Period, signal: AbortSignal): AsyncIterable<string>
  /** Lines of `Line` (src/app/tail.ts), each as JSON, until the signal aborts. */
  tail(argument: TailQuery, signal: AbortSignal): AsyncIterable<string>
}

const COMMANDS: ReadonlySet<string> = new Set([
  'importContext',
  'addUser',
  'removeUser',
  'personRisk',
  'budgets',
  'createToken',
  'createKey',
  'setMode',
  'policyAct',
  'deskAct',
  'standing',
  'coverage',
  'report',
  'previewErasure',
  'erase',
  'erasures',
  'reveal',
  'placeHold',
  'releaseHold',
  'holds',
  'retention',
  'verifyStore',
  'ledgerKeyRotated',
  'runUpkeep',
  'draftFiles',
  'shadow',
  'shadows',
])

export function commandsOf(
  admin: Admin,
  store: Pick<Store, 'db' | 'kind'>,
  policyAct: Commands['policyAct'],
  deskAct: Commands['deskAct'],
  budgets: Commands['budgets'],
): Commands {
  return {
    importContext: (argument) => admin.importContext(argument, ACTOR),
    addUser: (argument) => admin.addUser(argument, ACTOR),
    removeUser: ({ user }) => admin.removeUser(user, ACTOR),
    personRisk: ({ person }) => admin.personRisk(person),
    budgets,
    createToken: ({ user }) => admin.createToken(user, ACTOR),
    createKey: (argument) => admin.createKey(argument, ACTOR),
    setMode: (argument) => admin.setMode(argument, ACTOR),
    policyAct: async (argument) => asJson(await policyAct(argument)),
    deskAct: async (argument) => asJson(await deskAct(argument)),
    standing: async ({ users }) => ({
      names: await admin.directoryNames(users),
      override: (await admin.modeOverride()) ?? null,
      lacks: lacks(await admin.upkeep.means()),
    }),
    coverage: (argument) => admin.coverage.report(argument),
    report: ({ kind, question }) => {
      const { questions } = admin
      if (kind === 'trend') return questions.trend(question)
      return kind === 'top' ? questions.top(question) : questions.firstSeen(question)
    },
    previewErasure: (argument) => admin.erasure.preview(argument),
    erase: ({ who, reason }) => admin.erasure.erase(who, reason, ACTOR),
    erasures: () => admin.erasure.status(),
    reveal: ({ pseudonym, reason }) => admin.reveal(pseudonym, reason, ACTOR),
    placeHold: async (argument) => asJson(await admin.holds.place(argument, ACTOR)),
    releaseHold: async ({ name, reason }) => asJson(await admin.holds.release(name, reason, ACTOR)),
    holds: async () => asJson(await admin.holds.list()),
    retention: async () => asJson(await admin.upkeep.report()),
    verifyStore: async ({ checkpoints, keys }) => {
      // Not loaded by commands that ask a Cordon which runs.
      const { verifyStore } = await import('../verify/store.ts')
      const { readKey } = await import('../verify/trust.ts')
      return verifyStore(store, {
        checkpoints,
        keys: keys.map(readKey).filter((key) => key !== undefined),
        onProgress: () => undefined,
      })
    },
    ledgerKeyRotated: (argument) => admin.ledgerKeyRotated(argument, ACTOR),
    runUpkeep: async () => asJson((await admin.upkeep.run()) ?? null),
    draftFiles: async (argument) => (await admin.replays.files(argument)).files,
    shadow: ({ policy, ...query }) => admin.replays.shadow(policy, query),
    shadows: (argument) => admin.replays.shadows(argument),
    recorded: (argument, signal) => admin.replays.lines(argument, signal),
    export: ({ table, format, from, to }) => admin.export(table, format, dateOf(from), dateOf(to)),
    exportProved: (argument) => provedLines(store.db, argument),
    tail: (argument, signal) => tailLines(admin.feed, admin.arrivals, argument, signal),
  }
}

function asJson<T>(value: T): AsJson<T> {
  return JSON.parse(JSON.stringify(value)) as AsJson<T>
}

export function controlSocket(dataDir: string): string {
  return join(dataDir, 'control.sock')
}

/** Listens; whoever can open the socket is an administrator of this machine. */
export async function serveControl(dataDir: string, commands: Commands): Promise<Server> {
  const path = controlSocket(dataDir)
  rmSync(path, { force: true })
  const server = createServer((request, response) => {
    void answer(request, response, commands)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath(path), resolve)
  })
  chmodSync(path, 0o600)
  return server
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  commands: Commands,
): Promise<void> {
  try {
    const name = (request.url ?? '').slice(1)
    const argument = JSON.parse(await bodyOf(request)) as never
    if (isStreamed(name)) {
      const gone = new AbortController()
      response.once('close', () => gone.abort())
      await stream(response, commands[name](argument, gone.signal))
      return
    }
    if (!isCommand(name)) throw new CordonError('NOT_FOUND', `no such command: ${name}`)
    const value = await commands[name](argument)
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify(value ?? null))
  } catch (error) {
    const code = error instanceof CordonError ? error.code : 'INTERNAL'
    const message = error instanceof Error ? error.message : 'failed'
    if (response.headersSent) response.destroy()
    else
      response.writeHead(ERROR_CODES[code].status, { 'content-type': 'application/json' }).end(
        JSON.stringify({
          code,
          message,
          problems: error instanceof CordonError ? error.problems : [],
        }),
      )
  }
}

/** The head goes out with the first line, so that a query that fails is an error and no empty export. */
async function stream(response: ServerResponse, lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) {
    if (!response.headersSent)
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
    // Of a reader that has gone no drain comes.
    if (!response.write(line))
      await Promise.race([once(response, 'drain'), once(response, 'close')])
    if (response.destroyed) return
  }
  response.end()
}

function isCommand(name: string): name is Exclude<keyof Commands, Streamed> {
  return COMMANDS.has(name)
}

/** Those that answer with lines. */
const STREAMED = ['export', 'exportProved', 'recorded', 'tail'] as const
type Streamed = (typeof STREAMED)[number]

function isStreamed(name: string): name is Streamed {
  return (STREAMED as readonly string[]).includes(name)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request) {
    size += (part as Buffer).length
    if (size > MAX_REQUEST) throw new CordonError('INPUT_INVALID', 'the request is too large')
    parts.push(part as Buffer)
  }
  return Buffer.concat(parts).toString('utf8')
}

function dateOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text)
}

/** The commands of a Cordon that runs, or undefined where nothing listens. */
export async function connectControl(
  dataDir: string,
): Promise<(Commands & { close(): Promise<void> }) | undefined> {
  const socket = controlSocket(dataDir)
  if (!existsSync(socket)) return undefined
  const client = new Client('http://control', {
    socketPath: socketPath(socket),
    bodyTimeout: 0,
    headersTimeout: 0,
  })
  const call = async (name: string, argument: unknown): Promise<unknown> => {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: `/${name}`,
      body: JSON.stringify(argument),
    })
    const value: unknown = await body.json()
    if (statusCode !== 200) throw errorOf(value)
    return value
  }
  const texts = async function* (
    name: string,
    argument: unknown,
    signal?: AbortSignal,
  ): AsyncGenerator<string> {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: `/${name}`,
      body: JSON.stringify(argument),
      signal: signal ?? null,
    })
    if (statusCode !== 200) throw errorOf(await body.json())
    // A chunk may end inside a character.
    const decoder = new TextDecoder()
    for await (const part of body) yield decoder.decode(part as Buffer, { stream: true })
  }
  try {
    await client
      .request({ method: 'POST', path: '/ping', body: '{}' })
      .then(({ body }) => body.dump())
  } catch {
    await client.destroy()
    return undefined
  }
  return {
    importContext: (argument) => call('importContext', argument),
    addUser: (argument) => call('addUser', argument),
    removeUser: (argument) => call('removeUser', argument),
    personRisk: async (argument) => (await call('personRisk', argument)) as PersonRisk,
    budgets: async (argument) => (await call('budgets', argument)) as BudgetPage,
    createToken: (argument) => call('createToken', argument),
    createKey: (argument) => call('createKey', argument),
    setMode: (argument) => call('setMode', argument),
    policyAct: (argument) => call('policyAct', argument),
    deskAct: (argument) => call('deskAct', argument),
    standing: async (argument) => (await call('standing', argument)) as Standing,
    coverage: async (argument) => (await call('coverage', argument)) as CoverageReport,
    report: async (argument) => (await call('report', argument)) as Answer,
    previewErasure: async (argument) => (await call('previewErasure', argument)) as ErasurePreview,
    erase: async (argument) => (await call('erase', argument)) as ErasureState,
    erasures: async (argument) => (await call('erasures', argument)) as ErasureState[],
    reveal: async (argument) => (await call('reveal', argument)) as Revealed,
    placeHold: async (argument) => (await call('placeHold', argument)) as AsJson<Hold>,
    releaseHold: async (argument) => (await call('releaseHold', argument)) as AsJson<Hold>,
    holds: async (argument) => (await call('holds', argument)) as AsJson<Hold>[],
    retention: async (argument) => (await call('retention', argument)) as AsJson<RetentionReport>,
    verifyStore: async (argument) => (await call('verifyStore', argument)) as Report,
    ledgerKeyRotated: (argument) => call('ledgerKeyRotated', argument),
    runUpkeep: async (argument) => (await call('runUpkeep', argument)) as AsJson<UpkeepRun> | null,
    draftFiles: async (argument) => (await call('draftFiles', argument)) as StoredFile[],
    shadow: async (argument) => (await call('shadow', argument)) as ShadowReport,
    shadows: async (argument) => (await call('shadows', argument)) as ShadowLine[],
    recorded: (argument, signal) => texts('recorded', argument, signal),
    export: (argument) => texts('export', argument),
    exportProved: (argument) => texts('exportProved', argument),
    tail: (argument, signal) => texts('tail', argument, signal),
    close: () => client.close(),
  }
}

function errorOf(value: unknown): CordonError {
  const { code, message, problems } = value as {
    code: ErrorCode
    message: string
    problems: Problem[]
  }
  return new CordonError(code, message, { problems })
}
