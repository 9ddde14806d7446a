// What is legal in a Rego policy and yet rarely meant, for `cordon check`.
//
// It goes by the text: comments and strings are blanked first, so that places stay what they are.

import type { Problem } from '../../base/errors.ts'
import type { SourceFile } from '../folder.ts'

interface Habit {
  readonly pattern: RegExp
  readonly message: (found: string) => string
}

const HABITS: readonly Habit[] = [
  {
    pattern: /\bnot\s+(input(?:\.\w+|\[[^\]\n]*\])+)/g,
    message: (path) => `"not ${path}" also holds where ${path} is absent`,
  },
  {
    pattern: /(\binput(?:\.\w+|\[[^\]\n]*\])+)\s*!=/g,
    message: (path) => `a rule with "${path} != ..." does not hold where ${path} is absent`,
  },
  {
    pattern: /!=\s*(\binput(?:\.\w+|\[[^\]\n]*\])+)/g,
    message: (path) => `a rule with "... != ${path}" does not hold where ${path} is absent`,
  },
]

const MAX_WARNINGS = 100

/** At most a hundred a file, in the order of their places. */
export function warningsOf({ path, text }: SourceFile): readonly Problem[] {
  const code = blanked(text)
  const found: { at: number; message: string }[] = []
  for (const { pattern, message } of HABITS) {
    for (const match of code.matchAll(pattern)) {
      const at = match.index
      // Names inside brackets were blanked; the message shows them as written.
      const start = at + match[0].indexOf(match[1] ?? '')
      found.push({ at, message: message(text.slice(start, start + (match[1]?.length ?? 0))) })
      if (found.length >= MAX_WARNINGS) break
    }
  }
  return found
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, message }) => {
      const before = code.slice(0, at).split('\n')
      return { file: path, line: before.length, column: (before.at(-1)?.length ?? 0) + 1, message }
    })
}

/** The text with comments and the insides of strings as blanks, line ends kept. */
function blanked(text: string): string {
  return text.replaceAll(/#[^\n]*|"(?:[^"\\\n]|\\.)*"|`[^`]*`/g, (token) =>
    token.startsWith('#')
      ? ' '.repeat(token.length)
      : `"${token.slice(1, -1).replaceAll(/[^\n]/g, ' ')}"`,
  )
}
