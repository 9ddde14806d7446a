// How an identifier with a published form is written down, and how one is found at the start of a word.

import type { FindingCategory } from '../model/finding.ts'
import type { Candidate } from './candidate.ts'
import { classAt, DIGIT, isWordAt, LETTER, matchAt, WORD } from './characters.ts'

export interface Identifier {
  readonly type: string
  readonly category: FindingCategory
  /** How its first word may look: `d9` is nine digits, `a2` two letters, `m9` nine of both. */
  readonly starts: string
  /** Sticky; nothing that would make it a part of something longer may stand around it. */
  readonly pattern: RegExp
  /** Check digit and rules of issue, over the value in capitals without separators. */
  readonly valid?: (value: string) => boolean
  /** Words that must stand before it, unless it is all there is: for forms that many other numbers have. */
  readonly context?: RegExp
  /** Without a check digit, or with too many others of its form, standing alone says nothing. */
  readonly needsContext?: true
  /** Words before it that say it is something else. */
  readonly unless?: RegExp
  readonly confidence: number
}

const REACH = 48
const KINDS = ['d', 'a', 'm']
const LONGEST_WORD = 32
/** Alone in a text a value has nothing that would say which of several numbers it is. */
const ALONE = 0.6

/** Identifiers by how their first word looks. */
export class Identifiers {
  readonly #byStart: (Identifier[] | undefined)[] = Array.from({ length: 3 * LONGEST_WORD })

  constructor(identifiers: readonly Identifier[]) {
    for (const identifier of identifiers) {
      for (const start of identifier.starts.split(' ')) {
        const kind = KINDS.indexOf(start.charAt(0))
        ;(this.#byStart[kind * LONGEST_WORD + Number(start.slice(1))] ??= []).push(identifier)
      }
    }
  }

  /** All that a word may be the start of; `alone` tells whether a place is the whole text. */
  find(
    text: string,
    start: number,
    end: number,
    classes: number,
    alone: (start: number, end: number) => boolean,
    found: Candidate[],
  ): void {
    if (end - start >= LONGEST_WORD) return
    const kind = (classes & DIGIT) === 0 ? 1 : (classes & LETTER) === 0 ? 0 : 2
    const row = this.#byStart[kind * LONGEST_WORD + end - start]
    if (row === undefined || isTail(text, start)) return
    for (const identifier of row) {
      const { type, category, pattern, valid, context, needsContext, unless } = identifier
      const shape = matchAt(pattern, text, start)?.[0]
      if (shape === undefined) continue
      const to = start + shape.length
      if (continues(text, to)) continue
      if (valid !== undefined && !valid(shape.replaceAll(/[^A-Za-z0-9]/g, '').toUpperCase()))
        continue
      const before = text.slice(Math.max(0, start - REACH), start)
      if (unless?.test(before) === true) continue
      let { confidence } = identifier
      if (context !== undefined && !context.test(before)) {
        if (valid === undefined || needsContext === true || !alone(start, to)) continue
        confidence *= ALONE
      }
      found.push({ type, category, start, end: to, confidence })
    }
  }
}

/** `1.234`, `a/123`, `x-123`: the word is the rest of something. */
function isTail(text: string, start: number): boolean {
  const before = text.charCodeAt(start - 1)
  if (Number.isNaN(before) || before === 32) return false
  if (before === 46 || before === 44 || before === 47)
    return (classAt(text, start - 2) & WORD) !== 0
  if (before === 58) return classAt(text, start - 2) === DIGIT
  return isWordAt(text, start - 1) || TIED.has(before)
}

/** `+ # @ & % -` */
const TIED = new Set([43, 35, 64, 38, 37, 45])

function continues(text: string, end: number): boolean {
  const after = text.charCodeAt(end)
  if (isWordAt(text, end) || after === 64) return true
  if (after === 58) return classAt(text, end + 1) === DIGIT
  return (after === 45 || after === 46 || after === 47) && (classAt(text, end + 1) & WORD) !== 0
}
