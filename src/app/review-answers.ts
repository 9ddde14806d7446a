// Requests that are held wait here for a reviewer's answer.

import type { ReviewState } from '../decision/decide.ts'

export class ReviewAnswers {
  readonly #waiting = new Map<string, Set<(state: ReviewState['state']) => void>>()

  /** Resolves with the answer, or `pending` after the time limit or the cancellation. */
  wait(reviewId: string, timeoutMs: number, cancelled: AbortSignal): Promise<ReviewState['state']> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(reviewId) ?? new Set()
      this.#waiting.set(reviewId, waiting)
      const end = (state: ReviewState['state']): void => {
        clearTimeout(timer)
        cancelled.removeEventListener('abort', gone)
        waiting.delete(end)
        if (waiting.size === 0) this.#waiting.delete(reviewId)
        resolve(state)
      }
      const gone = (): void => end('pending')
      const timer = setTimeout(gone, timeoutMs)
      cancelled.addEventListener('abort', gone)
      waiting.add(end)
    })
  }

  /** Somebody answered: whatever is held at this moment goes on. */
  answered(reviewId: string, state: 'approved' | 'denied'): void {
    for (const end of Array.from(this.#waiting.get(reviewId) ?? [])) end(state)
  }
}
