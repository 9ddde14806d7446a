// Regular expressions from data: RE2 syntax, linear time whatever they are given.

import { RE2JS } from 're2js'

const MAX_PATTERN = 1024

/** A compiled pattern, or undefined where the text is no RE2 expression. */
export function compilePattern(text: string, flags: 'i' | '' = ''): RE2JS | undefined {
  if (text.length > MAX_PATTERN) return undefined
  try {
    return RE2JS.compile(text, flags === 'i' ? RE2JS.CASE_INSENSITIVE : 0)
  } catch {
    return undefined
  }
}

/** The labels that every host must end with to match `^...$`, or '' where the end is not literal. */
export function literalSuffix(pattern: string): string {
  const [, literal = ''] = /((?:[a-z0-9-]|\\\.)+)\$$/.exec(pattern) ?? []
  const plain = literal.replaceAll('\\.', '.')
  const dot = plain.indexOf('.')
  // What stands before the first dot may be the end of a label of which the rest is a pattern.
  return dot === -1 ? '' : plain.slice(dot + 1)
}
