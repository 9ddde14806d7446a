// Numbers that authorities of the Americas issue: Social Security Administration (SSN), IRS (ITIN), ABA
// (routing), CMS (NPI, MBI), DEA, Service Canada (SIN), Receita Federal (CPF, CNPJ), RENAPO (CURP).

import { isDate, luhn, weighted } from './check-digits.ts'
import type { Identifier } from './identifier.ts'

/** Nine digits in threes are a telephone number in many countries. */
const PHONE_WORD = /phone|\btel|t[ée]l|mobil|m[óo]vil|\bfax|\bcall|\bcell|handy|\+\d{1,3}\W{0,2}$/i
const SSN_WORD = /\bssn|social.?sec|\bss ?(?:no|number|#)/i
const SSN_EXAMPLES = new Set([
  '078051120',
  '219099999',
  '457555462',
  '123456789',
  '111223333',
  '123121234',
])
const ROUTING = /\baba\b|routing|\brtn\b|transit/i
const NPI = /\bnpi\b|provider/i
const CURP_ALPHABET = '0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ'
const MBI_LETTER = '[AC-HJKMNP-RT-Yac-hjkmnp-rt-y]'
const MBI_ANY = '[0-9AC-HJKMNP-RT-Yac-hjkmnp-rt-y]'

export const AMERICAN: readonly Identifier[] = [
  {
    type: 'us_ssn',
    category: 'government_id',
    starts: 'd3',
    pattern: /\d{3}([- ])\d{2}\1\d{4}/y,
    valid: isSsn,
    confidence: 0.85,
  },
  {
    type: 'us_ssn',
    category: 'government_id',
    starts: 'd9 d3 d5',
    pattern: /\d{3}[- .]?\d{2}[- .]?\d{4}/y,
    valid: isSsn,
    context: SSN_WORD,
    needsContext: true,
    confidence: 0.8,
  },
  {
    type: 'us_itin',
    category: 'government_id',
    starts: 'd3',
    pattern: /9\d{2}([- ])\d{2}\1\d{4}/y,
    valid: isItin,
    confidence: 0.8,
  },
  {
    type: 'us_itin',
    category: 'government_id',
    starts: 'd9',
    pattern: /9\d{8}/y,
    valid: isItin,
    context: /\bitin\b|taxpayer/i,
    needsContext: true,
    confidence: 0.8,
  },
  {
    type: 'us_aba_routing',
    category: 'financial',
    starts: 'd9 d4',
    pattern: /\d{9}|\d{4}-\d{4}-\d/y,
    valid: (value) =>
      /^(?:0\d|1[0-2]|2[1-9]|3[0-2]|6[1-9]|7[0-2]|80)/.test(value) &&
      !/^0+$/.test(value) &&
      weighted(value, [3, 7, 1, 3, 7, 1, 3, 7, 1]) % 10 === 0,
    context: ROUTING,
    confidence: 0.8,
  },
  {
    type: 'us_bank_account',
    category: 'financial',
    starts: 'd8 d9 d10 d11 d12 d13 d14 d15 d16 d17',
    pattern: /\d{8,17}/y,
    context:
      /(?:bank|checking|savings|account|acct)[\w ]{0,12}(?:no\.?|number|nr|#|num)?[\s:#=]{1,4}$/i,
    confidence: 0.4,
  },
  {
    type: 'us_passport',
    category: 'government_id',
    starts: 'd9 m9',
    pattern: /[A-Za-z]\d{8}|\d{9}/y,
    context: /\bpassport\W{0,3}(?:no\.?|number|#|num|card)?[\s:#=]{0,3}(?:is )?$/i,
    confidence: 0.5,
  },
  {
    type: 'us_driver_license',
    category: 'government_id',
    starts: 'm8 m9 m13 d7 d8 d9',
    pattern: /[A-Za-z]\d{7,12}|\d{7,9}/y,
    context: /driver'?s?.{0,3}licen[cs]e|\bdl ?(?:no|number|#)|driving licen[cs]e/i,
    confidence: 0.4,
  },
  {
    type: 'us_npi',
    category: 'health',
    starts: 'd10',
    pattern: /[12]\d{9}/y,
    valid: (value) => luhn(`80840${value}`) && !/^1{9}|^2{9}/.test(value),
    context: NPI,
    confidence: 0.8,
  },
  {
    type: 'us_mbi',
    category: 'health',
    starts: 'm4 m11',
    pattern: new RegExp(
      `[1-9]${MBI_LETTER}${MBI_ANY}\\d(-?)${MBI_LETTER}${MBI_ANY}\\d\\1${MBI_LETTER}{2}\\d{2}`,
      'y',
    ),
    confidence: 0.8,
  },
  {
    type: 'us_dea_number',
    category: 'health',
    starts: 'm9',
    pattern: /[ABCDEFGHJKLMPRSTUXabcdefghjklmprstux][A-Za-z9]\d{7}/y,
    valid: isDea,
    confidence: 0.7,
  },
  {
    type: 'medical_record_number',
    category: 'health',
    starts: 'd6 d7 d8 d9 d10 m7 m8 m9 m10',
    pattern: /[A-Za-z]{0,3}\d{6,10}/y,
    context: /\bmrn\b|medical record|patient (?:id|no|number)|\bhospital (?:no|number)/i,
    confidence: 0.6,
  },
  {
    type: 'icd10_code',
    category: 'health',
    starts: 'm3 m4',
    pattern: /[A-TV-Za-tv-z]\d[0-9ABab](?:\.[0-9A-Za-z]{1,4})?/y,
    context: /\bicd(?:-?10)?|\bdiagnos\w*/i,
    confidence: 0.6,
  },
  {
    type: 'ca_sin',
    category: 'government_id',
    starts: 'd3',
    pattern: /(?<!\d[- ])[1-79]\d{2}([- ])\d{3}\1\d{3}(?![- ]\d)/y,
    valid: isSin,
    unless: PHONE_WORD,
    confidence: 0.7,
  },
  {
    type: 'ca_sin',
    category: 'government_id',
    starts: 'd9',
    pattern: /[1-79]\d{8}/y,
    valid: isSin,
    context: /\bsin\b|social insurance|\bnas\b|assurance sociale/i,
    confidence: 0.8,
  },
  {
    type: 'br_cpf',
    category: 'government_id',
    starts: 'd3',
    pattern: /\d{3}\.\d{3}\.\d{3}-\d{2}/y,
    valid: isCpf,
    confidence: 0.95,
  },
  {
    type: 'br_cpf',
    category: 'government_id',
    starts: 'd11 d9',
    pattern: /\d{9}-?\d{2}/y,
    valid: isCpf,
    context: /\bcpf\b|pessoas? f[ií]sica/i,
    confidence: 0.9,
  },
  {
    type: 'br_cnpj',
    category: 'government_id',
    starts: 'd2 d14',
    pattern: /\d{2}\.\d{3}\.\d{3}\/\d{4}-\d{2}|\d{14}/y,
    valid: isCnpj,
    confidence: 0.9,
  },
  {
    type: 'mx_curp',
    category: 'government_id',
    starts: 'm18',
    pattern: /[A-Za-z][AEIOUXaeioux][A-Za-z]{2}\d{6}[HMXhmx][A-Za-z]{5}[0-9A-Za-z]\d/y,
    valid: isCurp,
    confidence: 0.95,
  },
]

function isSsn(value: string): boolean {
  if (SSN_EXAMPLES.has(value) || /^(\d)\1+$/.test(value)) return false
  return !/^(?:000|666|9)|^...00|0000$/.test(value)
}

function isItin(value: string): boolean {
  const group = Number(value.slice(3, 5))
  return (
    (group >= 50 && group <= 65) ||
    (group >= 70 && group <= 88) ||
    (group >= 90 && group <= 92) ||
    group >= 94
  )
}

function isSin(value: string): boolean {
  return luhn(value) && new Set(value).size > 1
}

function isDea(value: string): boolean {
  const digits = value.slice(2)
  const sum = weighted(digits, [1, 2, 1, 2, 1, 2])
  return sum > 0 && sum % 10 === Number(digits.charAt(6))
}

function isCpf(value: string): boolean {
  if (/^(\d)\1+$/.test(value)) return false
  const check = (weights: readonly number[]): number => ((weighted(value, weights) * 10) % 11) % 10
  return (
    check([10, 9, 8, 7, 6, 5, 4, 3, 2]) === Number(value.charAt(9)) &&
    check([11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) === Number(value.charAt(10))
  )
}

function isCnpj(value: string): boolean {
  if (/^(\d)\1+$/.test(value)) return false
  const check = (weights: readonly number[]): number => {
    const rest = weighted(value, weights) % 11
    return rest < 2 ? 0 : 11 - rest
  }
  return (
    check([5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) === Number(value.charAt(12)) &&
    check([6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) === Number(value.charAt(13))
  )
}

function isCurp(value: string): boolean {
  if (!isDate(value.slice(4, 6), value.slice(6, 8), value.slice(8, 10))) return false
  let sum = 0
  for (let index = 0; index < 17; index++)
    sum += CURP_ALPHABET.indexOf(value.charAt(index)) * (18 - index)
  return (10 - (sum % 10)) % 10 === Number(value.charAt(17))
}
