// Secrets that only their name gives away: `API_KEY=...`, `"password": "..."`, `password is ...`, after the
// generic rule of gitleaks (keyword, `=` or `:`, 10 to 150 characters, entropy 3.5). A password that a
// person chose has less entropy: it is of type `password`, and must mix classes of characters.

import type { Candidate } from './candidate.ts'
import { classAt, matchAt, TOKEN } from './characters.ts'
import { entropy } from './check-digits.ts'
import { isPlaceholder } from './placeholders.ts'

/** The end of a name is all that counts. */
const NAME_MOST = 32
/** Last letters of the words below, in both cases, and digits that may follow them. */
const LAST = new Set(Buffer.from('ytnlshdeagvYTNLSHDEAGV0123456789'))
const SECRET_NAME =
  /(?:(?:api|access|auth|private|secret|encryption|signing|master|session|account|client|app|service|ssh|storage|shared|license|subscription|webhook)[_.-]?key|apikey|secret|token|credentials?|creds|auth)(?:[_.-]?(?:value|b64|base64|prod|dev|test|staging|live|\d{1,2}))?$/i
/** `MY_KEY` is one; keys that open nothing are none. */
const OTHER_KEY =
  /(?<!public|primary|foreign|partition|sort|cache|index|map|hash|unique|registry|translation|i18n|object|host|lookup|group|sort|react|row)[_.-]key(?:[_.-]?\d{1,2})?$/i
const OTHER_KEY_LEAST = 16
const PASSWORD_NAME =
  /(?:pass(?:word|wd|phrase|code)|passwort|kennwort|contrase[ñn]a|senha|pwd)(?:[_.-]?\d{1,2})?$|(?:^|[_.-])pass$/i
const VALUE = /["'`]?\s{0,4}(?:=>|:=|[=:])?\s{0,4}(?:b?["'`])?([^\s"'`,;<>(){}[\]]{6,150})/y
const SPOKEN = /(?:is|was|lautet|ist|est|es)\s{1,2}["'`]?([^\s"'`,;<>(){}[\]]{6,64})/y
/** Names, paths, hosts, versions, calls: written by people, not drawn at random. */
const WRITTEN =
  /^(?:(?:https?|file|s3|arn|urn|git|ssh):.*|\.{0,2}\/.*|v?\d+(?:[.:]\d+)+\S*|process\.env\S*|os\.\S*|self\.\S*|this\.\S*|[a-z]+(?:\.[a-z][A-Za-z]+)+\S*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/
const CONNECTION =
  /(?:^|;)\s{0,2}(?:Server|Data Source|Host|Addr|Address|Network Address|Endpoint|DSN|Provider)\s?=/i

/** The value that stands after a `=` or `:` at a place, where the name before it says secret. */
export function findAssigned(text: string, at: number): Candidate | undefined {
  const name = nameBefore(text, at)
  if (name === undefined) return undefined
  const isPassword = PASSWORD_NAME.test(name)
  const isNamed = isPassword || SECRET_NAME.test(name)
  if (!isNamed && !OTHER_KEY.test(name)) return undefined
  const found = matchAt(VALUE, text, at)
  if (found === null) return undefined
  const value = trimmed(found[1] ?? '')
  if (!isNamed && value.length < OTHER_KEY_LEAST) return undefined
  const start = at + found[0].lastIndexOf(found[1] ?? '')
  const place = { category: 'secret', start, end: start + value.length } as const
  if (isPlaceholder(value) || isCode(text, start + value.length)) return undefined
  if (isPassword && isConnection(text, at) && value.length >= 3)
    return { ...place, type: 'db_connection_string', confidence: 0.95 }
  if (isGenerated(value)) return { ...place, type: 'env_assignment', confidence: 0.5 }
  if (isPassword && isChosen(value)) return { ...place, type: 'password', confidence: 0.5 }
  return undefined
}

/** The name that ends before a `=` or `:`, a quote or blanks between them. */
function nameBefore(text: string, at: number): string | undefined {
  let end = at
  while (end > at - 5 && BETWEEN.has(text.charCodeAt(end - 1))) end -= 1
  if (!LAST.has(text.charCodeAt(end - 1))) return undefined
  let start = end
  while (end - start < NAME_MOST && isInName(text, start - 1)) start -= 1
  return end - start < 3 ? undefined : text.slice(start, end)
}

/** Blank, tab, `"`, `'`, `]`, backquote and, for JSON inside JSON, a backslash. */
const BETWEEN = new Set([32, 9, 34, 39, 93, 96, 92])

function isInName(text: string, index: number): boolean {
  return (
    (classAt(text, index) & TOKEN) !== 0 ||
    text.charCodeAt(index) === 46 ||
    text.charCodeAt(index) === 0xf1
  )
}

/** `my password is ...`, from the first letter after the word. */
export function findSpoken(text: string, at: number): Candidate | undefined {
  const found = matchAt(SPOKEN, text, at)
  if (found === null) return undefined
  const value = trimmed(found[1] ?? '').replace(/[.!?]+$/, '')
  if (isPlaceholder(value) || !isChosen(value)) return undefined
  const start = at + found[0].lastIndexOf(found[1] ?? '')
  return { type: 'password', category: 'secret', start, end: start + value.length, confidence: 0.5 }
}

function trimmed(value: string): string {
  return value.replace(/\\[nrt]?$|[.:]$/, '')
}

/** `token = read(…)`, `key = list[…]`: what follows says that the value is code. */
function isCode(text: string, end: number): boolean {
  return /[([]/.test(text.charAt(end))
}

/** `Server=...;...;Password=`: the same line names the host. */
function isConnection(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 400), at)
  return (
    before.includes(';') &&
    CONNECTION.test(
      before.slice(Math.max(...['\n', '"', "'"].map((end) => before.lastIndexOf(end))) + 1),
    )
  )
}

function isGenerated(value: string): boolean {
  return (
    value.length >= 10 &&
    /^[A-Za-z0-9_+/.=~!@#$%^&*:?|\\-]+$/.test(value) &&
    /[A-Za-z]/.test(value) &&
    (/\d/.test(value) || (/[a-z]/.test(value) && /[A-Z]/.test(value))) &&
    !WRITTEN.test(value) &&
    !isWordy(value) &&
    entropy(value) >= 3.5
  )
}

/** Letters in words of three and more on average, with up to two digits at the end: a name, not a key. */
function isWordy(value: string): boolean {
  const isDotted = /^[A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*)+\??\.?$/.test(value)
  if (!isDotted && !/^[A-Za-z._/-]+\d{0,2}$/.test(value)) return false
  const words = value.match(/[A-Z]?[a-z]+|[A-Z]+/g) ?? []
  return words.join('').length >= words.length * 3
}

function isChosen(value: string): boolean {
  if (value.length < 6 || WRITTEN.test(value) || isWordy(value) || /^\d+$/.test(value)) return false
  const classes = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((one) => one.test(value)).length
  return (
    classes >= (value.length >= 8 ? 2 : 3) && /[\d!@#$%^&*?+~]/.test(value) && entropy(value) >= 2.5
  )
}
