// Whether a set of files may become active: they load as a folder would, beside the folders that are active anyway, and
// their tests pass. What was compiled for that comes out too, so that nothing is compiled twice.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CordonError, type Problem } from '../base/errors.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import type { ArchiveFile } from './bundle/tar.ts'
import { kindOf } from './describe.ts'
import { COMPILED_DIR, type PolicyFolder, readFolderInSlices } from './folder.ts'
import { type LoadOptions, loadPolicySet } from './load.ts'
import { compileBeside } from './rego/compile.ts'
import { runPolicyTests } from './test-runner.ts'

export interface CheckedFiles {
  /** Empty: they may become active. Places are relative to the files, those of folders as they are. */
  readonly problems: readonly Problem[]
  readonly compiled: readonly ArchiveFile[]
  /** How many policies they are. */
  readonly policies: number
}

/** A bundle and a folder hold 50,000, compiled forms among them. */
const MAX_FILES = 49_000
const MAX_BYTES = 64 * 1024 * 1024
/** Of table tests, which run in this process. */
const MAX_TEST_MS = 30_000

/** `options.dirs`: the folders that are active beside the files. Throws POLICY_TOOLCHAIN_MISSING. */
export async function checkFiles(
  files: readonly StoredFile[],
  options: LoadOptions,
): Promise<CheckedFiles> {
  const unplaced = misplaced(files)
  if (unplaced.length > 0) return { problems: unplaced, compiled: [], policies: 0 }
  const dir = await mkdtemp(join(tmpdir(), 'cordon-check-'))
  try {
    for (const { path, text } of files) {
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), text)
    }
    return await check(dir, options)
  } catch (error) {
    if (!(error instanceof CordonError) || error.code === 'POLICY_TOOLCHAIN_MISSING') throw error
    const problems =
      error.problems.length > 0 ? error.problems : [{ file: '', message: error.message }]
    return {
      problems: problems.map((problem) => relativeTo(dir, problem)),
      compiled: [],
      policies: 0,
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function check(dir: string, options: LoadOptions): Promise<CheckedFiles> {
  const folder = await readFolderInSlices(dir)
  if (folder.rego.length > 0)
    await compileBeside(folder, options).catch((error: unknown) => {
      // What else is wrong comes to light below, with this.
      if (!(error instanceof CordonError) || error.code !== 'POLICY_INVALID') throw error
    })
  const policies = await loadPolicySet({ ...options, dirs: [...options.dirs, dir] })
  try {
    const results =
      folder.regoTests.length + folder.tableTests.length === 0
        ? []
        : await runPolicyTests({
            dirs: [dir],
            toolchain: options.toolchain,
            policies,
            timeLimitMs: MAX_TEST_MS,
          })
    const problems = results
      .filter(({ outcome }) => outcome === 'fail')
      .map(({ file, line, name, detail = 'it fails' }) =>
        relativeTo(dir, { file, line, column: 1, message: `the test ${name} fails: ${detail}` }),
      )
    const own = policies.policies.filter(({ file }) => file.startsWith(`${dir}/`))
    problems.push(...unlikeTheirText(folder, own).map((problem) => relativeTo(dir, problem)))
    return { problems, compiled: await compiledIn(join(dir, COMPILED_DIR)), policies: own.length }
  } finally {
    policies.close()
  }
}

/**
 * What is kept as a library, and approved and looked through for conflicts as one, must not be a policy to the engines: how a
 * text is read without compiling it goes by the beginnings of lines.
 */
function unlikeTheirText(
  { rego }: PolicyFolder,
  policies: readonly PolicyMetadata[],
): readonly Problem[] {
  const enforced = new Set(policies.map(({ file }) => file))
  return rego
    .filter(({ name, path, text }) => enforced.has(path) && kindOf(name, text)?.type !== 'policy')
    .map(({ path }) => ({
      file: path,
      line: 1,
      column: 1,
      message:
        'looks like a library and is a policy: begin the rules decision, deny, review, allow and obligations at the beginning of a line',
    }))
}

/** What would lie outside of the folder, on another file, or where a folder is not read. */
function misplaced(files: readonly StoredFile[]): readonly Problem[] {
  const problems: Problem[] = []
  const seen = new Set<string>()
  const folders = new Set<string>()
  let bytes = 0
  for (const { path, text } of files) {
    bytes += Buffer.byteLength(text)
    const parts = path.split('/')
    const isPlain =
      /^[^\\\p{Cc}]+$/u.test(path) &&
      Buffer.byteLength(path) <= 1024 &&
      parts.every((part) => part !== '' && !part.startsWith('.'))
    if (!isPlain) problems.push({ file: path, message: 'is no path below a policy folder' })
    else if (parts.length > 1 && parts[0] === COMPILED_DIR)
      problems.push({ file: path, message: `the folder ${COMPILED_DIR} is not read` })
    if (seen.has(path)) problems.push({ file: path, message: 'stands there twice' })
    seen.add(path)
    for (let end = parts.length - 1; end > 0; end--) folders.add(parts.slice(0, end).join('/'))
  }
  for (const path of seen)
    if (folders.has(path)) problems.push({ file: path, message: 'is a folder of another file' })
  if (files.length > MAX_FILES) problems.push({ file: '', message: `more than ${MAX_FILES} files` })
  if (bytes > MAX_BYTES) problems.push({ file: '', message: `more than ${MAX_BYTES} bytes` })
  return problems
}

async function compiledIn(dir: string): Promise<readonly ArchiveFile[]> {
  // Without Rego there is none.
  const names = await readdir(dir).catch(() => [])
  return Promise.all(names.map(async (path) => ({ path, bytes: await readFile(join(dir, path)) })))
}

/** Nobody knows the folder that they were tried in. */
function relativeTo(dir: string, problem: Problem): Problem {
  const shorter = (text: string): string => text.replaceAll(`${dir}/`, '').replaceAll(dir, '')
  return { ...problem, file: shorter(problem.file), message: shorter(problem.message) }
}
