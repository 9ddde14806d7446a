// How an identifier with a published form is written down, and how one is found at the start of a word.

import type { FindingCategory } from '../model/finding.ts'
import type { Candidate } from './candidate.ts'
import { classAt, DIGIT, LETTER, matchAt, WORD } from './characters.ts'

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
  readonly confidence: number
}

export const REACH = 48
const BEFORE = /[\w+#@&%-]/
const KINDS = ['d', 'a', 'm'] as const

/** Identifiers by how their first word looks. */
export class Identifiers {
  readonly #byStart = new Map<number, Identifier[]>()

  constructor(identifiers: readonly Identifier[]) {
    for (const identifier of identifiers) {
      for (const start of identifier.starts.split(' ')) {
        const kind = KINDS.findIndex((one) => start.startsWith(one))
        const key = keyOf(kind, Number(start.slice(1)))
        const row = this.#byStart.get(key)
        if (row === undefined) this.#byStart.set(key, [identifier])
        else row.push(identifier)
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
    const kind = (classes & DIGIT) === 0 ? 1 : (classes & LETTER) === 0 ? 0 : 2
    const row = this.#byStart.get(keyOf(kind, end - start))
    if (row === undefined || BEFORE.test(text.charAt(start - 1)) || isFraction(text, start)) return
    for (const { type, category, pattern, valid, context, confidence } of row) {
      const shape = matchAt(pattern, text, start)?.[0]
      if (shape === undefined || continues(text, start + shape.length)) continue
      if (valid !== undefined && !valid(shape.replaceAll(/[^A-Za-z0-9]/g, '').toUpperCase()))
        continue
      const to = start + shape.length
      if (
        context !== undefined &&
        !alone(start, to) &&
        !context.test(text.slice(Math.max(0, start - REACH), start))
      )
        continue
      found.push({ type, category, start, end: to, confidence })
    }
  }
}

function keyOf(kind: number, size: number): number {
  return kind * 256 + Math.min(size, 255)
}

/** `1.234`, `a/123`: the word is the rest of something. */
function isFraction(text: string, start: number): boolean {
  return /[.,/]/.test(text.charAt(start - 1)) && (classAt(text, start - 2) & WORD) !== 0
}

function continues(text: string, end: number): boolean {
  if (/[\w@]/.test(text.charAt(end))) return true
  return (
    /[-.,/:]/.test(text.charAt(end)) &&
    (classAt(text, end + 1) & WORD) !== 0 &&
    !/[,:]/.test(text.charAt(end))
  )
}
