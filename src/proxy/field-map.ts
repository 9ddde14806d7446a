// A head's fields as the map that signatures ask, without building one: most requests ask for nothing.

import { FIELD_STRIDE, type FieldList, fieldValue } from '../http1/message.ts'

/** Lower-case names to first values, read out of the list at each call. */
export class FieldMap implements ReadonlyMap<string, string> {
  readonly #fields: FieldList

  constructor(fields: FieldList) {
    this.#fields = fields
  }

  get size(): number {
    return this.#map().size
  }

  get(name: string): string | undefined {
    return fieldValue(this.#fields, name)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  forEach(each: (value: string, name: string, map: ReadonlyMap<string, string>) => void): void {
    for (const [name, value] of this.#map()) each(value, name, this)
  }

  entries(): MapIterator<[string, string]> {
    return this.#map().entries()
  }

  keys(): MapIterator<string> {
    return this.#map().keys()
  }

  values(): MapIterator<string> {
    return this.#map().values()
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.#map().entries()
  }

  #map(): Map<string, string> {
    const map = new Map<string, string>()
    for (let index = 0; index < this.#fields.length; index += FIELD_STRIDE) {
      const name = this.#fields[index + 1] ?? ''
      if (!map.has(name)) map.set(name, this.#fields[index + 2] ?? '')
    }
    return map
  }
}
