// fdatasync on a thread of its own: the shared pool also serves DNS and decompression.

import type { Worker } from 'node:worker_threads'
import { openThread } from '../base/thread.ts'

export interface Syncer {
  /** Resolves when what was written to the descriptor before the call survives power loss. */
  sync(fd: number): Promise<void>
  close(): Promise<void>
}

export class SyncThread implements Syncer {
  #worker: Worker | undefined
  readonly #open = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  #next = 1
  #gone: Error | undefined

  sync(fd: number): Promise<void> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone)
    const id = this.#next++
    this.#worker ??= this.#start()
    const worker = this.#worker
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject })
      worker.postMessage({ id, fd })
    })
  }

  async close(): Promise<void> {
    this.#gone ??= new Error('the sync thread has ended')
    await this.#worker?.terminate()
  }

  /** With the first sync: commands that record nothing start no thread. */
  #start(): Worker {
    const worker = openThread(new URL('./sync-thread.ts', import.meta.url))
    worker.unref()
    worker.on('message', ({ id, error }: { id: number; error?: string }) => {
      const open = this.#open.get(id)
      this.#open.delete(id)
      if (error === undefined) open?.resolve()
      else open?.reject(new Error(error))
    })
    worker.on('error', (error) => this.#lost(error))
    worker.on('exit', () => this.#lost(new Error('the sync thread has ended')))
    return worker
  }

  #lost(error: Error): void {
    this.#gone ??= error
    for (const { reject } of this.#open.values()) reject(error)
    this.#open.clear()
  }
}
