// Where one compilation works: OPA over copies of a folder's Rego files.
//
// OPA sees the texts that were read: what is compiled is what was hashed. It runs among the copies, because
// the wasm holds their paths as OPA was told them. What it refuses is told at the places that people know.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CordonError, type Problem } from '../../base/errors.ts'
import type { PolicyFolder, SourceFile } from '../folder.ts'
import { fileOfBundle } from './bundle.ts'
import { inParallel } from './in-parallel.ts'
import { sha256 } from './manifest.ts'
import type { Module } from './modules.ts'
import { factsOf, type ModuleFacts } from './syntax.ts'
import type { RunResult, Toolchain } from './toolchain.ts'

/** Same input, same answer: what these read is not in the input. */
export const NON_DETERMINISTIC = new Set([
  'http.send',
  'time.now_ns',
  'rand.intn',
  'uuid.rfc4122',
  'opa.runtime',
  'net.lookup_ip_addr',
])

/** Names that OPA takes for nothing else: a leading dash is an option, a colon ends a prefix. */
const PLAIN_NAME = /^\w[\w./-]*$/
const WRITTEN_AT_ONCE = 64
/** Texts whose syntax trees come from one run of OPA. */
const PARSED_AT_ONCE = 500

export class Desk {
  readonly #work: string
  readonly #folder: PolicyFolder
  readonly #toolchain: Toolchain
  readonly #copies: ReadonlyMap<SourceFile, string>
  /** Those that lie on the desk, or are being put there. */
  readonly #placed = new Map<SourceFile, Promise<void>>()
  readonly #originals: ReadonlyMap<string, SourceFile>

  private constructor(
    work: string,
    folder: PolicyFolder,
    toolchain: Toolchain,
    copies: ReadonlyMap<SourceFile, string>,
  ) {
    this.#work = work
    this.#folder = folder
    this.#toolchain = toolchain
    this.#copies = copies
    this.#originals = new Map([...copies].map(([file, copy]) => [copy, file]))
  }

  /** In an empty folder, where files are copied to as they are wanted; `capabilities`: what policies may call. */
  static async open(
    work: string,
    folder: PolicyFolder,
    toolchain: Toolchain,
    capabilities: string,
  ): Promise<Desk> {
    const copies = new Map(folder.rego.map((file) => [file, copyName(file)]))
    const taken = new Set<string>()
    for (const [file, copy] of copies) {
      if (taken.has(copy))
        throw refused(folder, [{ file: file.path, message: 'the file needs another name' }])
      taken.add(copy)
    }
    await mkdir(join(work, 'sources'))
    await mkdir(join(work, 'answers'))
    await writeFile(join(work, 'capabilities.json'), capabilities)
    return new Desk(work, folder, toolchain, copies)
  }

  /** The name under which OPA knows a file. */
  nameOf(file: SourceFile): string {
    return this.#copies.get(file) ?? ''
  }

  /** What these files define and read, in their order. Throws POLICY_INVALID where one is no Rego. */
  async parse(files: readonly SourceFile[]): Promise<readonly ModuleFacts[]> {
    const batches: (readonly SourceFile[])[] = []
    for (let at = 0; at < files.length; at += PARSED_AT_ONCE)
      batches.push(files.slice(at, at + PARSED_AT_ONCE))
    const facts = await inParallel(batches, (batch) => this.#parseSome(batch, files))
    return facts.flat()
  }

  /** Throws POLICY_INVALID with OPA's own places where it finds anything in these files. Before anything is built. */
  async check(files: readonly SourceFile[]): Promise<void> {
    await this.#place(files)
    const result = await this.#opa([
      'check',
      '--format',
      'json',
      '--capabilities',
      '../capabilities.json',
      '.',
    ])
    if (result.code !== 0) throw this.#refused(result)
  }

  /** The wasm of these modules; `answers` is a module of its own, `key` names it and what comes of it. */
  async build(
    key: string,
    answers: string,
    entrypoints: readonly string[],
    modules: readonly Module[],
  ): Promise<Uint8Array> {
    const bundle = join(this.#work, `${key}.tar.gz`)
    const own = `../answers/${key}.rego`
    await this.#place(modules.map(({ file }) => file))
    await writeFile(join(this.#work, 'answers', `${key}.rego`), answers)
    const result = await this.#opa([
      'build',
      '--target',
      'wasm',
      '--capabilities',
      '../capabilities.json',
      '--output',
      bundle,
      ...entrypoints.flatMap((entrypoint) => ['-e', entrypoint]),
      own,
      ...modules.map(({ file }) => this.nameOf(file)),
    ])
    if (result.code !== 0) throw this.#refused(result)
    return fileOfBundle(await readFile(bundle), 'policy.wasm')
  }

  async #parseSome(
    files: readonly SourceFile[],
    all: readonly SourceFile[],
  ): Promise<readonly ModuleFacts[]> {
    const input = JSON.stringify({ texts: files.map(({ text }) => text) })
    const query =
      '[module | some text in input.texts; module := rego.parse_module("policy.rego", text)]'
    const { code, stdout } = await this.#opa(
      ['eval', '--format', 'raw', '--stdin-input', '--strict-builtin-errors', query],
      input,
    )
    if (code === 0) return (JSON.parse(stdout) as unknown[]).map(factsOf)
    await this.#place(all)
    throw this.#refused(
      await this.#opa(['check', '--format', 'json', '--capabilities', '../capabilities.json', '.']),
    )
  }

  async #place(files: readonly SourceFile[]): Promise<void> {
    for (let at = 0; at < files.length; at += WRITTEN_AT_ONCE)
      await Promise.all(
        files.slice(at, at + WRITTEN_AT_ONCE).map((file) => {
          const placing = this.#placed.get(file) ?? this.#write(file)
          this.#placed.set(file, placing)
          return placing
        }),
      )
  }

  async #write(file: SourceFile): Promise<void> {
    const path = join(this.#work, 'sources', this.nameOf(file))
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, file.text)
  }

  #opa(args: readonly string[], input?: string): Promise<RunResult> {
    return this.#toolchain.run(args, { cwd: join(this.#work, 'sources'), input })
  }

  #refused(result: RunResult): CordonError {
    return refused(this.#folder, problemsOf(result, this.#folder, this.#originals))
  }
}

export function refused(folder: PolicyFolder, problems: readonly Problem[]): CordonError {
  return new CordonError('POLICY_INVALID', `${folder.dir}: the policy folder is refused`, {
    problems,
  })
}

/** By its own name alone, so that other files coming and going change nothing of what it is made into. */
function copyName({ name }: SourceFile): string {
  return PLAIN_NAME.test(name) ? name : `file-${sha256(name).slice(0, 16)}.rego`
}

interface OpaError {
  readonly message: string
  readonly location?: { readonly file: string; readonly row: number; readonly col: number }
}

/** What OPA complains of, as JSON or as lines of `file:row: code: message`, at the places that people know. */
function problemsOf(
  { stdout, stderr }: RunResult,
  folder: PolicyFolder,
  originals: ReadonlyMap<string, SourceFile>,
): Problem[] {
  const errors = jsonErrors(stdout) ?? jsonErrors(stderr) ?? lineErrors(stderr || stdout)
  return errors.map(({ message, location }) => {
    const [, name = ''] = /undefined function (\S+)/.exec(message) ?? []
    const text = NON_DETERMINISTIC.has(name)
      ? `${name} is not allowed: the same input must always give the same answer`
      : message
    const original = location === undefined ? undefined : originals.get(location.file)
    return original === undefined || location === undefined
      ? { file: folder.dir, message: text }
      : {
          file: original.path,
          line: location.row,
          column: Math.max(1, location.col),
          message: text,
        }
  })
}

function jsonErrors(text: string): readonly OpaError[] | undefined {
  try {
    const { errors } = JSON.parse(text) as { errors?: readonly OpaError[] }
    return errors === undefined || errors.length === 0 ? undefined : errors
  } catch {
    return undefined
  }
}

function lineErrors(text: string): readonly OpaError[] {
  const errors = text.split('\n').flatMap((line): OpaError[] => {
    const [, file, row, col, message] =
      /(?:^|\s)(\S+?\.rego):(\d+):(?:(\d+):)? (.+)$/.exec(line) ?? []
    return file === undefined || message === undefined
      ? []
      : [{ message, location: { file, row: Number(row), col: Number(col ?? 1) } }]
  })
  const first = text
    .trim()
    .split('\n', 1)[0]
    ?.replace(/^error: /, '')
  return errors.length > 0 ? errors : [{ message: first || 'OPA refuses the policies' }]
}
