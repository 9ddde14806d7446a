// Payment cards: issuer ranges and lengths of ISO/IEC 7812 and the schemes, Luhn check digit. The numbers
// that schemes and payment services publish for tests are none.

import type { Candidate } from './candidate.ts'
import { classAt, DIGIT, WORD } from './characters.ts'
import { luhn } from './check-digits.ts'

const CARD_WORD =
  /card|visa|master|amex|american express|diners|credit|debit|payment|\bcc\b|\bpan\b|kreditkarte|karte|carte|tarjeta|carta/i
const BEFORE = 48
const LEAST_DIGITS = 12
const MOST_DIGITS = 19
/** Blank, tab, line ends, full stop, hyphen. */
const SEPARATORS = new Set([32, 9, 10, 13, 46, 45])
/** Groups as they are embossed; other groupings need a word that says card. */
const GROUPS = new Set([
  '4444',
  '44443',
  '465',
  '464',
  '445',
  '4442',
  '4441',
  '44442',
  '44441',
  '8444',
  '444',
])

const TEST_CARDS = new Set(
  `4111111111111111 4242424242424242 4012888888881881 4000000000000002 4000056655665556 4222222222222
   4000000000000077 4000000000000010 4000000000009995 4917610000000000 4917610000000000003 4462030000000000
   4988438843884305 4166676667666746 4646464646464644 4000620000000007 4000060000000006 4293189100000008
   4001020000000009 4444333322221111 4508750015741019 4005519200000004 4009348888881881 4012000033330026
   4012000077777777 4217651111111119 4500600000000061 4000111111111115 4539097887163333 4917484589897107
   5555555555554444 5105105105105100 5200828282828210 2223003122003222 5431111111111111 5454545454545454
   5100290029002909 5577000055770004 5136333333333335 5585558555855583 5555444433331111 2222410740360010
   2222400070000005 2222400010000008 2223000048410010 2223520443560010 5204740009900014 5500000000000004
   5111111111111118 5424000000000015 5019717010103742 5019555544445555 6759649826438453 6771798021000008
   6304000000000000 6799990100000000019 378282246310005 371449635398431 378734493671000 370000000000002
   370000000100018 341111111111111 340000000000009 374251018720018 6011111111111117 6011000990139424
   6011000000000004 6011000400000000 6445644564456445 6011601160116611 30569309025904 38520000023237
   36006666333344 3056930009020004 36227206271667 38000000000006 36700102000000 30000000000004
   3566002020360505 3530111333300000 3569990010095841 3088000000000009 6200000000000005 6205500000000000004
   6250946000000016 6243030000000001`.split(/\s+/),
)

/** The card number whose first digit stands at a place. */
export function findCard(text: string, at: number, alone: boolean): Candidate | undefined {
  // Digits set apart one by one are read from the first of them only.
  if (classAt(text, at + 1) !== DIGIT && classAt(text, at - 2) === DIGIT) return undefined
  if (!FIRST_TWO[(text.charCodeAt(at) - 48) * 10 + text.charCodeAt(nextDigit(text, at)) - 48])
    return undefined
  let digits = ''
  let groups = ''
  let group = 0
  let separator = 0
  let best: Candidate | undefined
  for (let index = at; digits.length <= MOST_DIGITS; index++) {
    if (classAt(text, index) === DIGIT) {
      digits += text.charAt(index)
      group += 1
      continue
    }
    groups += String(Math.min(group, 9))
    if (digits.length >= LEAST_DIGITS) best = judge(text, at, index, digits, groups, alone) ?? best
    const between = text.charCodeAt(index)
    if (!SEPARATORS.has(between) || (separator !== 0 && between !== separator)) break
    if (classAt(text, index + 1) !== DIGIT) break
    separator = between
    group = 0
  }
  return best
}

/** First two digits that some issuer has, or that a number which is announced as a card may have. */
const FIRST_TWO = Array.from(
  { length: 100 },
  (_, two) => two === 18 || (two >= 21 && two <= 27) || (two >= 30 && two <= 69) || two === 81,
)

function nextDigit(text: string, at: number): number {
  return classAt(text, at + 1) === DIGIT ? at + 1 : at + 2
}

function judge(
  text: string,
  start: number,
  end: number,
  digits: string,
  groups: string,
  alone: boolean,
): Candidate | undefined {
  if (digits.length > MOST_DIGITS || !luhn(digits) || isPartOfMore(text, start, end))
    return undefined
  if (TEST_CARDS.has(digits) || /^(\d)\1+$/.test(digits)) return undefined
  const known = isIssued(digits)
  const grouped = groups.length > 1
  const named = alone || CARD_WORD.test(text.slice(Math.max(0, start - BEFORE), start))
  // A number that is announced as a card is one, whoever issued it (first digit 3 to 6: banks and travel).
  // In a path a number names a page.
  if (!named && text.charAt(start - 1) === '/') return undefined
  if (!known && !(named && digits.length >= 14 && /^[3-6]/.test(digits))) return undefined
  // In one piece a number of 12 or 13 digits is more often an article, a time or an order.
  if (!named && (digits.length < 14 || (grouped && !GROUPS.has(groups)))) return undefined
  const confidence = named ? 0.95 : grouped ? 0.9 : 0.8
  return {
    type: 'credit_card',
    category: 'financial',
    start,
    end,
    confidence: known ? confidence : 0.6,
  }
}

/** Digits of a longer number, of a decimal fraction, or of an identifier. */
function isPartOfMore(text: string, start: number, end: number): boolean {
  if (/[.,]/.test(text.charAt(end)) && classAt(text, end + 1) === DIGIT) return true
  if ((classAt(text, end) & WORD) !== 0 || text.charAt(end) === '_') return true
  const before = text.charAt(start - 1)
  if (before === '_' || before === '+') return true
  return /[.,-]/.test(before) && (classAt(text, start - 2) & WORD) !== 0
}

/** Issuer ranges with their lengths. */
function isIssued(digits: string): boolean {
  const size = digits.length
  const four = Number(digits.slice(0, 4))
  const two = Math.floor(four / 100)
  if (digits.startsWith('4')) return size === 13 || size === 16 || size === 19
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return size === 16
  if (two === 34 || two === 37) return size === 15
  if (two === 36 || two === 38 || two === 39 || (four >= 3000 && four <= 3059) || four === 3095)
    return size >= 14
  if (four >= 3528 && four <= 3589) return size >= 16
  if (four === 2131 || four === 1800) return size === 15
  if (four === 6011 || two === 64 || two === 65 || two === 62 || two === 81) return size >= 16
  if (four >= 2200 && four <= 2204) return size >= 16
  if (two === 50 || (two >= 56 && two <= 58) || two === 63 || two === 67 || two === 60) return true
  return two === 68 || two === 69
}
