// The succession of keys: why the next key is to be trusted. Pure.
//
//   cordon ledger key
//   <installation>
//   <number of the new key, from 2>
//   time <RFC 3339>
//   <the former key, vkey>
//   <the new key, vkey>
//
// A note signed by both: the former key vouches for the new one, and the new one shows that somebody holds it.

import { openNote, type PublicKey, readVkey, signNote, type SigningKey, vkeyOf } from './note.ts'

export interface Succession {
  /** UUID of the data directory that the keys belong to. */
  readonly installation: string
  /** Of the new key; the first key has no note and is number 1. */
  readonly number: number
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly former: PublicKey
  readonly next: PublicKey
}

/** A key as folder and store hold it: number n at place n - 1, a note for every one but the first. */
export interface KeptKey {
  readonly vkey: string
  readonly note: string | undefined
}

const FORM =
  /^cordon ledger key\n([0-9a-f-]{36})\n([1-9]\d{0,3})\ntime (\S{1,40})\n(\S{1,300})\n(\S{1,300})\n$/

/** What all keys of an installation are called. */
export function keyName(installation: string): string {
  return `cordon/${installation}`
}

/** The signed note. */
export function successionNote(
  { installation, number, time }: Pick<Succession, 'installation' | 'number' | 'time'>,
  former: SigningKey,
  next: SigningKey,
): string {
  const at = new Date(time).toISOString()
  return signNote(
    `cordon ledger key\n${installation}\n${number}\ntime ${at}\n${vkeyOf(former)}\n${vkeyOf(next)}\n`,
    former,
    next,
  )
}

/** What a note says; undefined where it is none, or is not signed by both of the keys that it names. */
export function readSuccession(note: string): Succession | undefined {
  const [, installation, number, at = '', old = '', young = ''] =
    FORM.exec(note.slice(0, note.lastIndexOf('\n\n') + 1)) ?? []
  const former = readVkey(old)
  const next = readVkey(young)
  const time = Date.parse(at)
  if (installation === undefined || former === undefined || next === undefined) return undefined
  if (Number.isNaN(time) || former.id === next.id) return undefined
  const signers = openNote(note, [former, next])?.signedBy ?? []
  if (!signers.includes(former.id) || !signers.includes(next.id)) return undefined
  return { installation, number: Number(number), time, former, next }
}

/** The keys, oldest first; or which one of them is not to be trusted, and why. */
export function readKeyChain(
  installation: string,
  kept: readonly KeptKey[],
): readonly PublicKey[] | { readonly number: number; readonly what: string } {
  const keys: PublicKey[] = []
  for (const [index, { vkey, note }] of kept.entries()) {
    const number = index + 1
    const wrong = (what: string) => ({ number, what })
    const key = readVkey(vkey)
    if (key === undefined) return wrong('is no Ed25519 key in the form of a vkey')
    if (key.name !== keyName(installation))
      return wrong(`belongs to ${key.name}, not to ${keyName(installation)}`)
    if (keys.some(({ id }) => id === key.id)) return wrong('is an earlier key again')
    const former = keys.at(-1)
    if (former === undefined) {
      if (note !== undefined) return wrong('is the first one, and no former key vouches for it')
    } else {
      const said = note === undefined ? undefined : readSuccession(note)
      if (said === undefined) return wrong('is not signed by the former key and by itself')
      if (
        said.installation !== installation ||
        said.number !== number ||
        vkeyOf(said.former) !== vkeyOf(former) ||
        vkeyOf(said.next) !== vkeyOf(key)
      )
        return wrong('has a note that speaks of another key')
    }
    keys.push(key)
  }
  return keys
}
