// A token in the shape of GitHub's, of letters drawn here: it opens nothing.

import { randomBytes } from 'node:crypto'

export function newSecret(): string {
  const letters = randomBytes(64)
    .toString('base64')
    .replaceAll(/[^A-Za-z0-9]/g, '')
  return `ghp_${letters.slice(0, 36)}`
}
