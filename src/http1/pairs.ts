// Fields that did not come as lines: those of HTTP/2, with the same rules as if they had.
//
// RFC 9113 section 8.2: names are lower case, values hold no line ends, nothing belongs to the connection.
// What would not be a field line of HTTP/1.1 is refused, so nothing can be smuggled by translation.

import { isAll, TOKEN, VALUE } from './characters.ts'
import { BAD_FIELD_NAME, BAD_FIELD_VALUE, TOO_MANY_FIELDS } from './failures.ts'
import type { KindOf } from './field-kinds.ts'
import { Fields, takeField } from './fields.ts'
import { type Failure, FIELD_STRIDE, type FieldList } from './message.ts'

/** Name, value, name, value ...; pseudo-fields (`:path`) are skipped. */
export function readPairs(
  pairs: readonly string[],
  maxFields: number,
  kindOf: KindOf,
): Fields | Failure {
  const fields = new Fields()
  let count = 0
  let cookie: number | undefined
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index] ?? ''
    const value = pairs[index + 1] ?? ''
    if (name.startsWith(':')) continue
    if (name === '' || !isAll(name, TOKEN)) return BAD_FIELD_NAME
    if (value !== '' && !isAll(value, VALUE)) return BAD_FIELD_VALUE
    if (++count > maxFields) return TOO_MANY_FIELDS
    // RFC 9113 section 8.2.3: crumbs of one cookie are joined before they leave HTTP/2.
    if (name === 'cookie' && cookie !== undefined) {
      fields.list[cookie] = `${fields.list[cookie] ?? ''}; ${value}`
      continue
    }
    const failure = takeField(fields, name, value.trim(), kindOf)
    if (failure !== undefined) return failure
    if (name === 'cookie') cookie = fields.list.length - 1
  }
  return fields
}

/** The trailer fields that may be sent on; malformed ones are left out, because the message stands without them. */
export function readTrailerPairs(
  pairs: readonly string[],
  maxFields: number,
  kindOf: KindOf,
): FieldList {
  const fields = readPairs(pairs, maxFields, kindOf)
  if ('status' in fields) return []
  const kept: string[] = []
  for (let index = 0; index < fields.list.length; index += FIELD_STRIDE) {
    const [name = '', lower = '', value = ''] = fields.list.slice(index, index + FIELD_STRIDE)
    if (kindOf(name).inTrailer) kept.push(name, lower, value)
  }
  return kept
}
