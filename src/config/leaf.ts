// How one setting is read: from a YAML value of the file, or from the text of an environment variable.

import { isAbsolute, resolve } from 'node:path'
import ipaddr from 'ipaddr.js'
import { parseDuration, parseSize } from '../base/size.ts'

/** Where a value came from, and the folder that relative paths are relative to. */
export interface Origin {
  readonly from: 'file' | 'env'
  readonly base: string
}

/** One setting. `read` returns the value or throws `Wrong`, whose message completes "must be ...". */
export interface Leaf<T> {
  readonly kind: 'leaf'
  readonly default: T
  readonly expects: string
  /** May come from the file that `<VARIABLE>_FILE` names; never printed. */
  readonly secret: boolean
  read(value: unknown, origin: Origin): T
}

/** A value that is not what the setting expects; the message says what would be, or what is wrong inside. */
export class Wrong extends Error {
  override readonly name = 'Wrong'
}

export function text(fallback: string, expects = 'a text'): Leaf<string> {
  return leaf(fallback, expects, (value) => {
    if (typeof value !== 'string') throw new Wrong(expects)
    return value
  })
}

export function secretText(fallback: string, expects: string, valid: RegExp): Leaf<string> {
  const read = (value: unknown): string => {
    if (typeof value !== 'string' || (value !== '' && !valid.test(value))) throw new Wrong(expects)
    return value
  }
  return { ...leaf(fallback, expects, read), secret: true }
}

/** Whom a denied person can ask: it is shown to them, as a link. */
export function contact(): Leaf<string> {
  const expects = 'empty, a mail address or an https URL'
  return leaf('', expects, (value) => {
    if (typeof value !== 'string' || value.length > 2048) throw new Wrong(expects)
    const isUrl = /^https:\/\/[^\s<>"]+$/.test(value) && URL.canParse(value)
    const isMail = /^[^\s@<>"&?]+@[^\s@<>"&?]+$/.test(value)
    if (value !== '' && !isUrl && !isMail) throw new Wrong(expects)
    return value
  })
}

/** A file or folder; empty stays empty. */
export function path(fallback: string, expects = 'a path'): Leaf<string> {
  return leaf(fallback, expects, (value, origin) => {
    if (typeof value !== 'string' || value.includes('\0')) throw new Wrong(expects)
    return absolute(value, origin)
  })
}

export function fileOrStdout(): Leaf<string> {
  const file = path('', 'a file, or stdout')
  return {
    ...file,
    read: (value, origin) => (value === 'stdout' ? value : file.read(value, origin)),
  }
}

export function paths(fallback: readonly string[]): Leaf<readonly string[]> {
  const expects = 'a list of paths'
  return leaf(fallback, expects, (value, origin) =>
    listOf(value, origin, expects).map((item) => {
      if (typeof item !== 'string' || item === '') throw new Wrong(expects)
      return absolute(item, origin)
    }),
  )
}

export function oneOf<const T extends string>(fallback: T, words: readonly T[]): Leaf<T> {
  const expects = `one of ${words.join(', ')}`
  return leaf(fallback, expects, (value) => {
    const word = words.find((candidate) => candidate === value)
    if (word === undefined) throw new Wrong(expects)
    return word
  })
}

export function flag(fallback: boolean): Leaf<boolean> {
  const expects = 'true or false'
  return leaf(fallback, expects, (value, origin) => {
    if (typeof value === 'boolean') return value
    if (origin.from === 'env' && (value === 'true' || value === 'false')) return value === 'true'
    throw new Wrong(expects)
  })
}

export function count(fallback: number, least: number, most: number): Leaf<number> {
  const expects = `a whole number from ${least} to ${most}`
  return leaf(fallback, expects, (value, origin) => readCount(value, origin, expects, least, most))
}

export function autoOrCount(most: number): Leaf<number | 'auto'> {
  const expects = `auto, or a whole number from 1 to ${most}`
  return leaf<number | 'auto'>('auto', expects, (value, origin) =>
    value === 'auto' ? 'auto' : readCount(value, origin, expects, 1, most),
  )
}

/** Bytes, at least `least`. */
export function size(fallback: string, least = 1): Leaf<number> {
  const expects = `a size with a unit, such as ${fallback}`
  return leaf(parseSize(fallback) ?? 0, expects, (value) => {
    const bytes = typeof value === 'string' ? parseSize(value) : undefined
    if (bytes === undefined || bytes < least) {
      throw new Wrong(least > 1 ? `${expects}, of at least ${least} bytes` : expects)
    }
    return bytes
  })
}

/** Milliseconds, more than none. */
export function duration(fallback: string): Leaf<number> {
  const expects = `a duration with a unit, such as ${fallback}`
  return leaf(parseDuration(fallback) ?? 0, expects, (value) => {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined
    if (ms === undefined || ms <= 0) throw new Wrong(expects)
    return ms
  })
}

export function texts(
  fallback: readonly string[],
  expects = 'a list of texts',
): Leaf<readonly string[]> {
  return leaf(fallback, expects, (value, origin) =>
    listOf(value, origin, expects).map((item) => {
      if (typeof item !== 'string' || item === '') throw new Wrong(expects)
      return item
    }),
  )
}

export function ports(fallback: readonly number[]): Leaf<readonly number[]> {
  const expects = 'a list of ports from 1 to 65535'
  return leaf(fallback, expects, (value, origin) =>
    listOf(value, origin, expects).map((item) => readCount(item, origin, expects, 1, 65_535)),
  )
}

export function networks(fallback: readonly string[]): Leaf<readonly string[]> {
  const expects = 'a list of networks such as 10.0.0.0/8 or ::1/128'
  return leaf(fallback, expects, (value, origin) =>
    listOf(value, origin, expects).map((item) => readNetwork(item, expects)),
  )
}

export type Listen =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** One address or a list of them: `host:port`, `[v6]:port` or `unix:/path`; port 0 takes a free one. */
export function listen(fallback: string): Leaf<readonly Listen[]> {
  const expects = `an address such as ${fallback}, or unix:/path, or a list of them`
  const read = (value: unknown, origin: Origin): readonly Listen[] => {
    const list =
      typeof value === 'string' && origin.from === 'file' ? [value] : listOf(value, origin, expects)
    if (list.length === 0 || list.length > 64) throw new Wrong(expects)
    return list.map((item) => readListen(item, origin, expects))
  }
  return leaf(read(fallback, { from: 'file', base: '/' }), expects, read)
}

export interface NetworkMapping {
  readonly cidr: string
  readonly user?: string
  readonly department?: string
  readonly label?: string
}

export function networkMappings(): Leaf<readonly NetworkMapping[]> {
  const expects = 'a list of {cidr, user, department, label}'
  return leaf<readonly NetworkMapping[]>([], expects, (value, origin) =>
    listOf(value, origin, expects, 'json').map((item) => {
      if (!isMap(item)) throw new Wrong(expects)
      const unknown = Object.keys(item).find(
        (key) => !['cidr', 'user', 'department', 'label'].includes(key),
      )
      if (unknown !== undefined) throw new Wrong(`${expects}; "${unknown}" is none of these`)
      const cidr = readNetwork(
        item['cidr'],
        `${expects}, where cidr is a network such as 10.1.0.0/16`,
      )
      const rest = Object.entries(item).filter(([key]) => key !== 'cidr')
      if (rest.length === 0)
        throw new Wrong(`${expects}, with at least one of user, department, label`)
      for (const [key, entry] of rest) {
        if (typeof entry !== 'string' || entry === '')
          throw new Wrong(`${expects}, where ${key} is a text`)
      }
      return { ...Object.fromEntries(rest), cidr }
    }),
  )
}

/** A map of texts to texts. */
export function textMap(expects: string): Leaf<ReadonlyMap<string, string>> {
  return leaf<ReadonlyMap<string, string>>(new Map(), expects, (value, origin) => {
    const map = origin.from === 'env' ? parseJson(value, expects) : (value ?? {})
    if (!isMap(map)) throw new Wrong(expects)
    return new Map(
      Object.entries(map).map(([key, entry]) => {
        if (typeof entry !== 'string') throw new Wrong(expects)
        return [key, entry]
      }),
    )
  })
}

export function leaf<T>(fallback: T, expects: string, read: Leaf<T>['read']): Leaf<T> {
  return { kind: 'leaf', default: fallback, expects, secret: false, read }
}

export function absolute(value: string, origin: Origin): string {
  return value === '' || isAbsolute(value) ? value : resolve(origin.base, value)
}

export function listOf(
  value: unknown,
  origin: Origin,
  expects: string,
  form: 'comma' | 'json' = 'comma',
): unknown[] {
  if (origin.from === 'env' && typeof value === 'string') {
    if (value.trim() === '') return []
    if (form === 'json' || value.trimStart().startsWith('['))
      return listOf(parseJson(value, expects), { ...origin, from: 'file' }, expects)
    return value.split(',').map((item) => item.trim())
  }
  if (value === null || value === undefined) return []
  if (!Array.isArray(value) || value.length > 10_000) throw new Wrong(expects)
  return value
}

function parseJson(value: unknown, expects: string): unknown {
  try {
    return JSON.parse(String(value))
  } catch {
    throw new Wrong(`${expects}, written as JSON`)
  }
}

function readCount(
  value: unknown,
  origin: Origin,
  expects: string,
  least: number,
  most: number,
): number {
  const digits = typeof value === 'string' && /^\d{1,15}$/.test(value)
  const number = origin.from === 'env' && digits ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most) {
    throw new Wrong(expects)
  }
  return number
}

function readNetwork(value: unknown, expects: string): string {
  if (typeof value !== 'string') throw new Wrong(expects)
  const network = value.includes('/') ? value : `${value}/${value.includes(':') ? 128 : 32}`
  if (!ipaddr.isValidCIDR(network)) throw new Wrong(`${expects}; "${value}" is none`)
  return network
}

function readListen(value: unknown, origin: Origin, expects: string): Listen {
  if (typeof value !== 'string') throw new Wrong(expects)
  if (value.startsWith('unix:')) {
    const file = absolute(value.slice(5), origin)
    // sun_path holds 108 bytes with its terminator; a longer one fails only when bound.
    if (file === '' || Buffer.byteLength(file) > 107)
      throw new Wrong(`${expects}, a socket path of at most 107 bytes`)
    return { kind: 'unix', path: file }
  }
  const [, v6, name, port = ''] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(value) ?? []
  const host = v6 ?? name
  if (
    host === undefined ||
    Number(port) > 65_535 ||
    (v6 !== undefined && !ipaddr.IPv6.isValid(v6))
  ) {
    throw new Wrong(`${expects}; "${value}" is none`)
  }
  return { kind: 'tcp', host, port: Number(port) }
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
