// The rooms of src/, lowest first, and the rooms each may import. A room may always import itself.
// This table is the architecture: when it changes, docs/architecture.md changes with it.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'

const src = join(import.meta.dirname, '../src')
const words = ['base', 'model']
const watched = [...words, 'observe']
const rooms: Record<string, readonly string[]> = {
  base: [],
  model: ['base'],
  observe: words,
  http1: ['base'],
  tls: ['base'],
  websocket: ['base'],
  wire: words,
  setup: words,
  signatures: words,
  content: words,
  policy: words,
  context: watched,
  proof: ['base'],
  ledger: [...watched, 'proof'],
  store: [...watched, 'proof'],
  verify: [...watched, 'proof', 'ledger', 'store'],
  decision: [...watched, 'signatures', 'content', 'policy', 'context', 'ledger'],
  governance: [...watched, 'signatures', 'policy', 'store'],
  proxy: [...watched, 'http1', 'tls', 'wire', 'websocket', 'setup', 'signatures', 'decision'],
  api: [...watched, 'decision', 'governance', 'store'],
}
// Files directly in src/, config/ and cli/ put the rooms together, so they may import any of them.
const assembly = new Set(['app', 'config', 'cli', ''])

const IMPORT = /(?:^|\s)(?:from|import)\s*\(?'(\.[^']+)'/gm

for (const file of globSync('**/*.ts', { cwd: src })) {
  const room = roomOf(file)
  if (assembly.has(room)) continue
  t.test(file, async (t) => {
    t.ok(rooms[room], `src/${room}/ is a room in the table`)
    for (const [, target = ''] of readFileSync(join(src, file), 'utf8').matchAll(IMPORT)) {
      const to = roomOf(relative(src, join(src, dirname(file), target)))
      t.ok(
        to === room || rooms[room]?.includes(to),
        `${room} may import ${to || 'src/'}: ${target}`,
      )
    }
  })
}

function roomOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : ''
}
