// Bodies of JSON: one text, or one a line.

import { isUtf8 } from 'node:buffer'
import type { WireHead } from './head.ts'
import { addJsonText } from './json-text.ts'
import { readJson, type JsonNode } from './json.ts'
import { judge } from './judge.ts'
import { rootLayer } from './place.ts'
import { finish, type WireReading } from './reading.ts'
import { TextBuilder } from './text-builder.ts'

export function mayBeJson(text: string): boolean {
  return /^\uFEFF?\s{0,64}["{[]/.test(text)
}

export function readJsonBody(
  head: WireHead,
  body: Buffer,
  text: string,
  type: string,
  truncated: boolean,
): WireReading {
  const view = { layer: rootLayer(), base: 0 }
  const builder = new TextBuilder()
  const documents = readDocuments(text, type)
  const exact = isUtf8(body)
  if (documents.problem === 'incomplete' || documents.problem === undefined)
    for (const root of documents.roots) addJsonText(builder, root, text, view)
  else builder.add(text, undefined)
  const judgement = judge(head, documents.roots)
  const whole = documents.problem === undefined && !documents.repeats && exact
  return finish(
    { ...judgement, parsed: judgement.parsed && whole },
    builder,
    text,
    'utf8',
    truncated,
  )
}

export interface Documents {
  readonly roots: readonly JsonNode[]
  readonly problem: string | undefined
  readonly repeats: boolean
}

const LINES = /ndjson|jsonl|json-seq|json-lines/

function readDocuments(text: string, type: string): Documents {
  if (LINES.test(type)) return readLines(text, /[^\n]+/g)
  const { root, problem, repeats } = readJson(text)
  return { roots: root === undefined ? [] : [root], problem, repeats }
}

/** JSON texts one after the other, each in its line or record. */
export function readLines(text: string, lines: RegExp): Documents {
  const roots: JsonNode[] = []
  let repeats = false
  for (const { index, 0: line } of text.matchAll(lines)) {
    if (line.trim() === '') continue
    const reading = readJson(line)
    if (reading.root !== undefined) roots.push(shifted(reading.root, index))
    repeats ||= reading.repeats
    if (reading.problem !== undefined) return { roots, problem: reading.problem, repeats }
  }
  return { roots, problem: undefined, repeats }
}

function shifted(node: JsonNode, by: number): JsonNode {
  if (by === 0) return node
  // Places of a line become places of the body.
  node.start += by
  node.end += by
  for (const item of node.items) shifted(item, by)
  return node
}
