// Runs the benches, or those named as arguments, and writes their figures into bench/README.md.
//
// Raw output stays in bench/raw; the page is made of it alone, so a part can be measured again by itself.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { findMitmdump } from './support/bumps.ts'
import { pageOf } from './support/page.ts'
import { versionOf } from './support/servers.ts'
import type { Measured } from './support/tables.ts'

interface Part {
  readonly file: string
  readonly needs: readonly string[]
  readonly args?: readonly string[]
}

const PARTS: Readonly<Record<string, Part>> = {
  matcher: { file: 'matcher.bench.ts', needs: [] },
  decision: { file: 'decision.bench.ts', needs: [] },
  spool: { file: 'spool.ts', needs: [] },
  'ledger-store': { file: 'ledger-store.ts', needs: [] },
  'ledger-minutes': { file: 'ledger-store.ts', needs: [], args: ['--minutes', '10'] },
  proxy: { file: 'proxy.ts', needs: ['wrk', 'nginx', 'squid'] },
  intercept: { file: 'intercept.ts', needs: ['go', 'openssl', 'nginx'] },
  'intercept-memory': { file: 'intercept-memory.ts', needs: ['go', 'openssl', 'nginx'] },
  'intercept-stages': { file: 'intercept-stages.bench.ts', needs: [] },
  'intercept-profile': { file: 'intercept-profile.ts', needs: ['go', 'openssl', 'nginx'] },
  endpoint: { file: 'endpoint.ts', needs: ['wrk'] },
  policy: { file: 'policy.bench.ts', needs: [] },
  questions: { file: 'questions.ts', needs: [] },
  replay: { file: 'replay.ts', needs: [] },
  profile: { file: 'profile.ts', needs: ['wrk', 'nginx'] },
}
const HERE = import.meta.dirname
const RAW = join(HERE, 'raw')
const VERSION: Readonly<Record<string, readonly string[]>> = {
  wrk: ['-v'],
  nginx: ['-v'],
  squid: ['-v'],
  opa: ['version'],
  go: ['version'],
}

mkdirSync(RAW, { recursive: true })
const names = process.argv.slice(2)
// `page` measures nothing: the page is made anew of what was measured.
for (const name of names[0] === 'page' ? [] : names.length === 0 ? Object.keys(PARTS) : names) {
  const part = PARTS[name]
  if (part === undefined)
    throw new Error(`no bench ${name}; there are ${Object.keys(PARTS).join(', ')}`)
  const missing = part.needs.filter((command) => !isInstalled(command))
  if (missing.length > 0) {
    process.stderr.write(`skipped ${name}: ${missing.join(', ')} not installed\n`)
    continue
  }
  process.stderr.write(`bench ${name} ...\n`)
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(HERE, part.file), '--json', ...(part.args ?? [])],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  if (status !== 0) throw new Error(`the bench ${name} failed`)
  const about = { bench: 'about', part: name, date: new Date().toISOString(), ...machine() }
  writeFileSync(join(RAW, `${name}.ndjson`), `${JSON.stringify(about)}\n${stdout}`)
}
writeFileSync(
  join(HERE, 'README.md'),
  pageOf(Object.keys(PARTS).map(readPart), {
    proxy: readText('profile.txt'),
    intercept: readText('intercept-profile.txt'),
    policy: readText('policy-profile.txt'),
  }),
)

function readPart(name: string): readonly Measured[] {
  const file = join(RAW, `${name}.ndjson`)
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Measured)
}

function readText(name: string): string {
  const file = join(RAW, name)
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
}

function machine(): Record<string, unknown> {
  const found = Object.keys(VERSION).flatMap((command) => {
    const version = isInstalled(command) ? versionText(command) : undefined
    return version === undefined ? [] : [version]
  })
  const mitmdump = findMitmdump()
  if (mitmdump !== undefined)
    found.push(versionOf(mitmdump, ['--version'])?.replace(/:\s+/, ' ').toLowerCase() ?? '')
  return {
    machine: `${cpus().length} cores ${cpus()[0]?.model ?? ''}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    versions: [`Node ${process.versions.node}`, ...found].join(', '),
  }
}

/** nginx and wrk tell their version on stderr or with a failure. */
function versionText(command: string): string | undefined {
  const { stdout, stderr } = spawnSync(command, [...(VERSION[command] ?? [])], { encoding: 'utf8' })
  const line = `${stdout}\n${stderr}`.split('\n').find((each) => /\d+\.\d+/.test(each))
  const number = /\d+\.\d+(?:\.\d+)?/.exec(line ?? '')?.[0]
  return number === undefined ? undefined : `${command} ${number}`
}

function isInstalled(command: string): boolean {
  return versionOf('sh', ['-c', `command -v ${command}`]) !== undefined
}
