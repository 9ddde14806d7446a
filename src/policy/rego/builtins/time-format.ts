// How does Go write a time under a layout? (time.Time.Format)

import type { Moment } from './calendar.ts'
import { type Element, MONTHS, parseLayout, WEEKDAYS } from './layout.ts'

export function formatTime(moment: Moment, layout: string): string {
  return parseLayout(layout)
    .map((element, index, elements) => write(moment, element, elements[index - 1]))
    .join('')
}

function write(moment: Moment, element: Element, before: Element | undefined): string {
  if (element.kind === 'text') return element.text
  if (element.kind === 'frac') {
    const digits = String(moment.nanosecond)
      .padStart(9, '0')
      .padEnd(element.digits, '0')
      .slice(0, element.digits)
    const shown = element.trim ? digits.replace(/0+$/, '') : digits
    return shown === '' ? '' : element.separator + shown
  }
  void before
  const { year, month, day, hour, minute, second, weekday, yearDay, offsetS, zone } = moment
  switch (element.name) {
    case '2006':
      return `${year < 0 ? '-' : ''}${pad(Math.abs(year), 4)}`
    case '06':
      return pad(((year % 100) + 100) % 100, 2)
    case '01':
      return pad(month, 2)
    case '1':
      return String(month)
    case 'Jan':
      return (MONTHS[month - 1] ?? '').slice(0, 3)
    case 'January':
      return MONTHS[month - 1] ?? ''
    case 'Mon':
      return (WEEKDAYS[weekday] ?? '').slice(0, 3)
    case 'Monday':
      return WEEKDAYS[weekday] ?? ''
    case '2':
      return String(day)
    case '_2':
      return String(day).padStart(2)
    case '02':
      return pad(day, 2)
    case '__2':
      return String(yearDay).padStart(3)
    case '002':
      return pad(yearDay, 3)
    case '15':
      return pad(hour, 2)
    case '3':
      return String(hour % 12 || 12)
    case '03':
      return pad(hour % 12 || 12, 2)
    case '4':
      return String(minute)
    case '04':
      return pad(minute, 2)
    case '5':
      return String(second)
    case '05':
      return pad(second, 2)
    case 'PM':
      return hour >= 12 ? 'PM' : 'AM'
    case 'pm':
      return hour >= 12 ? 'pm' : 'am'
    case 'MST':
      return zone
    default:
      return offset(element.name, offsetS)
  }
}

/** `-0700`, `Z07:00` and their like. */
function offset(form: string, offsetS: number): string {
  if (form.startsWith('Z') && offsetS === 0) return 'Z'
  const total = Math.abs(offsetS)
  const colon = form.includes(':') ? ':' : ''
  const length = form.replaceAll(':', '').length
  let text = `${offsetS < 0 ? '-' : '+'}${pad(Math.floor(total / 3600), 2)}`
  if (length >= 5) text += colon + pad(Math.floor(total / 60) % 60, 2)
  if (length >= 7) text += colon + pad(total % 60, 2)
  return text
}

function pad(number: number, width: number): string {
  return String(number).padStart(width, '0')
}
