// Is there a text that two globs both match? (regex.globs_match; `.`, `*`, `+` and `[...]` as in OPA)

import { boundedCount, type BuiltinTable, fail, textAt } from './operands.ts'

interface Token {
  /** Inclusive ranges of code points; empty: any character. */
  readonly ranges: readonly (readonly [number, number])[]
  readonly any: boolean
  readonly flag: '' | '*' | '+'
}

const MAX_GLOB = 2000

export const GLOB_BUILTINS: BuiltinTable = {
  'regex.globs_match': (operands) =>
    intersect(parse(textAt(operands, 0)), parse(textAt(operands, 1))),
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
  return ranges.length === 0 ? fail('a malformed glob') : ranges
}

function code(character: string): number {
  return character.codePointAt(0) ?? 0
}

/** Walks both globs together: a state is a place in each. */
function intersect(a: readonly Token[], b: readonly Token[]): boolean {
  const width = b.length + 1
  const seen = new Uint8Array((a.length + 1) * width * 4)
  const stack: [number, number, number][] = [[0, 0, 0]]
  // The last number: bit 0 and 1 tell that the repeated token of a and of b has matched once.
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    const [i, j, once] = state
    const key = (i * width + j) * 4 + once
    if (seen[key] === 1) continue
    seen[key] = 1
    boundedCount(stack.length)
    const [left, right] = [a[i], b[j]]
    if (left === undefined && right === undefined) return true
    if (left !== undefined && mayEnd(left, (once & 1) !== 0)) stack.push([i + 1, j, once & 2])
    if (right !== undefined && mayEnd(right, (once & 2) !== 0)) stack.push([i, j + 1, once & 1])
    if (left === undefined || right === undefined || !overlap(left, right)) continue
    stack.push([
      left.flag === '' ? i + 1 : i,
      right.flag === '' ? j + 1 : j,
      (left.flag === '' ? 0 : 1) | (right.flag === '' ? 0 : 2),
    ])
  }
  return false
}

function mayEnd({ flag }: Token, once: boolean): boolean {
  return flag === '*' || (flag === '+' && once)
}

function overlap(a: Token, b: Token): boolean {
  if (a.any || b.any) return true
  return a.ranges.some(([from, to]) =>
    b.ranges.some(([first, last]) => from <= last && first <= to),
  )
}
