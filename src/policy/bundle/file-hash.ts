// The hash of a file in a bundle's signature, as OPA takes it: documents by what they say, everything else by its bytes.

import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { CordonError } from '../../base/errors.ts'
import { byCodePoint } from '../combine.ts'

/** What OPA calls an algorithm, and what Node does. */
const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ['SHA-256', 'sha256'],
  ['SHA-384', 'sha384'],
  ['SHA-512', 'sha512'],
  ['SHA-224', 'sha224'],
  ['SHA-512-224', 'sha512-224'],
  ['SHA-512-256', 'sha512-256'],
])
/** Parsed before they are hashed, whatever their folder. */
const DOCUMENTS = new Set(['data.json', 'data.yaml', '.manifest', 'signatures.json'])
const MAX_DEPTH = 128

/** Hex; undefined for an algorithm that is unknown or broken (MD5 and SHA-1 are refused). Throws BUNDLE_INVALID. */
export function fileHash(path: string, bytes: Buffer, algorithm: string): string | undefined {
  const name = ALGORITHMS.get(algorithm)
  if (name === undefined) return undefined
  const hash = createHash(name)
  if (DOCUMENTS.has(basename(path))) hash.update(canonicalText(parsed(path, bytes), 0))
  else hash.update(bytes)
  return hash.digest('hex')
}

/** Numbers keep the spelling they have in JSON. */
function parsed(path: string, bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  try {
    // OPA reads YAML 1.1, where `yes` is true.
    if (path.endsWith('.yaml'))
      return parseYaml(text, { version: '1.1', maxAliasCount: 100, intAsBigInt: true }) as unknown
    return JSON.parse(text, asWritten)
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : 'malformed'
    throw new CordonError('BUNDLE_INVALID', `the bundle is refused: "${path}": ${why}`)
  }
}

function asWritten(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' ? JSON.rawJSON(context?.source ?? String(value)) : value
}

/** Keys sorted, no spaces, texts escaped as Go's encoder does without HTML. */
function canonicalText(value: unknown, depth: number): string {
  if (depth > MAX_DEPTH)
    throw new CordonError('BUNDLE_INVALID', 'the bundle is refused: a document nests too deep')
  if (Array.isArray(value))
    return `[${value.map((item) => canonicalText(item, depth + 1)).join(',')}]`
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'string') return textOf(value)
  if (typeof value !== 'object' || value === null || isRawNumber(value))
    return JSON.stringify(value ?? null)
  const entries = Object.entries(value).toSorted(([a], [b]) => byCodePoint(a, b))
  return `{${entries.map(([key, item]) => `${textOf(key)}:${canonicalText(item, depth + 1)}`).join(',')}}`
}

function isRawNumber(value: object): boolean {
  return (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(value)
}

function textOf(text: string): string {
  return JSON.stringify(text.toWellFormed())
    .replaceAll('\u2028', String.raw`\u2028`)
    .replaceAll('\u2029', String.raw`\u2029`)
}
