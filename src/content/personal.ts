// Personal and financial values: e-mail addresses, phone numbers, payment cards, bank accounts.

import { parsePhoneNumberFromString } from 'libphonenumber-js/min'
import type { Candidate } from './candidate.ts'
import { ibanLength, isIban, luhn } from './check-digits.ts'

const MAX_EACH = 2000

// Local part of RFC 5321 section 4.5.3.1 (64), domain labels of RFC 1035; a quoted local part is rare but legal.
const EMAIL =
  /(?:(?<![A-Za-z0-9.!#$%&'*+/=?^_`{|}~-])[A-Za-z0-9!#$%&'*+/=?^_`{|}~-](?:[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{0,62}[A-Za-z0-9!#$%&'*+/=?^_`{|}~-])?|"[^"\n\\]{1,62}")@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])/g
const CARD = /(?<![\d.,+-])(?:\d[ \t\n\u00A0.-]?){11,18}\d(?![\d]|[.,]\d)/g
const IBAN = /(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ \u00A0-]?[A-Z0-9]){11,30}(?![A-Za-z0-9])/g
const PHONE =
  /(?<![\w.+-])(?:\+|00)?\(?\d{1,4}\)?(?:[ \t\u00A0./-]{0,2}\(?\d{1,5}\)?){2,6}(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?!\w|[.,]\d)/g
const PHONE_WORD =
  /(?:phone|tel(?:ephone|efon)?|mobile|mobil|handy|cell|call|fax|desk|office|sms|text me|whatsapp|reach|ring|(?<!security |card |account )number|answering|messages? to|contact|dial|me at)\W{0,12}(?:\w{1,12}\W{1,3}){0,4}$/i
const CARD_WORD = /card|visa|master|amex|credit|debit|payment|kreditkarte|carte|tarjeta/i

/** Numbers that card schemes and payment services publish for tests. */
const TEST_CARDS = new Set(
  [
    '4111 1111 1111 1111',
    '4242 4242 4242 4242',
    '4012 8888 8888 1881',
    '4000 0000 0000 0002',
    '4000 0566 5566 5556',
    '4222 2222 2222 2',
    '5555 5555 5555 4444',
    '5105 1051 0510 5100',
    '5200 8282 8282 8210',
    '2223 0031 2200 3222',
    '3782 822463 10005',
    '3714 496353 98431',
    '3787 344936 71000',
    '6011 1111 1111 1117',
    '6011 0009 9013 9424',
    '3056 930902 5904',
    '3852 000002 3237',
    '3566 0020 2036 0505',
    '3530 1113 3330 0000',
    '6200 0000 0000 0005',
  ].map((number) => number.replaceAll(' ', '')),
)

export function* findEmails(text: string): Generator<Candidate> {
  if (!text.includes('@')) return
  for (const { index, 0: found } of bounded(text.matchAll(EMAIL))) {
    if (found.includes('..')) continue
    yield {
      type: 'email',
      category: 'pii',
      start: index,
      end: index + found.length,
      confidence: 0.9,
    }
  }
}

export function* findCards(text: string): Generator<Candidate> {
  for (const { index, 0: found } of bounded(text.matchAll(CARD))) {
    const digits = found.replaceAll(/\D/g, '')
    if (!isCardNumber(digits) || TEST_CARDS.has(digits) || !luhn(digits)) continue
    // Without separators a number of this length can be anything; timestamps and ids pass Luhn one time in ten.
    const separated = digits.length !== found.length
    const named = CARD_WORD.test(text.slice(Math.max(0, index - 40), index))
    yield {
      type: 'credit_card',
      category: 'financial',
      start: index,
      end: index + found.length,
      confidence: separated || named ? 0.95 : 0.8,
    }
  }
}

/** Issuer ranges of ISO/IEC 7812 with their lengths. */
function isCardNumber(digits: string): boolean {
  const size = digits.length
  const six = Number(digits.slice(0, 6))
  const two = Math.floor(six / 10_000)
  const four = Math.floor(six / 100)
  if (/^(\d)\1+$/.test(digits)) return false
  if (digits.startsWith('4')) return size === 13 || size === 16 || size === 19
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return size === 16
  if (two === 34 || two === 37) return size === 15
  if (two === 36 || two === 38 || two === 39 || (four >= 3000 && four <= 3059))
    return size >= 14 && size <= 19
  if (four >= 3528 && four <= 3589) return size >= 16
  if (four === 2131 || four === 1800) return size === 15
  if (four === 6011 || two === 64 || two === 65 || two === 62) return size >= 16
  if (two === 50 || (two >= 56 && two <= 58) || two === 63 || two === 67 || two === 60)
    return size >= 12
  return false
}

export function* findIbans(text: string): Generator<Candidate> {
  for (const { index, 0: found } of bounded(text.matchAll(IBAN))) {
    const length = ibanLength(found.slice(0, 2))
    if (length === undefined) continue
    // The candidate may run into the words that follow: take exactly the country's length.
    let taken = 0
    let end = 0
    while (end < found.length && taken < length)
      taken += /[A-Z0-9]/.test(found[end++] ?? '') ? 1 : 0
    if (taken < length || /^[A-Z0-9]/.test(text.slice(index + end, index + end + 1))) continue
    if (!isIban(found.slice(0, end).replaceAll(/[^A-Z0-9]/g, ''))) continue
    yield { type: 'iban', category: 'financial', start: index, end: index + end, confidence: 0.95 }
  }
}

/** With a country code, or beside a word that announces a number; everything else is any number. */
export function* findPhones(text: string): Generator<Candidate> {
  for (const { index, 0: found } of bounded(text.matchAll(PHONE))) {
    const digits = found.replaceAll(/\D/g, '')
    if (digits.length < 7 || digits.length > 20 || /^\d{4}-\d{2}-\d{2}/.test(found)) continue
    const international = found.startsWith('+') || found.startsWith('00')
    const announced = PHONE_WORD.test(text.slice(Math.max(0, index - 60), index))
    const separated = /\d[ ./-]{1,2}\(?\d/.test(found.trim()) || found.startsWith('(')
    if (!international && !announced) continue
    const number = parsePhoneNumberFromString(
      found.startsWith('00') ? `+${found.slice(2)}` : found,
      'US',
    )
    const valid = number?.isPossible() === true && (found.startsWith('+') || number.isValid())
    if (international ? !valid : !(separated || digits.length >= 9)) continue
    yield {
      type: 'phone',
      category: 'pii',
      start: index,
      end: index + found.length,
      confidence: international ? 0.9 : 0.6,
    }
  }
}

function* bounded(matches: IterableIterator<RegExpExecArray>): Generator<RegExpExecArray> {
  let count = 0
  for (const match of matches) {
    if (++count > MAX_EACH) return
    yield match
  }
}
