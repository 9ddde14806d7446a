// Is a run of characters base64 (RFC 4648, both alphabets) or hex of a text? Then that text is searched too.

import { DIGIT, LOWER, UPPER } from './characters.ts'

const LEAST = 12
const HEX = /^(?:[0-9a-fA-F]{2})+$/
/** Enough of the start to tell text from pictures, keys and words, before all of it is decoded. */
const SAMPLE = 64

/** The text inside a run, or undefined where it holds none. */
export function decodeRun(run: string, classes: number): string | undefined {
  if (run.length < LEAST) return undefined
  if (HEX.test(run)) {
    const hex = textOf(Buffer.from(run.slice(0, SAMPLE), 'hex'), true)
    if (hex !== undefined) return textOf(Buffer.from(run, 'hex'), false)
  }
  // Base64 of a text always mixes cases within sixteen characters; words and paths seldom do.
  if ((classes & LOWER) === 0 || (classes & (UPPER | DIGIT)) === 0) return undefined
  if (textOf(Buffer.from(run.slice(0, SAMPLE), 'base64'), run.length > SAMPLE) === undefined)
    return undefined
  return textOf(Buffer.from(run, 'base64'), true)
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
