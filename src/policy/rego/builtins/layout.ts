// How does a Go time layout read? `2006-01-02T15:04:05Z07:00` and its like, cut into its elements.

/** The elements of Go's layouts; `frac` is fractional seconds, `trim` whether zeros are cut. */
export type Element =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'field'; readonly name: string }
  | {
      readonly kind: 'frac'
      readonly separator: string
      readonly digits: number
      readonly trim: boolean
    }

export const NAMED_LAYOUTS: ReadonlyMap<string, string> = new Map([
  ['ANSIC', 'Mon Jan _2 15:04:05 2006'],
  ['UnixDate', 'Mon Jan _2 15:04:05 MST 2006'],
  ['RubyDate', 'Mon Jan 02 15:04:05 -0700 2006'],
  ['RFC822', '02 Jan 06 15:04 MST'],
  ['RFC822Z', '02 Jan 06 15:04 -0700'],
  ['RFC850', 'Monday, 02-Jan-06 15:04:05 MST'],
  ['RFC1123', 'Mon, 02 Jan 2006 15:04:05 MST'],
  ['RFC1123Z', 'Mon, 02 Jan 2006 15:04:05 -0700'],
  ['RFC3339', '2006-01-02T15:04:05Z07:00'],
  ['RFC3339Nano', '2006-01-02T15:04:05.999999999Z07:00'],
])

export const MONTHS = [
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
] as const
export const WEEKDAYS = [
  'Sunday',
  'Monday',
  'Tuesday',
  'Wednesday',
  'Thursday',
  'Friday',
  'Saturday',
] as const

/** Longest first where one begins with another. */
const FIELDS = [
  'January',
  'Monday',
  'MST',
  'Mon',
  '002',
  '01',
  '02',
  '03',
  '04',
  '05',
  '06',
  '2006',
  '__2',
  '_2',
  '15',
  'PM',
  'pm',
  '-07:00:00',
  '-070000',
  '-07:00',
  '-0700',
  '-07',
  'Z07:00:00',
  'Z070000',
  'Z07:00',
  'Z0700',
  'Z07',
  '1',
  '2',
  '3',
  '4',
  '5',
] as const

export function parseLayout(layout: string): Element[] {
  const elements: Element[] = []
  let text = ''
  let at = 0
  const add = (element: Element, length: number): void => {
    if (text !== '') elements.push({ kind: 'text', text })
    text = ''
    elements.push(element)
    at += length
  }
  while (at < layout.length) {
    const rest = layout.slice(at, at + 64)
    const fraction = /^([.,])(0+|9+)(?!\d)/.exec(layout.slice(at))
    if (fraction !== null) {
      const [whole, separator = '.', digits = ''] = fraction
      add(
        { kind: 'frac', separator, digits: digits.length, trim: digits.startsWith('9') },
        whole.length,
      )
      continue
    }
    const name = fieldAt(rest)
    if (name === undefined) {
      text += layout[at]
      at += 1
    } else if (name === '_2006') {
      text += '_'
      at += 1
      add({ kind: 'field', name: '2006' }, 4)
    } else add({ kind: 'field', name }, name.length)
  }
  if (text !== '') elements.push({ kind: 'text', text })
  return elements
}

function fieldAt(rest: string): string | undefined {
  if (rest.startsWith('_2006')) return '_2006'
  // `Jan` is one only where no small letter follows: "Janet" is text.
  if (rest.startsWith('Jan') && !rest.startsWith('January'))
    return /^Jan(?![a-z])/.test(rest) ? 'Jan' : undefined
  if (rest.startsWith('Mon') && !rest.startsWith('Monday'))
    return /^Mon(?![a-z])/.test(rest) ? 'Mon' : undefined
  return FIELDS.find((field) => rest.startsWith(field))
}
