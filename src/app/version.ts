import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROGRAM_DIR } from '../config/schema.ts'

/** Of the program, as its package tells. */
export function version(): string {
  const manifest = JSON.parse(readFileSync(join(PROGRAM_DIR, 'package.json'), 'utf8')) as {
    version: string
  }
  return manifest.version
}
