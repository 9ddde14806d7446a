// One pass over a text that asks, at each place where something could begin, only what could begin there.
//
// Every step of the pass costs a bounded number of operations, so the time is linear in the text whatever
// it holds. The order in which candidates are found says nothing; `resolve.ts` chooses between them.

import { findAnnounced } from './announced.ts'
import { findAssigned } from './assignments.ts'
import type { Candidate } from './candidate.ts'
import { findCard } from './cards.ts'
import { classAt, CLASSES, DIGIT, HYPHEN, LETTER, LOWER, TOKEN, UPPER, WORD } from './characters.ts'
import { findEmail } from './emails.ts'
import { decodeRun, runAt } from './encoded.ts'
import { findIban } from './iban.ts'
import { Identifiers } from './identifier.ts'
import { AMERICAN } from './identifiers-america.ts'
import { EUROPEAN } from './identifiers-europe.ts'
import { NORTHERN } from './identifiers-north.ts'
import { WORLDWIDE } from './identifiers-world.ts'
import { findIpv4, findIpv6, findMac } from './network.ts'
import { findPhone } from './phones.ts'
import { findPem } from './private-keys.ts'
import { resolve } from './resolve.ts'
import { findKeyed } from './secret-keywords.ts'
import { findShapes } from './secret-shapes.ts'
import {
  findAzureAd,
  findDiscord,
  findFacebook,
  findJwt,
  findTelegram,
  findUrlCredentials,
} from './secret-structures.ts'
import { findWallet } from './wallets.ts'

const IDENTIFIERS = new Identifiers([...AMERICAN, ...EUROPEAN, ...NORTHERN, ...WORLDWIDE])
const RUN_LEAST = 12
/** Numbers that mean something have at least this many digits. */
const DIGITS_LEAST = 6
/** Longest word of letters only that an identifier begins with. */
const LETTERS_MOST = 11
/** Longest word of small letters that something begins with: the groups of an IPv6 address. */
const SMALL_MOST = 4
/** A text this short may be a value and nothing else. */
const ALONE_MOST = 24
/** Texts that were put together from values have U+001E between line ends around each: src/wire. */
const SEPARATOR = 0x1e
const LINE_ENDS = 2

/** Marks that something may stand around: `@ = ~ :` */
const MARKS = new Uint8Array(0x1_0000)
for (const code of [64, 61, 126, 58]) MARKS[code] = 1

/** Tab, line ends, blank, brackets, hyphen, full stop, slash, colon, plus sign. */
const GROUPING = new Uint8Array(0x1_0000)
for (const code of [9, 10, 13, 32, 40, 41, 43, 45, 46, 47, 58]) GROUPING[code] = 1

export class Scan {
  readonly #found: Candidate[] = []
  readonly #text: string
  readonly #decodes: boolean
  readonly #first: number
  readonly #last: number
  #runEnd = 0
  #phoneEnd = 0
  #cardEnd = 0
  #runs = 0

  /** `decodes`: whether runs that hold an encoded text are searched too; false inside such a run. */
  constructor(text: string, decodes: boolean) {
    this.#text = text
    this.#decodes = decodes
    this.#last = text.trimEnd().length
    this.#first = text.length - text.trimStart().length
  }

  run(): readonly Candidate[] {
    const text = this.#text
    const size = text.length
    let at = 0
    while (at < size) {
      const code = text.charCodeAt(at)
      if (((CLASSES[code] ?? 0) & TOKEN) === 0) {
        if (MARKS[code] === 1) this.#mark(at, code)
        at += 1
        continue
      }
      const start = at
      let word = at
      let classes = 0
      let wordClasses = 0
      for (;;) {
        const kind = at < size ? (CLASSES[text.charCodeAt(at)] ?? 0) : 0
        if ((kind & WORD) !== 0) wordClasses |= kind
        else {
          // Most words are of small letters, and longer than any that something begins with.
          if (wordClasses !== 0 && (wordClasses !== LOWER || at - word <= SMALL_MOST))
            this.#word(word, at, wordClasses)
          classes |= wordClasses
          if ((kind & TOKEN) === 0) break
          classes |= kind
          wordClasses = 0
          word = at + 1
        }
        at += 1
      }
      this.#token(start, at, classes)
    }
    return this.#found
  }

  #mark(at: number, code: number): void {
    const text = this.#text
    switch (code) {
      case 64:
        this.#add(findEmail(text, at))
        break
      case 61:
        this.#add(findAssigned(text, at))
        break
      case 126:
        if (text.charCodeAt(at - 1) === 81) this.#add(findAzureAd(text, at))
        break
      case 58:
        this.#colon(at)
        break
      default:
    }
  }

  #colon(at: number): void {
    const text = this.#text
    const next = text.charCodeAt(at + 1)
    if (next === 58) this.#add(findIpv6(text, at))
    else if (next !== 47) this.#add(findAssigned(text, at))
    else if (text.charCodeAt(at + 2) === 47) this.#add(findUrlCredentials(text, at))
  }

  #token(start: number, end: number, classes: number): void {
    const text = this.#text
    const next = text.charCodeAt(end)
    this.#add(findAnnounced(text, start, end))
    // Words of small letters alone are no keys, unless a full stop goes on with them.
    if (classes !== LOWER || next === 46) {
      findShapes(text, start, this.#found)
      if (next === 46) this.#dotted(start, end)
      if ((classes & HYPHEN) !== 0 && text.startsWith('-----BEGIN', end - 10))
        this.#add(findPem(text, end - 10))
    }
    if (start < this.#runEnd) return
    if (end - start >= RUN_LEAST ? (classes & (DIGIT | UPPER)) !== 0 : next === 43 || next === 47)
      this.#run(start, end)
  }

  #dotted(start: number, end: number): void {
    const text = this.#text
    if (text.startsWith('eyJ', start)) this.#add(findJwt(text, start))
    if (end - start >= 24 && end - start <= 28) this.#add(findDiscord(text, start))
  }

  #word(start: number, end: number, classes: number): void {
    const text = this.#text
    const size = end - start
    const next = text.charCodeAt(end)
    if (size <= 4 && (next === 58 || next === 45 || next === 46)) this.#device(start, size, next)
    const kind = classes & (DIGIT | LETTER)
    if ((kind & DIGIT) === 0) {
      if (size <= 2 || ((classes & LOWER) === 0 && size <= LETTERS_MOST))
        this.#identifiers(start, end, kind)
    } else if ((kind & LETTER) === 0) this.#number(start, end)
    else {
      this.#identifiers(start, end, kind)
      if (size >= 4) this.#add(findIban(text, start))
      if (size >= 26 && size <= 62) this.#add(findWallet(text, start, end))
    }
  }

  #device(start: number, size: number, next: number): void {
    const text = this.#text
    if (next === 58) this.#add(findIpv6(text, start))
    if ((size === 2 && next !== 46) || (size === 4 && next === 46)) this.#add(findMac(text, start))
  }

  #number(start: number, end: number): void {
    const text = this.#text
    const next = text.charCodeAt(end)
    if (next === 46 && end - start <= 3) this.#add(findIpv4(text, start))
    if (next === 58 && end - start >= 5) this.#add(findTelegram(text, start))
    if (next === 124) this.#add(findFacebook(text, start))
    // Digits set apart one by one are read from the first of them only.
    if (end - start === 1 && classAt(text, start - 2) === DIGIT) return
    if (!hasDigits(text, start)) return
    this.#identifiers(start, end, DIGIT)
    const isLonely = this.#last - this.#first <= ALONE_MOST || this.#isShortPart(start)
    if (start >= this.#cardEnd) {
      const card = findCard(text, start, isLonely)
      if (card !== undefined) this.#cardEnd = card.end
      this.#add(card)
    }
    if (start >= this.#phoneEnd) {
      const phone = findPhone(text, start, isLonely)
      if (phone !== undefined) this.#phoneEnd = phone.end
      this.#add(phone)
    }
  }

  #identifiers(start: number, end: number, classes: number): void {
    IDENTIFIERS.find(this.#text, start, end, classes, this.#alone, this.#found)
  }

  /** A run of the characters of base64, from a token on that ends at `least`. */
  #run(start: number, least: number): void {
    const { end, classes } = runAt(this.#text, start)
    this.#runEnd = Math.max(end, least)
    if ((classes & DIGIT) !== 0) this.#add(findKeyed(this.#text, start, end))
    if (this.#decodes && end - start >= RUN_LEAST) this.#decode(start, end, classes)
  }

  #decode(start: number, end: number, classes: number): void {
    const inner = decodeRun(this.#text.slice(start, end), classes)
    if (inner === undefined) return
    const run = ++this.#runs
    let padded = end
    while (padded < end + 2 && this.#text.charCodeAt(padded) === 61) padded += 1
    for (const { type, category, confidence } of resolve(new Scan(inner, false).run()))
      this.#found.push({ type, category, start, end: padded, confidence, run })
  }

  readonly #alone = (start: number, end: number): boolean =>
    this.#beginsPart(start) && this.#endsPart(end)

  /** Nothing but a line end stands before it in the text, or in the part of it that separators mark off. */
  #beginsPart(start: number): boolean {
    if (start === this.#first) return true
    const text = this.#text
    return text.charCodeAt(text.charCodeAt(start - 1) === 10 ? start - 2 : start - 1) === SEPARATOR
  }

  #endsPart(end: number): boolean {
    if (end === this.#last) return true
    const text = this.#text
    return text.charCodeAt(text.charCodeAt(end) === 10 ? end + 1 : end) === SEPARATOR
  }

  /** Does a number stand in a part that is short enough to be a value and nothing else? */
  #isShortPart(start: number): boolean {
    const text = this.#text
    let from = start
    while (from > this.#first && text.charCodeAt(from - 1) !== SEPARATOR) {
      from -= 1
      if (start - from > ALONE_MOST) return false
    }
    let to = start
    while (to < this.#last && text.charCodeAt(to) !== SEPARATOR) {
      to += 1
      if (to - from > ALONE_MOST + LINE_ENDS) return false
    }
    return true
  }

  #add(candidate: Candidate | undefined): void {
    if (candidate !== undefined) this.#found.push(candidate)
  }
}

/** Do enough digits follow, with no more than two of the marks between them that numbers are grouped by? */
function hasDigits(text: string, start: number): boolean {
  let digits = 0
  let gap = 0
  for (let at = start; gap <= 2 && at < text.length; at++) {
    if (classAt(text, at) === DIGIT) {
      digits += 1
      if (digits >= DIGITS_LEAST) return true
      gap = 0
    } else if (GROUPING[text.charCodeAt(at)] === 1) gap += 1
    else return digits >= DIGITS_LEAST
  }
  return false
}
