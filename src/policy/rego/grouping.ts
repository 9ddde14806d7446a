// Which policies of a folder are compiled into one shard?
//
// Those whose scopes name the same things, because they are asked together; up to MOST of them. The place of
// a policy is a string of bits: the hash of what its scope names first, then that of its whole scope, then
// that of its package. A group that is too large is divided by the next bit. So the groups follow from the
// policies alone, and one that is added, changed or removed touches its own group and no other.

import { createHash } from 'node:crypto'
import type { Scope, ScopeKey } from '../../model/policy.ts'

const MOST = 128
const BITS = 128

/** The dimensions in the order in which they tell requests apart. */
const BY_WEIGHT: readonly ScopeKey[] = [
  'services',
  'categories',
  'vendors',
  'users',
  'groups',
  'departments',
  'roles',
  'actions',
  'sources',
  'labels',
]

export interface Groupable {
  readonly scope: Scope
  /** Unique among all. */
  readonly packageName: string
}

/** Groups of policies, none empty, each in the order in which they were given. */
export function groupByScope<T extends Groupable>(
  policies: readonly T[],
): readonly (readonly T[])[] {
  return divided(
    policies.map((policy) => ({ policy, place: placeOf(policy) })),
    0,
  ).map((group) => group.map(({ policy }) => policy))
}

interface Placed<T> {
  readonly policy: T
  readonly place: Buffer
}

function divided<T>(group: readonly Placed<T>[], bit: number): readonly (readonly Placed<T>[])[] {
  if (group.length === 0) return []
  if (group.length <= MOST || bit >= BITS) return [group]
  const isSet = ({ place }: Placed<T>): boolean =>
    ((place[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0
  return [
    ...divided(
      group.filter((each) => !isSet(each)),
      bit + 1,
    ),
    ...divided(group.filter(isSet), bit + 1),
  ]
}

function placeOf({ scope, packageName }: Groupable): Buffer {
  const named = BY_WEIGHT.flatMap((key) => {
    const list = scope[key] ?? []
    return list.length === 0 ? [] : [[key, [...list].toSorted()] as const]
  })
  const first = named[0] === undefined ? '' : JSON.stringify([named[0][0], named[0][1][0]])
  return Buffer.concat([
    hash(first).subarray(0, 4),
    hash(JSON.stringify(named)).subarray(0, 4),
    hash(packageName).subarray(0, 8),
  ])
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
