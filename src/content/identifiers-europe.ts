// Numbers that authorities of western and southern Europe issue: HMRC and NHS, the tax and pension offices
// of Germany, Switzerland (AHV), France (INSEE), Belgium, Spain, Italy, the Netherlands, Portugal.

import { isDate, luhn, mod11And10, weighted } from './check-digits.ts'
import type { Identifier } from './identifier.ts'

const NHS = /\bnhs\b|patient|national health/i
const NIF_LETTERS = 'TRWAGMYFPDXBNJZSQVHLCKE'
const NINO_PREFIX = /^(?!BG|GB|KN|NK|NT|TN|ZZ)[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z]/
/** Odd places of the Italian code, by digit or letter (decree of 23 December 1976). */
const ITALIAN_ODD = [
  1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
]

export const EUROPEAN: readonly Identifier[] = [
  {
    type: 'uk_nhs',
    category: 'health',
    starts: 'd3',
    pattern: /\d{3}([- ])\d{3}\1\d{4}/y,
    valid: isNhs,
    context: NHS,
    confidence: 0.9,
  },
  {
    type: 'uk_nhs',
    category: 'health',
    starts: 'd10',
    pattern: /\d{10}/y,
    valid: isNhs,
    context: NHS,
    needsContext: true,
    confidence: 0.9,
  },
  {
    type: 'uk_nhs',
    category: 'health',
    starts: 'd3',
    // Not a number of the North American plan, which has the same groups.
    pattern: /(?:[01]\d{2}([- ])\d{3}\1\d{4}|\d{3}([- ])[01]\d{2}\2\d{4})/y,
    valid: isNhs,
    confidence: 0.7,
  },
  {
    type: 'uk_nino',
    category: 'government_id',
    starts: 'a2 m9 m8',
    pattern: /[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]/y,
    valid: (value) => NINO_PREFIX.test(value) && new Set(value.slice(2, 8)).size > 1,
    confidence: 0.8,
  },
  {
    type: 'de_tax_id',
    category: 'government_id',
    starts: 'd11 d2',
    pattern: /[1-9]\d{10}|[1-9]\d \d{3} \d{3} \d{3}/y,
    valid: isGermanTaxId,
    context: /steuer|\bidnr|\btin\b|tax.?id|identifikationsnummer/i,
    confidence: 0.85,
  },
  {
    type: 'de_social_security',
    category: 'government_id',
    starts: 'm12 d2',
    pattern: /\d{2} ?\d{6} ?[A-Za-z] ?\d{3}/y,
    valid: isGermanSocialSecurity,
    confidence: 0.9,
  },
  {
    type: 'de_id_card',
    category: 'government_id',
    starts: 'm10',
    pattern: /[CFGHJKL-NPRTV-Zcfghjkl-nprtv-z][0-9CFGHJKL-NPRTV-Zcfghjkl-nprtv-z]{8}\d/y,
    valid: (value) => /\d.*\d/.test(value.slice(0, 9)) && isIcao(value),
    context: /ausweis|\bid.?card|identity card|personalausweis|passport|reisepass/i,
    confidence: 0.8,
  },
  {
    type: 'ch_ahv',
    category: 'government_id',
    starts: 'd3 d13',
    pattern: /756([. ]?)\d{4}\1\d{4}\1\d{2}/y,
    valid: (value) =>
      (10 - (weighted(value, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10)) % 10 ===
      Number(value.charAt(12)),
    confidence: 0.95,
  },
  {
    type: 'fr_nir',
    category: 'government_id',
    starts: 'd1 d15 d13 m15 m13',
    pattern:
      /[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-4]\d|5[0-9]|[6-9]\d) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}/y,
    valid: isNir,
    confidence: 0.9,
  },
  {
    type: 'be_rrn',
    category: 'government_id',
    starts: 'd2 d11 d6',
    pattern: /\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}|\d{6}-?\d{3}[-.]?\d{2}/y,
    valid: isBelgian,
    confidence: 0.8,
  },
  {
    type: 'es_nif',
    category: 'government_id',
    starts: 'm9 d8',
    pattern: /\d{8}[- ]?[A-Za-z]/y,
    valid: (value) =>
      NIF_LETTERS.charAt(Number(value.slice(0, 8)) % 23) === value.charAt(8) &&
      value !== '00000000T',
    confidence: 0.85,
  },
  {
    type: 'es_nie',
    category: 'government_id',
    starts: 'm9 m8 a1',
    pattern: /[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]/y,
    valid: (value) =>
      NIF_LETTERS.charAt(Number('XYZ'.indexOf(value.charAt(0)) + value.slice(1, 8)) % 23) ===
      value.charAt(8),
    confidence: 0.9,
  },
  {
    type: 'it_fiscal_code',
    category: 'government_id',
    starts: 'm16',
    pattern:
      /[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}[A-EHLMPR-Ta-ehlmpr-t][0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[A-Za-z]/y,
    valid: isItalianCode,
    confidence: 0.95,
  },
  {
    type: 'it_vat_code',
    category: 'government_id',
    starts: 'd11 m13',
    pattern: /(?:[Ii][Tt])?\d{11}/y,
    valid: (value) => luhn(value.replace('IT', '')) && !/0000000/.test(value),
    context: /partita|p\.? ?iva|\bvat\b|\biva\b/i,
    confidence: 0.85,
  },
  {
    type: 'nl_bsn',
    category: 'government_id',
    starts: 'd9',
    pattern: /\d{9}/y,
    valid: (value) =>
      weighted(value, [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0 && new Set(value).size > 1,
    context: /\bbsn\b|burgerservice|sofi/i,
    confidence: 0.9,
  },
  {
    type: 'pt_nif',
    category: 'government_id',
    starts: 'd9 d3',
    pattern: /[1-35-9]\d{2} ?\d{3} ?\d{3}/y,
    valid: isPortuguese,
    context: /\bnif\b|contribuinte|\bnipc\b/i,
    confidence: 0.9,
  },
]

function isNhs(value: string): boolean {
  const check = 11 - (weighted(value, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)
  return check !== 10 && check % 11 === Number(value.charAt(9)) && new Set(value).size > 1
}

function isGermanTaxId(value: string): boolean {
  const counts = new Map<string, number>()
  for (const digit of value.slice(0, 10)) counts.set(digit, (counts.get(digit) ?? 0) + 1)
  return Math.max(...counts.values()) <= 3 && mod11And10(value)
}

/** Letters count as their place in the alphabet, products by the sum of their digits. */
function isGermanSocialSecurity(value: string): boolean {
  const letter = String(value.charCodeAt(8) - 64).padStart(2, '0')
  const digits = value.slice(0, 8) + letter + value.slice(9, 11)
  let sum = 0
  for (const [index, weight] of [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1].entries()) {
    const product = Number(digits.charAt(index)) * weight
    sum += Math.floor(product / 10) + (product % 10)
  }
  const [day, month] = [Number(value.slice(2, 4)), Number(value.slice(4, 6))]
  // The day of birth may be raised by 50 where numbers ran out.
  return sum % 10 === Number(value.charAt(11)) && isDate(2000, month, day > 50 ? day - 50 : day)
}

/** ICAO 9303 weights 7, 3, 1. */
function isIcao(value: string): boolean {
  let sum = 0
  for (let index = 0; index < value.length - 1; index++)
    sum += Number.parseInt(value.charAt(index), 36) * ([7, 3, 1][index % 3] ?? 0)
  return sum % 10 === Number(value.slice(-1))
}

function isNir(value: string): boolean {
  const digits = value.replace(/^(.{5})2A/, '$119').replace(/^(.{5})2B/, '$118')
  return 97n - (BigInt(digits.slice(0, 13)) % 97n) === BigInt(digits.slice(13))
}

function isBelgian(value: string): boolean {
  const [number, check] = [Number(value.slice(0, 9)), Number(value.slice(9))]
  const month = Number(value.slice(2, 4)) % 20
  const known = month === 0 || isDate(value.slice(0, 2), month, value.slice(4, 6))
  return (
    known &&
    number > 0 &&
    (97 - (number % 97) === check || 97 - ((2_000_000_000 + number) % 97) === check)
  )
}

function isItalianCode(value: string): boolean {
  let sum = 0
  for (let index = 0; index < 15; index++) {
    const character = Number.parseInt(value.charAt(index), 36)
    const place = character > 9 ? character - 10 : character
    sum += index % 2 === 0 ? (ITALIAN_ODD[place] ?? 0) : place
  }
  return String.fromCharCode(65 + (sum % 26)) === value.charAt(15)
}

function isPortuguese(value: string): boolean {
  const rest = weighted(value, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
  return (rest < 2 ? 0 : 11 - rest) === Number(value.charAt(8))
}
