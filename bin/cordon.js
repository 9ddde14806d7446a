#!/usr/bin/env node
// Starts the program with Node 24: the node that runs this when it is new enough, else the npm package `node`.

import { spawn } from 'node:child_process'
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
  const child = spawn(bundled, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // A terminal interrupts the child too: told twice, it would not drain.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 3) : 3
  })
}
