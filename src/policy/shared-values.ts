// What several revisions have in common is there once, as long as one of them holds it.
//
// Values are named by what they were made from, so that nothing can be stale.

import { createHash } from 'node:crypto'

export class SharedValues<V extends object> {
  readonly #values = new Map<string, WeakRef<V>>()
  readonly #held = new WeakMap<object, V>()
  readonly #gone = new FinalizationRegistry<string>((key) => {
    if (this.#values.get(key)?.deref() === undefined) this.#values.delete(key)
  })

  /** The value made from these parts, while it is there. */
  get(parts: readonly string[]): V | undefined {
    return this.#values.get(keyOf(parts))?.deref()
  }

  set(parts: readonly string[], value: V): void {
    const key = keyOf(parts)
    this.#values.set(key, new WeakRef(value))
    this.#gone.register(value, key)
  }

  /** Keeps a value as long as something that was made of it is there. */
  keep(value: V, holder: object): void {
    this.#held.set(holder, value)
  }
}

function keyOf(parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:${part}`)
  return hash.digest('base64')
}
