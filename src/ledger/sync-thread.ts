// The thread that calls fdatasync; a descriptor belongs to the whole process.

import { fdatasyncSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'

parentPort?.on('message', ({ id, fd }: { id: number; fd: number }) => {
  try {
    fdatasyncSync(fd)
    parentPort?.postMessage({ id })
  } catch (error) {
    parentPort?.postMessage({ id, error: error instanceof Error ? error.message : 'failed' })
  }
})
