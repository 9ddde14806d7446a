// `cordon policy push|pull|status`: a folder under version control and the store, in both directions; and which nodes have
// what of it in force. Through control.sock or the store itself, or with --url through the API of a Cordon elsewhere.

import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { request } from 'undici'
import type { PolicyAct } from '../app/policy-acts.ts'
import {
  CordonError,
  ERROR_CODES,
  type ErrorCode,
  formatProblem,
  type Problem,
} from '../base/errors.ts'
import type { ActiveFiles, Push, Pushed } from '../governance/policy-push.ts'
import type { PolicyRollout } from '../governance/policy-rollout.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import { policyFilesIn } from '../policy/folder.ts'
import { withAdmin } from './admin.ts'
import type { Common } from './common.ts'
import { gitStateOf } from './git.ts'
import { configOf, type ExitCode, type Io, printJson, printRows } from './io.ts'

/** Which Cordon is meant. */
export interface Where extends Common {
  /** Of its API; absent: the one of this configuration. */
  readonly url?: string
  /** A file with an API key. */
  readonly keyFile?: string
}

export interface Pushing extends Where {
  readonly git?: boolean
  readonly commit?: string
  readonly branch?: string
  readonly summary?: string
  readonly submit?: boolean
  readonly dryRun?: boolean
}

export interface Pulling extends Where {
  readonly force?: boolean
  readonly dryRun?: boolean
}

/** What was pulled last, with the hash of each file: who changed it since is not written over. */
const PULLED = '.cordon-pull.json'
const TIMEOUT_MS = 300_000
/** A node tells of itself every thirty seconds. */
const SILENT_S = 100
/** As git names them; a star goes over folders too. */
const POLICY_FILES = [
  '*.rego',
  '*.cedar',
  '*.test.yaml',
  '*.test.yml',
  '*data.json',
  '*data.yaml',
  '*data.yml',
]

export async function policyPush(io: Io, dir: string, options: Pushing): Promise<ExitCode> {
  const folder = resolve(io.cwd, dir)
  const files = policyFilesIn(folder)
  const { summary, submit, dryRun } = options
  const git = await gitOf(io, folder, options)
  const push: Push = {
    files,
    ...(git === undefined ? {} : { git }),
    ...(summary === undefined ? {} : { change_summary: summary }),
    ...(submit === true ? { submit } : {}),
    ...(dryRun === true ? { dry_run: true } : {}),
  }
  const pushed = await ask<Pushed>(io, options, {
    act: { act: 'push', push },
    method: 'POST',
    path: '/v1/policies/push',
    body: push,
  })
  if (options.json === true) printJson(io, pushed)
  else {
    const told = pushed.files.filter(({ result }) => result !== 'unchanged')
    if (told.length > 0)
      printRows(
        io,
        false,
        ['result', 'policy_id', 'version', 'status', 'path', 'note'],
        told as never,
      )
    const count = (result: string): number =>
      pushed.files.filter((file) => file.result === result).length
    const would = pushed.dry_run ? ' (nothing was written)' : ''
    io.out.write(
      `${count('created')} created, ${count('changed')} changed, ${count('unchanged')} unchanged, ${count('removed')} removed${would}\n`,
    )
  }
  return 0
}

export async function policyPull(io: Io, dir: string, options: Pulling): Promise<ExitCode> {
  const folder = resolve(io.cwd, dir)
  const active = await ask<ActiveFiles>(io, options, {
    act: { act: 'files' },
    method: 'GET',
    path: '/v1/policies/files',
  })
  const pulled = readPulled(folder)
  // By force what is there counts as what was pulled.
  const known = options.force === true ? pulledNow(folder, active, pulled) : pulled
  const rows = [
    ...active.files.map((file) => ({ path: file.path, ...stepOf(folder, file, known) })),
    ...Object.keys(known)
      .filter((path) => !active.files.some((file) => file.path === path))
      .flatMap((path) => removalOf(folder, path, known)),
  ]
  const conflicts = rows.filter(({ result }) => result === 'conflict')
  const isDry = options.dryRun === true
  if (conflicts.length > 0 && !isDry) {
    throw new CordonError(
      'CONFLICT',
      `nothing was written: ${conflicts.length} file${conflicts.length === 1 ? ' was' : 's were'} changed here; push, or write over with --force`,
      {
        problems: conflicts.map(({ path }) => ({
          file: join(dir, path),
          message: 'was changed here, or is not what was pulled',
        })),
      },
    )
  }
  if (!isDry) write(folder, active, rows)
  if (options.json === true)
    printJson(io, { revision: active.revision, dry_run: isDry, files: rows })
  else {
    const told = rows.filter(({ result }) => result !== 'unchanged')
    if (told.length > 0) printRows(io, false, ['result', 'path'], told)
    const count = (result: string): number => rows.filter((row) => row.result === result).length
    io.out.write(
      `${count('written')} written, ${count('unchanged')} unchanged, ${count('removed')} removed${
        conflicts.length === 0 ? '' : `, ${conflicts.length} changed here`
      }${isDry ? ' (nothing was written)' : ''}; ${active.revision ?? 'nothing is in force'}\n`,
    )
  }
  return conflicts.length > 0 ? 1 : 0
}

/** 1 where a node refuses what it should have in force, or has something else. */
export async function policyStatus(io: Io, options: Where): Promise<ExitCode> {
  const rollout = await ask<PolicyRollout>(io, options, {
    act: { act: 'rollout' },
    method: 'GET',
    path: '/v1/policies/status',
  })
  // A node that has not told of itself lately has probably gone: nobody waits for it.
  const isWell = rollout.nodes.every(
    ({ current, bundles, age_s: age }) =>
      age > SILENT_S || (current && bundles.every(({ problems }) => problems.length === 0)),
  )
  if (options.json === true) {
    printJson(io, rollout)
    return isWell ? 0 : 1
  }
  const { head, nodes } = rollout
  io.out.write(
    head === null
      ? 'no stored policy was ever in force\n'
      : `in force: ${head.revision} (change ${head.number})\n`,
  )
  if (nodes.length === 0) io.out.write('no Cordon runs over this store\n')
  else
    printRows(
      io,
      false,
      ['node', 'role', 'state', 'revision', 'since', 'seen'],
      nodes.map(({ name, role, current, wanted, revision, active_since: since, age_s: age }) => ({
        node: name,
        role,
        state: stateOf(current, wanted, age),
        revision: shortOf(revision),
        since: since ?? '',
        seen: `${age} s ago`,
      })),
    )
  const bundles = nodes.flatMap(({ name, bundles: read }) =>
    read.map((bundle) => ({
      node: name,
      bundle: bundle.name,
      revision: shortOf(bundle.revision),
      since: bundle.active_since ?? '',
      'last asked': bundle.last_success ?? 'never',
    })),
  )
  if (bundles.length > 0) {
    io.out.write('\n')
    printRows(io, false, ['node', 'bundle', 'revision', 'since', 'last asked'], bundles)
  }
  for (const { name, wanted, problems, bundles: read } of nodes) {
    for (const problem of problems)
      io.err.write(`${name} refuses ${shortOf(wanted)}: ${textOf(problem)}\n`)
    for (const { name: bundle, problems: found } of read)
      for (const problem of found) io.err.write(`${name}, bundle ${bundle}: ${textOf(problem)}\n`)
  }
  return isWell ? 0 : 1
}

function stateOf(current: boolean, wanted: string | null, age: number): string {
  if (age > SILENT_S) return 'silent'
  return current ? 'current' : wanted === null ? 'behind' : 'refuses'
}

interface Asked {
  readonly act: PolicyAct<'push'> | PolicyAct<'files'> | PolicyAct<'rollout'>
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: unknown
}

/** The same question here and elsewhere. */
async function ask<T>(io: Io, options: Where, { act, method, path, body }: Asked): Promise<T> {
  const { url, keyFile } = options
  const key = keyFile === undefined ? undefined : readKey(io, keyFile)
  if (url !== undefined) return askElsewhere(new URL(path, urlOf(url)), method, key, body)
  const { config } = configOf(io, options)
  const asked: PolicyAct = { ...act, ...(key === undefined ? {} : { key }) }
  return (await withAdmin(io, config, (commands) => commands.policyAct(asked))) as T
}

async function askElsewhere<T>(
  url: URL,
  method: 'GET' | 'POST',
  key: string | undefined,
  body: unknown,
): Promise<T> {
  if (key === undefined)
    throw new CordonError('INPUT_INVALID', '--url needs an API key: --key-file FILE')
  const answer = await request(url, {
    method,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? null : JSON.stringify(body),
  }).catch((error: unknown) => {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new CordonError('NOT_FOUND', `${url.origin} does not answer (${why})`, { cause: error })
  })
  const value: unknown = await answer.body.json().catch(() => undefined)
  if (answer.statusCode === 200 && value !== undefined) return value as T
  throw errorOf(value, `${url.href} answers ${answer.statusCode}`)
}

/** An RFC 9457 problem document. */
function errorOf(value: unknown, otherwise: string): CordonError {
  const { code, detail, errors } = (value ?? {}) as {
    readonly code?: string
    readonly detail?: string
    readonly errors?: readonly { readonly pointer: string; readonly detail: string }[]
  }
  const known =
    code !== undefined && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : undefined
  return new CordonError(
    known ?? 'NOT_FOUND',
    known === undefined ? otherwise : (detail ?? otherwise),
    {
      problems: (errors ?? []).map(({ pointer, detail: message }) => ({ file: pointer, message })),
    },
  )
}

function urlOf(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text
  throw new CordonError(
    'INPUT_INVALID',
    '--url must be http:// or https://, such as http://127.0.0.1:8181',
  )
}

function readKey(io: Io, file: string): string {
  try {
    return readFileSync(resolve(io.cwd, file), 'utf8').trim()
  } catch (error) {
    throw new CordonError('NOT_FOUND', `--key-file: ${file} cannot be read`, { cause: error })
  }
}

async function gitOf(
  io: Io,
  folder: string,
  { git, commit, branch }: Pushing,
): Promise<Push['git'] | undefined> {
  // Whatever else lies in the folder.
  if (git === true) return gitStateOf(io, `${folder}/.`, POLICY_FILES)
  if (commit === undefined && branch === undefined) return undefined
  return {
    ...(commit === undefined ? {} : { commit }),
    ...(branch === undefined ? {} : { branch }),
  }
}

type Step = { readonly result: 'written' | 'unchanged' | 'removed' | 'conflict' }
type Known = Readonly<Record<string, string>>

/** The files as they lie there, as if they had been pulled so. */
function pulledNow(folder: string, { files }: ActiveFiles, pulled: Known): Known {
  const paths = [...Object.keys(pulled), ...files.map(({ path }) => path)]
  return Object.fromEntries(
    paths.map((path) => [path, hashOf(localText(placeOf(folder, path)) ?? '')]),
  )
}

function stepOf(folder: string, { path, text }: StoredFile, known: Known): Step {
  const local = localText(placeOf(folder, path))
  if (local === undefined || hashOf(local) === known[path])
    return { result: local === text ? 'unchanged' : 'written' }
  return { result: local === text ? 'unchanged' : 'conflict' }
}

function removalOf(
  folder: string,
  path: string,
  known: Known,
): readonly (Step & { readonly path: string })[] {
  const local = localText(placeOf(folder, path))
  if (local === undefined) return []
  return [{ path, result: hashOf(local) === known[path] ? 'removed' : 'conflict' }]
}

/** Each file whole or not at all; what was pulled is noted last. */
function write(
  folder: string,
  { revision, files }: ActiveFiles,
  rows: readonly (Step & { readonly path: string })[],
): void {
  mkdirSync(folder, { recursive: true })
  const draft = mkdtempSync(join(folder, '.cordon-pull-'))
  try {
    const texts = new Map(files.map(({ path, text }) => [path, text]))
    for (const { path, result } of rows) {
      if (result === 'unchanged') continue
      const text = texts.get(path)
      const place = placeOf(folder, path)
      if (text === undefined) rmSync(place, { force: true })
      else put(draft, place, text)
    }
    const pulled = {
      revision,
      files: Object.fromEntries(files.map(({ path, text }) => [path, hashOf(text)])),
    }
    put(draft, join(folder, PULLED), `${JSON.stringify(pulled, undefined, 2)}\n`)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function put(draft: string, place: string, text: string): void {
  const file = join(draft, 'file')
  writeFileSync(file, text)
  mkdirSync(dirname(place), { recursive: true })
  renameSync(file, place)
}

/** Throws for what would lie outside of the folder: whoever answers is not trusted with the rest of the disk. */
function placeOf(folder: string, path: string): string {
  const isPlain = path
    .split('/')
    .every((part) => part !== '' && !part.startsWith('.') && !/[\\\p{Cc}]/u.test(part))
  if (!isPlain)
    throw new CordonError(
      'INPUT_INVALID',
      `the store has a file that is no path below a folder: ${path}`,
    )
  return join(folder, path)
}

function localText(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat === undefined ? undefined : readFileSync(file, 'utf8')
}

function readPulled(folder: string): Known {
  const file = join(folder, PULLED)
  if (!existsSync(file)) return {}
  try {
    const { files } = JSON.parse(readFileSync(file, 'utf8')) as { files?: unknown }
    return Object.fromEntries(
      Object.entries(files as object).filter(([, hash]) => typeof hash === 'string'),
    )
  } catch (error) {
    throw new CordonError(
      'INPUT_INVALID',
      `${file} is malformed: remove it, and pull with --force`,
      {
        cause: error,
      },
    )
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** As git shortens its own. */
function shortOf(revision: string | null): string {
  return revision?.replace(/^(sha256:[0-9a-f]{12})[0-9a-f]+$/, '$1') ?? 'none'
}

function textOf(problem: Problem): string {
  return problem.file === '' ? problem.message : formatProblem(problem)
}
