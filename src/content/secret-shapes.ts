// What of the secrets may begin at a token? A table by the first two characters.

import type { Candidate } from './candidate.ts'
import { entropy } from './check-digits.ts'
import { isPlaceholder } from './placeholders.ts'
import type { SecretShape } from './secret-shape.ts'
import { AI_SHAPES } from './secret-shapes-ai.ts'
import { CLOUD_SHAPES } from './secret-shapes-cloud.ts'
import { SERVICE_SHAPES } from './secret-shapes-services.ts'

export const SECRET_SHAPES: readonly SecretShape[] = [
  ...AI_SHAPES,
  ...CLOUD_SHAPES,
  ...SERVICE_SHAPES,
]

const KEYWORD_REACH = 60

/** Something that begins with a text: rows are asked at every token, so they must be short. */
export interface Start<T> {
  readonly prefix: string
  readonly what: T
}

export class StartTable<T> {
  readonly #rows: (Start<T>[] | undefined)[] = Array.from({ length: 128 * 128 })

  add(prefix: string, what: T): void {
    ;(this.#rows[(prefix.charCodeAt(0) & 127) * 128 + (prefix.charCodeAt(1) & 127)] ??= []).push({
      prefix,
      what,
    })
  }

  row(text: string, at: number): readonly Start<T>[] | undefined {
    return this.#rows[(text.charCodeAt(at) & 127) * 128 + (text.charCodeAt(at + 1) & 127)]
  }
}

const TABLE = new StartTable<SecretShape>()
for (const shape of SECRET_SHAPES) for (const prefix of shape.prefixes) TABLE.add(prefix, shape)

/** Whether a table holds anything that begins so, before more is asked. */
export function findShapes(text: string, at: number, found: Candidate[]): void {
  const row = TABLE.row(text, at)
  if (row === undefined) return
  for (const { prefix, what } of row) {
    if (!text.startsWith(prefix, at)) continue
    const { type, pattern, keyword, confidence, entropy: least } = what
    pattern.lastIndex = at
    const value = pattern.exec(text)?.[0]
    if (value === undefined || isPlaceholder(value) || entropy(value) < least) continue
    const before = text.slice(Math.max(0, at - KEYWORD_REACH), at)
    if (keyword !== undefined && !keyword.test(before)) continue
    found.push({ type, category: 'secret', start: at, end: at + value.length, confidence })
  }
}
