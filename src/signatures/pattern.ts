// Regular expressions from data: RE2 syntax, linear time whatever they are given.

import { RE2JS } from 're2js'

const MAX_PATTERN = 1024

/** A compiled pattern, or undefined where the text is no RE2 expression. */
export function compilePattern(text: string): RE2JS | undefined {
  if (text.length > MAX_PATTERN) return undefined
  try {
    return RE2JS.compile(text)
  } catch {
    return undefined
  }
}

/** The same for a whole host: `^a|b$` must not match half of a name. */
export function compileHostPattern(text: string): RE2JS | undefined {
  return compilePattern(text) === undefined ? undefined : compilePattern(`^(?:${text})$`)
}

/**
 * The labels that every host must end with to match `^...$`, or '' where the end is not literal.
 * Patterns are kept by it, so that a host is held against those of its own domain only.
 */
export function literalSuffix(pattern: string): string {
  // An alternative outside of a group may end otherwise; rather look too often than too rarely.
  if (pattern.replaceAll(/\\.|\[[^\]]*\]|\([^()]*\)/g, '').includes('|')) return ''
  const [, literal = ''] = /((?:[a-z0-9-]|\\\.)+)\$$/.exec(pattern) ?? []
  const plain = literal.replaceAll('\\.', '.')
  const dot = plain.indexOf('.')
  // What stands before the first dot may be the end of a label of which the rest is a pattern.
  return dot === -1 ? '' : plain.slice(dot + 1)
}
