// A word of the settings that names hosts: a host, everything below one, or a pattern on the whole host.

import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { RE2JS } from 're2js'
import { compileHostPattern, literalSuffix } from './pattern.ts'

export type HostWord =
  | { readonly kind: 'host' | 'below'; readonly name: string }
  | {
      readonly kind: 'pattern'
      readonly text: string
      readonly pattern: RE2JS
      readonly suffix: string
    }

const NAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/

/** Undefined where the word is none of the three. A name is lower-cased and written in ASCII, as hosts are. */
export function readHostWord(word: string): HostWord | undefined {
  if (word.startsWith('^')) {
    const pattern = word.endsWith('$') ? compileHostPattern(word) : undefined
    if (pattern === undefined) return undefined
    return { kind: 'pattern', text: word, pattern, suffix: literalSuffix(word) }
  }
  const below = word.startsWith('*.')
  const name = canonical(below ? word.slice(2) : word)
  return name === undefined ? undefined : { kind: below ? 'below' : 'host', name }
}

function canonical(text: string): string | undefined {
  const plain = text.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  if (isIP(plain) !== 0) return plain
  const name = domainToASCII(plain.replace(/\.$/, ''))
  return name.length <= 253 && NAME.test(name) ? name : undefined
}
