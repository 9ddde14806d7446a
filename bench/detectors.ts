// How fast is a text searched, and does the time grow with its size alone?
//
//   npx node bench/detectors.ts
//
// Ordinary texts give megabytes a second; hostile ones the ratio of four times the size to once, which
// is four where the time is linear. CPU time is measured, so other work on the machine counts little.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { detect } from '../src/content/detect.ts'

const MIB = 1 << 20
const ROUNDS = 8
const RATIO_MOST = 10
const root = join(import.meta.dirname, '..')

const prose = read('{README,CONTRIBUTING,SECURITY}.md') + read('docs/**/*.md')
const source = read('src/**/*.ts')
const ordinary: Readonly<Record<string, string>> = {
  prose,
  source,
  'a chat request': JSON.stringify({ messages: [{ role: 'user', content: prose + source }] }),
  letters: 'the quick brown fox jumps over the lazy dog\n',
  'rows of numbers': '1042, 17, 3.5, 2024-11-20, 88731\n',
}
const HOSTILE = [
  'a',
  '7',
  '7 ',
  '77 ',
  '@',
  'a@',
  'a.',
  '-----BEGIN ',
  '-----BEGIN PRIVATE KEY-----',
  'sk-proj-',
  'eyJhbGciOi.',
  'curl -u ',
  'kind: Secret\n',
  'password=',
  'token=abcdefghij ',
  'Server=a;Password=',
  '"type":"service_account"',
  'https://a:',
  '%41',
  '&#64;',
  String.raw`\u0040`,
  '\u200B',
  'е',
  '+49 30 1 ',
  '4111 1111 1111 1112 ',
  'AKIAAAAAAAAAAAAAAAA1 ',
  'DE02 1203 0000 0000 2020 52 ',
  'aGVsbG8gd29ybGQgaGVsbG8 ',
  'PuTTY-User-Key-File-2: ',
  'maya@acme.example ',
]

for (const [name, text] of Object.entries(ordinary)) {
  const flat = repeated(text, MIB)
  const best = Math.min(...Array.from({ length: ROUNDS }, () => cpu(flat)))
  print(name, `${(((MIB / best) * 1000) / 1e6).toFixed(1).padStart(6)} MB/s`)
}
for (const inner of ['maya@acme.example ', '4539 1488 0343 6467\n'])
  HOSTILE.push(Buffer.from(inner.repeat(3)).toString('base64'))
let steep = 0
for (const piece of HOSTILE) {
  const small = repeated(piece, MIB / 4)
  const large = repeated(piece, MIB)
  cpu(small)
  const once = Math.min(cpu(small), cpu(small))
  const fourTimes = cpu(large)
  const ratio = fourTimes / once
  if (ratio > RATIO_MOST) steep += 1
  print(
    JSON.stringify(piece),
    `${ratio.toFixed(1).padStart(6)} times  ${fourTimes.toFixed(0).padStart(6)} ms for 1 MiB`,
  )
}
if (steep > 0) process.exitCode = 1

function cpu(text: string): number {
  const before = process.cpuUsage()
  detect({ text })
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** A flat string, as bodies are, of about so many bytes. */
function repeated(text: string, size: number): string {
  const bytes = Buffer.from(text)
  return Buffer.alloc(size, bytes).toString()
}

function read(pattern: string): string {
  return globSync(pattern, { cwd: root })
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n')
}

function print(name: string, figure: string): void {
  process.stdout.write(`${name.padEnd(36)} ${figure}\n`)
}
