// Telephone numbers: with a country code (ITU-T E.164), in a form that only telephone numbers have (North
// American 3-3-4), or beside a word that announces one. Numbers that regulators keep free for fiction
// (NANPA 555-01xx, Ofcom's drama numbers) are none.

import { parsePhoneNumberFromString } from 'libphonenumber-js/min'
import type { Candidate } from './candidate.ts'
import { classAt, matchAt, WORD } from './characters.ts'

const SHAPE =
  /(?:\+|00)?\(?\d{1,4}\)?(?:[ \t\u00A0./-]{0,2}\(?\d{1,12}\)?){1,7}(?:[ ,]{0,2}(?:x|ext\.?)\s?\d{1,6})?(?!\w|[.,]\d|@)/y
const DATE = /^\(?(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:\b|[ T])/
const WORDS =
  'phone|tele(?:phone|fon|foon|fono|fone)|t[eé]l[eé]phone|tel[eé]fono|telef\\w*|tel|mobile|mobil|m[oó]vil|cellulare|celular|cell|handy|puhelin|fax|desk|office|sms|text me|whatsapp|signal|call(?: me| us| him| her| them)?|ring|dial|reach (?:me|us|him|her|them)|answering|messages? to|contact(?: number| no)?|電話|电话|手机'
const ANNOUNCED = new RegExp(`(?:${WORDS})(?![a-z])[^\\d]{0,28}$`, 'i')
const NUMBER_WORD =
  /\b(?:number|nummer|num[eé]ro|n[uú]mero|numaram?|registered)(?: is| ist| est| es)?[\s:#]{0,3}$/i
const OTHER_NUMBER =
  /\b(?:account|card|order|invoice|ticket|case|tracking|serial|social security|tax|vat|passport|license|licence|policy|reference|ref|customer|part|model|version|id)\W{0,3}(?:no\.?|number|nummer)?[^\d]{0,8}$/i
const LABELLED = /^[\s\-–,(]{0,3}(?:office|fax|mobile|phone|tel|cell|home|work|desk|direct)\b/i
const NORTH_AMERICAN = /^\(?[2-9]\d{2}\)?[ .-]{0,2}[2-9]\d{2}[.-]\d{4}/
const FICTION =
  /^\+(?:1\d{3}55501\d{2}|44(?:7700900|20794609|1632960|1134960|1144960|1154960|1164960|1174960|1184960|1214960|1314960|1414960|1514960|1614960|1914980)\d{2,3})$/
const BEFORE = 48

export function findPhone(text: string, first: number, alone: boolean): Candidate | undefined {
  const at = startOf(text, first)
  if (at === undefined) return undefined
  const shape = matchAt(SHAPE, text, at)
  if (shape === null) return undefined
  const found = trimmed(shape[0])
  const digits = found.replace(/(?:x|ext).*$/i, '').replaceAll(/\D/g, '')
  if (digits.length < 7 || digits.length > 17 || DATE.test(found)) return undefined
  if (/^(\d)\1+$/.test(digits)) return undefined
  const confidence = judge(text, at, found, digits, alone)
  if (confidence === undefined) return undefined
  return { type: 'phone', category: 'pii', start: at, end: at + found.length, confidence }
}

/** A plus sign, an opening bracket or both may stand before the first digit. */
function startOf(text: string, first: number): number | undefined {
  let at = first
  if (text.charAt(at - 1) === '(') at -= 1
  if (text.charAt(at - 1) === '+') at -= 1
  const before = text.charAt(at - 1)
  if (at < first && !/[\w+]/.test(before)) return at
  if (/[\w.+,@#$€£%]/.test(before)) return undefined
  return before === '-' && (classAt(text, at - 2) & WORD) !== 0 ? undefined : at
}

/** A bracket that opens or closes nothing belongs to the sentence. */
function trimmed(shape: string): string {
  const text = shape.replace(/[ \t\u00A0./-]+$/, '')
  return text.endsWith(')') && !text.includes('(') ? text.slice(0, -1) : text
}

function judge(
  text: string,
  at: number,
  found: string,
  digits: string,
  alone: boolean,
): number | undefined {
  const international = found.startsWith('+') || found.startsWith('(+') || /^00[1-9]/.test(found)
  if (international)
    return isReal(`+${digits.replace(/^00/, '')}`, found.startsWith('00')) ? 0.9 : undefined
  const before = text.slice(Math.max(0, at - BEFORE), at)
  const separated = /\d[ ./-]{1,2}\(?\d/.test(found) || found.startsWith('(')
  const northAmerican = NORTH_AMERICAN.test(found) && (digits.length === 10 || /x/i.test(found))
  if (FICTION.test(`+1${digits}`)) return undefined
  if (OTHER_NUMBER.test(before)) return undefined
  if (
    ANNOUNCED.test(before) ||
    LABELLED.test(text.slice(at + found.length, at + found.length + 12))
  )
    return separated || digits.length >= 9 ? 0.6 : undefined
  if (separated && digits.length <= 12 && NUMBER_WORD.test(before)) return 0.5
  if (northAmerican && isReal(`+1${digits.slice(0, 10)}`, true)) return 0.5
  // Alone in the text, a trunk zero and the length of a national number.
  return alone && /^0[1-9]/.test(digits) && (digits.length === 10 || digits.length === 11)
    ? 0.4
    : undefined
}

function isReal(number: string, strictly: boolean): boolean {
  if (FICTION.test(number)) return false
  const parsed = parsePhoneNumberFromString(number.replace(/^(\+44)0/, '$1'))
  return parsed !== undefined && (strictly ? parsed.isValid() : parsed.isPossible())
}
