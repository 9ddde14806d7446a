// Words that announce something: a structure that holds a secret, a spoken password, a date of birth.

import { findSpoken } from './assignments.ts'
import { BIRTH_WORDS, findBirth } from './births.ts'
import type { Candidate } from './candidate.ts'
import { findPutty, findServiceAccount } from './private-keys.ts'
import { StartTable } from './secret-shapes.ts'
import {
  findCurl,
  findDockerAuth,
  findKubernetesSecret,
  findTerraform,
} from './secret-structures.ts'

type Find = (text: string, start: number, end: number) => Candidate | undefined

const WORDS = new StartTable<Find>()
WORDS.add('curl', findCurl)
WORDS.add('auths', findDockerAuth)
WORDS.add('kind', findKubernetesSecret)
WORDS.add('atlasv1', findTerraform)
WORDS.add('service_account', findServiceAccount)
WORDS.add('PuTTY-User-Key-File-2', findPutty)
WORDS.add('PuTTY-User-Key-File-3', findPutty)
for (const word of ['password', 'passwort', 'passcode', 'passphrase', 'kennwort'])
  for (const form of formsOf(word)) WORDS.add(form, (text, _, end) => findSpoken(text, end + 1))
for (const word of BIRTH_WORDS)
  for (const form of formsOf(word)) WORDS.add(form, (text, _, end) => findBirth(text, end))

function formsOf(word: string): Set<string> {
  return new Set([word, word.toUpperCase(), word.charAt(0).toUpperCase() + word.slice(1)])
}

/** What a token announces, where its whole text is such a word. */
export function findAnnounced(text: string, start: number, end: number): Candidate | undefined {
  const row = WORDS.row(text, start)
  if (row === undefined) return undefined
  for (const { prefix, what } of row) {
    if (prefix.length !== end - start || !text.startsWith(prefix, start)) continue
    const found = what(text, start, end)
    if (found !== undefined) return found
  }
  return undefined
}
