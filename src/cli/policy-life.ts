// `cordon policy create|edit|validate|submit|approve|reject|activate|archive|rollback|compare|dates|show`.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { styleText } from 'node:util'
import { type AsJson, controlSocket } from '../app/control.ts'
import type { PolicyAct, PolicyActName, PolicyAnswers } from '../app/policy-acts.ts'
import { CordonError, formatProblem } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import { MAX_TEXT_BYTES, type PolicyText } from '../governance/policy-draft.ts'
import type { VersionNotes } from '../governance/policy-life.ts'
import type { VersionName } from '../governance/policy-shelf.ts'
import { kindOf } from '../policy/describe.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { isConfirmed } from './confirm.ts'
import { gitStateOf } from './git.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

/** Of every command that acts. */
export interface Acting extends Common {
  /** A file with an API key: its owner acts. */
  readonly key?: string
}

export interface Writing extends Acting {
  readonly path?: string
  readonly as?: string
  readonly summary?: string
  readonly from?: string
  readonly until?: string
  readonly git?: boolean
  readonly gitCommit?: string
  readonly gitBranch?: string
}

export interface Moving extends Acting {
  readonly comment?: string
  readonly edition?: string
}

type Version = AsJson<PolicyAnswers['version']>
type Activated = AsJson<PolicyAnswers['activate']>

export async function policyCreate(io: Io, file: string, options: Writing): Promise<ExitCode> {
  const policy = {
    ...(await readPolicy(io, file, options)),
    ...(await notesOf(io, file, options)),
    ...(options.as === undefined ? {} : { version: options.as }),
  }
  const made = await ask(io, options, { act: 'create', policy })
  return tell(io, options, made, `${titleOf(made)} is a draft: ${made.text_bytes} bytes`)
}

/** The newest draft gets the text; without one a new version begins. */
export async function policyEdit(
  io: Io,
  name: string,
  file: string | undefined,
  options: Writing & Pick<Moving, 'edition'>,
): Promise<ExitCode> {
  const text = file === undefined ? undefined : (await readPolicy(io, file, {})).text
  const notes = await notesOf(io, file, options)
  const asked = nameOf(name)
  const { as } = options
  const draft = await draftOf(io, options, asked)
  if (as !== undefined || draft === undefined) {
    if (asked.version !== undefined && as === undefined)
      throw new CordonError('CONFLICT', `${name} is no draft: leave the version out for a new one`)
    const version = {
      ...notes,
      ...(text === undefined ? {} : { text }),
      ...(as === undefined ? {} : { version: as }),
    }
    const made = await ask(io, options, {
      act: 'addVersion',
      policy_id: asked.policy_id,
      draft: version,
    })
    return tell(io, options, made, `${titleOf(made)} is a new draft`)
  }
  const seen = seenOf(options) ?? [draft.edition]
  const edited = await ask(io, options, {
    act: 'edit',
    name: { policy_id: asked.policy_id, version: draft.version },
    edit: { ...notes, ...(text === undefined ? {} : { text }) },
    seen,
  })
  const told =
    edited.edition === draft.edition
      ? `${titleOf(edited)} is as it was`
      : `${titleOf(edited)} is edited: edition ${edited.edition}`
  return tell(io, options, edited, told)
}

/** A file that nobody has kept, or a version that is kept. */
export async function policyValidate(
  io: Io,
  what: string,
  options: Acting & Pick<Writing, 'path'>,
): Promise<ExitCode> {
  const isFile =
    what === '-' || statSync(resolve(io.cwd, what), { throwIfNoEntry: false })?.isFile() === true
  const problems = isFile
    ? await ask(io, options, { act: 'validateText', policy: await readPolicy(io, what, options) })
    : await ask(io, options, { act: 'validate', name: nameOf(what) })
  if (options.json === true) printJson(io, { valid: problems.length === 0, problems })
  else if (problems.length === 0) io.out.write(`${what} is valid\n`)
  else for (const problem of problems) io.out.write(`${formatProblem(problem)}\n`)
  return problems.length === 0 ? 0 : 1
}

/** One after the other; the first that is refused ends it. */
export async function policyMove(
  io: Io,
  act: 'submit' | 'approve' | 'reject',
  names: readonly string[],
  options: Moving,
): Promise<ExitCode> {
  if (names.length > 1 && options.edition !== undefined)
    throw new CordonError('INPUT_INVALID', '--edition is of one version: name one')
  const told = { submit: 'is in review', approve: 'is approved', reject: 'is a draft again' }[act]
  const edition = (moved: Version): string =>
    // Whoever approves it names it.
    act === 'submit' ? `, edition ${moved.edition}` : ''
  const done: Version[] = []
  try {
    for (const name of names) {
      const moved = await ask(io, options, {
        act,
        name: nameOf(name),
        ...commentOf(options),
        ...givenSeen(options),
      })
      done.push(moved)
      if (options.json !== true) io.out.write(`${titleOf(moved)} ${told}${edition(moved)}\n`)
    }
  } finally {
    // One document, also where one of them was refused.
    if (options.json === true && done.length > 0) printJson(io, names.length > 1 ? done : done[0])
  }
  return 0
}

/** With `--edition`, or at a terminal: each is shown, and what was shown is approved where that is confirmed. */
export async function policyApprove(
  io: Io,
  names: readonly string[],
  options: Moving,
): Promise<ExitCode> {
  if (options.edition !== undefined || options.json === true || !io.in.isTTY)
    return policyMove(io, 'approve', names, options)
  for (const name of names) {
    const version = await submittedOf(io, options, nameOf(name))
    const { edition, policy_id: id } = version
    if (version.status === 'review') {
      await printChange(io, options, version)
      if (!(await isConfirmed(io, `Approve edition ${edition} of ${titleOf(version)}?`))) {
        io.err.write(`${titleOf(version)} was not approved\n`)
        return 1
      }
    }
    const seen = { ...options, edition: String(edition) }
    await policyMove(io, 'approve', [`${id}@${version.version}`], seen)
  }
  return 0
}

export async function policyActivate(
  io: Io,
  names: readonly string[],
  options: Moving & { readonly at?: string; readonly until?: string; readonly rejudge?: boolean },
): Promise<ExitCode> {
  const done = await ask(io, options, {
    act: 'activate',
    names: names.map(nameOf),
    how: {
      ...(options.at === undefined ? {} : { effective_from: options.at }),
      ...(options.until === undefined ? {} : { expires_at: orNone(options.until) }),
      rejudge: options.rejudge === true,
      ...commentOf(options),
    },
    ...givenSeen(options),
  })
  return tellActivated(io, options, done)
}

export async function policyArchive(
  io: Io,
  name: string,
  options: Moving & { readonly rejudge?: boolean },
): Promise<ExitCode> {
  const done = await ask(io, options, {
    act: 'archive',
    name: nameOf(name),
    how: { rejudge: options.rejudge === true, ...commentOf(options) },
    ...givenSeen(options),
  })
  return tellActivated(io, options, done)
}

export async function policyRollback(
  io: Io,
  name: string,
  options: Moving & { readonly until?: string; readonly rejudge?: boolean },
): Promise<ExitCode> {
  const { policy_id: id, version } = nameOf(name)
  const done = await ask(io, options, {
    act: 'rollBack',
    policy_id: id,
    how: {
      ...(version === undefined ? {} : { to: version }),
      ...(options.until === undefined ? {} : { expires_at: orNone(options.until) }),
      rejudge: options.rejudge === true,
      ...commentOf(options),
    },
  })
  return tellActivated(io, options, done)
}

export async function policyDates(
  io: Io,
  name: string,
  options: Moving & { readonly from?: string; readonly until?: string },
): Promise<ExitCode> {
  const { from, until } = options
  if (from === undefined && until === undefined)
    throw new CordonError('INPUT_INVALID', 'say --from or --until: a time, or none')
  const changed = await ask(io, options, {
    act: 'setDates',
    name: nameOf(name),
    dates: {
      ...(from === undefined ? {} : { effective_from: orNone(from) }),
      ...(until === undefined ? {} : { expires_at: orNone(until) }),
    },
    ...givenSeen(options),
  })
  return tell(io, options, changed, `${titleOf(changed)} ${datesOf(changed)}`)
}

export async function policyCompare(
  io: Io,
  id: string,
  from: string | undefined,
  to: string | undefined,
  options: Acting,
): Promise<ExitCode> {
  const compared = await ask(io, options, {
    act: 'compare',
    policy_id: id,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  })
  if (options.json === true) {
    printJson(io, compared)
    return 0
  }
  io.out.write(changesIn(compared))
  return 0
}

/** A policy with its newest versions; with a version, that one with its text. */
export async function policyShow(io: Io, name: string, options: Acting): Promise<ExitCode> {
  const { policy_id: id, version } = nameOf(name)
  if (version !== undefined) {
    const shown = await ask(io, options, { act: 'version', name: { policy_id: id, version } })
    if (options.json === true) printJson(io, shown)
    else printVersion(io, shown)
    return 0
  }
  const shown = await ask(io, options, { act: 'show', policy_id: id })
  if (options.json === true) {
    printJson(io, shown)
    return 0
  }
  const place = shown.line === null ? shown.path : `${shown.path}:${shown.line}`
  io.out.write(
    `${shown.policy_id}: ${shown.name}\n${shown.status} ${shown.version ?? ''}, ${shown.type} in ${shown.language}, ${
      shown.origin === 'folder' ? `of a folder, read-only: ${place}` : `of the store, path ${place}`
    }\n`,
  )
  if (shown.versions.length > 0) io.out.write('\n')
  if (shown.versions.length > 0)
    printRows(
      io,
      false,
      ['version', 'status', 'edition', 'by', 'approved by', 'dates', 'summary'],
      shown.versions.map((row) => ({
        ...row,
        by: row.contributors.map(personOf).join(', '),
        'approved by': row.approved_by === null ? '' : personOf(row.approved_by),
        dates: datesOf(row),
        summary: row.change_summary ?? '',
      })),
    )
  return 0
}

type Listed = AsJson<PolicyAnswers['list']>['items'][number]

/** Policies of the store, every page of them; none where there is no store yet, or it cannot be asked. */
export async function storedPolicies(io: Io, config: Config): Promise<readonly Listed[]> {
  const { data_dir: dir, database_url: url } = config
  const isThere =
    url !== '' || existsSync(controlSocket(dir)) || existsSync(join(dir, 'pg.version'))
  if (!isThere) return []
  try {
    return await withAdmin(io, config, async (commands) => {
      const found: Listed[] = []
      let cursor: string | undefined
      do {
        const page = (await commands.policyAct({
          act: 'list',
          filter: { origin: 'store', limit: 1000, ...(cursor === undefined ? {} : { cursor }) },
        })) as AsJson<PolicyAnswers['list']>
        found.push(...page.items)
        cursor = page.next_cursor ?? undefined
      } while (cursor !== undefined)
      return found
    })
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    io.err.write(`warning: without those of the store: ${error.message}\n`)
    return []
  }
}

async function ask<N extends PolicyActName>(
  io: Io,
  options: Acting,
  act: PolicyAct<N>,
): Promise<AsJson<PolicyAnswers[N]>> {
  const { config } = configOf(io, options)
  const key = options.key === undefined ? {} : { key: readKey(io, options.key) }
  const asked = { ...act, ...key } as PolicyAct
  return (await withAdmin(io, config, (commands) => commands.policyAct(asked))) as AsJson<
    PolicyAnswers[N]
  >
}

function readKey(io: Io, file: string): string {
  try {
    return readFileSync(resolve(io.cwd, file), 'utf8').trim()
  } catch (error) {
    throw new CordonError('NOT_FOUND', `--key: ${file} cannot be read`, { cause: error })
  }
}

/** The version that an approval means: the newest in review, else the newest. */
async function submittedOf(io: Io, options: Acting, name: VersionName): Promise<Version> {
  if (name.version !== undefined) return ask(io, options, { act: 'version', name })
  const shown = await ask(io, options, { act: 'show', policy_id: name.policy_id })
  const found = shown.versions.find(({ status }) => status === 'review')
  const version = found === undefined ? {} : { version: found.version }
  return ask(io, options, { act: 'version', name: { ...name, ...version } })
}

/** What differs from what is in force, else the whole text: what nobody has approved is nothing to compare with. */
async function printChange(io: Io, options: Acting, version: Version): Promise<void> {
  const { policy_id: id, version: to, change_summary: summary } = version
  const authors = version.contributors.map(personOf).join(', ')
  const { status, version: from } = await ask(io, options, { act: 'show', policy_id: id })
  const change =
    status === 'active' && from !== null && from !== to
      ? changesIn(await ask(io, options, { act: 'compare', policy_id: id, from, to }))
      : version.text
  // Dates are approved with it.
  const dates = datesOf(version)
  const head = `${titleOf(version)}, written by ${authors}${dates === '' ? '' : `, ${dates}`}${summary === null ? '' : `: ${summary}`}`
  io.out.write(spelledOut(`${head}\n${change}${change.endsWith('\n') ? '' : '\n'}`))
}

function changesIn({
  from,
  to,
  from_edition: older,
  to_edition: newer,
  changed,
  diff,
}: AsJson<PolicyAnswers['compare']>): string {
  const keys = Object.entries(changed).map(
    ([key, { from: old, to: now }]) => `${key}: ${JSON.stringify(old)} -> ${JSON.stringify(now)}\n`,
  )
  const same = diff === '' && keys.length === 0 ? `${from} and ${to} are the same\n` : ''
  return `${from}, edition ${older} -> ${to}, edition ${newer}\n${keys.join('')}${same}${diff}`
}

/** What a terminal would obey or hide is to be seen by whoever approves it. */
function spelledOut(text: string): string {
  return text.replaceAll(
    /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]--[\n\t]]/gv,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  )
}

/** The draft that an edit means; undefined where a new version is to be made. */
async function draftOf(io: Io, options: Acting, name: VersionName): Promise<Version | undefined> {
  if (name.version !== undefined) {
    const version = await ask(io, options, { act: 'version', name })
    return version.status === 'draft' ? version : undefined
  }
  const shown = await ask(io, options, { act: 'show', policy_id: name.policy_id })
  const draft = shown.versions.find(({ status }) => status === 'draft')
  if (draft === undefined) return undefined
  const { policy_id: id, version } = draft
  return ask(io, options, { act: 'version', name: { policy_id: id, version } })
}

/** `ID` or `ID@VERSION`. */
function nameOf(name: string): VersionName {
  const at = name.lastIndexOf('@')
  if (at <= 0) return { policy_id: name }
  return { policy_id: name.slice(0, at), version: name.slice(at + 1) }
}

/** A text with what its file name tells. */
async function readPolicy(
  io: Io,
  file: string,
  { path }: Pick<Writing, 'path'>,
): Promise<PolicyText> {
  const text = file === '-' ? await textOf(io.in) : readText(io, file)
  const name = path ?? file
  const kind = kindOf(basename(name), text)
  if (file === '-' && path === undefined) return { text }
  if (kind === undefined)
    throw new CordonError(
      'INPUT_INVALID',
      `${name}: policy files end with .rego, .cedar, .test.yaml, or are called data.json or data.yaml`,
    )
  const language =
    kind.language === 'rego' || kind.language === 'cedar' ? { language: kind.language } : {}
  if (path !== undefined) return { text, path, ...language }
  // Where a test or a library lies is its name.
  return kind.type === 'policy' ? { text, ...language } : { text, path: placeOf(io, file) }
}

function readText(io: Io, file: string): string {
  const path = resolve(io.cwd, file)
  try {
    const { size } = statSync(path)
    if (size > MAX_TEXT_BYTES)
      throw new CordonError(
        'INPUT_INVALID',
        `${file} is larger than ${MAX_TEXT_BYTES / 1024} KiB, the most a stored file may have`,
      )
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof CordonError) throw error
    const why = error instanceof TypeError ? 'is no text in UTF-8' : 'cannot be read'
    throw new CordonError('NOT_FOUND', `${file}: ${why}`, { cause: error })
  }
}

function placeOf(io: Io, file: string): string {
  const place = relative(io.cwd, resolve(io.cwd, file))
  return place.startsWith('..') || isAbsolute(place) ? basename(file) : place.split(sep).join('/')
}

async function notesOf(
  io: Io,
  file: string | undefined,
  { summary, from, until, git, gitCommit, gitBranch }: Writing,
): Promise<VersionNotes> {
  if (git === true && (file === undefined || file === '-'))
    throw new CordonError('INPUT_INVALID', '--git reads the commit of a FILE')
  const state =
    git === true && file !== undefined
      ? await gitStateOf(io, resolve(io.cwd, file))
      : {
          ...(gitCommit === undefined ? {} : { commit: gitCommit }),
          ...(gitBranch === undefined ? {} : { branch: gitBranch }),
        }
  return {
    ...(summary === undefined ? {} : { change_summary: summary }),
    ...(from === undefined ? {} : { effective_from: orNone(from) }),
    ...(until === undefined ? {} : { expires_at: orNone(until) }),
    ...(Object.keys(state).length === 0 ? {} : { git: state }),
  }
}

function orNone(time: string): string | null {
  return time === 'none' ? null : time
}

function commentOf({ comment }: Moving): { readonly comment?: string } {
  return comment === undefined ? {} : { comment }
}

function seenOf({ edition }: Pick<Moving, 'edition'>): readonly number[] | undefined {
  if (edition === undefined) return undefined
  if (!/^\d{1,9}$/.test(edition))
    throw new CordonError('INPUT_INVALID', '--edition must be the number of an edition')
  return [Number(edition)]
}

function givenSeen(options: Moving): { readonly seen?: readonly number[] } {
  const seen = seenOf(options)
  return seen === undefined ? {} : { seen }
}

function tell(io: Io, { json }: Common, version: Version, line: string): ExitCode {
  if (json === true) printJson(io, version)
  else io.out.write(`${line}\n`)
  return 0
}

function tellActivated(io: Io, { json }: Common, done: Activated): ExitCode {
  if (json === true) {
    printJson(io, done)
    return 0
  }
  for (const version of done.versions) {
    const when =
      version.status === 'approved' && version.effective_from !== null
        ? `becomes active at ${version.effective_from}`
        : `is ${version.status}`
    const until = version.expires_at === null ? '' : `, until ${version.expires_at}`
    io.out.write(`${titleOf(version)} ${when}${version.status === 'archived' ? '' : until}\n`)
  }
  if (done.revision !== null) io.out.write(`stored policies are ${done.revision}\n`)
  return 0
}

function printVersion(io: Io, version: Version): void {
  const bold = (text: string): string => styleText('bold', text, { stream: io.out })
  const person = (who: Version['created_by']): string => (who === null ? '' : personOf(who))
  const lines: readonly (readonly [string, string])[] = [
    ['status', `${version.status}, edition ${version.edition}`],
    ['written by', version.contributors.map(personOf).join(', ')],
    ['approved by', person(version.approved_by)],
    ['dates', datesOf(version)],
    ['git', [version.git?.commit, version.git?.branch].filter((part) => part != null).join(' ')],
    ['sha256', version.text_sha256],
    ['problem', version.due_problem ?? ''],
  ]
  io.out.write(`${titleOf(version)}: ${version.metadata.name}\n`)
  for (const [name, value] of lines) if (value !== '') io.out.write(`${bold(name)}: ${value}\n`)
  for (const { at, by, act, changed, comment } of version.history)
    io.out.write(
      `  ${at} ${act} by ${personOf(by)} (${changed.join(', ')})${comment === undefined ? '' : `: ${comment}`}\n`,
    )
  io.out.write(`\n${version.text}${version.text.endsWith('\n') ? '' : '\n'}`)
}

function datesOf({
  effective_from: from,
  expires_at: until,
}: Pick<Version, 'effective_from' | 'expires_at'>): string {
  return [
    ...(from === null ? [] : [`from ${from}`]),
    ...(until === null ? [] : [`until ${until}`]),
  ].join(' ')
}

function personOf({ id, name }: { readonly id: string; readonly name: string | null }): string {
  return name ?? id
}

function titleOf({ policy_id: id, version }: Version): string {
  return `${id} ${version}`
}
