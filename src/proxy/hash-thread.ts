// The thread that checks passwords: a hash takes a tenth of a second, in which no request could pass.

import { parentPort } from 'node:worker_threads'
import { verifyHash } from './crypt.ts'

export interface HashQuestion {
  readonly id: number
  readonly hash: string
  readonly password: string
}

export interface HashAnswer {
  readonly id: number
  readonly matches: boolean
}

parentPort?.on('message', ({ id, hash, password }: HashQuestion) => {
  let matches = false
  try {
    matches = verifyHash(hash, password)
  } catch {
    // A hash that cannot be computed is nobody's.
  }
  parentPort?.postMessage({ id, matches } satisfies HashAnswer)
})
