// The hash of a file in a bundle's signature, as OPA takes it: documents by what they say, everything else by its bytes.

import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { parse as parseYaml, type Tags } from 'yaml'
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

/**
 * Throws BUNDLE_INVALID for YAML that says one thing as it is hashed and another as it is enforced (src/policy/folder.ts):
 * one signature would hold for both.
 */
export function checkReadings(path: string, text: string): void {
  const [asHashed, asEnforced] = [yaml11, yaml12].map((read) =>
    canonicalText(
      readable(path, () => read(text)),
      0,
    ),
  )
  if (asHashed !== asEnforced)
    throw new CordonError(
      'BUNDLE_INVALID',
      `the bundle is refused: "${path}" says one thing in YAML 1.1, which OPA reads, and another in YAML 1.2, which is enforced: quote texts such as "yes", write numbers as in JSON, or use data.json`,
    )
}

/** Numbers keep the spelling they have in JSON. */
function parsed(path: string, bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  return readable(path, () =>
    path.endsWith('.yaml') ? yaml11(text) : (JSON.parse(text, asWritten) as unknown),
  )
}

/** As OPA reads it: `yes` is true, and a date is a text. */
function yaml11(text: string): unknown {
  return parseYaml(text, {
    version: '1.1',
    maxAliasCount: 100,
    intAsBigInt: true,
    customTags: withoutDates,
  })
}

function yaml12(text: string): unknown {
  return parseYaml(text, { intAsBigInt: true })
}

function withoutDates(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === 'string' || tag.tag !== 'tag:yaml.org,2002:timestamp')
}

function readable(path: string, read: () => unknown): unknown {
  try {
    return read()
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
  if (!isOfJson(value))
    throw new CordonError(
      'BUNDLE_INVALID',
      'the bundle is refused: a document holds what JSON has not',
    )
  if (typeof value !== 'object' || value === null || isRawNumber(value))
    return JSON.stringify(value ?? null)
  const entries = Object.entries(value).toSorted(([a], [b]) => byCodePoint(a, b))
  return `{${entries.map(([key, item]) => `${textOf(key)}:${canonicalText(item, depth + 1)}`).join(',')}}`
}

/** YAML has infinities, sets and dates, which would all be the same text. */
function isOfJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null || isRawNumber(value)) return true
  return Object.getPrototypeOf(value) === Object.prototype
}

function isRawNumber(value: object): boolean {
  return (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(value)
}

function textOf(text: string): string {
  return JSON.stringify(text.toWellFormed())
    .replaceAll('\u2028', String.raw`\u2028`)
    .replaceAll('\u2029', String.raw`\u2029`)
}
