import { availableParallelism } from 'node:os'
import type { Config } from '../config/schema.ts'

/** Gateway workers of one machine. */
export function workerCount({ proxy }: Config): number {
  return proxy.workers === 'auto' ? availableParallelism() : proxy.workers
}
