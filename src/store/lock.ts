// One process at a time: an exclusive lock file with the pid and start time of its holder.

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { CordonError } from '../base/errors.ts'

export interface Lock {
  release(): void
}

/** Throws STORE_LOCKED while a living process holds it; the lock of one that has ended is taken over. */
export function takeLock(file: string, what: string): Lock {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const fd = openSync(file, 'wx', 0o600)
      writeSync(fd, `${process.pid} ${startOf(process.pid)}`)
      closeSync(fd)
      return { release: () => rmSync(file, { force: true }) }
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error
      const holder = holderOf(file)
      if (holder !== undefined)
        throw new CordonError('STORE_LOCKED', `${what} is in use by process ${holder} (${file})`)
      rmSync(file, { force: true })
    }
  }
  throw new CordonError('STORE_LOCKED', `${file}: the lock could not be taken`)
}

/** The pid of the living process that holds a lock, if any. */
export function holderOf(file: string): number | undefined {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const [pid = '', start = ''] = text.split(' ')
  return start !== '' && startOf(Number(pid)) === start ? Number(pid) : undefined
}

/** When a process started (clock ticks since boot), so that a reused pid is not mistaken for it. */
function startOf(pid: number): string {
  const file = `/proc/${pid}/stat`
  if (existsSync('/proc/self/stat')) {
    if (!existsSync(file)) return ''
    return readFileSync(file, 'latin1').split(') ').at(-1)?.split(' ')[19] ?? ''
  }
  try {
    process.kill(pid, 0)
    return 'alive'
  } catch {
    return ''
  }
}
