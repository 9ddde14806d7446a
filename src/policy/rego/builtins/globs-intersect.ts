// Does OPA find a text that two globs both match? (regex.globs_match; `.`, `*`, `+` and `[...]` as in OPA)

import { BuiltinLimit, type BuiltinTable, fail, textAt } from './operands.ts'

interface Token {
  /** Inclusive ranges of code points; empty: any character. */
  readonly ranges: readonly (readonly [number, number])[]
  readonly any: boolean
  readonly flag: '' | '*' | '+'
}

const MAX_GLOB = 2000
const MAX_STEPS = 50_000

export const GLOB_BUILTINS: BuiltinTable = {
  'regex.globs_match': (operands) =>
    new Search().nonEmpty(
      simplify(parse(textAt(operands, 0))),
      simplify(parse(textAt(operands, 1))),
    ),
}

function parse(glob: string): Token[] {
  if (glob.length > MAX_GLOB) fail('the glob is too long')
  const tokens: Token[] = []
  const characters = Array.from(glob)
  for (let at = 0; at < characters.length; at++) {
    let ranges: (readonly [number, number])[] = []
    let any = false
    const character = characters[at] ?? ''
    if (character === '.') any = true
    else if (character === '[') {
      const close = closing(characters, at)
      ranges = rangesOf(characters.slice(at + 1, close))
      at = close
    } else if (character === '*' || character === '+' || character === ']')
      return fail('a malformed glob')
    else {
      const literal = character === '\\' ? characters[++at] : character
      if (literal === undefined) return fail('a malformed glob')
      ranges = [[code(literal), code(literal)]]
    }
    const next = characters[at + 1]
    const flag = next === '*' || next === '+' ? next : ''
    if (flag !== '') at += 1
    tokens.push({ ranges, any, flag })
  }
  return tokens
}

function closing(characters: readonly string[], open: number): number {
  for (let at = open + 1; at < characters.length; at++) {
    if (characters[at] === '\\') at += 1
    else if (characters[at] === ']') return at
  }
  return fail('a malformed glob')
}

function rangesOf(members: readonly string[]): (readonly [number, number])[] {
  const ranges: (readonly [number, number])[] = []
  for (let at = 0; at < members.length; at++) {
    if (members[at] === '\\') at += 1
    const first = members[at]
    if (first === undefined) return fail('a malformed glob')
    if (members[at + 1] === '-') {
      const last = members[at + 2]
      if (last === undefined || code(last) < code(first)) return fail('a malformed glob')
      ranges.push([code(first), code(last)])
      at += 2
    } else ranges.push([code(first), code(first)])
  }
  return ranges
}

function code(character: string): number {
  return character.codePointAt(0) ?? 0
}

/**
 * The search of the library that OPA uses (gintersect), step by step: it looks for a text that is not
 * empty, and a starred token takes as much as it can, so that it finds less than there is.
 */
class Search {
  #steps = 0

  nonEmpty(left: readonly Token[], right: readonly Token[]): boolean {
    const trimmed = trim(left, right)
    return trimmed !== undefined && this.#normal(...trimmed)
  }

  #normal(left: readonly Token[], right: readonly Token[]): boolean {
    if (++this.#steps > MAX_STEPS)
      throw new BuiltinLimit('time limit: globs are too hard to intersect')
    let at = 0
    for (; ; at++) {
      const [a, b] = [left[at], right[at]]
      if (a === undefined || b === undefined) return a === b
      if (a.flag !== '' || b.flag !== '') break
      if (!overlap(a, b)) return false
    }
    const [a, b] = [left.slice(at), right.slice(at)]
    const [flagged, other] = a[0]?.flag === '' ? [b, a] : [a, b]
    return flagged[0]?.flag === '+' ? this.#plus(flagged, other) : this.#star(flagged, other)
  }

  #plus(plussed: readonly Token[], other: readonly Token[]): boolean {
    const [token, first] = [plussed[0], other[0]]
    if (token === undefined || first === undefined || !overlap(token, first)) return false
    if (this.#star(plussed, other.slice(1))) return true
    return first.flag !== '' && this.#normal(plussed.slice(1), other)
  }

  #star(starred: readonly Token[], other: readonly Token[]): boolean {
    const [token, following] = starred
    for (const [index, each] of other.entries()) {
      if (
        following !== undefined &&
        overlap(each, following) &&
        this.#normal(starred.slice(1), other.slice(index))
      )
        return true
      if (token === undefined || !overlap(each, token)) return false
    }
    return following === undefined
  }
}

/** Equal beginnings and ends without flags go, all but one token each; undefined: they differ. */
function trim(
  left: readonly Token[],
  right: readonly Token[],
): [readonly Token[], readonly Token[]] | undefined {
  const isPlain = (a: Token | undefined, b: Token | undefined): boolean =>
    a?.flag === '' && b?.flag === ''
  const meet = (a: Token | undefined, b: Token | undefined): boolean =>
    a !== undefined && b !== undefined && overlap(a, b)
  let start = 0
  for (; isPlain(left[start], right[start]); start++)
    if (!meet(left[start], right[start])) return undefined
  if (start > 0) start -= 1
  let [a, b] = [left.length - 1, right.length - 1]
  for (; a >= start && b >= start && isPlain(left[a], right[b]); a--, b--)
    if (!meet(left[a], right[b])) return undefined
  if (a < left.length - 1) [a, b] = [a + 1, b + 1]
  return [left.slice(start, a + 1), right.slice(start, b + 1)]
}

/** Neighbours with flags that are alike become one. */
function simplify(tokens: readonly Token[]): readonly Token[] {
  const simple: Token[] = []
  for (const token of tokens) {
    const last = simple.at(-1)
    if (last === undefined || token.flag === '' || last.flag === '' || !isEqual(last, token))
      simple.push(token)
    else
      simple[simple.length - 1] = {
        ...last,
        flag: [last.flag, token.flag].includes('+') ? '+' : '*',
      }
  }
  return simple
}

function isEqual(a: Token, b: Token): boolean {
  return a.any === b.any && JSON.stringify(a.ranges) === JSON.stringify(b.ranges)
}

function overlap(a: Token, b: Token): boolean {
  if (a.any || b.any) return true
  return a.ranges.some(([from, to]) =>
    b.ranges.some(([first, last]) => from <= last && first <= to),
  )
}
