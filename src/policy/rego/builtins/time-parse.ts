// Which moment does a text name under a Go layout? (time.Parse, in UTC where no offset is given)

import { daysIn, daysOf, wallSeconds } from './calendar.ts'
import { type Element, MONTHS, parseLayout, WEEKDAYS } from './layout.ts'
import { fail } from './operands.ts'

interface Parsed {
  year: number
  month: number
  day: number
  yearDay: number
  hour: number
  minute: number
  second: number
  nanosecond: number
  pm: boolean | undefined
  twelve: boolean
  offsetS: number
}

/** Nanoseconds since 1970; a text that the layout does not describe fails. */
export function parseTime(text: string, layout: string): bigint {
  const parsed: Parsed = {
    year: 0,
    month: -1,
    day: -1,
    yearDay: -1,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    pm: undefined,
    twelve: false,
    offsetS: 0,
  }
  const elements = parseLayout(layout)
  let rest = text
  for (const [index, element] of elements.entries())
    rest = read(parsed, element, rest, elements[index + 1])
  if (rest !== '') fail('text after the time')
  return epochNs(parsed)
}

function epochNs(parsed: Parsed): bigint {
  let { hour, month, day } = parsed
  if (parsed.pm === true && hour < 12) hour += 12
  else if (parsed.pm === false && hour === 12) hour = 0
  if (parsed.yearDay >= 0) {
    const leap = daysIn(parsed.year, 2) === 29
    if (parsed.yearDay < 1 || parsed.yearDay > (leap ? 366 : 365)) fail('a day out of range')
    const days = daysOf(parsed.year, 1, parsed.yearDay)
    const byYearDay = monthAndDay(parsed.year, parsed.yearDay)
    if (month >= 0 && month !== byYearDay.month) fail('the day is of another month')
    if (day >= 0 && day !== byYearDay.day) fail('the day is another')
    void days
    ;({ month, day } = byYearDay)
  } else {
    if (month < 0) month = 1
    if (day < 0) day = 1
  }
  if (day < 1 || day > daysIn(parsed.year, month)) fail('a day out of range')
  const seconds =
    wallSeconds(parsed.year, month, day, hour, parsed.minute, parsed.second) - parsed.offsetS
  return BigInt(seconds) * 1_000_000_000n + BigInt(parsed.nanosecond)
}

function monthAndDay(year: number, yearDay: number): { month: number; day: number } {
  let month = 1
  let day = yearDay
  while (day > daysIn(year, month)) {
    day -= daysIn(year, month)
    month += 1
  }
  return { month, day }
}

function read(parsed: Parsed, element: Element, text: string, next: Element | undefined): string {
  if (element.kind === 'text') return skip(text, element.text)
  if (element.kind === 'frac') return readFraction(parsed, element, text)
  switch (element.name) {
    case '2006':
      return number(text, /^\d{4}/, 0, 9999, (value) => (parsed.year = value))
    case '06':
      return number(
        text,
        /^\d{2}/,
        0,
        99,
        (value) => (parsed.year = value >= 69 ? 1900 + value : 2000 + value),
      )
    case 'Jan':
      return name(
        text,
        MONTHS.map((month) => month.slice(0, 3)),
        (index) => (parsed.month = index + 1),
      )
    case 'January':
      return name(text, MONTHS, (index) => (parsed.month = index + 1))
    case '1':
      return number(text, /^\d{1,2}/, 1, 12, (value) => (parsed.month = value))
    case '01':
      return number(text, /^\d{2}/, 1, 12, (value) => (parsed.month = value))
    case 'Mon':
      return name(
        text,
        WEEKDAYS.map((day) => day.slice(0, 3)),
        () => undefined,
      )
    case 'Monday':
      return name(text, WEEKDAYS, () => undefined)
    case '2':
      return number(text, /^\d{1,2}/, 0, 99, (value) => (parsed.day = value))
    case '_2':
      return number(text.replace(/^ /, ''), /^\d{1,2}/, 0, 99, (value) => (parsed.day = value))
    case '02':
      return number(text, /^\d{2}/, 0, 99, (value) => (parsed.day = value))
    case '002':
      return number(text, /^\d{3}/, 0, 999, (value) => (parsed.yearDay = value))
    case '__2':
      return number(
        text.replace(/^ {0,2}/, (spaces) => '0'.repeat(spaces.length)),
        /^\d{3}/,
        0,
        999,
        (value) => (parsed.yearDay = value),
      )
    case '15':
      return number(text, /^\d{1,2}/, 0, 23, (value) => (parsed.hour = value))
    case '3':
      return number(text, /^\d{1,2}/, 0, 12, (value) => (parsed.hour = value))
    case '03':
      return number(text, /^\d{2}/, 0, 12, (value) => (parsed.hour = value))
    case '4':
      return number(text, /^\d{1,2}/, 0, 59, (value) => (parsed.minute = value))
    case '04':
      return number(text, /^\d{2}/, 0, 59, (value) => (parsed.minute = value))
    case '5':
    case '05':
      return readSecond(parsed, element.name, text, next)
    case 'PM':
    case 'pm':
      return readHalf(parsed, element.name, text)
    case 'MST':
      return readZone(parsed, text)
    default:
      return readOffset(parsed, element.name, text)
  }
}

/** Runs of spaces in a layout match any run of spaces. */
function skip(text: string, prefix: string): string {
  let rest = text
  for (let at = 0; at < prefix.length; at++) {
    if (prefix[at] === ' ') {
      if (rest !== '' && !rest.startsWith(' ')) fail('a space was expected')
      while (prefix[at + 1] === ' ') at += 1
      rest = rest.replace(/^ +/, '')
      continue
    }
    if (rest === '' || rest[0] !== prefix[at]) fail('the text does not fit the layout')
    rest = rest.slice(1)
  }
  return rest
}

function number(
  text: string,
  form: RegExp,
  least: number,
  most: number,
  take: (value: number) => void,
): string {
  const [digits] = form.exec(text) ?? []
  if (digits === undefined) return fail('digits were expected')
  const value = Number(digits)
  if (value < least || value > most) fail('a number out of range')
  take(value)
  return text.slice(digits.length)
}

function name(text: string, names: readonly string[], take: (index: number) => void): string {
  const lower = text.toLowerCase()
  const index = names.findIndex((each) => lower.startsWith(each.toLowerCase()))
  const found = names[index]
  if (found === undefined) return fail('a name was expected')
  take(index)
  return text.slice(found.length)
}

/** A fraction may follow the seconds even where the layout has none. */
function readSecond(parsed: Parsed, form: string, text: string, next: Element | undefined): string {
  const rest = number(
    text,
    form === '05' ? /^\d{2}/ : /^\d{1,2}/,
    0,
    59,
    (value) => (parsed.second = value),
  )
  if (next?.kind === 'frac') return rest
  const [fraction] = /^[.,]\d+/.exec(rest) ?? []
  if (fraction === undefined) return rest
  parsed.nanosecond = nanoseconds(fraction)
  return rest.slice(fraction.length)
}

function readFraction(parsed: Parsed, element: Element & { kind: 'frac' }, text: string): string {
  if (element.trim) {
    const [fraction] = /^[.,]\d+/.exec(text) ?? []
    // Go takes at most nine digits here.
    if (fraction === undefined) return text
    const kept = fraction.slice(0, 10)
    parsed.nanosecond = nanoseconds(kept)
    return text.slice(kept.length)
  }
  const fraction = text.slice(0, element.digits + 1)
  if (!/^[.,]\d+$/.test(fraction) || fraction.length !== element.digits + 1)
    fail('a fraction was expected')
  parsed.nanosecond = nanoseconds(fraction)
  return text.slice(fraction.length)
}

function nanoseconds(fraction: string): number {
  return Number(fraction.slice(1, 10).padEnd(9, '0'))
}

function readHalf(parsed: Parsed, form: string, text: string): string {
  const half = text.slice(0, 2)
  const [am, pm] = form === 'PM' ? ['AM', 'PM'] : ['am', 'pm']
  if (half !== am && half !== pm) fail('AM or PM was expected')
  parsed.pm = half === pm
  return text.slice(2)
}

/** An abbreviation says nothing certain: as Go does, it counts as UTC, but for GMT+n. */
function readZone(parsed: Parsed, text: string): string {
  if (text.startsWith('UTC')) return text.slice(3)
  const gmt = /^GMT(?:([+-])(\d{1,2}))?/.exec(text)
  if (gmt !== null) {
    const [whole, sign, hours = '0'] = gmt
    if (Number(hours) > 23) return text.slice(3)
    parsed.offsetS = (sign === '-' ? -1 : 1) * Number(hours) * 3600
    return text.slice(whole.length)
  }
  const offset = /^[+-]\d{2}(?!\d)/.exec(text)
  if (offset !== null && Number(offset[0].slice(1)) <= 23) return text.slice(3)
  if (text.startsWith('ChST') || text.startsWith('MeST')) return text.slice(4)
  if (text.startsWith('WITA')) return text.slice(4)
  const [letters = ''] = /^[A-Z]*/.exec(text) ?? []
  const known =
    letters.length === 3 ||
    (letters.length === 4 && letters.endsWith('T')) ||
    (letters.length === 5 && letters.endsWith('T'))
  return known ? text.slice(letters.length) : fail('an unknown zone')
}

function readOffset(parsed: Parsed, form: string, text: string): string {
  if (form.startsWith('Z') && text.startsWith('Z')) return text.slice(1)
  const colon = form.includes(':') ? ':' : ''
  const parts = (form.replaceAll(':', '').length - 1) / 2
  const pattern = new RegExp(`^([+-])(\\d{2})${`${colon}(\\d{2})`.repeat(parts - 1)}`)
  const found = pattern.exec(text)
  if (found === null) return fail('an offset was expected')
  const [whole, sign, hours = '0', minutes = '0', seconds = '0'] = found
  if (Number(hours) > 24 || Number(minutes) > 60 || Number(seconds) > 60)
    fail('an offset out of range')
  parsed.offsetS =
    (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds))
  return text.slice(whole.length)
}
