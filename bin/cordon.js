#!/usr/bin/env node
// Starts the program with Node 24: the node that runs this when it is new enough, else the npm package `node`.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..')
const main = join(root, 'src/main.ts')
if (Number(process.versions.node.split('.')[0]) >= 24) {
  await import(main)
} else {
  const bundled = join(root, 'node_modules/node/bin/node')
  if (!existsSync(bundled)) {
    process.stderr.write('cordon: Node 24 is needed; run "npm ci" here, or install Node 24\n')
    process.exit(3)
  }
  const { status, signal } = spawnSync(bundled, [main, ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  process.exit(signal === null ? (status ?? 3) : 3)
}
