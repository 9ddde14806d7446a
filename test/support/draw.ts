// Values drawn at run time, so that no file of the repository holds anything that looks like a secret.

import { randomInt } from 'node:crypto'

const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const UPPER = LOWER.toUpperCase()
const DIGITS = '0123456789'
const ALPHABETS = {
  alnum: LOWER + UPPER + DIGITS,
  small: LOWER + DIGITS,
  capital: UPPER + DIGITS,
  base32: `${UPPER}234567`,
  hex: `${DIGITS}abcdef`,
  digits: DIGITS,
  word: `${LOWER}${UPPER}${DIGITS}_`,
  url: `${LOWER}${UPPER}${DIGITS}_-`,
  base64: `${LOWER}${UPPER}${DIGITS}+/`,
  bech32: 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L',
  oct: 'abcdefgh0123456789',
} as const

/** So many characters of an alphabet; first and last are letters or digits, and digits are among them. */
export function draw(alphabet: keyof typeof ALPHABETS, size: number): string {
  for (;;) {
    let text = ''
    while (text.length < size)
      text += ALPHABETS[alphabet].charAt(randomInt(ALPHABETS[alphabet].length))
    const isPlain = /^[A-Za-z0-9].*[A-Za-z0-9]$/.test(text) || size < 2
    if (
      isPlain &&
      (size < 12 ||
        alphabet === 'bech32' ||
        (/\d/.test(text) && new Set(text).size > 8) ||
        alphabet === 'digits')
    )
      return text
  }
}

export function uuid(): string {
  return [8, 4, 4, 4, 12].map((size) => draw('hex', size)).join('-')
}

export function jwt(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return [
    part({ alg: 'HS256', typ: 'JWT' }),
    part({ sub: draw('digits', 10), iat: 1 }),
    draw('url', 43),
  ].join('.')
}

export function pem(label: string): string {
  const lines = Array.from({ length: 12 }, () => draw('base64', 64))
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`].join('\n')
}
