// Which shapes of secrets may begin at a token? A table by the first two characters of their prefixes.

import type { SecretShape } from './secret-shape.ts'
import { AI_SHAPES } from './secret-shapes-ai.ts'
import { CLOUD_SHAPES } from './secret-shapes-cloud.ts'
import { SERVICE_SHAPES } from './secret-shapes-services.ts'

export const SECRET_SHAPES: readonly SecretShape[] = [
  ...AI_SHAPES,
  ...CLOUD_SHAPES,
  ...SERVICE_SHAPES,
]

interface Entry {
  readonly prefix: string
  readonly shape: SecretShape
}

const BY_START: (Entry[] | undefined)[] = Array.from({ length: 128 * 128 })
for (const shape of SECRET_SHAPES) {
  for (const prefix of shape.prefixes) {
    // A prefix of one letter stands in every row of that letter.
    const seconds =
      prefix.length > 1 ? [prefix.charCodeAt(1)] : Array.from({ length: 128 }, (_, code) => code)
    for (const second of seconds)
      (BY_START[prefix.charCodeAt(0) * 128 + second] ??= []).push({ prefix, shape })
  }
}

export function* shapesAt(text: string, at: number): Generator<SecretShape> {
  for (const { prefix, shape } of entriesAt(text, at)) if (text.startsWith(prefix, at)) yield shape
}

/** Cheap enough to be asked at every token. */
export function entriesAt(text: string, at: number): readonly Entry[] {
  const first = text.charCodeAt(at)
  const second = text.charCodeAt(at + 1)
  return first < 128 && second < 128 ? (BY_START[first * 128 + second] ?? NONE) : NONE
}

const NONE: readonly Entry[] = []
