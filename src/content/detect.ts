// What is in a text that should perhaps not leave? Findings by type, never the values.
//
// The text is searched as it stands and with its encodings undone once; what lies in base64 or hex runs
// is searched too and stands for the whole run. One value is one finding, of its most specific type.

import type { Finding, Span } from '../model/finding.ts'
import type { ContentInput } from '../model/input.ts'
import type { OfferedContent } from '../model/request.ts'
import type { Candidate } from './candidate.ts'
import { decodedView, plainView, type View } from './normalise.ts'
import { findCards, findEmails, findIbans, findPhones } from './personal.ts'
import { findSecrets } from './secrets.ts'

export interface ContentReport {
  readonly input: ContentInput
  /** Where the findings are, in code points of the original text. */
  spans(): readonly Span[]
}

const DEFAULT_MAX_BYTES = 10 * 1024 * 1024
const RUN = /(?<![A-Za-z0-9+/_=-])(?:[A-Za-z0-9+/_-]{24,}={0,2})(?![A-Za-z0-9+/_=-])/g
const HEX = /^(?:[0-9a-fA-F]{2}){16,}$/
const MAX_RUNS = 200
const MAX_RUN = 256 * 1024
const TEXT_TYPE =
  /^(?:text\/|application\/(?:json|xml|yaml|javascript|x-www-form-urlencoded|x-ndjson|sql|toml|csv)|message\/|.*\+(?:json|xml|yaml)$)/i

const MARKINGS: readonly (readonly [string, RegExp])[] = [
  ['top_secret', /\bTOP SECRET\b/],
  ['secret', /\b(?:CLASSIFICATION|CLASSIFIED|MARKING)\s?:?\s?SECRET\b/],
  [
    'confidential',
    /\b(?:STRICTLY |HIGHLY |COMPANY )?CONFIDENTIAL\b|\b(?:strictly|company|highly) confidential\b|\bVERTRAULICH\b|\bCONFIDENTIEL\b/,
  ],
  ['restricted', /\b(?:CLASSIFICATION\s?:?\s?)?RESTRICTED\b/],
  [
    'internal',
    /\bINTERNAL (?:USE )?ONLY\b|\binternal use only\b|\bFOR INTERNAL USE\b|\bNUR FÜR INTERNEN GEBRAUCH\b/,
  ],
]

/** General shapes give way to whatever knows better. */
const GENERAL = new Set([
  'env_assignment',
  'basic_auth_url',
  'phone',
  'deepseek',
  'cohere',
  'azure_openai',
  'wandb',
  'assemblyai',
  'deepgram',
  'clarifai',
  'bitbucket',
  'cloudflare',
  'aws_secret',
])

/** Searches a text; what is no text is told as not classified. */
export function detect(
  { text, media_type: mediaType }: OfferedContent,
  maxBytes: number = DEFAULT_MAX_BYTES,
): ContentReport {
  const bytes = Buffer.byteLength(text)
  const isText = mediaType === undefined || TEXT_TYPE.test(mediaType)
  const truncated = bytes > maxBytes
  const searched = truncated ? text.slice(0, maxBytes) : text
  const places = isText ? resolve(searchAll(searched)) : []
  const labels = isText ? labelsOf(searched, places) : []
  const findings = summarise(places)
  return {
    input: {
      classified: isText,
      parsed: isText,
      truncated,
      bytes,
      findings,
      finding_types: findings.map(({ type }) => type),
      finding_categories: [...new Set(findings.map(({ category }) => category))].toSorted(),
      data_classification: labels,
    },
    spans: () => spansOf(searched, places),
  }
}

function* searchAll(text: string): Generator<Candidate> {
  yield* searchView(plainView(text))
  const decoded = decodedView(text)
  if (decoded !== undefined) yield* searchView(decoded)
  let runs = 0
  for (const run of text.matchAll(RUN)) {
    if (++runs > MAX_RUNS) break
    const inner = decodeRun(run[0])
    if (inner === undefined) continue
    for (const found of search(inner))
      yield { ...found, start: run.index, end: run.index + run[0].length }
  }
}

function* searchView({ text, start, end }: View): Generator<Candidate> {
  for (const found of search(text)) {
    yield start === undefined || end === undefined
      ? found
      : { ...found, start: start[found.start] ?? 0, end: end[found.end - 1] ?? 0 }
  }
}

function* search(text: string): Generator<Candidate> {
  yield* findSecrets(text)
  yield* findEmails(text)
  yield* findIbans(text)
  yield* findCards(text)
  yield* findPhones(text)
}

/** The text inside a base64 or hex run, where it is text. */
function decodeRun(run: string): string | undefined {
  if (run.length > MAX_RUN) return undefined
  const bytes = HEX.test(run) ? Buffer.from(run, 'hex') : Buffer.from(run, 'base64')
  const text = bytes.toString('utf8')
  if (text.length < 8 || text.includes('\uFFFD')) return undefined
  let odd = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code < 32 && code !== 9 && code !== 10 && code !== 13) odd += 1
  }
  return odd === 0 ? text : undefined
}

/** Overlapping candidates become one: specific before general, then the surer, then the longer. */
function resolve(candidates: Iterable<Candidate>): Candidate[] {
  const ranked = [...candidates].toSorted(
    (a, b) =>
      Number(GENERAL.has(a.type)) - Number(GENERAL.has(b.type)) ||
      b.confidence - a.confidence ||
      b.end - b.start - (a.end - a.start) ||
      a.start - b.start,
  )
  const taken = new Intervals()
  const kept: Candidate[] = []
  for (const candidate of ranked)
    if (taken.add(candidate.start, candidate.end, candidate.type)) kept.push(candidate)
  return kept.toSorted((a, b) => a.start - b.start)
}

/** Disjoint intervals; the same type may stand in one encoded run only once. */
class Intervals {
  readonly #byBlock = new Map<number, { start: number; end: number }[]>()

  add(start: number, end: number, _type: string): boolean {
    const first = start >> BLOCK_BITS
    const last = Math.max(start, end - 1) >> BLOCK_BITS
    for (let block = first; block <= last; block++) {
      for (const other of this.#byBlock.get(block) ?? [])
        if (start < other.end && other.start < end) return false
    }
    for (let block = first; block <= last; block++) {
      const list = this.#byBlock.get(block)
      if (list === undefined) this.#byBlock.set(block, [{ start, end }])
      else list.push({ start, end })
    }
    return true
  }
}

const BLOCK_BITS = 8

function summarise(places: readonly Candidate[]): Finding[] {
  const byType = new Map<
    string,
    { category: Candidate['category']; count: number; confidence: number }
  >()
  for (const { type, category, confidence } of places) {
    const known = byType.get(type)
    if (known === undefined) byType.set(type, { category, count: 1, confidence })
    else {
      known.count += 1
      known.confidence = Math.max(known.confidence, confidence)
    }
  }
  return [...byType]
    .map(([type, { category, count, confidence }]) => ({ type, category, count, confidence }))
    .toSorted((a, b) => (a.type < b.type ? -1 : 1))
}

function labelsOf(text: string, places: readonly Candidate[]): string[] {
  const labels = MARKINGS.filter(([, pattern]) => pattern.test(text)).map(([label]) => label)
  if (places.some(({ category }) => category === 'pii')) labels.push('pii')
  return labels.toSorted()
}

function spansOf(text: string, places: readonly Candidate[]): Span[] {
  const spans: Span[] = []
  let unit = 0
  let point = 0
  const pointAt = (target: number): number => {
    for (; unit < target; unit++) {
      const code = text.charCodeAt(unit)
      const isLow = code >= 0xdc00 && code <= 0xdfff
      if (!isLow || unit === 0) point += 1
    }
    return point
  }
  for (const { type, start, end } of places) {
    const from = pointAt(start)
    spans.push({ type, start: from, end: pointAt(end) })
  }
  return spans
}
