// A pg.Pool whose connections speak PostgreSQL's protocol to the embedded database in its thread.

import { protocol } from '@electric-sql/pglite'
import { createPgConfig } from '@electric-sql/pglite/node-postgres'
import { Pool } from 'pg'
import { CordonError } from '../base/errors.ts'
import { openThread } from '../base/thread.ts'

interface Reply {
  readonly id?: number
  readonly ready?: boolean
  readonly bytes?: Uint8Array
  readonly error?: string
}

export interface EmbeddedPool {
  readonly pool: Pool
  close(): Promise<void>
}

/** Resolves when the database is ready; a new folder takes a few seconds. */
export async function openEmbedded(dir: string): Promise<EmbeddedPool> {
  const worker = openThread(new URL('./pglite-worker.ts', import.meta.url), { dir })
  const open = new Map<
    number,
    { resolve: (bytes: Uint8Array) => void; reject: (error: Error) => void }
  >()
  let next = 1
  let gone: Error | undefined
  const ready = new Promise<void>((resolve, reject) => {
    worker.on('message', (reply: Reply) => {
      if (reply.ready === true) return resolve()
      if (reply.ready === false)
        return reject(
          new CordonError(
            'STORE_UNAVAILABLE',
            `the embedded database does not open ${dir}: ${reply.error ?? ''}`,
          ),
        )
      const call = open.get(reply.id ?? 0)
      open.delete(reply.id ?? 0)
      if (reply.error === undefined) call?.resolve(reply.bytes ?? new Uint8Array())
      else call?.reject(new Error(reply.error))
    })
    const lost = (error: Error): void => {
      gone = error
      reject(error)
      for (const { reject: fail } of open.values()) fail(error)
      open.clear()
    }
    worker.on('error', lost)
    worker.on('exit', () =>
      lost(new CordonError('STORE_UNAVAILABLE', 'the embedded database has ended')),
    )
  })
  ready.catch(() => undefined)
  const call = (message: { bytes?: Uint8Array; close?: true }): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      if (gone !== undefined) return reject(gone)
      const id = next++
      open.set(id, { resolve, reject })
      worker.postMessage({ id, ...message })
    })
  const stub = {
    waitReady: ready,
    execProtocolStream: async (bytes: Uint8Array) => {
      const messages: unknown[] = []
      new protocol.Parser().parse(await call({ bytes }), (message: unknown) =>
        messages.push(message),
      )
      return messages
    },
  }
  const pool = new Pool(createPgConfig(stub as never))
  pool.on('error', () => undefined)
  await ready
  return {
    pool,
    close: async () => {
      await pool.end().catch(() => undefined)
      await call({ close: true }).catch(() => undefined)
      await worker.terminate()
    },
  }
}
