// Private keys in text: PEM and OpenSSH and OpenPGP armour (RFC 7468, RFC 9580), PuTTY's files, and the
// service account files of Google, which hold one. A key whose end is cut off is still a key.

import type { Candidate } from './candidate.ts'
import { matchAt } from './characters.ts'
import { entropy } from './check-digits.ts'
import { HIGH } from './secret-shape.ts'

const HEADER = /-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----/y
const BODY = /(?:[A-Za-z0-9+/=\s:,.()\\]|-(?!-))*/y
const FOOTER = /-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----/y
const PUTTY =
  /PuTTY-User-Key-File-\d: (?:(?!PuTTY-User)[\s\S]){0,4000}?Private-Lines: \d{1,3}\s+[A-Za-z0-9+/=\s]{44,8192}/y
const LEAST_BODY = 64
const MOST_BODY = 64 * 1024
const ACCOUNT = '"private_key"'
const ACCOUNT_VALUE = /\s{0,8}:\s{0,8}"/y
const ACCOUNT_REACH = 4096

export function findPem(text: string, at: number): Candidate | undefined {
  const header = matchAt(HEADER, text, at)?.[0]
  if (header === undefined) return undefined
  const from = at + header.length
  const body = matchAt(BODY, text, from)?.[0] ?? ''
  const material = body.slice(0, MOST_BODY).replaceAll(/\\[nr]|[\s:,.()]/g, '')
  if (material.length < LEAST_BODY || entropy(material.slice(0, 1024)) < 3.5) return undefined
  const footer = matchAt(FOOTER, text, from + body.length)?.[0] ?? ''
  const end = from + body.length + footer.length
  return {
    type: 'private_key_pem',
    category: 'secret',
    start: at,
    end,
    confidence: footer === '' ? 0.85 : HIGH,
  }
}

export function findPutty(text: string, at: number): Candidate | undefined {
  const found = matchAt(PUTTY, text, at)?.[0]
  if (found === undefined) return undefined
  return {
    type: 'private_key_pem',
    category: 'secret',
    start: at,
    end: at + found.length,
    confidence: HIGH,
  }
}

/** `"type": "service_account"` with a `private_key` in the same object, in any order. */
export function findServiceAccount(text: string, at: number): Candidate | undefined {
  if (!/"type"\s{0,8}:\s{0,8}"$/.test(text.slice(Math.max(0, at - 32), at))) return undefined
  const after = text.slice(at, at + ACCOUNT_REACH)
  const before = text.slice(Math.max(0, at - ACCOUNT_REACH), at)
  if (!holdsKey(after) && !holdsKey(before)) return undefined
  return {
    type: 'google_service_account',
    category: 'secret',
    start: at,
    end: at + 15,
    confidence: HIGH,
  }
}

function holdsKey(part: string): boolean {
  const at = part.indexOf(ACCOUNT)
  return at !== -1 && matchAt(ACCOUNT_VALUE, part, at + ACCOUNT.length) !== null
}
