// Who acts at the command line, as far as the system can vouch for it.
//
// Whoever can open control.sock, or the store while nothing runs, is the owner of data_dir or can become them: which of
// the two it was says nothing about the person. So all of them are one, and nobody approves what they wrote by changing
// accounts.

import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { userInfo } from 'node:os'

/** The owner of the data directory, as `os:<name>`. */
export function accountOf(dataDir: string): string {
  return `os:${nameOf(ownerOf(dataDir))}`
}

/** Undefined where it is not there yet: whoever makes it owns it. */
function ownerOf(dataDir: string): number | undefined {
  return statSync(dataDir, { throwIfNoEntry: false })?.uid
}

function nameOf(uid: number | undefined): string {
  try {
    const own = userInfo()
    if (uid === undefined || own.uid === uid || own.uid < 0) return own.username
  } catch {
    // In a container an account may have no name.
  }
  if (uid === undefined) return 'unknown'
  try {
    const name = execFileSync('id', ['-nu', String(uid)], {
      encoding: 'utf8',
      timeout: 5000,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
    if (/^[^\s:\p{Cc}]{1,64}$/u.test(name)) return name
  } catch {
    // The same.
  }
  return `uid-${uid}`
}
