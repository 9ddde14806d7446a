// Time, on nanoseconds since the epoch: Go's layouts, RFC 3339, calendars in IANA zones. No clock is read.

import { isArray, type RegoValue } from '../value.ts'
import { fit, integer, list, text, WrongArgument } from './arguments.ts'
import type { Builtin } from './registry.ts'

const MIN_NS = -(2n ** 63n)
const MAX_NS = 2n ** 63n - 1n
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

export const TIME: Readonly<Record<string, Builtin>> = {
  'time.parse_rfc3339_ns': (value) => parseLayout(RFC3339, text(value)),
  'time.parse_ns': (layout, value) => parseLayout(layoutOf(text(layout)), text(value)),
  'time.parse_duration_ns': (value) => inRange(parseDuration(text(value))),
  'time.date': (value) => {
    const { year, month, day } = civil(value)
    return [year, month, day]
  },
  'time.clock': (value) => {
    const { hour, minute, second } = civil(value)
    return [hour, minute, second]
  },
  'time.weekday': (value) => DAYS[weekdayOf(civil(value))] ?? '',
  'time.add_date': (value, years, months, days) => {
    const ns = integer(value)
    const at = civilOf(ns, 'UTC')
    const moved = epochSeconds({
      ...at,
      year: at.year + Number(integer(years)),
      month: at.month + Number(integer(months)),
      day: at.day + Number(integer(days)),
    })
    return inRange(moved * 1_000_000_000n + at.nanosecond)
  },
  'time.diff': (a, b) => diff(a, b),
  'time.format': (value) => {
    const [, , layout] = isArray(value ?? null) ? list(value) : []
    const { at, offset, zone } = civil(value)
    return format(at, offset, zone, layout === undefined ? RFC3339_NANO : layoutOf(text(layout)))
  },
}

interface Civil {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly nanosecond: bigint
}

const RFC3339 = '2006-01-02T15:04:05Z07:00'
const RFC3339_NANO = '2006-01-02T15:04:05.999999999Z07:00'
const LAYOUTS: Readonly<Record<string, string>> = {
  ANSIC: 'Mon Jan _2 15:04:05 2006',
  UnixDate: 'Mon Jan _2 15:04:05 MST 2006',
  RubyDate: 'Mon Jan 02 15:04:05 -0700 2006',
  RFC822: '02 Jan 06 15:04 MST',
  RFC822Z: '02 Jan 06 15:04 -0700',
  RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
  RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
  RFC3339,
  RFC3339Nano: RFC3339_NANO,
}

function layoutOf(name: string): string {
  return LAYOUTS[name] ?? name
}

/** `ns`, or `[ns, zone]`; an empty zone is UTC, Local would read the machine's. */
function civil(value: RegoValue | undefined): Civil & { at: Civil; offset: number; zone: string } {
  const [first, second] = isArray(value ?? null) ? list(value) : [value]
  const ns = integer(first)
  if (ns < MIN_NS || ns > MAX_NS) throw new WrongArgument('time')
  const zone = second === undefined || second === '' ? 'UTC' : text(second)
  if (zone === 'Local') throw new WrongArgument('zone')
  const at = civilOf(ns, zone)
  const offset = Number(epochSeconds(at) - floorDivide(ns, 1_000_000_000n))
  return { ...at, at, offset, zone }
}

function civilOf(ns: bigint, zone: string): Civil {
  const seconds = floorDivide(ns, 1_000_000_000n)
  const nanosecond = ns - seconds * 1_000_000_000n
  const local =
    zone === 'UTC' ? Number(seconds) : Number(seconds) + zoneOffset(zone, Number(seconds))
  const date = new Date(local * 1000)
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    nanosecond,
  }
}

/** Seconds east of UTC at a moment. */
function zoneOffset(zone: string, seconds: number): number {
  if (!/^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+)*$/.test(zone)) throw new WrongArgument('zone')
  let parts
  try {
    parts = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    }).formatToParts(seconds * 1000)
  } catch {
    throw new WrongArgument('zone')
  }
  const part = (type: string): number => Number(parts.find((each) => each.type === type)?.value)
  const year = parts.some(({ type, value }) => type === 'era' && value === 'BC')
    ? 1 - part('year')
    : part('year')
  return (
    Number(
      epochSeconds({
        year,
        month: part('month'),
        day: part('day'),
        hour: part('hour'),
        minute: part('minute'),
        second: part('second'),
        nanosecond: 0n,
      }),
    ) - seconds
  )
}

/** Days out of range carry over, as Go's time.Date does. */
function epochSeconds({ year, month, day, hour, minute, second }: Civil): bigint {
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  return (
    BigInt(Math.floor(date.getTime() / 86_400_000)) * 86_400n +
    BigInt(hour * 3600 + minute * 60 + second)
  )
}

function weekdayOf(at: Civil): number {
  const days = floorDivide(epochSeconds(at), 86_400n)
  return Number((((days + 4n) % 7n) + 7n) % 7n)
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b < 0n ? quotient - 1n : quotient
}

function inRange(ns: bigint): number | bigint {
  if (ns < MIN_NS || ns > MAX_NS) throw new WrongArgument('time out of range')
  return fit(ns)
}

const DURATION_UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** Go's time.ParseDuration. */
function parseDuration(value: string): bigint {
  const [, sign = '', body = ''] = /^([+-]?)(.*)$/s.exec(value) ?? []
  if (body === '0') return 0n
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body))
    throw new WrongArgument('duration')
  let total = 0n
  for (const [, number = '', unit = ''] of body.matchAll(
    /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const [whole = '', fraction = ''] = number.split('.')
    total +=
      (BigInt(`${whole}${fraction}` === '' ? '0' : `${whole}${fraction}`) *
        (DURATION_UNITS[unit] ?? 0n)) /
      10n ** BigInt(fraction.length)
  }
  return sign === '-' ? -total : total
}

/** Years, months, days, hours, minutes, seconds between two moments, as OPA counts them. */
function diff(a: RegoValue | undefined, b: RegoValue | undefined): RegoValue[] {
  const [first, second] = [civil(a), civil(b)]
  const inZone = (value: RegoValue | undefined): bigint =>
    integer(isArray(value ?? null) ? list(value)[0] : value)
  const [earlier, later] =
    inZone(a) <= inZone(b)
      ? [first.at, civilOf(inZone(b), first.zone)]
      : [second.at, civilOf(inZone(a), second.zone)]
  let year = later.year - earlier.year
  let month = later.month - earlier.month
  let day = later.day - earlier.day
  let hour = later.hour - earlier.hour
  let minute = later.minute - earlier.minute
  let seconds = later.second - earlier.second
  if (seconds < 0) {
    seconds += 60
    minute -= 1
  }
  if (minute < 0) {
    minute += 60
    hour -= 1
  }
  if (hour < 0) {
    hour += 24
    day -= 1
  }
  if (day < 0) {
    day += new Date(Date.UTC(earlier.year, earlier.month, 0)).getUTCDate()
    month -= 1
  }
  if (month < 0) {
    month += 12
    year -= 1
  }
  return [year, month, day, hour, minute, seconds]
}

// Go's layout elements, longest first where one begins another.
const ELEMENT =
  /January|Jan|Monday|Mon|MST|2006|__2|002|Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07|[.,](?:0+|9+)(?!\d)|01|02|03|04|05|06|15|PM|pm|_2|1|2|3|4|5/g

function format(at: Civil, offset: number, zone: string, layout: string): string {
  const pad = (value: number, size = 2): string => String(value).padStart(size, '0')
  return layout.replaceAll(ELEMENT, (element) => {
    switch (element) {
      case 'January':
        return MONTHS[at.month - 1] ?? ''
      case 'Jan':
        return (MONTHS[at.month - 1] ?? '').slice(0, 3)
      case 'Monday':
        return DAYS[weekdayOf(at)] ?? ''
      case 'Mon':
        return (DAYS[weekdayOf(at)] ?? '').slice(0, 3)
      case 'MST':
        return zoneName(at, offset, zone)
      case '2006':
        return pad(at.year, 4)
      case '06':
        return pad(at.year % 100)
      case '01':
        return pad(at.month)
      case '1':
        return String(at.month)
      case '02':
        return pad(at.day)
      case '_2':
        return String(at.day).padStart(2)
      case '2':
        return String(at.day)
      case '002':
        return pad(dayOfYear(at), 3)
      case '__2':
        return String(dayOfYear(at)).padStart(3)
      case '15':
        return pad(at.hour)
      case '03':
        return pad(at.hour % 12 === 0 ? 12 : at.hour % 12)
      case '3':
        return String(at.hour % 12 === 0 ? 12 : at.hour % 12)
      case '04':
        return pad(at.minute)
      case '4':
        return String(at.minute)
      case '05':
        return pad(at.second)
      case '5':
        return String(at.second)
      case 'PM':
        return at.hour >= 12 ? 'PM' : 'AM'
      case 'pm':
        return at.hour >= 12 ? 'pm' : 'am'
      default:
        return /^[.,]/.test(element) ? fraction(at, element) : offsetText(element, offset)
    }
  })
}

function fraction({ nanosecond }: Civil, element: string): string {
  const digits = String(nanosecond)
    .padStart(9, '0')
    .slice(0, element.length - 1)
  if (element[1] === '0') return `${element[0]}${digits}`
  const short = digits.replace(/0+$/, '')
  return short === '' ? '' : `${element[0]}${short}`
}

function offsetText(element: string, offset: number): string {
  if (element.startsWith('Z') && offset === 0) return 'Z'
  const sign = offset < 0 ? '-' : '+'
  const total = Math.abs(offset)
  const parts = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60].map((part) =>
    String(part).padStart(2, '0'),
  )
  const count = element.replaceAll(/[^0]/g, '').length >= 5 ? 3 : /07:?00/.test(element) ? 2 : 1
  return sign + parts.slice(0, count).join(element.includes(':') ? ':' : '')
}

function zoneName(at: Civil, offset: number, zone: string): string {
  if (zone === 'UTC') return 'UTC'
  const moment = Number(epochSeconds(at)) - offset
  const name =
    new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'short' })
      .formatToParts(moment * 1000)
      .find(({ type }) => type === 'timeZoneName')?.value ?? ''
  return name.startsWith('GMT') && name !== 'GMT'
    ? (ZONE_NAMES[`${zone} ${offset}`] ?? offsetText('-07', offset))
    : name
}

/** Abbreviations of the zone database that Intl spells as offsets in English. */
const ZONE_NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  [
    'Berlin',
    'Paris',
    'Madrid',
    'Rome',
    'Vienna',
    'Zurich',
    'Amsterdam',
    'Brussels',
    'Stockholm',
    'Oslo',
    'Copenhagen',
    'Prague',
    'Warsaw',
    'Budapest',
  ]
    .flatMap((city) => [
      [`Europe/${city} 3600`, 'CET'],
      [`Europe/${city} 7200`, 'CEST'],
    ])
    .concat([
      ['Europe/London 3600', 'BST'],
      ['Europe/Athens 7200', 'EET'],
      ['Europe/Athens 10800', 'EEST'],
      ['Europe/Helsinki 7200', 'EET'],
      ['Europe/Helsinki 10800', 'EEST'],
      ['Europe/Moscow 10800', 'MSK'],
      ['Asia/Tokyo 32400', 'JST'],
      ['Asia/Seoul 32400', 'KST'],
      ['Asia/Shanghai 28800', 'CST'],
      ['Asia/Kolkata 19800', 'IST'],
      ['Australia/Sydney 36000', 'AEST'],
      ['Australia/Sydney 39600', 'AEDT'],
    ]),
) as Record<string, string>

function dayOfYear(at: Civil): number {
  return Number((epochSeconds(at) - epochSeconds({ ...at, month: 1, day: 1 })) / 86_400n) + 1
}

/** Go's time.Parse: UTC where the layout has no zone. */
function parseLayout(layout: string, value: string): number | bigint {
  const at = {
    year: 0,
    month: 1,
    day: 1,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0n,
    offset: 0,
    pm: undefined as boolean | undefined,
    yearDay: undefined as number | undefined,
  }
  let rest = value
  let from = 0
  const take = (pattern: RegExp): string => {
    const [found] = pattern.exec(rest) ?? []
    if (found === undefined) throw new WrongArgument('time')
    rest = rest.slice(found.length)
    return found
  }
  const literal = (part: string): void => {
    for (const character of part) {
      if (character === ' ') {
        rest = rest.replace(/^ */, '')
        continue
      }
      if (!rest.startsWith(character)) throw new WrongArgument('time')
      rest = rest.slice(character.length)
    }
  }
  for (const { 0: element, index } of layout.matchAll(ELEMENT)) {
    literal(layout.slice(from, index))
    from = index + element.length
    parseElement(element, at, take, () => rest)
    // Go accepts a fraction after the seconds even where the layout has none.
    if (
      (element === '05' || element === '5') &&
      !/^[.,][09]/.test(layout.slice(from)) &&
      /^[.,]\d/.test(rest)
    ) {
      at.nanosecond = nanoseconds(take(/^[.,]\d+/))
    }
  }
  literal(layout.slice(from))
  if (rest !== '') throw new WrongArgument('time')
  if (at.pm === true && at.hour < 12) at.hour += 12
  else if (at.pm === false && at.hour === 12) at.hour = 0
  if (at.yearDay !== undefined) [at.month, at.day] = [1, at.yearDay]
  else if (
    at.day < 1 ||
    at.day > new Date(Date.UTC(2000 + (at.year % 400), at.month, 0)).getUTCDate()
  )
    throw new WrongArgument('day')
  if (at.hour > 23 || at.minute > 59 || at.second > 59 || at.month < 1 || at.month > 12)
    throw new WrongArgument('time')
  return inRange((epochSeconds(at) - BigInt(at.offset)) * 1_000_000_000n + at.nanosecond)
}

interface Parsed {
  year: number
  month: number
  day: number
  hour: number
  minute: number
  second: number
  nanosecond: bigint
  offset: number
  pm: boolean | undefined
  yearDay: number | undefined
}

function parseElement(
  element: string,
  at: Parsed,
  take: (pattern: RegExp) => string,
  rest: () => string,
): void {
  switch (element) {
    case 'January':
      at.month = nameIndex(MONTHS, take(/^[A-Za-z]+/)) + 1
      return
    case 'Jan':
      at.month =
        nameIndex(
          MONTHS.map((name) => name.slice(0, 3)),
          take(/^[A-Za-z]{3}/),
        ) + 1
      return
    case 'Monday':
      nameIndex(DAYS, take(/^[A-Za-z]+/))
      return
    case 'Mon':
      nameIndex(
        DAYS.map((name) => name.slice(0, 3)),
        take(/^[A-Za-z]{3}/),
      )
      return
    case 'MST':
      take(/^(?:[A-Z]{3,5}|[+-]\d\d)/)
      return
    case '2006':
      at.year = Number(take(/^\d{4}/))
      return
    case '06': {
      const year = Number(take(/^\d\d/))
      at.year = year >= 69 ? 1900 + year : 2000 + year
      return
    }
    case '01':
      at.month = Number(take(/^\d\d/))
      return
    case '1':
      at.month = Number(take(/^\d\d?/))
      return
    case '02':
      at.day = Number(take(/^\d\d/))
      return
    case '_2':
      take(/^ ?/)
      at.day = Number(take(/^\d\d?/))
      return
    case '2':
      at.day = Number(take(/^\d\d?/))
      return
    case '002':
      at.yearDay = Number(take(/^\d{3}/))
      return
    case '__2':
      take(/^ {0,2}/)
      at.yearDay = Number(take(/^\d{1,3}/))
      return
    case '15':
    case '03':
      at.hour = Number(take(/^\d\d/))
      return
    case '3':
      at.hour = Number(take(/^\d\d?/))
      return
    case '04':
      at.minute = Number(take(/^\d\d/))
      return
    case '4':
      at.minute = Number(take(/^\d\d?/))
      return
    case '05':
      at.second = Number(take(/^\d\d/))
      return
    case '5':
      at.second = Number(take(/^\d\d?/))
      return
    case 'PM':
    case 'pm': {
      const half = take(element === 'PM' ? /^(?:AM|PM)/ : /^(?:am|pm)/).toLowerCase()
      at.pm = half === 'pm'
      return
    }
    default:
      if (/^[.,]0/.test(element))
        at.nanosecond = nanoseconds(take(new RegExp(`^[.,]\\d{${element.length - 1}}`)))
      else if (/^[.,]/.test(element)) {
        if (/^[.,]\d/.test(rest())) at.nanosecond = nanoseconds(take(/^[.,]\d+/))
      } else at.offset = parseOffset(element, take)
  }
}

function parseOffset(element: string, take: (pattern: RegExp) => string): number {
  if (element.startsWith('Z')) {
    const utc = take(/^Z?/)
    if (utc === 'Z') return 0
  }
  const colon = element.includes(':')
  const groups = element.replaceAll(/[^0]/g, '').length >= 5 ? 3 : /07:?00/.test(element) ? 2 : 1
  const digits = take(new RegExp(`^[+-]\\d\\d${`${colon ? ':' : ''}\\d\\d`.repeat(groups - 1)}`))
  const [hours = 0, minutes = 0, seconds = 0] = (digits.match(/\d\d/g) ?? []).map(Number)
  if (hours > 24 || minutes > 60 || seconds > 60) throw new WrongArgument('offset')
  return (digits.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds)
}

function nanoseconds(fractionText: string): bigint {
  return BigInt(fractionText.slice(1, 10).padEnd(9, '0'))
}

function nameIndex(names: readonly string[], found: string): number {
  const index = names.findIndex((name) => name.toLowerCase() === found.toLowerCase())
  if (index === -1) throw new WrongArgument('name')
  return index
}
