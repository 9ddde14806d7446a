// Records behind the newest checkpoint. A checkpoint follows every ten seconds, so they can only be of the last seconds: where
// they are more, newer checkpoints were taken away, and with them the proof of what these records were.

import { timeText } from './report.ts'

/** A machine that is busy, or a disk that fails for a moment, makes it longer than ten seconds. */
const MOST_MS = 60_000

export class Beyond {
  #firstSeq: number | undefined
  #lastSeq = 0
  #from = Infinity
  #to = -Infinity

  add({ seq, time }: { readonly seq: number; readonly time: number }): void {
    this.#firstSeq = Math.min(this.#firstSeq ?? seq, seq)
    this.#lastSeq = Math.max(this.#lastSeq, seq)
    this.#from = Math.min(this.#from, time)
    this.#to = Math.max(this.#to, time)
  }

  /**
   * What is to be told where they are of more than the last seconds: before the checkpoint's time (`signed`), or
   * before now, where a Cordon writes while this is read. Milliseconds.
   */
  tooLong(signed = -Infinity, now = Date.now()): string | undefined {
    if (this.#firstSeq === undefined) return undefined
    if (this.#from >= now - MOST_MS && this.#to <= now + MOST_MS) return undefined
    const isLong = this.#to - this.#from > MOST_MS || this.#to - signed > MOST_MS
    if (!isLong) return undefined
    const [from, to] = [this.#from, this.#to].map((time) => timeText(time) ?? '')
    return `records ${this.#firstSeq} to ${this.#lastSeq}, from ${from} to ${to}, are covered by no checkpoint, and one follows every ten seconds: they may have been changed`
  }
}
