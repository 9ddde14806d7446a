// What stands where a secret will be filled in, and the examples of handbooks: neither is a secret.

/** `${X}`, `{{x}}`, `%X%`, `$(X)`, `<x>`, `[x]`: something that is filled in later. */
const TEMPLATE = /^(?:\$\{|\{\{?|%[A-Za-z_]+%|\$\(|<|\[|\$[A-Za-z_]|@[A-Za-z]+@$|#\{)/
const WORD =
  /^(?:x{3,}|\*{3,}|\.{3,}|_{3,}|-{3,}|pass(?:word|wd|phrase)?\d{0,4}|pwd|user(?:name)?|secret|changeme|change[_-]?me.*|example.*|test(?:ing|er|pass(?:word)?|123)?|token|todo|tbd|none|null|undefined|true|false|your.*|my[_-]?(?:password|secret|token|key).*|redacted.*|masked|hidden|dummy.*|fake.*|sample.*|insert.*|enter.*|replace.*|foo(?:bar)?|bar|baz|abc\w{0,3}|admin|root|guest|postgres|mysql|123456\d*|qwerty)$/i
const INSIDE =
  /example|xxxxx|0{12}|1234567890123|abcdefghijklmnop|your[-_]|placeholder|redacted|changeme|dummy|\*{4}|\.{3}|…/i

export function isPlaceholder(value: string): boolean {
  return TEMPLATE.test(value) || WORD.test(value) || INSIDE.test(value) || isMonotonous(value)
}

/** One character over and over, or a pair. */
function isMonotonous(value: string): boolean {
  if (value.length < 4) return false
  let left = Math.min(3, Math.floor(value.length / 3))
  let seen = ''
  for (const character of value) {
    if (seen.includes(character)) continue
    // Most values end here, after a few characters.
    if (left === 0) return false
    left -= 1
    seen += character
  }
  return true
}
