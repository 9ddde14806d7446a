// Dates of birth: a date is one only where a word says so; a bare date is nothing.

import type { Candidate } from './candidate.ts'
import { matchAt } from './characters.ts'

const MONTH = 'jan|feb|m[aä]r|apr|ma[yi]|jun|jul|aug|sep|o[ck]t|nov|de[cz]'
const DATE = String.raw`\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}(?:st|nd|rd|th|\.)?[ -](?:of )?(?:${MONTH})[a-zä]{0,6}[ ,-]{1,2}\d{2,4}|(?:${MONTH})[a-zä]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}`
/** From the end of the word: `date of birth: 1990-02-01`, `geboren am 1.2.1990`, `"dob": "..."`. */
const AFTER = new RegExp(
  String.raw`["')]{0,2}\s{0,2}(?:is|was|on|am|le|el|il|den)?\s?[:=-]?\s{0,2}["']?(${DATE})(?!\d)`,
  'iy',
)

export const BIRTH_WORDS: readonly string[] = (
  'birth birthdate birthday birth_date born dob date_of_birth dateOfBirth ' +
  'geboren geburtsdatum geb naissance nacimiento nascita nato nascimento geboortedatum delsedatum urodzenia'
).split(' ')

export function findBirth(text: string, wordEnd: number): Candidate | undefined {
  const found = matchAt(AFTER, text, wordEnd)
  const date = found?.[1]
  if (found === null || date === undefined) return undefined
  const end = wordEnd + found[0].length
  return { type: 'date_of_birth', category: 'pii', start: end - date.length, end, confidence: 0.7 }
}
