// What do the encodings answer: base64url, hex, URL queries, URIs?

import { RegoObject, RegoSet, isArray, type RegoValue } from '../value.ts'
import {
  boundedCount,
  boundedText,
  type BuiltinTable,
  fail,
  objectAt,
  objectOf,
  type Operands,
  textAt,
} from './operands.ts'
import { parseUri } from './uri.ts'

export const ENCODING_BUILTINS: BuiltinTable = {
  'base64.decode': (operands) => decodeBase64(textAt(operands, 0)),
  'base64.is_valid': ([text]) =>
    typeof text === 'string' && isBase64(text.replaceAll(/[\r\n]/g, '')),
  'base64url.decode': (operands) => decodeBase64Url(textAt(operands, 0)),
  'base64url.encode_no_pad': (operands) => Buffer.from(textAt(operands, 0)).toString('base64url'),
  'hex.encode': (operands) => boundedText(Buffer.from(textAt(operands, 0)).toString('hex')),
  'hex.decode': hexDecode,
  'urlquery.encode': (operands) => queryEscape(textAt(operands, 0)),
  'urlquery.decode': (operands) => queryUnescape(textAt(operands, 0)) ?? fail('a malformed escape'),
  'urlquery.encode_object': encodeObject,
  'urlquery.decode_object': decodeObject,
  'uri.parse': (operands) => objectOf(parseUri(textAt(operands, 0)) ?? fail('no URI')),
  'uri.is_valid': ([text]) =>
    typeof text === 'string' && text !== '' && parseUri(text) !== undefined,
}

function hexDecode(operands: Operands): string {
  const text = textAt(operands, 0)
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) fail('no hexadecimal text')
  return Buffer.from(text, 'hex').toString()
}

/** Go's url.QueryEscape: a space becomes `+`, all but letters, digits and `-_.~` is escaped. */
function queryEscape(text: string): string {
  return boundedText(
    encodeURIComponent(text.toWellFormed())
      .replaceAll(
        /[!'()*]/g,
        (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
      )
      .replaceAll('%20', '+'),
  )
}

function queryUnescape(text: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined
  const spaced = text.replaceAll('+', ' ')
  return Buffer.from(
    spaced.replaceAll(/[^%]+|%[0-9a-f]{2}/gi, (part) =>
      part.startsWith('%') ? part.slice(1) : Buffer.from(part).toString('hex'),
    ),
    'hex',
  ).toString()
}

function encodeObject(operands: Operands): string {
  const pairs: string[] = []
  for (const [key, value] of objectAt(operands, 0).entries) {
    if (typeof key !== 'string') fail('keys must be strings')
    for (const text of queryValues(value)) {
      pairs.push(`${queryEscape(key)}=${queryEscape(text)}`)
    }
  }
  return boundedText(pairs.join('&'))
}

function queryValues(value: RegoValue): readonly string[] {
  if (typeof value === 'string') return [value]
  const members =
    value instanceof RegoSet
      ? value.items
      : value !== null && isArray(value)
        ? value
        : fail('no text')
  return members.map((member) => (typeof member === 'string' ? member : fail('no text')))
}

/** Go's url.ParseQuery: a semicolon or a malformed escape fails the whole. */
function decodeObject(operands: Operands): RegoObject {
  const values = new Map<string, string[]>()
  let count = 0
  for (const pair of textAt(operands, 0).split('&')) {
    if (pair === '') continue
    if (pair.includes(';')) fail('a semicolon in a query')
    const equals = pair.indexOf('=')
    const key = queryUnescape(equals === -1 ? pair : pair.slice(0, equals))
    const value = queryUnescape(equals === -1 ? '' : pair.slice(equals + 1))
    if (key === undefined || value === undefined) return fail('a malformed escape')
    boundedCount(++count)
    const known = values.get(key)
    if (known === undefined) values.set(key, [value])
    else known.push(value)
  }
  return new RegoObject(values)
}

function decodeBase64(text: string): string {
  const digits = text.replaceAll(/[\r\n]/g, '')
  return isBase64(digits) ? Buffer.from(digits, 'base64').toString() : fail('no base64')
}

function isBase64(digits: string): boolean {
  return digits.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(digits)
}

/** The padding may be missing. */
function decodeBase64Url(text: string): string {
  const padded = text.endsWith('=') ? text : text.padEnd(Math.ceil(text.length / 4) * 4, '=')
  const digits = padded.replaceAll(/[\r\n]/g, '')
  return digits.length % 4 === 0 && /^[A-Za-z0-9_-]*={0,2}$/.test(digits)
    ? Buffer.from(padded, 'base64url').toString()
    : fail('no base64url')
}
