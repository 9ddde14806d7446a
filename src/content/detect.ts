// What is in a text that should perhaps not leave? Findings by type, never the values.
//
// The text is searched as it stands and with its encodings undone once; what lies in base64 or hex runs
// is searched too and stands for the whole run. One value is one finding, of its most specific type.

import type { Finding, Span } from '../model/finding.ts'
import type { ContentInput } from '../model/input.ts'
import type { OfferedContent } from '../model/request.ts'
import type { Candidate } from './candidate.ts'
import { decodedView } from './decode.ts'
import { markingsOf } from './markings.ts'
import { plainView } from './normalise.ts'
import { resolve } from './resolve.ts'
import { Scan } from './scan.ts'
import type { View } from './view.ts'

export interface ContentReport {
  readonly input: ContentInput
  /** Where the findings are, in code points of the original text. */
  spans(): readonly Span[]
}

const DEFAULT_MAX_BYTES = 10 * 1024 * 1024
const TEXT_TYPE =
  /^(?:text\/|application\/(?:json|xml|yaml|javascript|x-www-form-urlencoded|x-ndjson|sql|toml|csv)|message\/|.*\+(?:json|xml|yaml)$)/i

/** Searches a text; what is no text is told as not classified. */
export function detect(
  { text, media_type: mediaType }: OfferedContent,
  maxBytes: number = DEFAULT_MAX_BYTES,
): ContentReport {
  const bytes = Buffer.byteLength(text)
  const isText = mediaType === undefined || TEXT_TYPE.test(mediaType)
  const truncated = bytes > maxBytes
  const searched = truncated ? firstBytes(text, maxBytes) : text
  const places = isText ? resolve(searchAll(searched)) : []
  const labels = isText ? markingsOf(searched) : []
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

/** As many whole characters as fit into so many bytes of UTF-8. */
function firstBytes(text: string, most: number): string {
  const cut = Buffer.from(text.slice(0, most)).subarray(0, most).toString('utf8')
  return cut.replace(/\uFFFD{1,3}$/, '')
}

function searchAll(text: string): Candidate[] {
  const found = searchView(plainView(text))
  const decoded = decodedView(text)
  if (decoded !== undefined) for (const candidate of searchView(decoded)) found.push(candidate)
  return found
}

function searchView(view: View): Candidate[] {
  return new Scan(view.text, true).run().map((found) => ({
    ...found,
    start: view.start(found.start),
    end: view.end(found.end),
  }))
}

function summarise(places: readonly Candidate[]): Finding[] {
  const byType = new Map<string, Finding>()
  for (const { type, category, confidence } of places) {
    const known = byType.get(type)
    byType.set(type, {
      type,
      category,
      count: (known?.count ?? 0) + 1,
      confidence: Math.max(known?.confidence ?? 0, confidence),
    })
  }
  return [...byType.values()].toSorted((a, b) => (a.type < b.type ? -1 : 1))
}

function spansOf(text: string, places: readonly Candidate[]): Span[] {
  let unit = 0
  let point = 0
  const pointAt = (target: number): number => {
    for (; unit < target; unit++) {
      const code = text.charCodeAt(unit)
      const isSecondHalf =
        code >= 0xdc00 && code <= 0xdfff && isFirstHalf(text.charCodeAt(unit - 1))
      if (!isSecondHalf) point += 1
    }
    return point
  }
  const spans: Span[] = []
  let last = { start: -1, end: -1, from: 0, to: 0 }
  // Places are disjoint and in order, except that values of one encoded run share theirs.
  for (const { type, start, end } of places) {
    if (start !== last.start || end !== last.end)
      last = { start, end, from: pointAt(start), to: pointAt(end) }
    spans.push({ type, start: last.from, end: last.to })
  }
  return spans
}

function isFirstHalf(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff
}
