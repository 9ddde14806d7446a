// `cordon policy replay`: what a draft would decide otherwise, over recorded decisions of the store or of an export.
//
// The policies run here and not in a Cordon that runs beside: of that only the records are asked for.

import { createReadStream, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Commands } from '../app/control.ts'
import { writeDraft } from '../app/draft-folder.ts'
import { compileOptions } from '../app/rules.ts'
import { CordonError } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import { periodOf } from '../governance/replays.ts'
import { EFFECTS } from '../model/decision.ts'
import type { Combining, CombineOptions } from '../policy/combine.ts'
import { loadPolicySet } from '../policy/load.ts'
import { readExportLine, type Recorded } from '../policy/recorded-input.ts'
import type { Counts, Grouped } from '../policy/replay-tally.ts'
import {
  Replay,
  REPLAY_BY,
  type ReplayEnd,
  replayPages,
  type ReplayReport,
} from '../policy/replay.ts'
import type { Period } from '../store/recorded.ts'
import { withAdmin } from './admin.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'
import { type Gate, gateOf, isOver } from './replay-gates.ts'
import { timeOf } from './times.ts'

export interface ReplayGiven {
  readonly config?: string
  readonly json?: boolean
  /** `ID@VERSION` */
  readonly version?: string
  readonly alone?: boolean
  readonly beside?: boolean
  readonly from?: string
  readonly to?: string
  readonly limit?: string
  readonly export?: string
  readonly combining?: Combining
  readonly top: string
  readonly failOn: readonly string[]
}

/** What was asked for, read. */
interface Asked {
  readonly policy: { readonly policy_id: string; readonly version: string } | undefined
  readonly limit: number
  readonly top: number
  readonly gates: readonly Gate[]
  readonly combining: CombineOptions
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const
const TELL_EVERY_MS = { terminal: 500, other: 10_000 }
const PAGE_LINES = 500
/** A record of 256 KiB, its signs escaped twice, and more. */
const MAX_LINE_CHARS = 4 * 1024 * 1024

export async function policyReplay(
  io: Io,
  dirs: readonly string[],
  given: ReplayGiven,
): Promise<ExitCode> {
  const { config } = configOf(io, given)
  const asked = read(given, dirs, config)
  timeOf('--from', given.from)
  timeOf('--to', given.to)
  const over = new AbortController()
  const end = (): void => over.abort()
  for (const signal of SIGNALS) process.once(signal, end)
  try {
    // An export and a folder need no store.
    const needsStore =
      given.export === undefined || asked.policy !== undefined || given.beside === true
    const run = (commands: Commands | undefined): Promise<ExitCode> =>
      replay(io, config, { dirs, given, asked, commands, signal: over.signal })
    return needsStore ? await withAdmin(io, config, run) : await run(undefined)
  } finally {
    for (const signal of SIGNALS) process.off(signal, end)
  }
}

async function replay(
  io: Io,
  config: Config,
  {
    dirs,
    given,
    asked,
    commands,
    signal,
  }: {
    readonly dirs: readonly string[]
    readonly given: ReplayGiven
    readonly asked: Asked
    readonly commands: Commands | undefined
    readonly signal: AbortSignal
  },
): Promise<ExitCode> {
  const folder = await draftFolder(dirs, given, asked, commands)
  try {
    const own = dirs.map((dir) => resolve(io.cwd, dir))
    const withCurrent = dirs.length === 0 ? given.alone !== true : given.beside === true
    const draft = await loadPolicySet({
      ...compileOptions(io.env, false),
      dirs: [
        ...(withCurrent ? config.policy.dirs : []),
        ...own,
        ...(folder === undefined ? [] : [folder]),
      ],
      combining: asked.combining,
    })
    const { pseudonymous } = config.ledger
    const run = new Replay({ draft, combining: asked.combining, pseudonymous, top: asked.top })
    const began = performance.now()
    const progress = new Progress(io)
    const ended = await replayPages(run, pagesOf(io, given, commands, signal), {
      limit: asked.limit,
      isCancelled: () => signal.aborted,
      onPage: (decisions, time) => progress.tell(decisions, time),
    })
    progress.end()
    return answer(io, given, asked, {
      report: run.report(),
      ended,
      seconds: (performance.now() - began) / 1000,
    })
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  }
}

function read(given: ReplayGiven, dirs: readonly string[], { policy }: Config): Asked {
  const { version, limit, top, failOn, alone, beside } = given
  if (version !== undefined && dirs.length > 0)
    throw usage('a folder and --version are two drafts: give one of them')
  if (alone === true && version === undefined)
    throw usage('--alone goes with --version; a folder is alone unless --beside is given')
  if (beside === true && dirs.length === 0) throw usage('--beside goes with a folder')
  return {
    policy: version === undefined ? undefined : versionOf(version),
    limit: limit === undefined ? Infinity : countOf('--limit', limit),
    top: countOf('--top', top),
    gates: failOn.map(gateOf),
    combining: {
      combining: given.combining ?? policy.combining,
      defaults: policy.default,
      onError: policy.on_error,
    },
  }
}

/** Stored files as a folder; undefined where none have a part in the draft. */
async function draftFolder(
  dirs: readonly string[],
  { alone = false, beside = false }: ReplayGiven,
  { policy }: Asked,
  commands: Commands | undefined,
): Promise<string | undefined> {
  if (commands === undefined || (dirs.length > 0 && !beside)) return undefined
  const files = await commands.draftFiles(policy === undefined ? {} : { ...policy, alone })
  return files.length === 0 ? undefined : writeDraft(files)
}

/** Ids have no @ that a version follows. */
function versionOf(text: string): { readonly policy_id: string; readonly version: string } {
  const at = text.lastIndexOf('@')
  if (at < 1 || at === text.length - 1)
    throw usage('--version names a stored version, such as pii-to-external@1.2.0')
  return { policy_id: text.slice(0, at), version: text.slice(at + 1) }
}

async function* pagesOf(
  io: Io,
  { export: file, from, to }: ReplayGiven,
  commands: Commands | undefined,
  signal: AbortSignal,
): AsyncGenerator<readonly (Recorded | undefined)[]> {
  if (file === undefined) {
    if (commands === undefined) return
    const period = periodOf(
      { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) },
      Date.now(),
    )
    const lines = commands.recorded(period, signal)
    yield* decisionsIn(untilAborted(linesIn(lines), signal), undefined)
    return
  }
  const source = file === '-' ? io.in : fileAt(resolve(io.cwd, file), file)
  // Whoever is waited for at stdin is not waited for any longer.
  signal.addEventListener('abort', () => source.destroy())
  yield* decisionsIn(untilAborted(linesIn(textsOf(source)), signal), {
    from: from === undefined ? -Infinity : Date.parse(from),
    to: to === undefined ? Infinity : Date.parse(to),
  })
}

/** What ends because it was cancelled ends well, and behind its last whole line. */
async function* untilAborted(
  lines: AsyncIterable<string>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  try {
    yield* lines
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function* decisionsIn(
  lines: AsyncIterable<string>,
  period: Period | undefined,
): AsyncGenerator<readonly (Recorded | undefined)[]> {
  let page: (Recorded | undefined)[] = []
  let number = 0
  for await (const line of lines) {
    number += 1
    const found = readExportLine(line)
    if (found === 'no decision') continue
    if (found === 'no input')
      throw new CordonError(
        'INPUT_INVALID',
        `line ${number} is a decision without its input document: export again with this release, as ndjson`,
      )
    const isIn =
      found === 'unreadable' ||
      period === undefined ||
      (found.time >= period.from && found.time < period.to)
    if (!isIn) continue
    page.push(found === 'unreadable' ? undefined : found)
    if (page.length < PAGE_LINES) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

async function* linesIn(texts: AsyncIterable<string>): AsyncGenerator<string> {
  let pending = ''
  for await (const text of texts) {
    const lines = `${pending}${text}`.split('\n')
    pending = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield line
    if (pending.length > MAX_LINE_CHARS)
      throw new CordonError('INPUT_INVALID', 'a line is longer than any of an export')
  }
  if (pending.trim() !== '') yield pending
}

function fileAt(path: string, shown: string): Readable {
  const file = createReadStream(path)
  const source = shown.endsWith('.gz') ? file.pipe(createGunzip()) : file
  // A pipe does not hand errors on.
  if (source !== file) file.on('error', (error) => source.destroy(error))
  return source
}

async function* textsOf(source: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  try {
    for await (const part of source) yield decoder.decode(part as Buffer, { stream: true })
  } catch (error) {
    throw new CordonError(
      'NOT_FOUND',
      `the export cannot be read: ${error instanceof Error ? error.message : 'unknown error'}`,
      { cause: error },
    )
  }
}

interface Done {
  readonly report: ReplayReport
  readonly ended: ReplayEnd
  readonly seconds: number
}

function answer(
  io: Io,
  given: ReplayGiven,
  { gates }: Asked,
  { report, ended, seconds }: Done,
): ExitCode {
  if (report.decisions === 0 && ended !== 'cancelled')
    throw new CordonError(
      'NOT_FOUND',
      report.unreadable === 0
        ? 'there is no decision to replay: nothing was recorded then, or the export is of another table'
        : `there is no decision to replay: ${report.unreadable} lines are none (an export must be ndjson)`,
    )
  const failed = gates.filter((gate) => isOver(gate, report))
  const perSecond = Math.round(report.decisions / Math.max(seconds, 0.001))
  if (given.json === true)
    printJson(io, {
      ended,
      seconds: Math.round(seconds * 1000) / 1000,
      decisions_per_second: perSecond,
      failed: failed.map(({ text }) => text),
      ...report,
    })
  else print(io, report)
  io.err.write(
    `${ended === 'cancelled' ? 'cancelled; so far: ' : ''}${report.decisions} decisions in ${seconds.toFixed(1)} s (${perSecond} a second), ${report.evaluations} evaluations\n`,
  )
  for (const { text } of failed) io.err.write(`failed: ${text}\n`)
  if (ended === 'cancelled') return 3
  return failed.length > 0 ? 1 : 0
}

function print(io: Io, report: ReplayReport): void {
  const { oldest, newest, matrix, samples, failing, masked } = report
  io.out.write(
    `${report.policies} ${report.policies === 1 ? 'policy' : 'policies'} over ${report.decisions} decisions`,
  )
  io.out.write(oldest === null || newest === null ? '\n' : `, ${oldest} to ${newest}\n`)
  io.out.write(`${summaryOf(report)}\n\n`)
  const fresh = EFFECTS.map((effect) => `now ${effect}`)
  printRows(
    io,
    false,
    ['was', ...fresh],
    EFFECTS.map((old) => ({
      was: old,
      ...Object.fromEntries(EFFECTS.map((effect) => [`now ${effect}`, matrix[old][effect]])),
    })),
  )
  for (const by of REPLAY_BY) printGroup(io, by, report.by[by])
  if (samples.frequent.length > 0) {
    io.out.write('\nMost frequent changes\n')
    printRows(
      io,
      false,
      ['count', 'change', 'old policy', 'new policy', 'department', 'service', 'decision'],
      samples.frequent.map((sample) => ({
        count: sample.count,
        change: changeText(sample),
        'old policy': sample.old_policy_id ?? '(default)',
        'new policy': sample.new_policy_id ?? '(default)',
        department: sample.department ?? '-',
        service: sample.service ?? '-',
        decision: sample.decision_ids[0] ?? '',
      })),
    )
  }
  if (failing.length > 0) {
    io.out.write('\nPolicies that fail now\n')
    printRows(
      io,
      false,
      ['count', 'policy', 'error', 'decision'],
      failing.map(({ count, policy_id: policy, error, decision_ids: ids }) => ({
        count,
        policy,
        error,
        decision: ids[0] ?? '',
      })),
    )
  }
  if (masked.length > 0) {
    io.out.write('\nCannot tell: read by a policy, and not recorded\n')
    printRows(
      io,
      false,
      ['count', 'path', 'policies'],
      masked.map(({ count, path, policy_ids: policies }) => ({ count, path, policies })),
    )
  }
}

function printGroup(io: Io, by: string, { items, other }: Grouped): void {
  const moving = items.filter(isMoving)
  if (moving.length === 0) return
  io.out.write('\n')
  const rows = moving.map((counts) => ({ [by]: counts.name ?? '-', ...counts }))
  const rest =
    other !== null && isMoving(other)
      ? [{ [by]: other.names === null ? 'others' : `${other.names} others`, ...other }]
      : []
  printRows(
    io,
    false,
    [
      by,
      'decisions',
      'newly_denied',
      'newly_reviewed',
      'newly_allowed',
      'obligations_changed',
      'cannot_tell',
    ],
    [...rows, ...rest],
  )
}

function isMoving({ changed, cannot_tell: untold, newly_failing: failing }: Counts): boolean {
  return changed + untold + failing > 0
}

function summaryOf(report: ReplayReport): string {
  const parts: readonly (readonly [number, string])[] = [
    [report.newly_denied, 'newly denied'],
    [report.newly_reviewed, 'newly in review'],
    [report.newly_allowed, 'newly allowed'],
    [report.obligations_changed, 'with other obligations'],
    [report.would_be_changed, 'where warn and audit would say something else'],
    [report.newly_failing, 'where a policy fails now'],
    [report.cannot_tell, 'of which nobody can tell'],
    [report.unreadable, 'unreadable'],
  ]
  const told = parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]))
  return told.length === 0 ? 'nothing changes' : told.join(', ')
}

function changeText({
  from,
  to,
  obligations_changed: isOther,
}: {
  readonly from: string
  readonly to: string
  readonly obligations_changed: boolean
}): string {
  return from === to && isOther ? `${from}, other obligations` : `${from} > ${to}`
}

/** How far it is, on stderr. */
class Progress {
  readonly #io: Io
  readonly #isTerminal: boolean
  #told = performance.now()
  #hasTold = false

  constructor(io: Io) {
    this.#io = io
    this.#isTerminal = io.err.isTTY
  }

  tell(decisions: number, time: number | undefined): void {
    const now = performance.now()
    if (now - this.#told < TELL_EVERY_MS[this.#isTerminal ? 'terminal' : 'other']) return
    this.#told = now
    this.#hasTold = true
    const at = time === undefined ? '' : `, at ${new Date(time).toISOString()}`
    const line = `${decisions} decisions${at}`
    this.#io.err.write(this.#isTerminal ? `\r\u001b[K${line}` : `${line}\n`)
  }

  end(): void {
    if (this.#hasTold && this.#isTerminal) this.#io.err.write('\r\u001b[K')
  }
}

function countOf(option: string, text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1)
    throw usage(`${option} must be a whole number of at least 1`)
  return count
}

function usage(message: string): CordonError {
  return new CordonError('INPUT_INVALID', message)
}
