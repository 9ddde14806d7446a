// A policy folder as it lies on disk: policies, libraries, data documents and tests, read once.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, sep } from 'node:path'
import { parse as parseYaml, YAMLParseError } from 'yaml'
import { CordonError, type Problem } from '../base/errors.ts'
import { parseExact } from '../base/exact-json.ts'
import { atOnce, inSlices } from '../base/pace.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import { isObject } from './metadata.ts'

export interface SourceFile {
  /** As people know it: the folder's path joined with the file's. */
  readonly path: string
  /** Relative to the folder, with `/`. */
  readonly name: string
  readonly text: string
}

export interface PolicyFolder {
  readonly dir: string
  readonly rego: readonly SourceFile[]
  readonly cedar: readonly SourceFile[]
  readonly regoTests: readonly SourceFile[]
  readonly tableTests: readonly SourceFile[]
  /** Base documents merged under their folders' paths. */
  readonly data: Readonly<Record<string, unknown>>
  /** sha256 over names and contents of what decisions depend on, hex. */
  readonly digest: string
}

/** Compiled forms lie here, beside the sources. */
export const COMPILED_DIR = 'compiled'

const MAX_FILES = 50_000
const MAX_FILE_BYTES = 8 * 1024 * 1024
const MAX_DEPTH = 32
/** A byte order mark is no part of the text: behind it no annotation would be one. */
const UTF8 = new TextDecoder('utf-8', { fatal: true })

/** Throws NOT_FOUND where the folder cannot be read, POLICY_INVALID for data documents that are malformed. */
export function readFolder(dir: string): PolicyFolder {
  return atOnce(readingOf(dir))
}

/** The files of a folder as they lie there, tests and data documents too. Throws NOT_FOUND. */
export function policyFilesIn(dir: string): readonly StoredFile[] {
  return atOnce(policyFiles(dir)).map((path) => ({
    path: relative(dir, path).split(sep).join('/'),
    text: readText(path),
  }))
}

/** The same in slices, for a process that has something else to do meanwhile. */
export function readFolderInSlices(dir: string): Promise<PolicyFolder> {
  return inSlices(readingOf(dir))
}

/** Stops after each file. */
function* readingOf(dir: string): Generator<undefined, PolicyFolder> {
  const files = yield* policyFiles(dir)
  const problems: Problem[] = []
  const rego: SourceFile[] = []
  const cedar: SourceFile[] = []
  const regoTests: SourceFile[] = []
  const tableTests: SourceFile[] = []
  const data: Record<string, unknown> = {}
  const hash = createHash('sha256')
  for (const path of files) {
    yield
    const name = relative(dir, path).split(sep).join('/')
    const text = readText(path)
    const file = { path, name, text }
    if (name.endsWith('_test.rego')) regoTests.push(file)
    else if (/\.test\.ya?ml$/.test(name)) tableTests.push(file)
    else {
      hash.update(`${name}\0${text.length}\0${text}\0`)
      if (name.endsWith('.rego')) rego.push(file)
      else if (name.endsWith('.cedar')) cedar.push(file)
      else addData(file, data, problems)
    }
  }
  if (problems.length > 0)
    throw new CordonError('POLICY_INVALID', `${dir}: the policy folder is not valid`, { problems })
  return { dir, rego, cedar, regoTests, tableTests, data, digest: hash.digest('hex') }
}

/** Puts a data document where its folder says; what is wrong with it goes into `problems`. */
export function addData(
  file: SourceFile,
  data: Record<string, unknown>,
  problems: Problem[],
): void {
  let document: unknown
  try {
    document = file.name.endsWith('.json') ? parseExact(file.text) : parseYaml(file.text)
  } catch (error) {
    problems.push(malformed(file, error))
    return
  }
  if (!isObject(document)) {
    problems.push({ file: file.path, message: 'a data document must be an object' })
    return
  }
  const folder = dirname(file.name)
  const placed: unknown = (folder === '.' ? [] : folder.split('/')).reduceRight<unknown>(
    (inner, part) => ({ [part]: inner }),
    document,
  )
  const twice = merge(data, placed as Record<string, unknown>)
  if (twice !== undefined)
    problems.push({
      file: file.path,
      message: `"${twice}" is given by another data document already`,
    })
}

/** What a parser says, at the place that it names; a text that ends early ends at its end. */
function malformed({ path, text }: SourceFile, error: unknown): Problem {
  const message = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : 'malformed'
  if (error instanceof YAMLParseError) {
    const [start] = error.linePos ?? []
    return {
      file: path,
      line: start?.line ?? 1,
      column: start?.col ?? 1,
      message: message.replace(/ at line \d+, column \d+:$/, ''),
    }
  }
  const [, at = String(text.length)] = / at position (\d+)/.exec(message) ?? []
  const before = text.slice(0, Number(at)).split('\n')
  return {
    file: path,
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1,
    message: message.replace(/ (?:in JSON )?at position .*$/, ''),
  }
}

/** Merges objects, as OPA does for the documents of a bundle; the path of a value that both give, if any. */
function merge(
  target: Record<string, unknown>,
  source: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const [key, value] of Object.entries(source)) {
    const known = Object.hasOwn(target, key) ? target[key] : undefined
    if (isObject(known) && isObject(value)) {
      const inner = merge(known, value)
      if (inner !== undefined) return `${key}.${inner}`
    } else if (known !== undefined) return key
    // Not an assignment: a key may be called __proto__.
    else
      Object.defineProperty(target, key, {
        value,
        enumerable: true,
        writable: true,
        configurable: true,
      })
  }
  return undefined
}

function* policyFiles(dir: string): Generator<undefined, string[]> {
  const found: string[] = []
  const walk = function* (folder: string, depth: number): Generator<undefined, void> {
    let entries
    try {
      entries = readdirSync(folder, { withFileTypes: true })
    } catch (error) {
      throw new CordonError('NOT_FOUND', `${folder}: cannot be read as a policy folder`, {
        cause: error,
      })
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name)
      if (entry.name.startsWith('.') || (depth === 0 && isCompiled(path, entry.name))) continue
      if (
        entry.isDirectory() ||
        (entry.isSymbolicLink() &&
          statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
      ) {
        if (depth >= MAX_DEPTH)
          throw new CordonError('POLICY_INVALID', `${path}: folders nest deeper than ${MAX_DEPTH}`)
        yield* walk(path, depth + 1)
      } else if (isPolicyFile(entry.name)) {
        found.push(path)
        if (found.length > MAX_FILES)
          throw new CordonError('POLICY_INVALID', `${dir}: more than ${MAX_FILES} files`)
        checkFile(path)
        yield
      }
    }
  }
  yield* walk(dir, 0)
  return found
}

/** A pipe or a device would be read for ever. */
function checkFile(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) throw new CordonError('NOT_FOUND', `${path}: cannot be read`)
  if (!stat.isFile()) throw new CordonError('POLICY_INVALID', `${path}: is not a file`)
  if (stat.size > MAX_FILE_BYTES)
    throw new CordonError('POLICY_INVALID', `${path}: larger than ${MAX_FILE_BYTES} bytes`)
}

function readText(path: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw new CordonError('NOT_FOUND', `${path}: cannot be read`, { cause: error })
  }
  try {
    return UTF8.decode(bytes)
  } catch (error) {
    throw new CordonError('POLICY_INVALID', `${path}: is no text in UTF-8: save it as UTF-8`, {
      cause: error,
    })
  }
}

function isCompiled(path: string, name: string): boolean {
  return name === COMPILED_DIR && existsSync(join(path, 'manifest.json'))
}

function isPolicyFile(name: string): boolean {
  return (
    name.endsWith('.rego') ||
    name.endsWith('.cedar') ||
    /^data\.(?:json|ya?ml)$/.test(basename(name)) ||
    /\.test\.ya?ml$/.test(name)
  )
}
