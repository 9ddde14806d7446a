// Numbers that authorities of Asia, Australia and Africa issue: UIDAI (Aadhaar), India's tax office (PAN,
// GSTIN), Singapore, China (GB 11643), Japan, Korea, Thailand, Saudi Arabia, the Emirates, Australia's tax
// office and Medicare, South Africa. And what is the same everywhere: VIN (ISO 3779), IMEI (3GPP 23.003),
// BIC (ISO 9362).

import { isDate, luhn, mod11And2, verhoeff, weighted } from './check-digits.ts'
import type { Identifier } from './identifier.ts'

/** Values of the letters A to Z (ISO 3779; I, O and Q are not used). */
const VIN_VALUES = [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 0, 7, 0, 9, 2, 3, 4, 5, 6, 7, 8, 9]
/** Provinces of Thailand, by the digits that a district begins with. */
const THAI_PROVINCE = /^.(?:1\d|2[0-7]|3\d|4\d|5[0-8]|6[0-7]|7[0-7]|8[0-6]|9[0-6])/

export const WORLDWIDE: readonly Identifier[] = [
  {
    type: 'in_aadhaar',
    category: 'government_id',
    starts: 'd4',
    pattern: /(?<!\d[- ])[2-9]\d{3}([- :])\d{4}\1\d{4}(?![- ]\d)/y,
    valid: isAadhaar,
    confidence: 0.9,
  },
  {
    type: 'in_aadhaar',
    category: 'government_id',
    starts: 'd12',
    pattern: /[2-9]\d{11}/y,
    valid: isAadhaar,
    context: /aadha?ar|\buid(?:ai)?\b/i,
    confidence: 0.9,
  },
  {
    type: 'in_pan',
    category: 'government_id',
    starts: 'm10',
    pattern: /[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]/y,
    valid: (value) => !value.includes('0000'),
    confidence: 0.7,
  },
  {
    type: 'in_gstin',
    category: 'government_id',
    starts: 'm15',
    pattern:
      /(?:0[1-9]|[12]\d|3[0-8]|97)[A-Za-z]{3}[ABCFGHLJPTabcfghljpt][A-Za-z]\d{4}[A-Za-z][1-9A-Za-z][Zz][0-9A-Za-z]/y,
    valid: isGstin,
    confidence: 0.95,
  },
  {
    type: 'sg_nric_fin',
    category: 'government_id',
    starts: 'm9',
    pattern: /[STFGMstfgm]\d{7}[A-Za-z]/y,
    valid: isNric,
    confidence: 0.9,
  },
  {
    type: 'cn_resident_id',
    category: 'government_id',
    starts: 'd18 m18',
    pattern: /[1-8]\d{16}[0-9Xx]/y,
    valid: (value) =>
      isDate(value.slice(6, 10), value.slice(10, 12), value.slice(12, 14)) &&
      /^.{6}(?:18|19|20)/.test(value) &&
      mod11And2(value),
    confidence: 0.95,
  },
  {
    type: 'jp_my_number',
    category: 'government_id',
    starts: 'd12 d4',
    pattern: /\d{12}|\d{4}([- ])\d{4}\1\d{4}/y,
    valid: isMyNumber,
    context: /my ?number|マイナンバー|個人番号/i,
    confidence: 0.9,
  },
  {
    type: 'kr_rrn',
    category: 'government_id',
    starts: 'd6',
    pattern: /\d{6}-[1-8]\d{6}/y,
    valid: isRrn,
    confidence: 0.85,
  },
  {
    type: 'kr_rrn',
    category: 'government_id',
    starts: 'd13',
    pattern: /\d{6}[1-8]\d{6}/y,
    valid: isRrn,
    context: /\brrn\b|resident registration|주민/i,
    confidence: 0.85,
  },
  {
    type: 'th_tnin',
    category: 'government_id',
    starts: 'd1',
    pattern: /[1-8]([- ])\d{4}\1\d{5}\1\d{2}\1\d/y,
    valid: isThai,
    confidence: 0.9,
  },
  {
    type: 'th_tnin',
    category: 'government_id',
    starts: 'd13',
    pattern: /[1-8]\d{12}/y,
    valid: isThai,
    context: /thai|\btnin\b|national id|citizen id|บัตรประชาชน|ประจำตัวประชาชน/i,
    confidence: 0.9,
  },
  {
    type: 'sa_national_id',
    category: 'government_id',
    starts: 'd10',
    pattern: /[12]\d{9}/y,
    valid: luhn,
    context: /iqama|saudi|الهوية|هوية/i,
    needsContext: true,
    confidence: 0.85,
  },
  {
    type: 'ae_emirates_id',
    category: 'government_id',
    starts: 'd3 d15',
    pattern: /784(-?)(?:19|20)\d{2}\1\d{7}\1\d/y,
    valid: luhn,
    confidence: 0.95,
  },
  {
    type: 'au_tfn',
    category: 'government_id',
    starts: 'd9 d3',
    pattern: /\d{3}[- ]?\d{3}[- ]?\d{3}/y,
    valid: (value) =>
      weighted(value, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 === 0 && new Set(value).size > 1,
    context: /\btfn\b|tax file/i,
    confidence: 0.75,
  },
  {
    type: 'au_abn',
    category: 'government_id',
    starts: 'd2',
    pattern: /(?<!\d )[1-9]\d \d{3} \d{3} \d{3}(?! \d)/y,
    valid: isAbn,
    confidence: 0.85,
  },
  {
    type: 'au_abn',
    category: 'government_id',
    starts: 'd11',
    pattern: /[1-9]\d{10}/y,
    valid: isAbn,
    context: /\babn\b|business number/i,
    confidence: 0.9,
  },
  {
    type: 'au_medicare',
    category: 'health',
    starts: 'd4 d10',
    pattern: /[2-6]\d{3}([- ]?)\d{5}\1\d(?:[/-]\d)?/y,
    valid: (value) => weighted(value, [1, 3, 7, 9, 1, 3, 7, 9]) % 10 === Number(value.charAt(8)),
    context: /medicare/i,
    confidence: 0.85,
  },
  {
    type: 'za_id_number',
    category: 'government_id',
    starts: 'd13',
    pattern: /\d{10}[012]\d{2}/y,
    valid: (value) =>
      luhn(value) && isDate(value.slice(0, 2), value.slice(2, 4), value.slice(4, 6)),
    context: /\brsa\b|\bsa id|south africa|id (?:no|number|nr)|identity|\bid\b/i,
    confidence: 0.85,
  },
  {
    type: 'vin',
    category: 'pii',
    starts: 'm17',
    pattern: /[A-HJ-NPR-Za-hj-npr-z0-9]{8}[0-9Xx][A-HJ-NPR-Za-hj-npr-z0-9]{8}/y,
    valid: isVin,
    confidence: 0.85,
  },
  {
    type: 'imei',
    category: 'pii',
    starts: 'd15 d2',
    pattern: /\d{15}|\d{2}[- ]\d{6}[- ]\d{6}[- ]\d/y,
    valid: (value) => luhn(value) && new Set(value).size > 2,
    context: /\bimei\b/i,
    confidence: 0.9,
  },
  {
    type: 'swift_bic',
    category: 'financial',
    starts: 'a8 a11 m8 m11',
    pattern: /[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?/y,
    context: /\b(?:bic|swift)\b/i,
    confidence: 0.7,
  },
]

function isAadhaar(value: string): boolean {
  return verhoeff(value) && value !== value.split('').toReversed().join('')
}

function isGstin(value: string): boolean {
  let sum = 0
  for (let index = 0; index < 14; index++) {
    const product = Number.parseInt(value.charAt(index), 36) * (index % 2 === 0 ? 1 : 2)
    sum += Math.floor(product / 36) + (product % 36)
  }
  return ((36 - (sum % 36)) % 36).toString(36).toUpperCase() === value.charAt(14)
}

function isNric(value: string): boolean {
  const series = value.charAt(0)
  const offset = /[TG]/.test(series) ? 4 : series === 'M' ? 3 : 0
  const rest = (weighted(value.slice(1), [2, 7, 6, 5, 4, 3, 2]) + offset) % 11
  const letters = /[ST]/.test(series)
    ? 'JZIHGFEDCBA'
    : series === 'M'
      ? 'XWUTRQPNJLK'
      : 'XWUTRQPNMLK'
  return letters.charAt(rest) === value.charAt(8)
}

function isMyNumber(value: string): boolean {
  const rest = weighted(value, [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
  return (rest <= 1 ? 0 : 11 - rest) === Number(value.charAt(11)) && new Set(value).size > 1
}

function isRrn(value: string): boolean {
  const century = /[1256]/.test(value.charAt(6)) ? 1900 : 2000
  const year = century + Number(value.slice(0, 2))
  if (!isDate(year, value.slice(2, 4), value.slice(4, 6))) return false
  // Since October 2020 the last digits are drawn at random.
  if (year > 2020 || (year === 2020 && Number(value.slice(2, 4)) >= 10)) return true
  const sum = weighted(value, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5])
  const foreign = Number(value.charAt(6)) >= 5
  return ((foreign ? 13 : 11) - (sum % 11)) % 10 === Number(value.charAt(12))
}

function isThai(value: string): boolean {
  if (!THAI_PROVINCE.test(value)) return false
  const sum = weighted(value, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
  return (11 - (sum % 11)) % 10 === Number(value.charAt(12)) && new Set(value).size > 1
}

function isAbn(value: string): boolean {
  return (weighted(value, [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) - 10) % 89 === 0
}

function isVin(value: string): boolean {
  if (!/[A-Z].*[A-Z]/.test(value) || new Set(value).size < 5) return false
  let sum = 0
  for (const [index, weight] of [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2].entries()) {
    const code = value.charCodeAt(index)
    sum += (code >= 65 ? (VIN_VALUES[code - 65] ?? 0) : code - 48) * weight
  }
  const check = sum % 11
  return value.charAt(8) === (check === 10 ? 'X' : String(check))
}
