// What does the clock show in an IANA zone at a moment? The zone data are those of Intl.

import { LRUCache } from 'lru-cache'
import { fail } from './operands.ts'

export interface ZonedOffset {
  readonly offsetS: number
  /** `CET`, `-03`. */
  readonly name: string
}

/** Languages in which Intl knows a zone's own abbreviation. */
const LANGUAGES = ['en-US', 'en-GB', 'en-AU', 'en-NZ', 'en-IN', 'en-CA', 'en-ZA', 'ja-JP']
const ZONE_NAME = /^(?:[A-Z][A-Za-z0-9+_-]*)(?:\/[A-Z][A-Za-z0-9+_-]*){0,2}$/
const CALENDAR_S = 10_227 * 86_400
const UTC: ZonedOffset = { offsetS: 0, name: 'UTC' }

export class Zones {
  readonly #formats = new LRUCache<string, Intl.DateTimeFormat>({ max: 100 })

  /** Seconds east of Greenwich in a zone; an unknown zone fails. */
  offsetS(zone: string, epochS: number): number {
    if (isUtc(zone)) return 0
    const fields = new Map<string, string>(
      this.#format(zone)
        .formatToParts(Math.floor(epochS) * 1000)
        .map(({ type, value }): [string, string] => [type, value]),
    )
    const field = (name: string): number => Number(fields.get(name))
    const year = fields.get('era') === 'BC' ? 1 - field('year') : field('year')
    const local = new Date(0)
    local.setUTCFullYear(year, field('month') - 1, field('day'))
    local.setUTCHours(field('hour'), field('minute'), field('second'))
    return local.getTime() / 1000 - Math.floor(epochS)
  }

  at(zone: string, epochS: number): ZonedOffset {
    if (isUtc(zone)) return UTC
    const offsetS = this.offsetS(zone, epochS)
    if (epochS >= 0) return { offsetS, name: abbreviation(zone, epochS, offsetS) }
    // Intl has names from 1970 on. After 28 years the calendar is the same.
    const later = epochS + Math.ceil(-epochS / CALENDAR_S) * CALENDAR_S
    const sameThen = this.offsetS(zone, later) === offsetS
    return { offsetS, name: abbreviation(zone, sameThen ? later : epochS, offsetS) }
  }

  #format(zone: string): Intl.DateTimeFormat {
    const known = this.#formats.get(zone)
    if (known !== undefined) return known
    // Intl takes offsets and any case as names; the zone files do not.
    if (!ZONE_NAME.test(zone) || /^[A-Z]{5,}\//.test(zone) || /\/[A-Z]{5,}$/.test(zone))
      fail('an unknown time zone')
    try {
      const format = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        calendar: 'gregory',
        hourCycle: 'h23',
        era: 'short',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      })
      this.#formats.set(zone, format)
      return format
    } catch {
      return fail('an unknown time zone')
    }
  }
}

/** Where the host's own zone is asked for, the answer must not depend on the host. */
function isUtc(zone: string): boolean {
  return zone === '' || zone === 'UTC' || zone === 'Local'
}

function abbreviation(zone: string, epochS: number, offsetS: number): string {
  for (const language of LANGUAGES) {
    const name = new Intl.DateTimeFormat(language, { timeZone: zone, timeZoneName: 'short' })
      .formatToParts(Math.floor(epochS) * 1000)
      .find(({ type }) => type === 'timeZoneName')?.value
    if (
      name !== undefined &&
      /^(?!LH|CHA)[A-Z]{2,5}$/.test(name) &&
      (name !== 'GMT' || offsetS === 0)
    )
      return name
  }
  const minutes = Math.trunc(Math.abs(offsetS) / 60)
  const hours = String(Math.trunc(minutes / 60)).padStart(2, '0')
  const rest = minutes % 60 === 0 ? '' : String(minutes % 60).padStart(2, '0')
  return `${offsetS < 0 ? '-' : '+'}${hours}${rest}`
}
