// What somebody wants to keep as a policy, read and bounded: what it is, what it is called and where it lies.

import { createHash } from 'node:crypto'
import { CordonError, type Problem } from '../base/errors.ts'
import { compareVersions, isVersion, nextPatch } from '../base/semver.ts'
import type { PolicyLanguage, PolicyType } from '../model/stored-policy.ts'
import { describe, type FileKind, kindOf } from '../policy/describe.ts'
import type { VersionMetadata } from '../store/policy-versions.ts'

/** A text that is to become a policy, a library, a data document or a test. */
export interface PolicyText {
  readonly text: string
  /** Where it lies among the others, such as `acme/limits_test.rego`; policies have one after their id. */
  readonly path?: string
  /** Of a text without a path. */
  readonly language?: 'rego' | 'cedar'
  /** What the caller takes it for: another id in the text is refused. */
  readonly policy_id?: string
}

export interface ReadText {
  readonly policy_id: string
  readonly type: PolicyType
  readonly language: PolicyLanguage
  readonly path: string
  readonly text: string
  readonly sha256: string
  readonly bytes: number
  readonly metadata: VersionMetadata
}

export const MAX_TEXT_BYTES = 256 * 1024
const MAX_ID = 200
/** Ids stand in addresses, lists and file names. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/
/** Folders without a dot, so that none has the name of a file. */
const PATH = /^(?:[A-Za-z0-9_][A-Za-z0-9_-]*\/){0,8}[A-Za-z0-9_][A-Za-z0-9._-]*$/
const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/
const TEXT = '/text'

/** Throws INPUT_INVALID or POLICY_INVALID with every place. */
export function readText(given: PolicyText): ReadText {
  const { policy_id: wanted, path } = given
  // A byte order mark is no part of it: behind one, engines and annotations differ about where a text begins.
  const text = given.text.replace(/^\u{feff}/u, '')
  checkText(text)
  if (path !== undefined) checkPath(path)
  const name = path ?? `policy.${given.language ?? languageOf(text)}`
  const kind = kindOf(name, text)
  if (kind === undefined)
    throw invalid(
      '/path',
      `"${name}" is no name of a policy file: they end with .rego, .cedar, .test.yaml, or are called data.json or data.yaml`,
    )
  if (path === undefined && kind.type !== 'policy')
    throw invalid(
      TEXT,
      'it has none of the rules decision, deny, review, allow and obligations, so it is a library: give its path, such as lib/dates.rego',
    )
  const described = describe({ path: name, name, text }, kind)
  if (described.problems.length > 0) throw refused(described.problems)
  const { metadata } = described
  if (kind.type === 'policy' && metadata === undefined)
    throw refused([{ file: name, message: 'its metadata cannot be read' }])
  const id = kind.type === 'policy' ? (metadata?.id ?? '') : name
  if (id.length > MAX_ID || !ID.test(id))
    throw invalid(
      TEXT,
      `the id "${id.slice(0, MAX_ID)}" cannot be that of a stored policy: 1 to ${MAX_ID} letters, digits and . _ : / -, the first a letter or digit`,
    )
  if (wanted !== undefined && wanted !== id)
    throw invalid('/policy_id', `the text names itself "${id}", not "${wanted.slice(0, MAX_ID)}"`)
  return {
    policy_id: id,
    ...kind,
    path: path ?? pathOf(id, kind),
    text,
    sha256: createHash('sha256').update(text).digest('hex'),
    bytes: Buffer.byteLength(text),
    metadata: metadata === undefined ? { name: id } : metadataOf(metadata),
  }
}

/**
 * The version that comes behind `newest`: the one that is asked for, else the one that the text declares where it is
 * higher, else the next patch. Throws INPUT_INVALID for one that is none, or not higher.
 */
export function versionBehind(
  newest: string | undefined,
  asked: string | undefined,
  declared: string | undefined,
): string {
  const isHigher = (version: string): boolean =>
    isVersion(version) && (newest === undefined || compareVersions(version, newest) > 0)
  if (asked !== undefined) {
    if (!isVersion(asked))
      throw invalid('/version', `"${asked.slice(0, 64)}" is no semantic version such as 1.4.0`)
    if (!isHigher(asked))
      throw invalid(
        '/version',
        `${asked} is not higher than ${newest ?? ''}, the newest version there is`,
      )
    return asked
  }
  if (declared !== undefined && isHigher(declared)) return declared
  const next = newest === undefined ? '1.0.0' : nextPatch(newest)
  if (!isHigher(next)) throw invalid('/version', `say which version comes behind ${newest ?? ''}`)
  return next
}

export function invalid(pointer: string, message: string): CordonError {
  return new CordonError('INPUT_INVALID', message, {
    problems: [{ file: '', pointer, message }],
  })
}

/** What is wrong with the text, at its places. */
export function refused(problems: readonly Problem[]): CordonError {
  return new CordonError(
    'POLICY_INVALID',
    `the policy is not valid: ${problems.length} problem${problems.length === 1 ? '' : 's'}`,
    { problems: problems.map((problem) => ({ pointer: TEXT, ...problem })) },
  )
}

function checkText(text: string): void {
  if (text.trim() === '') throw invalid(TEXT, 'the text is empty')
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES)
    throw invalid(
      TEXT,
      `the text is larger than ${MAX_TEXT_BYTES / 1024} KiB, the most a stored file may have`,
    )
  // Neither survives the way into a database and back.
  if (text.includes('\0') || !text.isWellFormed())
    throw invalid(TEXT, 'the text holds a NUL or half a surrogate pair')
}

function checkPath(path: string): void {
  if (path.length > MAX_ID || !PATH.test(path))
    throw invalid(
      '/path',
      `the path must be relative, of at most ${MAX_ID} letters, digits and . _ -, with / between at most eight folders (which have no dot)`,
    )
}

function languageOf(text: string): 'rego' | 'cedar' {
  return /^[ \t]*package\s/m.test(text) ? 'rego' : 'cedar'
}

/** The names of policy files tell what is in them, so that none is taken for a test. */
function pathOf(id: string, { language }: FileKind): string {
  const plain = PLAIN.test(id)
    ? id
    : `${id.replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${createHash('sha256').update(id).digest('hex').slice(0, 8)}`
  return language === 'rego' && plain.endsWith('_test')
    ? `${plain}.policy.rego`
    : `${plain}.${language}`
}

function metadataOf({
  name,
  description,
  version,
  priority,
  severity,
  mode,
  scope,
  framework,
  article,
}: VersionMetadata): VersionMetadata {
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(version === undefined ? {} : { version }),
    ...(priority === undefined ? {} : { priority }),
    ...(severity === undefined ? {} : { severity }),
    ...(mode === undefined ? {} : { mode }),
    ...(scope === undefined ? {} : { scope }),
    ...(framework === undefined ? {} : { framework }),
    ...(article === undefined ? {} : { article }),
  }
}
