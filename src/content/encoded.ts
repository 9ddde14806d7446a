// Is a run of characters base64 (RFC 4648, both alphabets) or hex of a text? Then that text is searched too.

import { classAt, DIGIT, LOWER, RUN, UPPER } from './characters.ts'

const LEAST = 12
/** Of base64: shorter runs are words far more often. */
const LEAST_BASE64 = 16
const HEX = /^(?:[0-9a-fA-F]{2})+$/
/** Lines of an encoded block (RFC 2045, RFC 7468) are at least this long. */
const LINE_LEAST = 56
/** Enough of the start to tell text from pictures, keys and words, before all of it is decoded. */
const SAMPLE = 64

interface Run {
  readonly end: number
  readonly classes: number
}

/** How far the characters of base64 go from a place on, over line ends where they are a block. */
export function runAt(text: string, start: number): Run {
  let end = start
  let classes = 0
  let line = start
  for (; ; end++) {
    const kind = classAt(text, end)
    if ((kind & RUN) !== 0) {
      classes |= kind
      continue
    }
    const next = text.charCodeAt(end) === 13 ? end + 1 : end
    const goesOn =
      text.charCodeAt(next) === 10 && end - line >= LINE_LEAST && (end - line) % 4 === 0
    if (!goesOn || (classAt(text, next + 1) & RUN) === 0) return { end, classes }
    line = next + 1
    end = next
  }
}

/** The text inside a run, or undefined where it holds none. */
export function decodeRun(run: string, classes: number): string | undefined {
  if (run.length < LEAST) return undefined
  if ((classes & (LOWER | DIGIT)) !== 0 && isHexAt(run, 0) && HEX.test(run)) {
    const hex = textOf(Buffer.from(run.slice(0, SAMPLE), 'hex'), true)
    if (hex !== undefined) return textOf(Buffer.from(run, 'hex'), false)
  }
  // Base64 of a text always mixes cases within sixteen characters; words and paths seldom do.
  if ((classes & LOWER) === 0 || (classes & (UPPER | DIGIT)) === 0) return undefined
  if (run.length < LEAST_BASE64 || !startsAsText(run)) return undefined
  if (textOf(Buffer.from(run.slice(0, SAMPLE), 'base64'), run.length > SAMPLE) === undefined)
    return undefined
  return textOf(Buffer.from(run, 'base64'), true)
}

/** Do the first four characters stand for three bytes that a text may begin with? Most words fail here. */
function startsAsText(run: string): boolean {
  const bits =
    (SEXTETS[run.charCodeAt(0) & 127] ?? 0) * 0x4_0000 +
    (SEXTETS[run.charCodeAt(1) & 127] ?? 0) * 0x1000 +
    (SEXTETS[run.charCodeAt(2) & 127] ?? 0) * 64 +
    (SEXTETS[run.charCodeAt(3) & 127] ?? 0)
  const [first, second, third] = [bits >> 16, (bits >> 8) & 255, bits & 255]
  if (!mayBeText(first) || !mayBeText(second) || !mayBeText(third)) return false
  // A byte that leads a character of two or more is followed by one that goes on.
  return first < 128
    ? second < 128 || second >= 0xc2
    : first >= 0xc2 && second >= 128 && second < 0xc0
}

const SEXTETS = new Uint8Array(128)
for (const [value, code] of Buffer.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
).entries())
  SEXTETS[code] = value
SEXTETS[45] = 62
SEXTETS[95] = 63

function mayBeText(byte: number): boolean {
  return (byte >= 32 && byte !== 127 && byte < 0xf5) || byte === 9 || byte === 10 || byte === 13
}

function isHexAt(run: string, index: number): boolean {
  return /[0-9a-fA-F]/.test(run.charAt(index))
}

/** `cut`: the last character may be incomplete. */
function textOf(bytes: Buffer, cut: boolean): string | undefined {
  if (bytes.length < 6) return undefined
  for (const byte of bytes.subarray(0, SAMPLE))
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13) return undefined
  const text = bytes.toString('utf8')
  const bad = text.indexOf('\uFFFD')
  if (bad === -1) return text
  return cut && bad >= text.length - 3 ? text.slice(0, bad) : undefined
}
