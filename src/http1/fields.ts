// Reads field lines: one pass, strict (RFC 9112 section 5), and sorts out what belongs to this hop.
//
// Names are tokens directly followed by a colon; values hold no control byte but tab; nothing is folded;
// every line ends in CRLF. Framing fields may come once, however often the same value is repeated.

import { CR, DIGIT, endOf, HOST, isAll, LF, TOKEN, VALUE } from './characters.ts'
import {
  BAD_CODING,
  BAD_FIELD_NAME,
  BAD_FIELD_VALUE,
  BAD_HOST,
  BAD_LENGTH,
  FOLDED_FIELD,
  FRAMING_IN_TRAILERS,
  REPEATED_CREDENTIALS,
  REPEATED_HOST,
  REPEATED_LENGTH,
  TOO_MANY_FIELDS,
  UNKNOWN_CODING,
  UNKNOWN_EXPECTATION,
} from './failures.ts'
import {
  CONNECTION,
  CONTENT_LENGTH,
  DROPPED,
  END_TO_END,
  EXPECT,
  HOST_FIELD,
  KEEP_ALIVE,
  type KindOf,
  PROXY_AUTHORIZATION,
  PROXY_CONNECTION,
  PROXY_STATUS,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
} from './field-kinds.ts'
import { type Failure, FIELD_STRIDE, NO_LENGTH } from './message.ts'

const COLON = 0x3a
const SPACE = 0x20
const TAB = 0x09
/** More digits than any body has, fewer than a double can hold exactly. */
const MAX_LENGTH_DIGITS = 15

/** An entry of `Proxy-Status` that names this proxy: only we say such things. */
const OUR_STATUS = /(?:^|,)[ \t]*"?cordon\b/i

/** What the fields of one section said; filled by `readFields`. */
export class Fields {
  list: string[] = []
  host: string | undefined
  contentLength = NO_LENGTH
  chunked = false
  close = false
  keepAlive = false
  upgrade: string | undefined
  expectContinue = false
  teTrailers = false
  proxyAuthorization: string | undefined
  keepAliveSeconds: number | undefined
  /** End-to-end names that `Connection` asks to drop, in lower case. */
  named: string[] | undefined
  upgradeNamed = false
}

/** Reads the lines of `text` from `at` to its end into `fields`. */
export function readFields(
  text: string,
  at: number,
  maxFields: number,
  kindOf: KindOf,
  fields: Fields,
): Failure | undefined {
  let index = at
  let count = 0
  while (index < text.length) {
    const nameEnd = endOf(text, index, TOKEN)
    if (nameEnd === index || text.charCodeAt(nameEnd) !== COLON) return nameFault(text, index)
    if (++count > maxFields) return TOO_MANY_FIELDS

    let from = nameEnd + 1
    while (isBlank(text.charCodeAt(from))) from += 1
    const lineEnd = endOf(text, from, VALUE)
    if (text.charCodeAt(lineEnd) !== CR || text.charCodeAt(lineEnd + 1) !== LF)
      return BAD_FIELD_VALUE
    let to = lineEnd
    while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1

    const name = text.slice(index, nameEnd)
    const value = text.slice(from, to)
    const failure = takeField(fields, name, value, kindOf)
    if (failure !== undefined) return failure
    index = lineEnd + 2
  }
  if (fields.named !== undefined) dropNamed(fields, fields.named)
  return undefined
}

/** Adds one field: to the list, or as a fact about this hop. */
export function takeField(
  fields: Fields,
  name: string,
  value: string,
  kindOf: KindOf,
): Failure | undefined {
  const { lower, kind } = kindOf(name)
  if (kind === END_TO_END || (kind === PROXY_STATUS && !OUR_STATUS.test(value))) {
    fields.list.push(name, lower, value)
    return undefined
  }
  return keepFact(fields, kind, value)
}

/** The trailer fields that may be sent on, or what is wrong with them. */
export function readTrailers(text: string, maxFields: number, kindOf: KindOf): string[] | Failure {
  const fields = new Fields()
  const failure = readFields(text, 0, maxFields, kindOf, fields)
  if (failure !== undefined) return failure
  const { list, contentLength, chunked } = fields
  if (contentLength !== NO_LENGTH || chunked) return FRAMING_IN_TRAILERS
  const kept: string[] = []
  for (let index = 0; index < list.length; index += FIELD_STRIDE) {
    const name = list[index] ?? ''
    if (kindOf(name).inTrailer) kept.push(name, list[index + 1] ?? '', list[index + 2] ?? '')
  }
  return kept
}

function keepFact(fields: Fields, kind: number, value: string): Failure | undefined {
  switch (kind) {
    case HOST_FIELD:
      if (fields.host !== undefined) return REPEATED_HOST
      if (!isAll(value, HOST)) return BAD_HOST
      fields.host = value
      return undefined
    case CONTENT_LENGTH:
      if (fields.contentLength !== NO_LENGTH) return REPEATED_LENGTH
      if (!isAll(value, DIGIT) || value.length > MAX_LENGTH_DIGITS) return BAD_LENGTH
      fields.contentLength = Number(value)
      return undefined
    case TRANSFER_ENCODING:
      if (fields.chunked) return BAD_CODING
      if (value === 'chunked' || value.toLowerCase() === 'chunked') {
        fields.chunked = true
        return undefined
      }
      return isAll(value, TOKEN) ? UNKNOWN_CODING : BAD_CODING
    case CONNECTION:
      readConnection(fields, value)
      return undefined
    case PROXY_CONNECTION:
      // Never standardised, still sent by HTTP/1.0 clients to keep the connection.
      if (value.toLowerCase() === 'keep-alive') fields.keepAlive = true
      return undefined
    case KEEP_ALIVE:
      fields.keepAliveSeconds = keepAliveSeconds(value)
      return undefined
    case UPGRADE:
      fields.upgrade = fields.upgrade === undefined ? value : `${fields.upgrade}, ${value}`
      return undefined
    case TE:
      if (/(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(value)) fields.teTrailers = true
      return undefined
    case EXPECT:
      if (fields.expectContinue || value.toLowerCase() !== '100-continue')
        return UNKNOWN_EXPECTATION
      fields.expectContinue = true
      return undefined
    case PROXY_AUTHORIZATION:
      if (fields.proxyAuthorization !== undefined) return REPEATED_CREDENTIALS
      fields.proxyAuthorization = value
      return undefined
    case DROPPED:
    default:
      return undefined
  }
}

function readConnection(fields: Fields, value: string): void {
  // Nearly every message has one of these two, as it stands.
  if (value === 'keep-alive') fields.keepAlive = true
  else if (value === 'close') fields.close = true
  else {
    for (const part of value.split(',')) {
      const option = part.trim().toLowerCase()
      if (option === 'close') fields.close = true
      else if (option === 'keep-alive') fields.keepAlive = true
      else if (option === 'upgrade') fields.upgradeNamed = true
      else if (option !== '') (fields.named ??= []).push(option)
    }
  }
}

/** Host and framing are facts, not entries of the list: no `Connection` can take them away. */
function dropNamed(fields: Fields, named: readonly string[]): void {
  const names = new Set(named)
  const kept: string[] = []
  const { list } = fields
  for (let index = 0; index < list.length; index += FIELD_STRIDE) {
    const lower = list[index + 1] ?? ''
    if (!names.has(lower)) kept.push(list[index] ?? '', lower, list[index + 2] ?? '')
  }
  fields.list = kept
}

function keepAliveSeconds(value: string): number | undefined {
  const [, seconds] = /(?:^|[,\s])timeout="?(\d{1,6})"?(?:[,\s]|$)/i.exec(value) ?? []
  return seconds === undefined ? undefined : Number(seconds)
}

function nameFault(text: string, at: number): Failure {
  return isBlank(text.charCodeAt(at)) ? FOLDED_FIELD : BAD_FIELD_NAME
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}
