// E-mail addresses: RFC 5321 (local part to 64 octets, quoted ones too), domain labels of RFC 1035, letters
// with accents by RFC 6531. What only looks like one (user information of a URL, `git@host:path`, file names
// with a scale such as `icon@2x.png`) is none.

import type { Candidate } from './candidate.ts'
import { matchAt } from './characters.ts'

const LOCAL = /[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\u00C0-\u024F-]/
const LOCAL_MOST = 64
const RARE = /[=/?&|{}`'!*#$^%~]/
const STARTS = /[A-Za-z0-9\u00C0-\u024F]/
const DOMAIN =
  /@(?:[A-Za-z0-9\u00C0-\u024F](?:[A-Za-z0-9\u00C0-\u024F-]{0,61}[A-Za-z0-9\u00C0-\u024F])?\.){1,8}(?:xn--[A-Za-z0-9-]{1,59}|[A-Za-z]{2,24})(?![A-Za-z0-9]|-[A-Za-z0-9])/y
const FILE =
  /^@\d+(?:\.\d+)?x\.|\.(?:png|jpe?g|gif|svg|webp|avif|ico|js|css|json|html|tsx?|jsx|svelte|vue)$/i
const VERSION = /^@\d+\.\d+/
const QUOTED = /"[^"\n\\@]{1,62}"$/

/** The address around an `@`. */
export function findEmail(text: string, at: number): Candidate | undefined {
  if (/[\s@]/.test(text.charAt(at - 1)) || /[\s@]/.test(text.charAt(at + 1))) return undefined
  const domain = matchAt(DOMAIN, text, at)?.[0]
  if (domain === undefined || FILE.test(domain) || VERSION.test(domain)) return undefined
  const start = startOfLocal(text, at)
  if (start === undefined) return undefined
  const local = text.slice(start, at)
  const end = at + domain.length
  if (local.includes('..') || isUserOfUrl(text, start)) return undefined
  if (local === 'git' && text.charAt(end) === ':') return undefined
  return { type: 'email', category: 'pii', start, end, confidence: 0.9 }
}

function startOfLocal(text: string, at: number): number | undefined {
  if (text.charAt(at - 1) === '"') {
    const quoted = QUOTED.exec(text.slice(Math.max(0, at - LOCAL_MOST), at))
    return quoted === null ? undefined : at - quoted[0].length
  }
  let start = at
  while (start > 0 && at - start <= LOCAL_MOST && LOCAL.test(text.charAt(start - 1))) start -= 1
  if (at - start > LOCAL_MOST) return undefined
  // What stands before it is often one of the rarer characters: `to=jane@...`, `'jane@...'`, `|jane@...`.
  for (let index = at - 2; index >= start; index--) {
    if (!RARE.test(text.charAt(index)) || !STARTS.test(text.charAt(index + 1))) continue
    if (text.charAt(index) === "'" && STARTS.test(text.charAt(index - 1)) && index > start) continue
    start = index + 1
    break
  }
  while (start < at && text.charAt(start) === '.') start += 1
  const isMade = /[A-Za-z0-9\u00C0-\u024F]/.test(text.slice(start, at))
  return isMade && text.charAt(at - 1) !== '.' ? start : undefined
}

/** `scheme://user:password@host` and `scheme://user@host` name an account, not a mailbox. */
function isUserOfUrl(text: string, start: number): boolean {
  const before = text.charAt(start - 1)
  if (before !== ':' && before !== '/') return false
  return /[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/@"']{0,128}$/i.test(
    text.slice(Math.max(0, start - 152), start),
  )
}
