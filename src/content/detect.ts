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
  readonly spans: () => readonly Span[]
}

const DEFAULT_MAX_BYTES = 10 * 1024 * 1024
/** A text this short is searched as a whole in both readings. */
const WHOLE_MOST = 64 * 1024
/** Longer than any value but those of many lines, which have line ends all through where they are escaped. */
const WINDOW = 1024
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
  const places = isText ? resolve(searchAll(searched, isJsonText(searched, mediaType))) : []
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

function isJsonText(text: string, mediaType: string | undefined): boolean {
  return mediaType === undefined
    ? /^\s{0,16}(?:\{\s{0,64}"|\[\s{0,64}[[{"])/.test(text)
    : /json/i.test(mediaType)
}

/** As many whole characters as fit into so many bytes of UTF-8. */
function firstBytes(text: string, most: number): string {
  const cut = Buffer.from(text.slice(0, most)).subarray(0, most).toString('utf8')
  return cut.replace(/\uFFFD{1,3}$/, '')
}

function searchAll(text: string, isJson: boolean): Candidate[] {
  const decoded = decodedView(text)
  if (decoded === undefined) return searchView(plainView(text))
  // In JSON an escape is one; elsewhere it may be a path or a pattern, so both readings are searched.
  if (isJson) return searchView(decoded.view)
  const found = searchView(plainView(text))
  for (const [from, to] of windowsAround(decoded.changes, decoded.view.text.length))
    for (const candidate of searchView(decoded.view, from, to)) found.push(candidate)
  return found
}

/** A part of a view; what touches a cut is no whole value and is left to the plain reading. */
function searchView({ text, start, end }: View, from = 0, to = text.length): Candidate[] {
  const isWhole = from === 0 && to === text.length
  const found: Candidate[] = []
  for (const candidate of new Scan(isWhole ? text : text.slice(from, to), true).run()) {
    const [first, last] = [from + candidate.start, from + candidate.end]
    if ((first === from && from > 0) || (last === to && to < text.length)) continue
    found.push({ ...candidate, start: start(first), end: end(last) })
  }
  return found
}

/** Parts of the view that hold all that decoding can have made findable; the rest reads as it stood. */
function windowsAround(changes: readonly number[], size: number): (readonly [number, number])[] {
  const windows: [number, number][] = []
  for (const change of changes) {
    const from = size > WHOLE_MOST ? Math.max(0, change - WINDOW) : 0
    const to = size > WHOLE_MOST ? Math.min(size, change + WINDOW) : size
    const last = windows.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = to
    else windows.push([from, to])
  }
  return windows
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
