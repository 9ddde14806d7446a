// A disk under which the whole process dies (SIGKILL) at a named point, for real: what the kernel has been given
// stays, what is in memory is gone. The URL of the module says where: `?point=mid-frame&nth=3&part=0.4`.

import { type Disk, realDisk } from '../../src/ledger/disk.ts'

interface Point {
  readonly operation: 'open' | 'write' | 'sync' | 'rename' | 'syncFolder' | 'link'
  readonly path: RegExp
  readonly when: 'before' | 'middle' | 'after'
  /** The first sync of the same file fails, so that its frames move to a new edition. */
  readonly afterFailedSync?: boolean
}

const SEGMENT = /\.seg$/
const EDITION = /-\d+\.seg$/

export const POINTS = {
  'before a write': { operation: 'write', path: SEGMENT, when: 'before' },
  'mid-frame': { operation: 'write', path: SEGMENT, when: 'middle' },
  'after write': { operation: 'write', path: SEGMENT, when: 'after' },
  'before sync': { operation: 'sync', path: SEGMENT, when: 'before' },
  'after sync': { operation: 'sync', path: SEGMENT, when: 'after' },
  'new segment without a head': { operation: 'open', path: SEGMENT, when: 'after' },
  'mid-head of a new segment': { operation: 'write', path: SEGMENT, when: 'middle' },
  'mid-edition': { operation: 'write', path: EDITION, when: 'middle', afterFailedSync: true },
  'edition written': { operation: 'sync', path: EDITION, when: 'before', afterFailedSync: true },
  'leaves half written': { operation: 'write', path: /\.leaves/, when: 'middle' },
  'leaves named': { operation: 'rename', path: /\.leaves/, when: 'after' },
  'checkpoint half written': { operation: 'write', path: /\/checkpoint/, when: 'middle' },
  'checkpoint before its name': { operation: 'rename', path: /\/checkpoint/, when: 'before' },
  'checkpoint named': { operation: 'rename', path: /\/checkpoint/, when: 'after' },
  'seal half written': { operation: 'write', path: /\.seal/, when: 'middle' },
  'seal before its name': { operation: 'rename', path: /\.seal/, when: 'before' },
  'seal named': { operation: 'rename', path: /\.seal/, when: 'after' },
  'key half written': { operation: 'write', path: /ledger\.pem/, when: 'middle' },
  'key named': { operation: 'link', path: /ledger\.pem/, when: 'after' },
  'installation named': { operation: 'link', path: /\/installation/, when: 'after' },
  'public key named': { operation: 'link', path: /\.vkey/, when: 'after' },
  'entry in the list half written': { operation: 'write', path: /\/writers\//, when: 'middle' },
  'entry in the list named': { operation: 'link', path: /\/writers\//, when: 'after' },
} as const satisfies Readonly<Record<string, Point>>

export type PointName = keyof typeof POINTS

/** `nth`: at which time that it comes there; `part`: how much of a write is done, 0 to 1. */
export function doomedDisk(point: Point, nth: number, part: number): Disk {
  const paths = new Map<number, string>()
  let left = nth
  let hasFailed = false
  const pathOf = (fd: number): string => paths.get(fd) ?? ''
  /** Whether this is the end, and how it comes. */
  const ends = (operation: Point['operation'], path: string): Point['when'] | undefined => {
    if (operation !== point.operation || !point.path.test(path)) return undefined
    left -= 1
    return left === 0 ? point.when : undefined
  }
  const dying = <T>(operation: Point['operation'], path: string, act: () => T): T => {
    const end = ends(operation, path)
    if (end === 'before') die()
    const done = act()
    if (end !== undefined) die()
    return done
  }
  return {
    ...realDisk,
    open: (path, as) => {
      const fd = dying('open', path, () => realDisk.open(path, as))
      paths.set(fd, path)
      return fd
    },
    write: (fd, bytes, start) => {
      const end = ends('write', pathOf(fd))
      if (end === 'before') die()
      const size = bytes.length - start
      if (end === 'middle')
        realDisk.write(fd, bytes.subarray(0, start + Math.floor(size * part)), start)
      const written = end === 'middle' ? 0 : realDisk.write(fd, bytes, start)
      if (end !== undefined) die()
      return written
    },
    sync: (fd) => {
      const path = pathOf(fd)
      if (point.afterFailedSync === true && !hasFailed && SEGMENT.test(path)) {
        hasFailed = true
        throw Object.assign(new Error('EIO: fdatasync'), { code: 'EIO' })
      }
      dying('sync', path, () => realDisk.sync(fd))
    },
    rename: (from, to) => dying('rename', to, () => realDisk.rename(from, to)),
    link: (from, to) => dying('link', to, () => realDisk.link(from, to)),
    syncFolder: (path) => dying('syncFolder', path, () => realDisk.syncFolder(path)),
  }
}

function die(): never {
  process.kill(process.pid, 'SIGKILL')
  // The signal is delivered before anything else of this process runs, but not always before this line.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

const asked = new URL(import.meta.url).searchParams
const name = asked.get('point')

/** What the thread of a spool takes for its disk. */
export const disk: Disk =
  name === null || !(name in POINTS)
    ? realDisk
    : doomedDisk(POINTS[name as PointName], Number(asked.get('nth')), Number(asked.get('part')))
