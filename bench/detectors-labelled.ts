// How well do the detectors do on labelled texts? Precision and recall per finding type.
//
//   npx node bench/detectors-labelled.ts FILE.jsonl [--misses]
//
// A line is {"id", "text", "expected": [{"type", "start"?, "end"?}], "scope": [types that were labelled]}.
// Only types in `scope` are judged; `secret` there stands for every type of that category. A label whose
// value our own rules exclude (private and documentation addresses, test cards) is counted apart.

import { readFileSync } from 'node:fs'
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { detect } from '../src/content/detect.ts'

interface Label {
  readonly type: string
  readonly start?: number
  readonly end?: number
}
interface Row {
  readonly id: string
  readonly text: string
  readonly expected: readonly Label[]
  readonly scope: readonly string[]
  readonly note?: string
}
interface Score {
  hit: number
  missed: number
  wrong: number
  excluded: number
}

const [file, flag] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('usage: detectors-labelled.ts FILE.jsonl [--misses]\n')
  process.exit(2)
}

const NOT_PUBLIC = new BlockList()
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['192.0.2.0', 24],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
] as const)
  NOT_PUBLIC.addSubnet(net, bits, 'ipv4')
NOT_PUBLIC.addSubnet('2001:db8::', 32, 'ipv6')
NOT_PUBLIC.addSubnet('fe80::', 10, 'ipv6')
NOT_PUBLIC.addSubnet('fc00::', 7, 'ipv6')
NOT_PUBLIC.addAddress('::1', 'ipv6')

const scores = new Map<string, Score>()
for (const line of readFileSync(file, 'utf8').split('\n')) {
  if (line.trim() === '') continue
  // oxlint-disable-next-line no-unsafe-type-assertion -- a bench input, its form is given above
  judge(JSON.parse(line) as Row)
}
report()

function judge({ id, text, expected, scope, note }: Row): void {
  const { input, spans } = detect({ text })
  const points = Array.from(text)
  const open = new Set(expected)
  for (const found of spans()) {
    const label = [...open].find((one) => one.type === found.type && touches(one, found))
    if (label !== undefined) {
      open.delete(label)
      scoreOf(found.type).hit += 1
    } else if (inScope(found.type, scope, input.findings)) {
      if (expected.some((one) => one.type === found.type && touches(one, found))) continue
      scoreOf(found.type).wrong += 1
      if (flag === '--misses') tell('wrong', id, found.type, text)
    }
  }
  for (const label of open) {
    const value = points.slice(label.start ?? 0, label.end ?? points.length).join('')
    if (isExcluded(label.type, value, note)) scoreOf(label.type).excluded += 1
    else {
      scoreOf(label.type).missed += 1
      if (flag === '--misses') tell('missed', id, label.type, text)
    }
  }
}

function touches(label: Label, found: { start: number; end: number }): boolean {
  if (label.start === undefined || label.end === undefined) return true
  return label.start < found.end && found.start < label.end
}

function inScope(
  type: string,
  scope: readonly string[],
  findings: readonly { type: string; category: string }[],
): boolean {
  if (scope.includes(type)) return true
  const category = findings.find((one) => one.type === type)?.category
  return category === 'secret' && scope.some((one) => one.startsWith('secret'))
}

function isExcluded(type: string, value: string, note: string | undefined): boolean {
  if (note?.includes('score only shape detectors') === true) return true
  if (type === 'credit_card')
    return ['378282246310005', '30569309025904', '4242424242424242', '6759649826438453'].includes(
      value
        .normalize('NFKC')
        .replaceAll(/\P{Nd}/gu, '')
        .replaceAll(/[٠-٩]/g, (digit) => String(digit.charCodeAt(0) - 0x660)),
    )
  if (type !== 'ip_address') return false
  const address = value.replace(/\/\d+$/, '').replace(/^::ffff:/i, '')
  if (isIPv4(address)) return NOT_PUBLIC.check(address, 'ipv4')
  return isIPv6(address) && NOT_PUBLIC.check(address, 'ipv6')
}

function scoreOf(type: string): Score {
  const score = scores.get(type) ?? { hit: 0, missed: 0, wrong: 0, excluded: 0 }
  scores.set(type, score)
  return score
}

function tell(what: string, id: string, type: string, text: string): void {
  process.stdout.write(`${what} ${type} ${id} ${JSON.stringify(text).slice(0, 160)}\n`)
}

function report(): void {
  const share = (part: number, rest: number): string =>
    part + rest === 0 ? '-' : (part / (part + rest)).toFixed(2)
  process.stdout.write('type                        hit missed wrong  excluded  precision recall\n')
  for (const [type, { hit, missed, wrong, excluded }] of [...scores].toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  ))
    process.stdout.write(
      `${type.padEnd(27)} ${String(hit).padStart(3)} ${String(missed).padStart(6)} ${String(wrong).padStart(5)} ${String(excluded).padStart(9)}  ${share(hit, wrong).padStart(9)} ${share(hit, missed).padStart(6)}\n`,
    )
}
