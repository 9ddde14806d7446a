// Which files hold one of these texts? Looked for as bytes, so that databases and logs are searched alike.

import { readFileSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'

/** `file: text`, the folder's path left out. */
export function filesHolding(dir: string, texts: readonly string[]): readonly string[] {
  const wanted = texts.map((text) => [text, Buffer.from(text)] as const)
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name)
      const bytes = readFileSync(path)
      return wanted
        .filter(([, needle]) => bytes.includes(needle))
        .map(([text]) => `${relative(dir, path)}: ${text}`)
    })
}
