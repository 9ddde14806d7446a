// METADATA of a Rego package: the comment block whose scope is the package (OPA policy reference, annotations).

import { parse, YAMLParseError } from 'yaml'
import type { Problem } from '../../base/errors.ts'
import { didYouMean, nearest } from '../../base/nearest.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import type { SourceFile } from '../folder.ts'
import { type RawMetadata, readMetadata } from '../metadata.ts'
import { SharedValues } from '../shared-values.ts'

interface Annotations {
  readonly raw: RawMetadata
  /** 1-based line of the block's first line, or of the package statement. */
  readonly line: number
  /** Lines up to the end of the block. */
  readonly end?: number
  readonly problems: readonly { readonly line: number; readonly message: string }[]
}

const KEYS = [
  'id',
  'version',
  'priority',
  'severity',
  'mode',
  'scope',
  'framework',
  'article',
  'tags',
  'compliance',
  'explanation',
  'owner',
] as const

/** Reads `title`, `description` and `custom.cordon` of the package's annotations. */
function readAnnotations(text: string): Annotations {
  const lines = text.split('\n')
  const packageAt = lines.findIndex((line) => /^\s*package(?:\s|$)/.test(line))
  for (const block of blocks(lines)) {
    const document = parseBlock(block)
    if ('message' in document) return { raw: {}, line: block.start + 1, problems: [document] }
    const scope = document.yaml['scope']
    // Without a scope it is that of the statement that follows, whatever blank lines or comments stand between.
    const isPackage = scope === 'package' || scope === undefined
    if (isPackage && block.end <= packageAt)
      return { ...fromDocument(document.yaml, block.start + 1, lines), end: block.end }
  }
  return { raw: {}, line: packageAt + 1, problems: [] }
}

/** By all that they are read from but the folder: a revision may lie in one of its own. */
const READ = new SharedValues<PolicyMetadata>()

/** The same as `metadataOf`, read once for all revisions that have the policy. */
export function sharedMetadata(
  file: SourceFile,
  packageName: string,
  reads: readonly string[],
  problems: Problem[],
): PolicyMetadata | undefined {
  const parts = [file.name, packageName, JSON.stringify(reads), file.text]
  const known = READ.get(parts)
  if (known === undefined) {
    const metadata = metadataOf(file, packageName, reads, problems)
    if (metadata !== undefined) READ.set(parts, metadata)
    return metadata
  }
  const metadata = { ...known, file: file.path }
  // The first one that was read is kept by all that were made of it: it stays as long as any of them.
  READ.keep(known, metadata)
  return metadata
}

/** The metadata of a policy file; what is wrong with it goes into `problems`, with its place. */
export function metadataOf(
  file: SourceFile,
  packageName: string,
  reads: readonly string[],
  problems: Problem[],
): PolicyMetadata | undefined {
  const { raw, line, end, problems: wrong } = readAnnotations(file.text)
  const lines = file.text.split('\n').slice(0, end)
  for (const each of wrong)
    problems.push({ file: file.path, line: each.line, column: 1, message: each.message })
  const metadata = readMetadata(
    raw,
    { language: 'rego', file: file.path, line, defaultId: packageName, reads, text: file.text },
    (message, key) => ({ file: file.path, ...placeOf(key, lines, line), message }),
  )
  if ('id' in metadata) return metadata
  problems.push(...metadata)
  return undefined
}

/** Where a key stands in the block that begins at a line, both 1-based; the line itself where it is not found. */
function placeOf(
  key: string,
  lines: readonly string[],
  line: number,
): { line: number; column: number } {
  for (const [index, text] of lines.entries()) {
    const at = index < line ? -1 : text.search(new RegExp(`(?<=[\\s{,]["']?)${key}["']?\\s*:`))
    if (at !== -1) return { line: index + 1, column: at + 1 }
  }
  return { line, column: 1 }
}

function fromDocument(
  yaml: Record<string, unknown>,
  line: number,
  lines: readonly string[],
): Annotations {
  const custom = yaml['custom']
  const cordon = isMap(custom) ? (custom['cordon'] ?? {}) : {}
  const title = yaml['title'] === undefined ? {} : { name: yaml['title'] }
  const description = yaml['description'] === undefined ? {} : { description: yaml['description'] }
  if (!isMap(cordon))
    return { raw: {}, line, problems: [{ line, message: 'custom.cordon must be a map' }] }
  // Keys of the author's own are left alone, as in Cedar; what looks like one of ours mistyped is not.
  const problems = Object.keys(cordon)
    .filter((key) => !(KEYS as readonly string[]).includes(key) && nearest(key, KEYS) !== undefined)
    .map((key) => ({
      line: placeOf(key, lines, line).line,
      message: `custom.cordon has no key "${key}"${didYouMean(key, KEYS)}`,
    }))
  return { raw: { ...title, ...description, ...cordon }, line, problems }
}

interface Block {
  /** 0-based line that begins with `# METADATA`; `end` is the first line after the comments. */
  readonly start: number
  readonly end: number
  readonly yaml: string
}

function* blocks(lines: readonly string[]): Generator<Block> {
  for (let start = 0; start < lines.length; start++) {
    if (!/^#\s*METADATA/.test(lines[start] ?? '')) continue
    let end = start + 1
    while (lines[end]?.startsWith('#') === true) end += 1
    yield {
      start,
      end,
      yaml: lines
        .slice(start + 1, end)
        .map((line) => line.slice(1).replace(/\r$/, ''))
        .join('\n'),
    }
    start = end - 1
  }
}

function parseBlock({
  start,
  yaml,
}: Block):
  | { readonly yaml: Record<string, unknown> }
  | { readonly line: number; readonly message: string } {
  try {
    const document: unknown = parse(yaml) ?? {}
    return isMap(document)
      ? { yaml: document }
      : { line: start + 1, message: 'METADATA must be a map' }
  } catch (error) {
    const line = error instanceof YAMLParseError ? (error.linePos?.[0].line ?? 0) : 0
    return {
      line: start + 1 + line,
      message: `METADATA is no YAML: ${error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : ''}`,
    }
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
