// Secrets in a text, by their shapes; placeholders and documented examples are none.

import type { Candidate } from './candidate.ts'
import { entropy } from './check-digits.ts'
import { SECRET_SHAPES } from './secret-shapes.ts'

const KEYWORD_REACH = 60
const MAX_PER_SHAPE = 1000

/** `${X}`, `{{x}}`, `%X%`, `$(X)`, `<x>`: something that is filled in later. */
const PLACEHOLDER = /^(?:\$\{|\{\{?|%[A-Z_]+%|\$\(|<|\$[A-Za-z_])/
const STAND_IN =
  /^(?:x{3,}|\*{3,}|\.{3,}|pass(?:word|wd)?|user(?:name)?|secret|changeme|example|test|token|your[_-].*|my[_-]?(?:password|secret|token)|redacted|dummy|foo|bar|123456\d*)$/i
const EXAMPLE =
  /EXAMPLE|example|xxxxx|XXXXX|0{12}|1234567890123|abcdefghijklmnop|ABCDEFGHIJKLMNOP|your[-_]|YOUR[-_]|placeholder|PLACEHOLDER/

export function* findSecrets(text: string): Generator<Candidate> {
  for (const { type, pattern, hints, confidence, entropy: least, keyword } of SECRET_SHAPES) {
    if (!hints.some((hint) => text.includes(hint))) continue
    let found = 0
    for (const match of text.matchAll(pattern)) {
      if (++found > MAX_PER_SHAPE) break
      const value = match[1] ?? match[0]
      const start = match.index + match[0].lastIndexOf(value)
      if (isPlaceholder(value, type)) continue
      if (least !== undefined && entropy(value) < least) continue
      if (
        keyword !== undefined &&
        !keyword.test(text.slice(Math.max(0, start - KEYWORD_REACH), start))
      )
        continue
      if (type === 'env_assignment' && !looksRandom(value)) continue
      yield { type, category: 'secret', start, end: start + value.length, confidence }
    }
  }
}

function isPlaceholder(value: string, type: string): boolean {
  if (PLACEHOLDER.test(value) || STAND_IN.test(value)) return true
  if (
    type === 'private_key_pem' ||
    type === 'kubernetes_secret_yaml' ||
    type === 'google_service_account'
  )
    return false
  return EXAMPLE.test(value) || /^(.)\1+$/.test(value)
}

/** A generic assignment counts only where the value mixes letters and digits, as generated ones do. */
function looksRandom(value: string): boolean {
  return (
    /\d/.test(value) &&
    /[A-Za-z]/.test(value) &&
    !/^[A-Za-z]+(?:[._-][A-Za-z]+)*\d{0,2}$/.test(value)
  )
}
