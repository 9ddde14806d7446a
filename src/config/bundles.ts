// `policy.bundles`: OPA bundles that are read from elsewhere.

import { parseDuration } from '../base/size.ts'
import { absolute, isMap, type Leaf, leaf, listOf, type Origin, Wrong } from './leaf.ts'

export interface BundleSettings {
  readonly name: string
  readonly url: string
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string
  /** Read anew for every request: whoever rotates it replaces the file. */
  readonly token_file?: string
  /** PEM, or the file that holds it. Without one only bundles that are not signed are taken. */
  readonly public_key?: string
  readonly key_id?: string
  readonly scope?: string
  /** Whether one that its signer made before the one in force is taken. */
  readonly allow_older: boolean
  /** Milliseconds between two looks: a time between them is drawn for each. */
  readonly poll_min: number
  readonly poll_max: number
  /** Milliseconds that a server may wait for a change; 0: not asked for. */
  readonly long_poll: number
}

const EXPECTS =
  'a list of {name, url, token or token_file, public_key, key_id, scope, allow_older, poll_min, poll_max, long_poll}'
const TEXTS = ['name', 'url', 'token', 'token_file', 'public_key', 'key_id', 'scope'] as const
const TIMES = { poll_min: 60_000, poll_max: 120_000, long_poll: 0 } as const
const KEYS: ReadonlySet<string> = new Set([...TEXTS, ...Object.keys(TIMES), 'allow_older'])
const MAX_BUNDLES = 32
const LONGEST_MS = 24 * 3_600_000
const LONGEST_WAIT_MS = 600_000
const SHORTEST_MS = 100
/** What the stored policies are called beside these. */
const TAKEN = 'store'

export function bundleSettings(): Leaf<readonly BundleSettings[]> {
  const read = (value: unknown, origin: Origin): readonly BundleSettings[] => {
    const list = listOf(value, origin, EXPECTS, 'json')
    if (list.length > MAX_BUNDLES) throw new Wrong(`a list of at most ${MAX_BUNDLES} bundles`)
    const bundles = list.map((item) => readBundle(item, origin))
    for (const [index, { name }] of bundles.entries())
      if (bundles.findIndex((other) => other.name === name) !== index)
        throw new Wrong(`a list of bundles with a name each; "${name}" stands there twice`)
    return bundles
  }
  return { ...leaf<readonly BundleSettings[]>([], EXPECTS, read), secret: true }
}

function readBundle(item: unknown, origin: Origin): BundleSettings {
  if (!isMap(item)) throw new Wrong(EXPECTS)
  const unknown = Object.keys(item).find((key) => !KEYS.has(key))
  if (unknown !== undefined) throw new Wrong(`${EXPECTS}; "${unknown}" is none of these`)
  const texts = Object.fromEntries(
    TEXTS.flatMap((key) => (item[key] === undefined ? [] : [[key, textOf(key, item[key])]])),
  ) as Partial<Record<(typeof TEXTS)[number], string>>
  const { name = '', url = '', token, token_file, public_key, key_id, scope } = texts
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/i.test(name) || name === TAKEN)
    throw wrong(`name is letters, digits, dots and dashes, and not "${TAKEN}"`)
  if (!isUrl(url)) throw wrong('url is http:// or https://, without user and fragment')
  if (token !== undefined && token_file !== undefined)
    throw wrong('token and token_file do not stand together')
  if (token !== undefined && !/^[!-~]+$/.test(token)) throw wrong('token is printable ASCII')
  const { allow_older: allowOlder = false } = item
  if (typeof allowOlder !== 'boolean') throw wrong('allow_older is true or false')
  if (public_key === undefined && (key_id !== undefined || scope !== undefined || allowOlder))
    throw wrong('key_id, scope and allow_older have no effect without public_key')
  const poll = times(item)
  if (poll.poll_min > poll.poll_max) throw wrong('poll_min is at most poll_max')
  return {
    name,
    url,
    ...poll,
    allow_older: allowOlder,
    ...(token === undefined ? {} : { token }),
    ...(token_file === undefined ? {} : { token_file: absolute(token_file, origin) }),
    ...(public_key === undefined
      ? {}
      : {
          public_key: public_key.includes('-----BEGIN') ? public_key : absolute(public_key, origin),
        }),
    ...(key_id === undefined ? {} : { key_id }),
    ...(scope === undefined ? {} : { scope }),
  }
}

function times(item: Readonly<Record<string, unknown>>): Pick<BundleSettings, keyof typeof TIMES> {
  const read = (key: keyof typeof TIMES): number => {
    const value = item[key]
    if (value === undefined) return TIMES[key]
    const ms = typeof value === 'string' ? parseDuration(value) : undefined
    const most = key === 'long_poll' ? LONGEST_WAIT_MS : LONGEST_MS
    if (ms === undefined || ms < SHORTEST_MS || ms > most)
      throw wrong(`${key} is a duration such as 60s, of at most ${most / 60_000}m`)
    return ms
  }
  const min = item['poll_min'] === undefined ? undefined : read('poll_min')
  const max = item['poll_max'] === undefined ? undefined : read('poll_max')
  return {
    poll_min: min ?? Math.min(TIMES.poll_min, max ?? TIMES.poll_min),
    poll_max: max ?? Math.max(TIMES.poll_max, min ?? TIMES.poll_max),
    long_poll: read('long_poll'),
  }
}

function textOf(key: string, value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    throw wrong(`${key} is a text`)
  return value
}

function isUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return (
    url !== undefined &&
    ['http:', 'https:'].includes(url.protocol) &&
    url.username === '' &&
    url.password === '' &&
    url.hash === ''
  )
}

function wrong(what: string): Wrong {
  return new Wrong(`${EXPECTS}, where ${what}`)
}
