// A disk that fails as it is told to: full, read-only, failing, short, dead in the middle of anything.

import { existsSync, statSync, truncateSync } from 'node:fs'
import { type Disk, realDisk } from '../../src/ledger/disk.ts'

export type Operation = keyof Disk

const CHANGES = new Set<Operation>([
  'makeFolder',
  'open',
  'write',
  'sync',
  'truncate',
  'rename',
  'link',
  'remove',
  'syncFolder',
])

/** The process has died: nothing more reaches the disk. */
export class Died extends Error {
  constructor() {
    super('died')
  }
}

/** One thing that goes wrong. */
export interface Fault {
  readonly operation: Operation
  /** Part of the path that it is done to; of an open file that of its opening. */
  readonly path?: string | RegExp
  /** The code of the failure; `die`: the process ends there. */
  readonly fails: 'EIO' | 'ENOSPC' | 'EROFS' | 'die'
  /** `after`: it is done, and then fails. */
  readonly when?: 'before' | 'after'
  /** How often; without end where absent. */
  times?: number
  /** Of a write: how many bytes of it are written before it fails. */
  readonly keepsBytes?: number
}

export class FaultyDisk implements Disk {
  /** What goes wrong from now on; the first one that fits. */
  faults: Fault[] = []
  /** Each operation that was asked for, in order: `sync 0000000000000001.seg`. */
  readonly done: string[] = []
  /** Bytes that are free; the real ones where absent. */
  freeBytes: number | undefined
  hasDied = false
  /** The process dies with the so manieth change from now on. */
  diesAfter = Infinity
  readonly #paths = new Map<number, string>()
  /** Bytes of files, and how many of them would survive a power loss. */
  readonly #files = new Map<string, { written: number; synced: number }>()
  readonly #under: Disk

  constructor(under: Disk = realDisk) {
    this.#under = under
  }

  makeFolder(path: string): void {
    this.#do('makeFolder', path, () => this.#under.makeFolder(path))
  }

  list(path: string): string[] {
    return this.#do('list', path, () => this.#under.list(path))
  }

  has(path: string): boolean {
    return this.#do('has', path, () => this.#under.has(path))
  }

  read(path: string): Buffer {
    return this.#do('read', path, () => this.#under.read(path))
  }

  identity(path: string): string | undefined {
    return this.#do('identity', path, () => this.#under.identity(path))
  }

  open(path: string, as: 'new' | 'over' | 'end'): number {
    return this.#do('open', path, () => {
      const fd = this.#under.open(path, as)
      this.#paths.set(fd, path)
      const kept = as === 'end' ? statSync(path).size : 0
      this.#files.set(path, { written: kept, synced: kept })
      return fd
    })
  }

  write(fd: number, bytes: Buffer, start: number): number {
    const path = this.#pathOf(fd)
    const fault = this.#faultOf('write', path)
    if (fault === undefined)
      return this.#do('write', path, () => this.#write(fd, bytes, start, bytes.length))
    const { keepsBytes = 0 } = fault
    if (keepsBytes > 0) {
      const end = Math.min(bytes.length, start + keepsBytes)
      for (let at = start; at < end;) at += this.#write(fd, bytes, at, end)
      // As a kernel does: a short count now, the failure with the next call.
      if (fault.fails !== 'die') {
        this.faults.unshift({ ...fault, keepsBytes: 0, times: 1 })
        this.#spend(fault)
        return end - start
      }
    }
    return this.#fail(fault)
  }

  sync(fd: number): void {
    const path = this.#pathOf(fd)
    this.#do('sync', path, () => {
      this.#under.sync(fd)
      const file = this.#files.get(path)
      if (file !== undefined) file.synced = file.written
    })
  }

  truncate(fd: number, length: number): void {
    const path = this.#pathOf(fd)
    this.#do('truncate', path, () => {
      this.#under.truncate(fd, length)
      this.#files.set(path, {
        written: length,
        synced: Math.min(length, this.#files.get(path)?.synced ?? length),
      })
    })
  }

  close(fd: number): void {
    // What a dead process had open is closed by the kernel.
    if (this.hasDied) return this.#under.close(fd)
    this.#do('close', this.#pathOf(fd), () => this.#under.close(fd))
  }

  rename(from: string, to: string): void {
    this.#do('rename', to, () => {
      this.#under.rename(from, to)
      this.#files.delete(from)
    })
  }

  link(from: string, to: string): void {
    this.#do('link', to, () => this.#under.link(from, to))
  }

  remove(path: string): void {
    this.#do('remove', path, () => this.#under.remove(path))
  }

  syncFolder(path: string): void {
    this.#do('syncFolder', path, () => this.#under.syncFolder(path))
  }

  free(path: string): number {
    return this.#do('free', path, () => this.freeBytes ?? this.#under.free(path))
  }

  /** What was never synced is gone. */
  losePower(): void {
    for (const [path, { written, synced }] of this.#files)
      if (written > synced && existsSync(path)) truncateSync(path, synced)
  }

  #write(fd: number, bytes: Buffer, start: number, end: number): number {
    const count = this.#under.write(fd, bytes.subarray(0, end), start)
    const file = this.#files.get(this.#pathOf(fd))
    if (file !== undefined) file.written += count
    return count
  }

  #do<T>(operation: Operation, path: string, act: () => T): T {
    if (this.hasDied) throw new Died()
    if (CHANGES.has(operation) && --this.diesAfter <= 0) this.#die()
    this.done.push(`${operation} ${path.split('/').at(-1)}`)
    const fault = this.#faultOf(operation, path)
    if (fault?.when === 'after') act()
    if (fault !== undefined) return this.#fail(fault)
    return act()
  }

  #faultOf(operation: Operation, path: string): Fault | undefined {
    return this.faults.find(
      (fault) =>
        fault.operation === operation &&
        (fault.path === undefined ||
          (typeof fault.path === 'string' ? path.includes(fault.path) : fault.path.test(path))),
    )
  }

  #fail(fault: Fault): never {
    this.#spend(fault)
    if (fault.fails === 'die') this.#die()
    throw Object.assign(new Error(`${fault.fails}: ${fault.operation}`), { code: fault.fails })
  }

  #die(): never {
    this.hasDied = true
    throw new Died()
  }

  #spend(fault: Fault): void {
    if (fault.times === undefined) return
    fault.times -= 1
    if (fault.times <= 0) this.faults = this.faults.filter((each) => each !== fault)
  }

  #pathOf(fd: number): string {
    return this.#paths.get(fd) ?? ''
  }
}
