// How records speak of a person without naming anybody: a key, and for people who read, a pseudonym made of it.

import { createHash, createHmac } from 'node:crypto'

/**
 * The key of a person, 64 hex digits: HMAC-SHA-256 with the tenant's secret (32 bytes). `person` is the id of
 * a user, for unknown people the login, else the client address. Without the secret an address or a login could
 * be found by trying all of them, and a record whose personal part is gone would name somebody after all.
 */
export function personKey(secret: Uint8Array, tenant: string, person: string): string {
  return createHmac('sha256', secret).update(`${tenant}\n${person}`).digest('hex')
}

/** As the first release made it, without a secret; its records are in ledgers for years. */
export function formerPersonKey(tenant: string, person: string): string {
  return createHash('sha256').update(`${tenant}\n${person}`).digest('hex')
}

/** 15 hex digits of the key are exactly 12 of base 32 (RFC 4648, lower case): 60 bits. */
const PREFIX_DIGITS = 15
const PSEUDONYM_DIGITS = 12
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
const PSEUDONYM = new RegExp(`^person-([${ALPHABET}]{${PSEUDONYM_DIGITS}})$`)
const KEY = /^[0-9a-f]{64}$/

export function isPersonKey(text: string): boolean {
  return KEY.test(text)
}

/** `person-` and 12 characters, the same wherever the person appears; undefined for what is no key. */
export function pseudonymOf(key: string): string | undefined {
  if (!isPersonKey(key)) return undefined
  let bits = BigInt(`0x${key.slice(0, PREFIX_DIGITS)}`)
  let text = ''
  for (let digit = 0; digit < PSEUDONYM_DIGITS; digit++) {
    text = `${ALPHABET[Number(bits & 31n)] ?? ''}${text}`
    bits >>= 5n
  }
  return `person-${text}`
}

/** The hex digits that the keys behind a pseudonym begin with; undefined for what is no pseudonym. */
export function keyPrefixOf(pseudonym: string): string | undefined {
  const [, digits] = PSEUDONYM.exec(pseudonym.toLowerCase()) ?? []
  if (digits === undefined) return undefined
  let bits = 0n
  for (const digit of digits) bits = (bits << 5n) | BigInt(ALPHABET.indexOf(digit))
  return bits.toString(16).padStart(PREFIX_DIGITS, '0')
}

/** Before the name of an account of the operating system. */
const ACCOUNT = /^os:/

export function isAccount(who: string): boolean {
  return ACCOUNT.test(who)
}

/** The name of an account, or any other name, as names are compared: `os:Maya` and `maya` are one person. */
export function bareName(who: string): string {
  return who.replace(ACCOUNT, '').toLowerCase()
}

/**
 * What keys of an author's or a requester's name are made of: by them somebody who was removed from the directory and added
 * again is known, without being named.
 */
export function namedAs(part: 'author' | 'requester', name: string): string {
  return `${part} ${bareName(name)}`
}
