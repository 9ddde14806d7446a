// Numbers that authorities of northern and eastern Europe and of Turkey issue: Sweden (Skatteverket),
// Finland (DVV), Norway, Denmark (CPR), Poland (PESEL, NIP), Turkey.

import { isDate, luhn, weighted } from './check-digits.ts'
import type { Identifier } from './identifier.ts'

const FINNISH_CHECK = '0123456789ABCDEFHJKLMNPRSTUVWXY'

export const NORTHERN: readonly Identifier[] = [
  {
    type: 'se_personnummer',
    category: 'government_id',
    starts: 'd6 d12 d8',
    pattern: /(?:(?:18|19|20)\d{6}[-+]?\d{4}|\d{6}[-+]\d{4})/y,
    valid: isSwedish,
    confidence: 0.85,
  },
  {
    type: 'se_personnummer',
    category: 'government_id',
    starts: 'd10',
    pattern: /\d{10}/y,
    valid: isSwedish,
    context: /person(?:nummer|nr)|\bpnr\b|samordning/i,
    confidence: 0.85,
  },
  {
    type: 'fi_personal_identity_code',
    category: 'government_id',
    starts: 'd6 m11',
    pattern: /\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-FHJ-NPR-Ya-fhj-npr-y]/y,
    valid: isFinnish,
    confidence: 0.95,
  },
  {
    type: 'no_fnr',
    category: 'government_id',
    starts: 'd11 d6',
    pattern: /\d{6} ?\d{5}/y,
    valid: isNorwegian,
    confidence: 0.8,
  },
  {
    type: 'dk_cpr',
    category: 'government_id',
    starts: 'd6',
    pattern: /\d{6}-\d{4}/y,
    valid: (value) => isDanish(value) && weighted(value, [4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 === 0,
    confidence: 0.7,
  },
  {
    // Since 2007 numbers are given out that fail the check.
    type: 'dk_cpr',
    category: 'government_id',
    starts: 'd6 d10',
    pattern: /\d{6}-?\d{4}/y,
    valid: isDanish,
    context: /\bcpr\b|personnummer/i,
    confidence: 0.9,
  },
  {
    type: 'pl_pesel',
    category: 'government_id',
    starts: 'd11',
    pattern: /\d{11}/y,
    valid: isPesel,
    context: /pesel/i,
    confidence: 0.95,
  },
  {
    type: 'pl_nip',
    category: 'government_id',
    starts: 'd10 d3',
    pattern: /\d{10}|\d{3}-\d{3}-\d{2}-\d{2}|\d{3}-\d{2}-\d{2}-\d{3}/y,
    valid: (value) =>
      weighted(value, [6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 === Number(value.charAt(9)) &&
      new Set(value).size > 1,
    context: /\bnip\b|podatnik/i,
    confidence: 0.9,
  },
  {
    type: 'tr_national_id',
    category: 'government_id',
    starts: 'd11',
    pattern: /[1-9]\d{10}/y,
    valid: isTurkish,
    context: /kimlik|\btckn?\b|t\.c\.|turkish/i,
    confidence: 0.9,
  },
]

function isSwedish(value: string): boolean {
  const short = value.slice(-10)
  const day = Number(short.slice(4, 6))
  const year = value.length === 12 ? Number(value.slice(0, 4)) : Number(short.slice(0, 2))
  // A coordination number has 60 added to the day.
  return luhn(short) && isDate(year, short.slice(2, 4), day > 60 ? day - 60 : day)
}

function isFinnish(value: string): boolean {
  const [birth, serial] =
    value.length === 10
      ? [value.slice(0, 6), value.slice(6, 9)]
      : [value.slice(0, 6), value.slice(7, 10)]
  const century = value.length === 11 ? value.charAt(6) : ''
  const base = /[A-F]/.test(century) ? 2000 : 1900
  if (!isDate(base + Number(birth.slice(4)), birth.slice(2, 4), birth.slice(0, 2))) return false
  return (
    Number(serial) >= 2 && FINNISH_CHECK.charAt(Number(birth + serial) % 31) === value.slice(-1)
  )
}

function isNorwegian(value: string): boolean {
  const [day, month] = [Number(value.slice(0, 2)), Number(value.slice(2, 4))]
  const check = (weights: readonly number[]): boolean => weighted(value, weights) % 11 === 0
  return (
    isDate(value.slice(4, 6), month > 40 ? month - 40 : month, day > 40 ? day - 40 : day) &&
    check([3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) &&
    check([5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1])
  )
}

function isDanish(value: string): boolean {
  return isDate(value.slice(4, 6), value.slice(2, 4), value.slice(0, 2)) && !value.endsWith('0000')
}

function isPesel(value: string): boolean {
  // The century is in the month: 80, 0, 20, 40, 60 are added for 1800 to 2200.
  const month = Number(value.slice(2, 4)) % 20
  return (
    isDate(value.slice(0, 2), month, value.slice(4, 6)) &&
    weighted(value, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 === 0
  )
}

function isTurkish(value: string): boolean {
  const odd = weighted(value, [1, 0, 1, 0, 1, 0, 1, 0, 1])
  const even = weighted(value, [0, 1, 0, 1, 0, 1, 0, 1])
  const tenth = (((odd * 7 - even) % 10) + 10) % 10
  return tenth === Number(value.charAt(9)) && (odd + even + tenth) % 10 === Number(value.charAt(10))
}
