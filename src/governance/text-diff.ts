// What was changed between two texts, as `diff -u` writes it.
//
// Myers' algorithm (An O(ND) Difference Algorithm, 1986) over lines. Texts that differ nearly everywhere are told as one
// block: the shortest way between them would take long, and nobody would read it.

const CONTEXT_LINES = 3
/** Deletions and additions, and lines that are compared, after which no shorter way is looked for. */
const MAX_EDITS = 1000
const MAX_STEPS = 5_000_000

interface Edit {
  readonly kind: ' ' | '-' | '+'
  readonly line: string
}

/** Empty where the texts are the same. A line ends with a newline; one that does not is told. */
export function unifiedDiff(
  from: { readonly name: string; readonly text: string },
  to: { readonly name: string; readonly text: string },
): string {
  if (from.text === to.text) return ''
  const edits = editsBetween(linesOf(from.text), linesOf(to.text))
  return [`--- ${from.name}\n`, `+++ ${to.name}\n`, ...hunks(edits)].join('')
}

/** Each with its newline, where it has one. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

function editsBetween(from: readonly string[], to: readonly string[]): Edit[] {
  let head = 0
  while (head < from.length && head < to.length && from[head] === to[head]) head += 1
  let tail = 0
  const most = Math.min(from.length, to.length) - head
  while (tail < most && from[from.length - 1 - tail] === to[to.length - 1 - tail]) tail += 1
  const same = (lines: readonly string[]): Edit[] => lines.map((line) => ({ kind: ' ', line }))
  return [
    ...same(from.slice(0, head)),
    ...middle(from.slice(head, from.length - tail), to.slice(head, to.length - tail)),
    ...same(from.slice(from.length - tail)),
  ]
}

function middle(from: readonly string[], to: readonly string[]): Edit[] {
  const rounds = from.length === 0 || to.length === 0 ? undefined : furthest(from, to)
  if (rounds === undefined)
    return [
      ...from.map((line): Edit => ({ kind: '-', line })),
      ...to.map((line): Edit => ({ kind: '+', line })),
    ]
  return walkBack(from, to, rounds)
}

/**
 * For each number of edits, how far one comes in `from` on each diagonal (index: diagonal + edits); undefined where more
 * than MAX_EDITS are needed.
 */
function furthest(from: readonly string[], to: readonly string[]): Int32Array[] | undefined {
  const rounds: Int32Array[] = []
  const most = Math.min(from.length + to.length, MAX_EDITS)
  let steps = 0
  for (let edits = 0; edits <= most; edits++) {
    const before = rounds.at(-1)
    const reached = new Int32Array(2 * edits + 1)
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = startOf(before, edits, diagonal)
      let y = x - diagonal
      while (x < from.length && y < to.length && from[x] === to[y]) {
        x += 1
        y += 1
        steps += 1
      }
      reached[diagonal + edits] = x
      if (x >= from.length && y >= to.length) return [...rounds, reached]
    }
    if (steps > MAX_STEPS) return undefined
    rounds.push(reached)
  }
  return undefined
}

/** Where a diagonal is entered from its neighbours: down (an addition) or to the right (a deletion). */
function startOf(before: Int32Array | undefined, edits: number, diagonal: number): number {
  if (before === undefined) return 0
  return isAddition(before, edits, diagonal)
    ? reachedOn(before, edits, diagonal + 1)
    : reachedOn(before, edits, diagonal - 1) + 1
}

function isAddition(before: Int32Array, edits: number, diagonal: number): boolean {
  if (diagonal === -edits) return true
  if (diagonal === edits) return false
  return reachedOn(before, edits, diagonal - 1) < reachedOn(before, edits, diagonal + 1)
}

/** Of the round before the one of `edits`. */
function reachedOn(before: Int32Array, edits: number, diagonal: number): number {
  return before[diagonal + edits - 1] ?? 0
}

function walkBack(
  from: readonly string[],
  to: readonly string[],
  rounds: readonly Int32Array[],
): Edit[] {
  const reversed: Edit[] = []
  let x = from.length
  let y = to.length
  for (let edits = rounds.length - 1; edits >= 0; edits--) {
    const before = edits === 0 ? undefined : rounds[edits - 1]
    const diagonal = x - y
    const start = startOf(before, edits, diagonal)
    for (; x > start; x--) reversed.push({ kind: ' ', line: from[x - 1] ?? '' })
    y = start - diagonal
    if (before === undefined) break
    if (isAddition(before, edits, diagonal)) {
      y -= 1
      reversed.push({ kind: '+', line: to[y] ?? '' })
    } else {
      x -= 1
      reversed.push({ kind: '-', line: from[x] ?? '' })
    }
  }
  return reversed.toReversed()
}

function* hunks(edits: readonly Edit[]): Generator<string> {
  const shown = new Set<number>()
  for (const [index, { kind }] of edits.entries()) {
    if (kind === ' ') continue
    for (let near = index - CONTEXT_LINES; near <= index + CONTEXT_LINES; near++)
      if (near >= 0 && near < edits.length) shown.add(near)
  }
  let [fromLine, toLine] = [1, 1]
  for (let index = 0; index < edits.length; index++) {
    if (!shown.has(index)) {
      // Only what both have is not shown.
      fromLine += 1
      toLine += 1
      continue
    }
    const hunk: Edit[] = []
    for (; shown.has(index); index++) hunk.push(edits[index] ?? { kind: ' ', line: '' })
    index -= 1
    const count = (left: Edit['kind']): number => hunk.filter(({ kind }) => kind !== left).length
    const [removed, added] = [count('+'), count('-')]
    yield `@@ -${rangeOf(fromLine, removed)} +${rangeOf(toLine, added)} @@\n`
    for (const { kind, line } of hunk)
      yield line.endsWith('\n')
        ? `${kind}${line}`
        : `${kind}${line}\n\\ No newline at end of file\n`
    fromLine += removed
    toLine += added
  }
}

/** Of an empty range the line before it is named. */
function rangeOf(line: number, count: number): string {
  if (count === 1) return String(line)
  return `${count === 0 ? line - 1 : line},${count}`
}
