// Wallets and their keys: Bitcoin addresses and WIF keys by Base58Check, segwit addresses by BIP 173 and
// 350, Ethereum addresses by shape (their checksum is optional).

import { createHash } from 'node:crypto'
import type { Candidate } from './candidate.ts'

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const BASE58 = /^[1-9A-HJ-NP-Za-km-z]+$/
const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const BECH32M = 0x2bc830a3

/** A whole word of letters and digits. */
export function findWallet(text: string, start: number, end: number): Candidate | undefined {
  const size = end - start
  const word = text.slice(start, end)
  if (/^[13]/.test(word) && size >= 26 && size <= 35 && isBase58Check(word, 25))
    return wallet(start, end, 0.95)
  if (
    /^[5KL]/.test(word) &&
    (size === 51 || size === 52) &&
    isBase58Check(word, size === 51 ? 37 : 38)
  )
    return { type: 'btc_wif_key', category: 'secret', start, end, confidence: 0.95 }
  if (/^bc1/i.test(word) && size >= 42 && size <= 62 && isBech32(word))
    return wallet(start, end, 0.95)
  if (/^0x[0-9A-Fa-f]{40}$/.test(word) && new Set(word).size > 8) return wallet(start, end, 0.7)
  return undefined
}

function wallet(start: number, end: number, confidence: number): Candidate {
  return { type: 'crypto_wallet', category: 'financial', start, end, confidence }
}

function isBase58Check(word: string, size: number): boolean {
  if (!BASE58.test(word)) return false
  let value = 0n
  for (const character of word) value = value * 58n + BigInt(ALPHABET.indexOf(character))
  const hex = value.toString(16).padStart(size * 2, '0')
  if (hex.length !== size * 2) return false
  const bytes = Buffer.from(hex, 'hex')
  const sum = sha256(sha256(bytes.subarray(0, -4))).subarray(0, 4)
  return sum.equals(bytes.subarray(-4))
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

function isBech32(word: string): boolean {
  const lower = word.toLowerCase()
  if (word !== lower && word !== word.toUpperCase()) return false
  let check = 1
  // The human-readable part is always "bc" here: high bits, zero, low bits.
  const values = [3, 3, 0, 2, 3]
  for (const character of lower.slice(3)) {
    const value = BECH32.indexOf(character)
    if (value < 0) return false
    values.push(value)
  }
  for (const value of values) {
    const top = check >>> 25
    check = ((check & 0x1ffffff) << 5) ^ value
    for (const [bit, term] of GENERATOR.entries()) if (((top >>> bit) & 1) === 1) check ^= term
  }
  return check === 1 || check === BECH32M
}
