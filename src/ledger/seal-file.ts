// A seal as those read it who archive and ship: what it says, not whether it is to be trusted.

import { readFileSync } from 'node:fs'
import type { Seal } from './evidence.ts'

export const SEAL_NAME = /^\d{16}\.seal$/

/** Undefined where the file is no seal, or gone. */
export function readSealFile(path: string): Seal | undefined {
  try {
    const seal = JSON.parse(readFileSync(path, 'utf8')) as Partial<Seal> | null
    return typeof seal === 'object' &&
      seal !== null &&
      Number.isSafeInteger(seal.first_seq) &&
      Number.isSafeInteger(seal.last_seq) &&
      Number.isFinite(seal.time_from) &&
      Number.isFinite(seal.time_to) &&
      Array.isArray(seal.frontier) &&
      typeof seal.checkpoint === 'string'
      ? (seal as Seal)
      : undefined
  } catch {
    return undefined
  }
}
