// What do the time built-ins answer? Nanoseconds since 1970, IANA zones, Go's layouts and durations.

import { isArray, isNumber, type RegoValue } from '../value.ts'
import { type Moment, daysIn, momentOf, wallSeconds } from './calendar.ts'
import { parseDuration } from './duration.ts'
import { NAMED_LAYOUTS, WEEKDAYS } from './layout.ts'
import {
  boundedText,
  type BuiltinTable,
  fail,
  integerAt,
  type Operands,
  textAt,
  toNumber,
  valueAt,
} from './operands.ts'
import { formatTime } from './time-format.ts'
import { parseTime } from './time-parse.ts'
import { Zones } from './zones.ts'

const RFC3339 = '2006-01-02T15:04:05Z07:00'
const RFC3339_NANO = '2006-01-02T15:04:05.999999999Z07:00'
const MAX_LAYOUT = 1000

interface Zoned {
  readonly epochNs: bigint
  readonly zone: string
  readonly layout: string
}

export function timeBuiltins(): BuiltinTable {
  const zones = new Zones()
  const momentAt = (operands: Operands, index: number): Moment => {
    const { epochNs, zone } = zonedAt(operands, index)
    return momentIn(zones, epochNs, zone)
  }
  return {
    'time.parse_ns': (operands) => {
      const layout = textAt(operands, 0)
      return safeNs(
        parseTime(textAt(operands, 1), boundedLayout(NAMED_LAYOUTS.get(layout) ?? layout)),
      )
    },
    'time.parse_rfc3339_ns': (operands) => safeNs(parseTime(textAt(operands, 0), RFC3339)),
    'time.parse_duration_ns': (operands) =>
      toNumber(parseDuration(textAt(operands, 0)) ?? fail('no duration')),
    'time.date': (operands) => {
      const { year, month, day } = momentAt(operands, 0)
      return [year, month, day]
    },
    'time.clock': (operands) => {
      const { hour, minute, second } = momentAt(operands, 0)
      return [hour, minute, second]
    },
    'time.weekday': (operands) => WEEKDAYS[momentAt(operands, 0).weekday],
    'time.format': (operands) => {
      const { epochNs, zone, layout } = zonedAt(operands, 0)
      const seconds = Number(floorSeconds(epochNs))
      const { offsetS, name } = zones.at(zone, seconds)
      const wanted = layout === '' ? RFC3339_NANO : (NAMED_LAYOUTS.get(layout) ?? layout)
      return boundedText(formatTime(momentOf(epochNs, offsetS, name), boundedLayout(wanted)))
    },
    'time.add_date': (operands) => addDate(zones, operands),
    'time.diff': (operands) => diff(zones, operands),
  }
}

function momentIn(zones: Zones, epochNs: bigint, zone: string): Moment {
  return momentOf(epochNs, zones.offsetS(zone, Number(floorSeconds(epochNs))), zone)
}

function floorSeconds(epochNs: bigint): bigint {
  const rest = ((epochNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  return (epochNs - rest) / 1_000_000_000n
}

/** A number of nanoseconds, or an array of it, a zone and a layout. */
function zonedAt(operands: Operands, index: number): Zoned {
  const value = valueAt(operands, index)
  if (isNumber(value)) return { epochNs: nanosecondsOf(value), zone: 'UTC', layout: '' }
  if (value === null || !isArray(value) || value.length === 0) return fail('a time is expected')
  const [epoch, zone = '', layout = ''] = value
  if (epoch === undefined || !isNumber(epoch)) return fail('a time is expected')
  if (typeof zone !== 'string' || typeof layout !== 'string') return fail('a string is expected')
  return { epochNs: nanosecondsOf(epoch), zone, layout }
}

function nanosecondsOf(value: RegoValue): bigint {
  return integerAt([value], 0)
}

function safeNs(epochNs: bigint): RegoValue {
  return BigInt.asIntN(64, epochNs) === epochNs ? toNumber(epochNs) : fail('time out of range')
}

function boundedLayout(layout: string): string {
  return layout.length > MAX_LAYOUT ? fail('the layout is too long') : layout
}

function addDate(zones: Zones, operands: Operands): RegoValue {
  const { epochNs, zone } = zonedAt(operands, 0)
  const [years, months, days] = [1, 2, 3].map((index) => Number(integerAt(operands, index)))
  const moment = momentIn(zones, epochNs, zone)
  const year = moment.year + (years ?? 0)
  const month = moment.month + (months ?? 0)
  const day = moment.day + (days ?? 0)
  if (Math.abs(year) > 1e6 || Math.abs(month) > 1e7 || Math.abs(day) > 1e9)
    return fail('time out of range')
  const wall = wallSeconds(year, month, day, moment.hour, moment.minute, moment.second)
  if (Math.abs(wall) > 1e11) return fail('time out of range')
  return safeNs(
    BigInt(wall - offsetOfWall(zones, zone, wall)) * 1_000_000_000n + BigInt(moment.nanosecond),
  )
}

/** Go's choice where a wall clock shows a time twice or never. */
function offsetOfWall(zones: Zones, zone: string, wall: number): number {
  const offset = zones.offsetS(zone, wall)
  return offset === 0 ? 0 : zones.offsetS(zone, wall - offset)
}

function diff(zones: Zones, operands: Operands): number[] {
  const first = zonedAt(operands, 0)
  const second = zonedAt(operands, 1)
  const a = momentIn(zones, first.epochNs, first.zone)
  const b = momentIn(zones, second.epochNs, first.zone)
  const [from, to] = first.epochNs > second.epochNs ? [b, a] : [a, b]
  let years = to.year - from.year
  let months = to.month - from.month
  let days = to.day - from.day
  let hours = to.hour - from.hour
  let minutes = to.minute - from.minute
  let seconds = to.second - from.second
  if (seconds < 0) [seconds, minutes] = [seconds + 60, minutes - 1]
  if (minutes < 0) [minutes, hours] = [minutes + 60, hours - 1]
  if (hours < 0) [hours, days] = [hours + 24, days - 1]
  if (days < 0) [days, months] = [days + daysIn(from.year, from.month), months - 1]
  if (months < 0) [months, years] = [months + 12, years - 1]
  return [years, months, days, hours, minutes, seconds]
}
