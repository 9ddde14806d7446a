// Encodings: hex, base64url without padding, URL queries.

import { RegoObject, type RegoValue } from '../value.ts'
import { isArray } from '../value.ts'
import { object, text, WrongArgument } from './arguments.ts'
import type { Builtin } from './registry.ts'

export const CODECS: Readonly<Record<string, Builtin>> = {
  'hex.encode': (value) => Buffer.from(text(value)).toString('hex'),
  'hex.decode': (value) => {
    const hex = text(value)
    if (!/^(?:[0-9A-Fa-f]{2})*$/.test(hex)) throw new WrongArgument('hex')
    return Buffer.from(hex, 'hex').toString('utf8')
  },
  'base64url.encode_no_pad': (value) => Buffer.from(text(value)).toString('base64url'),
  'urlquery.encode': (value) => queryEscape(text(value)),
  'urlquery.decode': (value) => queryUnescape(text(value)),
  'urlquery.encode_object': (value) => {
    const pairs: string[] = []
    for (const [key, item] of object(value).entries) {
      for (const each of typeof item === 'string' ? [item] : textsOf(item))
        pairs.push(`${queryEscape(text(key))}=${queryEscape(each)}`)
    }
    return pairs.join('&')
  },
  'urlquery.decode_object': (value) => {
    const found = new Map<string, string[]>()
    for (const pair of text(value).split('&')) {
      if (pair === '') continue
      if (pair.includes(';')) throw new WrongArgument('semicolon')
      const at = pair.indexOf('=')
      const key = queryUnescape(at === -1 ? pair : pair.slice(0, at))
      const item = at === -1 ? '' : queryUnescape(pair.slice(at + 1))
      found.set(key, [...(found.get(key) ?? []), item])
    }
    return new RegoObject(found)
  },
}

function textsOf(value: RegoValue): string[] {
  const items = isArray(value)
    ? value
    : value !== null && typeof value === 'object' && 'items' in value
      ? value.items
      : undefined
  if (items === undefined) throw new WrongArgument('texts')
  return items.map((item) => text(item))
}

/** Go's url.QueryEscape: everything but letters, digits and `-_.~`; a space becomes `+`. */
function queryEscape(value: string): string {
  return encodeURIComponent(value)
    .replaceAll('%20', '+')
    .replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function queryUnescape(value: string): string {
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) throw new WrongArgument('escape')
  const bytes: Buffer[] = []
  for (const [part] of value.replaceAll('+', ' ').matchAll(/(?:%[0-9A-Fa-f]{2})+|[^%]+/g)) {
    bytes.push(
      part.startsWith('%') ? Buffer.from(part.replaceAll('%', ''), 'hex') : Buffer.from(part),
    )
  }
  return Buffer.concat(bytes).toString('utf8')
}
