// Threads of our own: started without what the process was started with, which is none of their business.

import { Worker } from 'node:worker_threads'

/**
 * A thread for a file of ours; loaders, inspectors and profilers of the process are not repeated in it. `mostMb`: of
 * JavaScript's memory; beyond it the thread ends, and the process does not.
 */
export function openThread(file: URL, data?: unknown, mostMb?: number): Worker {
  return new Worker(file, {
    workerData: data,
    execArgv: [],
    ...(mostMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: mostMb } }),
  })
}
