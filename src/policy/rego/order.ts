// In which order does a policy walk over sets and objects? In that of their members, as OPA does.
//
// OPA's wasm walks them as their hashes fall. Its `opa_value_iter` asks here for the member that follows;
// the members are read from where they lie in memory (wasm/src/value.h of OPA: `opa_set_t`, `opa_object_t`).

import { compare, decode, type RegoValue } from './value.ts'

const OBJECT = 6
const STRING = 4
const INTERNED_STRING = 8
const AT = { buckets: 4, bucketCount: 8, stringLength: 4, stringText: 8 }

export class SortedIteration {
  readonly #memory: WebAssembly.Memory
  readonly #dump: (address: number) => string
  readonly #charge: (members: number) => void
  /** For each collection that is being walked over, the member after each member. */
  readonly #following = new Map<number, ReadonlyMap<number, number>>()

  /** `charge`: told of every walk that begins, with its members. */
  constructor(
    memory: WebAssembly.Memory,
    dump: (address: number) => string,
    charge: (members: number) => void,
  ) {
    this.#memory = memory
    this.#dump = dump
    this.#charge = charge
  }

  /** The key after another one, 0 after the last; 0 as the key asks for the first. */
  next(collection: number, key: number): number {
    // A walk that begins sorts anew: what lies at the address may be another collection by now.
    const known = key === 0 ? undefined : this.#following.get(collection)
    return (known ?? this.#sort(collection)).get(key) ?? 0
  }

  clear(): void {
    // Clearing an empty map makes a new table for it.
    if (this.#following.size > 0) this.#following.clear()
  }

  #sort(collection: number): ReadonlyMap<number, number> {
    const view = new DataView(this.#memory.buffer)
    const addresses = membersOf(view, collection)
    this.#charge(addresses.length)
    const members = addresses
      .map((address): [number, RegoValue] => [address, this.#valueOf(view, address)])
      .toSorted(([, a], [, b]) => compare(a, b))
    const following = new Map<number, number>()
    let previous = 0
    for (const [address] of members) {
      following.set(previous, address)
      previous = address
    }
    this.#following.set(collection, following)
    return following
  }

  #valueOf(view: DataView, address: number): RegoValue {
    const type = view.getUint8(address)
    if (type !== STRING && type !== INTERNED_STRING) return decode(this.#dump(address))
    const length = view.getUint32(address + AT.stringLength, true)
    const start = view.getUint32(address + AT.stringText, true)
    return Buffer.from(this.#memory.buffer, start, length).toString()
  }
}

/** Addresses of the keys, bucket by bucket. */
function membersOf(view: DataView, collection: number): number[] {
  const found: number[] = []
  const nextAt = view.getUint8(collection) === OBJECT ? 8 : 4
  const buckets = view.getUint32(collection + AT.buckets, true)
  const count = view.getUint32(collection + AT.bucketCount, true)
  for (let bucket = 0; bucket < count; bucket++) {
    let element = view.getUint32(buckets + bucket * 4, true)
    for (; element !== 0; element = view.getUint32(element + nextAt, true))
      found.push(view.getUint32(element, true))
  }
  return found
}
