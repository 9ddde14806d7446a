// What the clients need on the machine, kept under the user's cache folder between runs. Each function gives a path
// or throws the reason why there is none, which becomes the text of the empty cells.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { env, getuid } from 'node:process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const PROGRAMS = join(import.meta.dirname, 'programs')
const CACHE = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'cordon/clients')

export function programFile(name: string): string {
  return join(PROGRAMS, name)
}

/** Runs a tool to its end; an error tells its last line. */
export async function output(command: string, args: readonly string[], cwd = '.'): Promise<string> {
  try {
    const { stdout, stderr } = await run(command, args, { cwd, maxBuffer: 1 << 26 })
    return stdout === '' ? stderr : stdout
  } catch (error) {
    const { stderr = '', message } = error as Error & { readonly stderr?: string }
    const [last = message] = stderr.trim().split('\n').slice(-1)
    throw new Error(`${command} failed: ${last === '' ? message : last}`, { cause: error })
  }
}

/** The path of a program; Debian's package of it is installed where that is possible. */
export async function tool(name: string, debian: string): Promise<string> {
  const found = (): string | undefined =>
    (env['PATH'] ?? '')
      .split(delimiter)
      .map((dir) => join(dir, name))
      .find((path) => existsSync(path))
  const there = found()
  if (there !== undefined) return there
  if (getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    throw new Error(`${name} is not installed`)
  await output('apt-get', ['install', '-y', '-q', '--no-install-recommends', debian])
  const installed = found()
  if (installed === undefined) throw new Error(`${name} is not installed`)
  return installed
}

/** A virtual environment with the pinned packages. */
export async function python(): Promise<string> {
  const wanted = programFile('python/requirements.txt')
  const dir = await made('python', [wanted], async (at) => {
    const program = await tool('python3', 'python3-venv')
    await output(program, ['-m', 'venv', at])
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    await output(join(at, 'bin/python'), [...pip, '--requirement', wanted])
  })
  return join(dir, 'bin/python')
}

export async function go(name: 'nethttp' | 'openaigo'): Promise<string> {
  const module = programFile('go')
  const sources = ['go.mod', 'go.sum', 'lines/lines.go', `${name}/main.go`]
  const dir = await made(
    `go-${name}`,
    sources.map((file) => join(module, file)),
    async (at) => {
      const program = await tool('go', 'golang-go')
      await output(program, ['build', '-o', join(at, name), `./${name}`], module)
    },
  )
  return join(dir, name)
}

export async function java(): Promise<string> {
  const source = programFile('java/Ask.java')
  return made('java', [source], async (at) => {
    await output(await tool('javac', 'openjdk-17-jdk-headless'), ['-d', at, source])
  })
}

/** The folder made from these files, made once. Named by its place too: a virtual environment cannot be moved. */
async function made(
  name: string,
  sources: readonly string[],
  make: (dir: string) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256')
  for (const source of sources) hash.update(readFileSync(source))
  const dir = join(CACHE, `${name}-${hash.digest('hex').slice(0, 12)}`)
  const done = join(dir, '.done')
  if (existsSync(done)) return dir
  for (const old of globSync(`${name}-*`, { cwd: CACHE }))
    rmSync(join(CACHE, old), { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  await make(dir)
  mkdirSync(done)
  return dir
}
