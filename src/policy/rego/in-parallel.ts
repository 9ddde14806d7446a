import { availableParallelism } from 'node:os'

/** Runs of OPA at a time; each takes some hundred megabytes. */
const MOST = 4

/**
 * Results in the order of the items. After the first failure nothing new begins, and that one is thrown once all
 * that runs has ended. `onProgress`: after each, how many are done.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  onProgress?: (done: number, of: number) => void,
): Promise<R[]> {
  const results: R[] = []
  const waiting = [...items.entries()]
  let done = 0
  const runner = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, item] = next
      try {
        results[index] = await work(item)
      } catch (error) {
        waiting.length = 0
        throw error
      }
      onProgress?.((done += 1), items.length)
    }
  }
  const runners = Array.from({ length: Math.min(MOST, availableParallelism()) }, runner)
  const ended = await Promise.allSettled(runners)
  for (const each of ended) if (each.status === 'rejected') throw each.reason
  return results
}
