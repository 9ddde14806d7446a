// One process at a time: a lock file that holds the pid and start time of its holder from the first moment on.

import { randomUUID } from 'node:crypto'
import {
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'

export interface Lock {
  release(): void
}

const ATTEMPTS = 5

/** The lock, or undefined while a living process holds it; that of a process that has ended is taken over. */
export function tryLock(file: string): Lock | undefined {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const mine = `${process.pid} ${startOf(process.pid)}`
  const draft = `${file}.${randomUUID()}`
  try {
    writeFileSync(draft, mine, { mode: 0o600 })
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (succeeds('EEXIST', () => place(draft, file)))
        return { release: () => rmSync(file, { force: true }) }
      const held = textOf(file)
      if (held !== undefined && holderIn(held) !== undefined) return undefined
      if (held !== undefined) setAside(file, held)
    }
    return undefined
  } finally {
    rmSync(draft, { force: true })
  }
}

/** The pid of the living process that holds a lock, if any. */
export function lockHolder(file: string): number | undefined {
  const text = textOf(file)
  return text === undefined ? undefined : holderIn(text)
}

/** A link appears with its content: nobody ever sees an empty lock and takes it for a dead one. */
function place(draft: string, file: string): void {
  // Some network file systems have no links.
  if (!succeeds('EPERM', () => linkSync(draft, file)))
    copyFileSync(draft, file, constants.COPYFILE_EXCL)
}

/** Of several that found the same dead lock one moves it; whoever moved a newer one by mistake gives it back. */
function setAside(file: string, dead: string): void {
  const aside = `${file}.${randomUUID()}`
  if (!succeeds('ENOENT', () => renameSync(file, aside))) return
  if (textOf(aside) !== dead) succeeds('EEXIST', () => linkSync(aside, file))
  rmSync(aside, { force: true })
}

function holderIn(text: string): number | undefined {
  const [pid = '', start = ''] = text.split(' ')
  return start !== '' && startOf(Number(pid)) === start ? Number(pid) : undefined
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function succeeds(unless: string, act: () => void): boolean {
  try {
    act()
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === unless) return false
    throw error
  }
}

/** When a process started (clock ticks since boot), so that a reused pid is not mistaken for it. */
function startOf(pid: number): string {
  if (existsSync('/proc/self/stat')) {
    const stat = textOf(`/proc/${pid}/stat`)
    const fields = stat?.split(') ').at(-1)?.split(' ') ?? []
    // A zombie has ended, although nobody has asked how.
    return fields[0] === 'Z' ? '' : (fields[19] ?? '')
  }
  try {
    process.kill(pid, 0)
    return 'alive'
  } catch {
    return ''
  }
}
