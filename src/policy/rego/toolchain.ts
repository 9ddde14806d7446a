// OPA, the compiler of Rego: found on PATH, else in the tool cache, else built from its module at the pinned version.

import { execFile } from 'node:child_process'
import { accessSync, constants, mkdirSync } from 'node:fs'
import { devNull } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { CordonError } from '../../base/errors.ts'

export const OPA_VERSION = 'v1.22.0'
const MODULE = `github.com/open-policy-agent/opa@${OPA_VERSION}`
const RUN_TIMEOUT_MS = 300_000
const MAX_OUTPUT = 256 * 1024 * 1024

export interface ToolchainOptions {
  /** The environment that programs run in: `PATH` finds them, Go needs the rest for its caches. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder of the tool cache; OPA lies in it as `opa`. */
  readonly toolsDir: string
  /** Whether OPA may be built where it is missing. Only `policy compile` and tests do. */
  readonly mayInstall: boolean
}

export interface RunResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string | undefined
  readonly cwd?: string | undefined
}

export class Toolchain {
  readonly #options: ToolchainOptions
  #opa: string | undefined

  constructor(options: ToolchainOptions) {
    this.#options = options
  }

  /** The path of OPA; throws POLICY_TOOLCHAIN_MISSING with what to do. */
  async opa(): Promise<string> {
    this.#opa ??= this.find()
    if (this.#opa !== undefined) return this.#opa
    if (!this.#options.mayInstall)
      throw this.#missing(
        'OPA is not installed: run "cordon policy compile", which builds it where Go is',
      )
    this.#opa = await this.#install()
    return this.#opa
  }

  /** Where OPA is, without installing anything. */
  find(): string | undefined {
    const cached = join(this.#options.toolsDir, 'opa')
    return find('opa', this.#options.env) ?? (isExecutable(cached) ? cached : undefined)
  }

  /** Runs OPA in a folder, so that the paths it is told, writes down and complains of can be relative. */
  async run(args: readonly string[], { input, cwd }: RunOptions = {}): Promise<RunResult> {
    const { PATH, HOME, TMPDIR } = this.#options.env
    // Texts of other people run in it: secrets of this process are none of its business.
    return run(resolve(await this.opa()), args, { env: { PATH, HOME, TMPDIR }, input, cwd })
  }

  #missing(what: string): CordonError {
    const { toolsDir } = this.#options
    return new CordonError(
      'POLICY_TOOLCHAIN_MISSING',
      `${what}, or put opa ${OPA_VERSION} on PATH${isNowhere(toolsDir) ? '' : ` or into ${toolsDir}`}`,
    )
  }

  #makeToolsDir(): void {
    const { toolsDir } = this.#options
    try {
      mkdirSync(toolsDir, { recursive: true })
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown error'
      throw this.#missing(
        isNowhere(toolsDir)
          ? 'OPA is not installed, and there is no folder of our own to build it into, because there is no home and the one among the temporary files is not ours alone: set HOME or XDG_CACHE_HOME'
          : `OPA is not installed, and its folder cannot be made (${why}): set HOME or XDG_CACHE_HOME to a folder that can be written to`,
      )
    }
  }

  async #install(): Promise<string> {
    if (find('go', this.#options.env) === undefined)
      throw this.#missing(
        'OPA is not installed, and neither is Go, which would build it: install Go',
      )
    this.#makeToolsDir()
    const env = { ...this.#options.env, GOBIN: this.#options.toolsDir, GOFLAGS: '-mod=mod' }
    const { stderr } = await run('go', ['install', MODULE], { env })
    const said = stderr.trim().split('\n').at(-1) ?? ''
    return (
      this.find() ??
      fail(
        this.#missing(
          `OPA is not installed, and "go install ${MODULE}" failed (${said}): try again`,
        ),
      )
    )
  }
}

/** A program on PATH. */
function find(program: string, env: ToolchainOptions['env']): string | undefined {
  return (env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, program))
    .find(isExecutable)
}

function fail(error: Error): never {
  throw error
}

function run(
  file: string,
  args: readonly string[],
  { env, input = '', cwd }: RunOptions & { readonly env: ToolchainOptions['env'] },
): Promise<RunResult> {
  return new Promise((done, reject) => {
    const options = {
      timeout: RUN_TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT,
      encoding: 'utf8' as const,
      env,
      ...(cwd === undefined ? {} : { cwd }),
    }
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined
      if (code === undefined)
        reject(
          new CordonError(
            'POLICY_TOOLCHAIN_MISSING',
            `${file} could not be run: ${error?.message.split('\n', 1)[0] ?? ''}`,
          ),
        )
      else done({ code, stdout, stderr })
    })
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

/** A place in which nothing can be: src/config/cache.ts names it where no folder is ours alone. */
function isNowhere(folder: string): boolean {
  return folder.startsWith(join(devNull, '/'))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
