// The embedded PostgreSQL lives in this thread: in the main one it would stop all traffic while it works.

import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'

const { dir } = workerData as { dir: string }
const db = new PGlite(dir, {
  startParams: [...PGlite.defaultStartParams, '-c', 'shared_buffers=16MB'],
})

try {
  await db.waitReady
  parentPort?.postMessage({ ready: true })
} catch (error) {
  parentPort?.postMessage({
    ready: false,
    error: error instanceof Error ? error.message : 'failed',
  })
}

parentPort?.on('message', (message: { id: number; bytes?: Uint8Array; close?: true }) => {
  void answer(message)
})

async function answer({
  id,
  bytes,
  close,
}: {
  id: number
  bytes?: Uint8Array
  close?: true
}): Promise<void> {
  try {
    if (close === true) {
      await db.close()
      parentPort?.postMessage({ id })
      parentPort?.close()
      return
    }
    const out = (await db.execProtocolRaw(bytes ?? new Uint8Array())).slice()
    parentPort?.postMessage({ id, bytes: out }, [out.buffer])
  } catch (error) {
    parentPort?.postMessage({ id, error: error instanceof Error ? error.message : 'failed' })
  }
}
