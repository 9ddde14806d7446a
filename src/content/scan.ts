// One pass over a text that asks, at each place where something could begin, only what could begin there.
//
// Every step of the pass costs a bounded number of operations, so the time is linear in the text whatever
// it holds. The order in which candidates are found says nothing; `resolve.ts` chooses between them.

import { findAssigned, findSpoken } from './assignments.ts'
import type { Candidate } from './candidate.ts'
import { findCard } from './cards.ts'
import { classAt, DIGIT, HYPHEN, LETTER, RUN, TOKEN, WORD } from './characters.ts'
import { entropy } from './check-digits.ts'
import { findEmail } from './emails.ts'
import { decodeRun } from './encoded.ts'
import { findIban } from './iban.ts'
import { Identifiers } from './identifier.ts'
import { AMERICAN } from './identifiers-america.ts'
import { EUROPEAN } from './identifiers-europe.ts'
import { NORTHERN } from './identifiers-north.ts'
import { WORLDWIDE } from './identifiers-world.ts'
import { findIpv4, findIpv6, findMac } from './network.ts'
import { findPhone } from './phones.ts'
import { isPlaceholder } from './placeholders.ts'
import { findPem, findPutty, findServiceAccount } from './private-keys.ts'
import { findKeyed } from './secret-keywords.ts'
import { entriesAt } from './secret-shapes.ts'
import {
  findAzureAd,
  findCurl,
  findDockerAuth,
  findFacebook,
  findJwt,
  findKubernetesSecret,
  findTelegram,
  findTerraform,
  findUrlCredentials,
} from './secret-structures.ts'
import { findWallet } from './wallets.ts'

const IDENTIFIERS = new Identifiers([...AMERICAN, ...EUROPEAN, ...NORTHERN, ...WORLDWIDE])
const KEYWORD_REACH = 60
const RUN_LEAST = 12
/** Lines of an encoded block (RFC 2045, RFC 7468) are at least this long. */
const LINE_LEAST = 56

/** Tokens that announce a structure, by their whole text. */
const STRUCTURES: ReadonlyMap<
  string,
  (text: string, at: number, end: number) => Candidate | undefined
> = new Map([
  ['curl', findCurl],
  ['auths', findDockerAuth],
  ['kind', findKubernetesSecret],
  ['atlasv1', findTerraform],
  ['service_account', findServiceAccount],
  ['PuTTY-User-Key-File-2', findPutty],
  ['PuTTY-User-Key-File-3', findPutty],
  ...['password', 'Password', 'passwort', 'Passwort', 'passcode', 'passphrase'].map(
    (word) => [word, (text: string, _: number, end: number) => findSpoken(text, end + 1)] as const,
  ),
])
const STRUCTURE_SIZES = new Set([...STRUCTURES.keys()].map(({ length }) => length))

export class Scan {
  readonly found: Candidate[] = []
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
    for (let at = 0; at < text.length;) {
      if ((classAt(text, at) & TOKEN) !== 0) at = this.#token(at)
      else {
        this.#mark(at, text.charCodeAt(at))
        at += 1
      }
    }
    return this.found
  }

  #mark(at: number, code: number): void {
    const text = this.#text
    if (code === 64) this.#add(findEmail(text, at))
    else if (code === 61) this.#add(findAssigned(text, at))
    else if (code === 126)
      this.#add(text.charCodeAt(at - 1) === 81 ? findAzureAd(text, at) : undefined)
    else if (code === 58) this.#colon(at)
  }

  #colon(at: number): void {
    const text = this.#text
    const next = text.charCodeAt(at + 1)
    if (next === 47)
      this.#add(text.charCodeAt(at + 2) === 47 ? findUrlCredentials(text, at) : undefined)
    else if (next === 58) this.#add(findIpv6(text, at))
    else this.#add(findAssigned(text, at))
  }

  /** A token and the words in it; returns where it ends. */
  #token(start: number): number {
    const text = this.#text
    let end = start
    let classes = 0
    let word = start
    let wordClasses = 0
    for (; ; end++) {
      const kind = classAt(text, end)
      if ((kind & WORD) !== 0) {
        wordClasses |= kind
        continue
      }
      if (wordClasses !== 0) this.#word(word, end, wordClasses)
      if ((kind & TOKEN) === 0) {
        classes |= wordClasses
        break
      }
      classes |= kind | wordClasses
      wordClasses = 0
      word = end + 1
    }
    const size = end - start
    if (size >= 2 || text.charCodeAt(end) === 46) this.#prefixes(start)
    if (STRUCTURE_SIZES.has(size))
      this.#add(STRUCTURES.get(text.slice(start, end))?.(text, start, end))
    if ((classes & HYPHEN) !== 0 && text.startsWith('-----BEGIN', end - 10))
      this.#add(findPem(text, end - 10))
    if (start >= this.#runEnd && (size >= RUN_LEAST || this.#continues(end))) this.#run(start)
    return end
  }

  /** Does base64 go on after the token? */
  #continues(end: number): boolean {
    const next = this.#text.charCodeAt(end)
    return (next === 43 || next === 47) && (classAt(this.#text, end + 1) & RUN) !== 0
  }

  #word(start: number, end: number, classes: number): void {
    const text = this.#text
    const size = end - start
    const next = text.charCodeAt(end)
    if (size <= 4 && (next === 58 || next === 45 || next === 46)) this.#device(start, size, next)
    // Most words are letters only and longer than any that an identifier begins with.
    if ((classes & DIGIT) === 0 && size > 11) return
    IDENTIFIERS.find(text, start, end, classes, this.#alone, this.found)
    if ((classes & DIGIT) === 0) return
    if ((classes & LETTER) === 0) {
      this.#number(start, end)
      return
    }
    if (size >= 4) this.#add(findIban(text, start))
    if (size >= 26 && size <= 62) this.#add(findWallet(text, start, end))
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
    if (start >= this.#cardEnd) {
      const card = findCard(text, start, this.#isLonely())
      if (card !== undefined) this.#cardEnd = card.end
      this.#add(card)
    }
    if (start >= this.#phoneEnd) {
      const phone = findPhone(text, start, this.#isLonely())
      if (phone !== undefined) this.#phoneEnd = phone.end
      this.#add(phone)
    }
  }

  #prefixes(start: number): void {
    const text = this.#text
    for (const { prefix, shape } of entriesAt(text, start)) {
      if (!text.startsWith(prefix, start)) continue
      shape.pattern.lastIndex = start
      const value = shape.pattern.exec(text)?.[0]
      if (value === undefined || isPlaceholder(value) || entropy(value) < shape.entropy) continue
      const before = text.slice(Math.max(0, start - KEYWORD_REACH), start)
      if (shape.keyword !== undefined && !shape.keyword.test(before)) continue
      this.found.push({
        type: shape.type,
        category: 'secret',
        start,
        end: start + value.length,
        confidence: shape.confidence,
      })
    }
    if (text.startsWith('eyJ', start)) this.#add(findJwt(text, start))
  }

  /** A run of the characters of base64 from a token on, over line ends where it is a block. */
  #run(start: number): void {
    const text = this.#text
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
      if (!goesOn || (classAt(text, next + 1) & RUN) === 0) break
      line = next + 1
      end = next
    }
    this.#runEnd = end
    if ((classes & DIGIT) !== 0) this.#add(findKeyed(text, start, end))
    if (this.#decodes && end - start >= RUN_LEAST) this.#decode(start, end, classes)
  }

  #decode(start: number, end: number, classes: number): void {
    const inner = decodeRun(this.#text.slice(start, end), classes)
    if (inner === undefined) return
    const run = ++this.#runs
    for (const { type, category, confidence } of new Scan(inner, false).run())
      this.found.push({ type, category, start, end, confidence, run })
  }

  #isLonely(): boolean {
    return this.#last - this.#first <= 24
  }

  readonly #alone = (start: number, end: number): boolean =>
    start === this.#first && end === this.#last

  #add(candidate: Candidate | undefined): void {
    if (candidate !== undefined) this.found.push(candidate)
  }
}
