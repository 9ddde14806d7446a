import { CordonError } from './errors.ts'

/** Rejects with STORE_UNAVAILABLE where the work takes longer. */
export function withTimeout<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new CordonError('STORE_UNAVAILABLE', `no answer within ${ms} ms`)),
      ms,
    )
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
