// Fields that did not come as lines: those of HTTP/2, with the same rules as if they had.
//
// RFC 9113 section 8.2: names are lower case, values hold no line ends, nothing belongs to the connection.
// What would not be a field line of HTTP/1.1 is refused, so nothing can be smuggled by translation.

import { isAll, TOKEN, VALUE } from './characters.ts'
import { BAD_FIELD_NAME, BAD_FIELD_VALUE, HEAD_TOO_LARGE, TOO_MANY_FIELDS } from './failures.ts'
import type { KindOf } from './field-kinds.ts'
import { Fields, takeField } from './fields.ts'
import { type Failure, FIELD_STRIDE, type FieldList, type Http1Limits } from './message.ts'

/** A field line of HTTP/1.1 adds a colon, a space and a line end. */
const LINE_BYTES = 4

/** Name, value, name, value ...; pseudo-fields (`:path`) are skipped. */
export function readPairs(
  pairs: readonly string[],
  { headers, headerBytes }: Http1Limits,
  kindOf: KindOf,
): Fields | Failure {
  const fields = new Fields()
  let count = 0
  let bytes = 0
  let cookie: number | undefined
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index] ?? ''
    const value = pairs[index + 1] ?? ''
    bytes += name.length + value.length + LINE_BYTES
    if (bytes > headerBytes) return HEAD_TOO_LARGE
    if (name.startsWith(':')) continue
    if (name === '' || !isAll(name, TOKEN)) return BAD_FIELD_NAME
    if (value !== '' && !isAll(value, VALUE)) return BAD_FIELD_VALUE
    if (++count > headers) return TOO_MANY_FIELDS
    // RFC 9113 section 8.2.3: crumbs of one cookie are joined before they leave HTTP/2.
    if (name === 'cookie' && cookie !== undefined) {
      fields.list[cookie] = `${fields.list[cookie] ?? ''}; ${value}`
      continue
    }
    const failure = takeField(fields, name, withoutBlanks(value), kindOf)
    if (failure !== undefined) return failure
    if (name === 'cookie') cookie = fields.list.length - 1
  }
  return fields
}

/** Blanks around a value are no part of it (RFC 9110 section 5.5). */
function withoutBlanks(value: string): string {
  let from = 0
  let to = value.length
  while (from < to && isBlank(value.charCodeAt(from))) from += 1
  while (to > from && isBlank(value.charCodeAt(to - 1))) to -= 1
  return from === 0 && to === value.length ? value : value.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** The trailer fields that may be sent on; malformed ones are left out, because the message stands without them. */
export function readTrailerPairs(
  pairs: readonly string[],
  limits: Http1Limits,
  kindOf: KindOf,
): FieldList {
  const fields = readPairs(pairs, limits, kindOf)
  if ('status' in fields) return []
  const kept: string[] = []
  for (let index = 0; index < fields.list.length; index += FIELD_STRIDE) {
    const [name = '', lower = '', value = ''] = fields.list.slice(index, index + FIELD_STRIDE)
    if (kindOf(name).inTrailer) kept.push(name, lower, value)
  }
  return kept
}
