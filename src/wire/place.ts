// Where the characters of a searched text stand in the body, through every escape and encoding around
// them, so that a redaction changes those characters and nothing else.

import type { Span } from '../model/finding.ts'

export interface Edit {
  readonly from: number
  readonly to: number
  readonly text: string
}

/** A text that lies in another one. Edits of it become edits of the text around it. */
export interface Layer {
  readonly parent: Layer | undefined
  readonly depth: number
  /** `edits` are in order and disjoint; undefined where they cannot be made. */
  readonly outward: (edits: readonly Edit[]) => readonly Edit[] | undefined
}

/** Places in a layer: those of a part count from `base` on. */
export interface View {
  readonly layer: Layer
  readonly base: number
}

/** At a place of an encoded text: how long the next step is there, and how many UTF-16 units it stands for. */
export interface Spelling {
  readonly length: (text: string, at: number) => number
  readonly units: (text: string, at: number) => number
  readonly spell: (text: string) => string
}

/** The body itself, as a text. */
export function rootLayer(): Layer {
  return { parent: undefined, depth: 0, outward: (edits) => edits }
}

/** A part in which a unit is spelled by one or more characters, each by itself: JSON strings, form fields. */
export function spelledLayer(
  around: View,
  text: string,
  start: number,
  end: number,
  spelling: Spelling,
): Layer {
  return {
    parent: around.layer,
    depth: around.layer.depth + 1,
    outward(edits) {
      const moved: Edit[] = []
      let at = start
      let unit = 0
      const seek = (target: number): number => {
        while (unit < target && at < end) {
          unit += spelling.units(text, at)
          at += spelling.length(text, at)
        }
        return around.base + at
      }
      for (const edit of edits) {
        const from = seek(edit.from)
        moved.push({ from, to: seek(edit.to), text: spelling.spell(edit.text) })
      }
      return moved
    },
  }
}

/** A part that is encoded as a whole, and anew where something in it changes: base64, parts, envelopes. */
export function wholeLayer(
  around: View,
  text: string,
  start: number,
  end: number,
  encode: (text: string) => string | undefined,
): Layer {
  return {
    parent: around.layer,
    depth: around.layer.depth + 1,
    outward(edits) {
      const encoded = encode(applyEdits(text, edits))
      if (encoded === undefined) return undefined
      return [{ from: around.base + start, to: around.base + end, text: encoded }]
    },
  }
}

export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = ''
  let at = 0
  for (const edit of edits) {
    result += text.slice(at, edit.from) + edit.text
    at = edit.to
  }
  return result + text.slice(at)
}

/** A part of the searched text. Without a view it cannot be changed: keys, numbers, binary messages. */
export interface Segment {
  readonly at: number
  readonly end: number
  readonly view: View | undefined
}

/** The edits of the body that take the spans out of it, or undefined where one of them cannot be taken out. */
export function editsFor(
  text: string,
  segments: readonly Segment[],
  spans: readonly Span[],
): readonly Edit[] | undefined {
  const byLayer = new Map<Layer, Edit[]>()
  const add = (layer: Layer, edit: Edit): void => {
    const edits = byLayer.get(layer)
    if (edits === undefined) byLayer.set(layer, [edit])
    else edits.push(edit)
  }
  for (const { from, to, type } of merged(inUnits(text, spans))) {
    let placeholder = `[REDACTED:${type}]`
    for (let index = firstAfter(segments, from); index < segments.length; index++) {
      const segment = segments[index]
      if (segment === undefined || segment.at >= to) break
      if (segment.view === undefined) return undefined
      const { layer, base } = segment.view
      const moved = base - segment.at
      add(layer, {
        from: Math.max(from, segment.at) + moved,
        to: Math.min(to, segment.end) + moved,
        text: placeholder,
      })
      // A value that lies over several parts is told once.
      placeholder = ''
    }
  }
  while (byLayer.size > 0) {
    const layer = deepest(byLayer)
    const edits = (byLayer.get(layer) ?? []).toSorted((a, b) => a.from - b.from)
    byLayer.delete(layer)
    if (layer.parent === undefined) return edits
    const outward = layer.outward(edits)
    if (outward === undefined) return undefined
    for (const edit of outward) add(layer.parent, edit)
  }
  return []
}

function deepest(byLayer: ReadonlyMap<Layer, unknown>): Layer {
  let found: Layer | undefined
  for (const layer of byLayer.keys())
    if (found === undefined || layer.depth > found.depth) found = layer
  return found ?? rootLayer()
}

/** The first segment that ends behind a place. */
function firstAfter(segments: readonly Segment[], place: number): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((segments[middle]?.end ?? 0) <= place) low = middle + 1
    else high = middle
  }
  return low
}

interface Range {
  from: number
  to: number
  readonly type: string
}

function merged(ranges: Range[]): Range[] {
  const result: Range[] = []
  for (const range of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = result.at(-1)
    if (last !== undefined && range.from < last.to) last.to = Math.max(last.to, range.to)
    else result.push(range)
  }
  return result
}

const PAIR = /[\uD800-\uDBFF][\uDC00-\uDFFF]/

/** Spans count code points, strings count UTF-16 units. */
function inUnits(text: string, spans: readonly Span[]): Range[] {
  const ranges = spans.map(({ type, start, end }) => ({ type, from: start, to: end }))
  if (ranges.length === 0 || !PAIR.test(text)) return ranges
  const places = [...new Set(spans.flatMap(({ start, end }) => [start, end]))].toSorted(
    (a, b) => a - b,
  )
  const units = new Map<number, number>()
  let point = 0
  let unit = 0
  for (const place of places) {
    for (; point < place && unit < text.length; point++)
      unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1
    units.set(place, unit)
  }
  return ranges.map(({ type, from, to }) => ({
    type,
    from: units.get(from) ?? text.length,
    to: units.get(to) ?? text.length,
  }))
}
