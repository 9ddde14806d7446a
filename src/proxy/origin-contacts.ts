// What does an origin speak, and is it who it says? Asked at first contact, before a byte of a request is
// sent, and remembered for some minutes.

import { LRUCache } from 'lru-cache'
import type { Protocol } from './origin-tls.ts'
import type { Origins, Way } from './origins.ts'
import { isRefusal } from './results.ts'

const MOST = 10_000
const KNOWN_MS = 5 * 60_000

type Answer = (protocol: Protocol | undefined) => void

export class OriginContacts {
  readonly #origins: Origins
  readonly #known = new LRUCache<string, Protocol>({ max: MOST, ttl: KNOWN_MS })
  readonly #asking = new Map<string, Answer[]>()

  constructor(origins: Origins) {
    this.#origins = origins
  }

  /** What the origin chose of what is offered; undefined where it could not be had, or is not who it says. */
  ask(way: Way, offered: readonly Protocol[], answer: Answer): void {
    const key = `${way.authority} ${offered.join()}`
    const known = this.#known.get(key)
    if (known !== undefined) {
      answer(known)
      return
    }
    const asking = this.#asking.get(key)
    if (asking !== undefined) {
      asking.push(answer)
      return
    }
    const waiting = [answer]
    this.#asking.set(key, waiting)
    const first = { ...way, protocols: offered }
    this.#origins.connect(first, (opened) => {
      this.#asking.delete(key)
      if (isRefusal(opened)) {
        for (const each of waiting) each(undefined)
        return
      }
      this.#known.set(key, opened.protocol)
      // The connection serves the first request.
      this.#origins.adopt(
        { ...way, protocols: opened.protocol === 'h2' ? ['h2', 'http/1.1'] : ['http/1.1'] },
        opened,
      )
      for (const each of waiting) each(opened.protocol)
    })
  }

  forget(): void {
    this.#known.clear()
  }
}
