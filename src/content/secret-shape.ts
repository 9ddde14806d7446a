// How the shape of a secret is written down: what precedes it, which characters follow, how many.
//
// A shape is tried only at the start of a token that begins with one of its prefixes. Its pattern has
// bounded repeats and nothing nested, so that trying it costs a bounded number of steps.

export interface SecretShape {
  readonly type: string
  readonly prefixes: readonly string[]
  /** Sticky, from the first character of the prefix; the value is group 1 where there is one. */
  readonly pattern: RegExp
  readonly confidence: number
  /** Least Shannon entropy of the value, bits a character. */
  readonly entropy: number
  /** A word that must stand within 60 characters before the value. */
  readonly keyword: RegExp | undefined
}

export const HIGH = 0.95
export const MEDIUM = 0.7
export const LOW = 0.4

interface More {
  readonly confidence?: number
  readonly entropy?: number
  readonly keyword?: RegExp
}

/** A shape that nothing of its alphabet may follow: `rest` is what stands after one of the prefixes. */
export function shape(
  type: string,
  prefixes: string,
  rest: string,
  { confidence = HIGH, entropy = 3, keyword }: More = {},
): SecretShape {
  const list = prefixes.split(' ')
  const start = list.map((prefix) => prefix.replaceAll(/[.+*?()[\]|]/g, String.raw`\$&`)).join('|')
  // A hyphen or underscore ends a value whose alphabet lacks it, and belongs to one whose alphabet has it.
  const end = /[_\w]-\]\S{0,9}$/.test(rest) ? '(?![A-Za-z0-9_-])' : '(?![A-Za-z0-9])'
  return {
    type,
    prefixes: list,
    pattern: new RegExp(`(?:${start})(?:${rest})${end}`, 'y'),
    confidence,
    entropy,
    keyword,
  }
}
