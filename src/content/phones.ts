// Telephone numbers: with a country code (ITU-T E.164), in a form that only telephone numbers have (North
// American 3-3-4), or beside a word that announces one. Numbers that regulators keep free for fiction
// (NANPA 555-01xx, Ofcom's drama numbers) are none.

import type { Candidate } from './candidate.ts'
import { classAt, DIGIT, isWordAt, matchAt, WORD } from './characters.ts'
import { isPossibleNumber } from './numbering-plans.ts'

const GROUPS_MOST = 9
const DIGITS_MOST = 17
const EXTENSION = /[ ,]{0,2}(?:x|ext\.?) ?\d{1,6}/iy
const DATE = /^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d{2})(?:\b|[ T])/
const WORDS =
  'phone|tele(?:phone|fon|foon|fono|fone)|t[eé]l[eé]phone|tel[eé]fono|telef\\w*|tel|mobile|mobil|m[oó]vil|cellulare|celular|cell|handy|puhelin|fax|desk|office|sms|text me|whatsapp|signal|call(?: me| us| him| her| them)?|ring|dial|reach (?:me|us|him|her|them)|answering|messages? to|contact(?: number| no)?|電話|电话|手机'
const ANNOUNCED = new RegExp(`(?<![a-zà-ÿ])(?:${WORDS})(?![a-z])[^\\d]{0,28}$`, 'i')
const NUMBER_WORD =
  /\b(?:number|nummer|num[eé]ro|n[uú]mero|numaram?|registered)(?: is| ist| est| es)?[\s:#]{0,3}$/i
const OTHER_NUMBER =
  /\b(?:account|card|order|invoice|ticket|case|tracking|serial|social security|tax|vat|passport|license|licence|policy|reference|ref|customer|part|model|version|id)\W{0,3}(?:no\.?|number|nummer)?[^\d]{0,8}$/i
const LABELLED = /[\s\-–,(]{0,3}(?:office|fax|mobile|phone|tel|cell|home|work|desk|direct)\b/iy
const NORTH_AMERICAN = /^\(?[2-9]\d{2}\)?[ .-]{0,2}[2-9]\d{2}[.-]\d{4}$/
const FICTION =
  /^(?:1\d{3}55501\d{2}|44(?:7700900|20794609|1632960|1134960|1144960|1154960|1164960|1174960|1184960|1214960|1314960|1414960|1514960|1614960|1914980)\d{2,3})$/
const BEFORE = 48

/** Groups of digits, and where each of them ends. */
interface Shape {
  readonly digits: string
  readonly ends: readonly number[]
}

export function findPhone(text: string, first: number, alone: boolean): Candidate | undefined {
  const at = startOf(text, first)
  if (at === undefined || (at === first && isInside(text, first))) return undefined
  const shape = shapeAt(text, first)
  if (shape.digits.length < 7 || shape.ends.length > GROUPS_MOST) return undefined
  if (/^(\d)\1+$/.test(shape.digits)) return undefined
  const hasPlus = text.charCodeAt(first - 1) === 43
  if (hasPlus || shape.digits.startsWith('00')) {
    const found = withCountry(text, at, shape, hasPlus ? 0 : 2)
    if (found !== undefined || hasPlus) return found
  }
  const end = shape.ends.at(-1) ?? first
  if (shape.digits.length > DIGITS_MOST || continues(text, end)) return undefined
  const found = text.slice(at, end)
  if (DATE.test(found)) return undefined
  const extension = matchAt(EXTENSION, text, end)?.[0].length ?? 0
  const confidence = judge(text, at, end + extension, found, shape, alone)
  if (confidence === undefined) return undefined
  return phone(at, end + extension, confidence)
}

/** After another group nothing begins that needs a word before it; North American numbers do not. */
function isInside(text: string, first: number): boolean {
  if (classAt(text, first - 2) !== DIGIT || !BETWEEN.has(text.charCodeAt(first - 1))) return false
  const isThree = classAt(text, first + 2) === DIGIT && classAt(text, first + 3) !== DIGIT
  return !isThree
}

function phone(start: number, end: number, confidence: number): Candidate {
  return { type: 'phone', category: 'pii', start, end, confidence }
}

/** A plus sign, an opening bracket or both may stand before the first digit. */
function startOf(text: string, first: number): number | undefined {
  let at = first
  if (text.charCodeAt(at - 1) === 40) at -= 1
  if (text.charCodeAt(at - 1) === 43) at -= 1
  if (isWordAt(text, at - 1) || text.charCodeAt(at - 1) === 43) return undefined
  if (at < first) return at
  const before = text.charAt(at - 1)
  if (before !== '' && '.,@#$€£%'.includes(before)) return undefined
  return before === '-' && (classAt(text, at - 2) & WORD) !== 0 ? undefined : at
}

/** Digits in groups, with at most two of blank, full stop, slash, hyphen and brackets between them. */
function shapeAt(text: string, first: number): Shape {
  let digits = ''
  const ends: number[] = []
  let at = first
  while (ends.length <= GROUPS_MOST && digits.length <= DIGITS_MOST) {
    const start = at
    while (classAt(text, at) === DIGIT && at - start <= DIGITS_MOST) at += 1
    digits += text.slice(start, at)
    ends.push(at)
    let gap = at
    while (gap - at < 3 && BETWEEN.has(text.charCodeAt(gap))) gap += 1
    if (gap === at || classAt(text, gap) !== DIGIT) break
    at = gap
  }
  return { digits, ends }
}

/** Tab, blank, brackets, hyphen, full stop, slash. */
const BETWEEN = new Set([9, 32, 40, 41, 45, 46, 47])

function continues(text: string, end: number): boolean {
  const after = text.charCodeAt(end)
  if (after === 64 || (isWordAt(text, end) && !/[xXeE]/.test(text.charAt(end)))) return true
  return (after === 46 || after === 44) && classAt(text, end + 1) === DIGIT
}

/** With a country code; what follows the number may look like one more group of it. */
function withCountry(
  text: string,
  at: number,
  shape: Shape,
  prefix: number,
): Candidate | undefined {
  let { digits } = shape
  let next: number | undefined
  for (const end of shape.ends.toReversed().slice(0, 4)) {
    if (next !== undefined) digits = digits.slice(0, -digitsIn(text, end, next))
    next = end
    const number = digits.slice(prefix)
    if (number.length < 8) return undefined
    if (number.length <= 16 && !continues(text, end) && isReal(number))
      return phone(at, end + (matchAt(EXTENSION, text, end)?.[0].length ?? 0), 0.9)
  }
  return undefined
}

function digitsIn(text: string, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to; at++) if (classAt(text, at) === DIGIT) count += 1
  return count
}

function judge(
  text: string,
  at: number,
  end: number,
  found: string,
  { digits, ends }: Shape,
  alone: boolean,
): number | undefined {
  const separated = ends.length > 1
  // Digits set apart one by one are a list.
  if (ends.length > 3 && digits.length < ends.length * 2) return undefined
  if (FICTION.test(`1${digits}`) || FICTION.test(digits.replace(/^0/, '44'))) return undefined
  const before = text.slice(Math.max(0, at - BEFORE), at)
  if (OTHER_NUMBER.test(before)) return undefined
  if (ANNOUNCED.test(before) || matchAt(LABELLED, text, end) !== null)
    return separated || digits.length >= 9 ? 0.6 : undefined
  if (separated && digits.length <= 12 && NUMBER_WORD.test(before)) return 0.5
  if (NORTH_AMERICAN.test(found)) return 0.5
  // Alone in the text, a trunk zero and the length of a national number.
  return alone && /^0[1-9]/.test(digits) && (digits.length === 10 || digits.length === 11)
    ? 0.4
    : undefined
}

function isReal(number: string): boolean {
  return !FICTION.test(number.replace(/^440/, '44')) && isPossibleNumber(number)
}
