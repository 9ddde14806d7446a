// OPA, the compiler of Rego: found on PATH, else in the tool cache, else built from its module at the pinned version.

import { execFile } from 'node:child_process'
import { accessSync, constants, mkdirSync } from 'node:fs'
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
    this.#opa ??= this.find() ?? (this.#options.mayInstall ? await this.#install() : undefined)
    if (this.#opa === undefined) {
      throw new CordonError(
        'POLICY_TOOLCHAIN_MISSING',
        `these Rego policies have no fresh compiled form and OPA is not installed: run "cordon policy compile", or put opa ${OPA_VERSION} on PATH or into ${this.#options.toolsDir}`,
      )
    }
    return this.#opa
  }

  /** Where OPA is, without installing anything. */
  find(): string | undefined {
    const folders = [
      ...(this.#options.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
      this.#options.toolsDir,
    ]
    return folders.map((folder) => join(folder, 'opa')).find(isExecutable)
  }

  /** Runs OPA in a folder, so that the paths it is told, writes down and complains of can be relative. */
  async run(args: readonly string[], { input, cwd }: RunOptions = {}): Promise<RunResult> {
    return run(resolve(await this.opa()), args, { env: this.#options.env, input, cwd })
  }

  async #install(): Promise<string | undefined> {
    mkdirSync(this.#options.toolsDir, { recursive: true })
    const env = { ...this.#options.env, GOBIN: this.#options.toolsDir, GOFLAGS: '-mod=mod' }
    const { code } = await run('go', ['install', MODULE], { env })
    return code === 0 ? this.find() : undefined
  }
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

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
