// Is this the password of that hash? bcrypt, apr1, sha256-crypt, sha512-crypt.
//
// Slow on purpose, so it runs on a thread of its own (hash-thread.ts).

import { createHash, timingSafeEqual } from 'node:crypto'
import { compareSync } from 'bcryptjs'

const ITOA64 = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** bcrypt reads no further, so any longer password would do. */
const BCRYPT_BYTES = 72
export const MAX_ROUNDS = 999_999

export function verifyHash(hash: string, password: string): boolean {
  if (password.includes('\0')) return false
  if (hash.startsWith('$2'))
    return Buffer.byteLength(password) <= BCRYPT_BYTES && compareSync(password, hash)
  const made = hash.startsWith('$apr1$')
    ? apr1(password, hash.split('$')[2] ?? '')
    : shaCrypt(password, hash)
  return made.length === hash.length && timingSafeEqual(Buffer.from(made), Buffer.from(hash))
}

/** The MD5 of Apache (apr1): 1,000 rounds. */
function apr1(password: string, salt: string): string {
  const secret = Buffer.from(password)
  const md5 = (...parts: (Buffer | string)[]): Buffer =>
    parts.reduce((hash, part) => hash.update(part), createHash('md5')).digest()
  const inner = md5(secret, salt, secret)
  const parts: (Buffer | string)[] = [secret, '$apr1$', salt]
  for (let left = secret.length; left > 0; left -= 16)
    parts.push(inner.subarray(0, Math.min(16, left)))
  for (let bits = secret.length; bits > 0; bits >>= 1)
    parts.push((bits & 1) === 1 ? Buffer.of(0) : secret.subarray(0, 1))
  let digest = md5(...parts)
  for (let round = 0; round < 1000; round++) {
    const mixed: (Buffer | string)[] = [(round & 1) === 1 ? secret : digest]
    if (round % 3 !== 0) mixed.push(salt)
    if (round % 7 !== 0) mixed.push(secret)
    mixed.push((round & 1) === 1 ? digest : secret)
    digest = md5(...mixed)
  }
  const at = (index: number): number => digest[index] ?? 0
  const groups = [
    [0, 6, 12],
    [1, 7, 13],
    [2, 8, 14],
    [3, 9, 15],
    [4, 10, 5],
  ] as const
  const text =
    groups.map(([a, b, c]) => to64((at(a) << 16) | (at(b) << 8) | at(c), 4)).join('') +
    to64(at(11), 2)
  return `$apr1$${salt}$${text}`
}

const ORDER_256 = [
  [0, 10, 20],
  [21, 1, 11],
  [12, 22, 2],
  [3, 13, 23],
  [24, 4, 14],
  [15, 25, 5],
  [6, 16, 26],
  [27, 7, 17],
  [18, 28, 8],
  [9, 19, 29],
]
const ORDER_512 = [
  [0, 21, 42],
  [22, 43, 1],
  [44, 2, 23],
  [3, 24, 45],
  [25, 46, 4],
  [47, 5, 26],
  [6, 27, 48],
  [28, 49, 7],
  [50, 8, 29],
  [9, 30, 51],
  [31, 52, 10],
  [53, 11, 32],
  [12, 33, 54],
  [34, 55, 13],
  [56, 14, 35],
  [15, 36, 57],
  [37, 58, 16],
  [59, 17, 38],
  [18, 39, 60],
  [40, 61, 19],
  [62, 20, 41],
]

/** SHA-crypt (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512"). */
function shaCrypt(password: string, hash: string): string {
  const [, kind = '', roundsText, salt = ''] =
    /^\$([56])\$(?:rounds=(\d+)\$)?([^$]{0,16})\$/.exec(hash) ?? []
  const algorithm = kind === '5' ? 'sha256' : 'sha512'
  const size = kind === '5' ? 32 : 64
  const rounds = Math.min(MAX_ROUNDS, Math.max(1000, Number(roundsText ?? 5000)))
  const secret = Buffer.from(password)
  const saltBytes = Buffer.from(salt)
  const sha = (...parts: Buffer[]): Buffer =>
    parts.reduce((state, part) => state.update(part), createHash(algorithm)).digest()
  const stretched = (source: Buffer, length: number): Buffer =>
    Buffer.concat(Array.from({ length: Math.ceil(length / size) }, () => source)).subarray(
      0,
      length,
    )

  const alternate = sha(secret, saltBytes, secret)
  const first: Buffer[] = [secret, saltBytes, stretched(alternate, secret.length)]
  for (let bits = secret.length; bits > 0; bits >>= 1)
    first.push((bits & 1) === 1 ? alternate : secret)
  let digest = sha(...first)
  const p = stretched(sha(...Array.from({ length: secret.length }, () => secret)), secret.length)
  const s = stretched(
    sha(...Array.from({ length: 16 + (digest[0] ?? 0) }, () => saltBytes)),
    saltBytes.length,
  )
  for (let round = 0; round < rounds; round++) {
    const parts: Buffer[] = [(round & 1) === 1 ? p : digest]
    if (round % 3 !== 0) parts.push(s)
    if (round % 7 !== 0) parts.push(p)
    parts.push((round & 1) === 1 ? digest : p)
    digest = sha(...parts)
  }
  const at = (index: number): number => digest[index] ?? 0
  const order = kind === '5' ? ORDER_256 : ORDER_512
  const text = order
    .map(([a = 0, b = 0, c = 0]) => to64((at(a) << 16) | (at(b) << 8) | at(c), 4))
    .join('')
  const rest = kind === '5' ? to64((at(31) << 8) | at(30), 3) : to64(at(63), 2)
  return `$${kind}$${roundsText === undefined ? '' : `rounds=${roundsText}$`}${salt}$${text}${rest}`
}

function to64(value: number, length: number): string {
  let text = ''
  for (let index = 0, rest = value; index < length; index++, rest >>= 6)
    text += ITOA64[rest & 63] ?? ''
  return text
}
