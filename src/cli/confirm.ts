// Asking whoever sits before a command whether it shall be done.

import { createInterface } from 'node:readline/promises'
import type { Io } from './io.ts'

/** Whether the answer begins with yes; anything else, and no answer, is no. */
export async function isConfirmed({ in: input, err }: Io, question: string): Promise<boolean> {
  const lines = createInterface({ input, output: err })
  try {
    err.write(`${question} [y/N] `)
    for await (const line of lines) return /^y(?:es)?$/i.test(line.trim())
    return false
  } finally {
    lines.close()
  }
}
