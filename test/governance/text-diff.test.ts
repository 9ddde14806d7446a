// Diffs between texts: applied to the one they give the other, and they are written as `diff -u` writes them.

import * as fc from 'fast-check'
import t from 'tap'
import { unifiedDiff } from '../../src/governance/text-diff.ts'

const diff = (from: string, to: string): string =>
  unifiedDiff({ name: 'old', text: from }, { name: 'new', text: to })

t.test('as diff -u writes it', async (t) => {
  const from = 'a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n'
  t.equal(diff(from, from), '')
  t.equal(
    diff(from, from.replace('b\n', 'B\n').replace('k\n', 'k\nl')),
    [
      '--- old',
      '+++ new',
      '@@ -1,5 +1,5 @@',
      ' a',
      '-b',
      '+B',
      ' c',
      ' d',
      ' e',
      '@@ -9,3 +9,4 @@',
      ' i',
      ' j',
      ' k',
      '+l',
      String.raw`\ No newline at end of file`,
      '',
    ].join('\n'),
  )
  t.match(diff('', 'x\n'), '@@ -0,0 +1 @@\n+x\n', 'of an empty range the line before is named')
  t.match(diff('x\n', ''), '@@ -1 +0,0 @@\n-x\n')
  t.match(diff('x', 'x\n'), '-x\n\\ No newline at end of file\n+x\n')
})

t.test('what it says leads from the one to the other', async () => {
  const text = fc
    .array(fc.constantFrom('a\n', 'b\n', 'c\n', '\n', 'long line\n'), { maxLength: 40 })
    .chain((lines) => fc.constantFrom(lines.join(''), `${lines.join('')}end`))
  fc.assert(
    fc.property(text, text, (from, to) => applied(diff(from, to), from) === to),
    { numRuns: 500 },
  )
})

t.test('texts that differ everywhere are told as one block, and soon', async (t) => {
  const lines = (word: string): string =>
    Array.from({ length: 5000 }, (_, index) => `${word} ${index}\n`).join('')
  const [from, to] = [`same\n${lines('old')}end\n`, `same\n${lines('new')}end\n`]
  t.equal(applied(diff(from, to), from), to)
})

/** The text after the hunks of a diff. */
function applied(told: string, from: string): string {
  if (told === '') return from
  const lines = from.match(/[^\n]*\n|[^\n]+$/g) ?? []
  const out: string[] = []
  let at = 0
  for (const hunk of told.split(/^(?=@@ )/m).slice(1)) {
    const [head = '', ...body] = hunk.match(/[^\n]*\n/g) ?? []
    const [, start = '0', , count = '1'] = /^@@ -(\d+)(,(\d+))?/.exec(head) ?? []
    const begin = count === '0' ? Number(start) : Number(start) - 1
    out.push(...lines.slice(at, begin))
    at = begin
    for (const [index, line] of body.entries()) {
      if (line.startsWith('\\')) continue
      const isLast = body[index + 1]?.startsWith('\\') === true
      const text = isLast ? line.slice(1, -1) : line.slice(1)
      if (line.startsWith('+')) out.push(text)
      else {
        if (lines[at] !== text) throw new Error(`line ${at} is another: ${text}`)
        if (line.startsWith(' ')) out.push(text)
        at += 1
      }
    }
  }
  return [...out, ...lines.slice(at)].join('')
}
