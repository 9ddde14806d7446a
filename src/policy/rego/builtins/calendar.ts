// Which day is it? Proleptic Gregorian dates in whole numbers, so that no year is special.

export interface Moment {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly nanosecond: number
  /** 0 is Sunday. */
  readonly weekday: number
  readonly yearDay: number
  readonly offsetS: number
  readonly zone: string
}

const DAY_S = 86_400

/** Days since 1970-01-01; month and day may lie outside their range, as in Go's time.Date. */
export function daysOf(year: number, month: number, day: number): number {
  const wholeYear = year + Math.floor((month - 1) / 12)
  const wholeMonth = (((month - 1) % 12) + 12) % 12
  const march = wholeMonth < 2 ? wholeYear - 1 : wholeYear
  const era = Math.floor(march / 400)
  const yearOfEra = march - era * 400
  const dayOfYear = Math.floor((153 * ((wholeMonth + 10) % 12) + 2) / 5)
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468 + (day - 1)
}

export function daysIn(year: number, month: number): number {
  return daysOf(year, month + 1, 1) - daysOf(year, month, 1)
}

/** Seconds since 1970 of a wall clock, without its zone. */
export function wallSeconds(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number {
  return daysOf(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second
}

/** The wall clock of a moment. */
export function momentOf(epochNs: bigint, offsetS: number, zone: string): Moment {
  const nanosecond = Number(((epochNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)
  const local = Number((epochNs - BigInt(nanosecond)) / 1_000_000_000n) + offsetS
  const days = Math.floor(local / DAY_S)
  const seconds = local - days * DAY_S
  const { year, month, day } = dateOf(days)
  return {
    year,
    month,
    day,
    hour: Math.floor(seconds / 3600),
    minute: Math.floor(seconds / 60) % 60,
    second: seconds % 60,
    nanosecond,
    weekday: (((days + 4) % 7) + 7) % 7,
    yearDay: days - daysOf(year, 1, 1) + 1,
    offsetS,
    zone,
  }
}

function dateOf(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthOfYear = Math.floor((5 * dayOfYear + 2) / 153)
  const month = monthOfYear < 10 ? monthOfYear + 3 : monthOfYear - 9
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthOfYear + 2) / 5) + 1,
  }
}
