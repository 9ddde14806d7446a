// Finds the token counts of an answer while it passes: a document, a stream of events or of lines, or the
// binary frames of AWS, cut anywhere.
//
// A key of JSON stands between quotes that no backslash precedes; inside a string there are none. So the
// key can be looked for as bytes, without reading what is around it, and only the few bytes behind it are
// kept. An answer of 100 MB is passed over as one of 1 KB is.

import { isCounts, usage, usageOf, type Usage } from './usage.ts'

/** Objects of counts are some hundred bytes. */
const OBJECT_MOST = 8 * 1024
/** The longest value under `bytes`: one event of a stream. */
const MOST = 64 * 1024
const LONGEST_KEY = 40

/** A key, and how what stands under it is read. */
const OBJECT_KEYS = new Set([
  '"usage"',
  '"usageMetadata"',
  '"usage_metadata"',
  '"amazon-bedrock-invocationMetrics"',
  '"details"',
  '"metrics"',
  '"meta"',
])
const INPUT_KEY = '"prompt_eval_count"'
const OUTPUT_KEYS = new Set(['"eval_count"', '"accumulated_token_usage"'])
/** An event of Bedrock's invoke stream: JSON in base64. */
const BYTES_KEY = '"bytes"'

const KEYS_OF: Readonly<Record<string, readonly string[]>> = {
  gemini: ['"usageMetadata"', '"usage_metadata"'],
  'gemini-live': ['"usageMetadata"', '"usage_metadata"'],
  ollama: [INPUT_KEY, '"eval_count"'],
  'cohere-v1': ['"meta"'],
  'huggingface-tgi': ['"details"'],
  replicate: ['"metrics"'],
  'deepseek-web': ['"accumulated_token_usage"'],
  'bedrock-event': ['"usage"', '"amazon-bedrock-invocationMetrics"'],
  'bedrock-invoke': [BYTES_KEY, '"usage"', '"amazon-bedrock-invocationMetrics"'],
}
/** Inside an event of that stream. */
const EVENT = 'bedrock-event'
const USUAL = ['"usage"']
/** Formats whose answers never tell. */
const SILENT = new Set(
  `anthropic-legacy chatgpt-web gemini-web copilot-consumer m365-copilot cursor windsurf perplexity-web
   grok-web meta-ai-web poe-web kimi-web mcp-2025 mcp-2026-07-28 mcp-http-sse-2024`.split(/\s+/),
)

export function tellsUsage(format: string): boolean {
  return !SILENT.has(format)
}

export class UsageScan {
  readonly #keys: readonly string[]
  /** The end of what has passed: a key or the value of one may be cut. */
  #rest: Buffer = Buffer.alloc(0)
  #input: number | undefined
  #output: number | undefined

  constructor(format: string) {
    this.#keys = KEYS_OF[format] ?? USUAL
  }

  push(part: Buffer): void {
    const bytes = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part])
    const places = this.#keys.map((key) => placeOf(bytes, key, 0))
    let from = 0
    for (;;) {
      const index = firstOf(places)
      const at = places[index] ?? -1
      const key = this.#keys[index]
      if (key === undefined || at === -1) {
        this.#keep(bytes, Math.max(from, bytes.length - LONGEST_KEY))
        return
      }
      const end = this.#value(bytes, key, at + key.length)
      if (end === undefined) {
        this.#keep(bytes, at)
        return
      }
      from = end
      for (const [other, place] of places.entries())
        if (place !== -1 && place < end)
          places[other] = placeOf(bytes, this.#keys[other] ?? '', end)
    }
  }

  get usage(): Usage | undefined {
    return usage(this.#input, this.#output)
  }

  #keep(bytes: Buffer, from: number): void {
    // A value that does not end is none.
    const start = bytes.length - from > MOST ? bytes.length - LONGEST_KEY : from
    this.#rest = Buffer.from(bytes.subarray(start))
  }

  /** Reads the value behind a key; gives its end, or undefined where more has to come. */
  #value(bytes: Buffer, key: string, at: number): number | undefined {
    let from = at
    while (isBlank(bytes[from]) || bytes[from] === 58) from += 1
    if (from >= bytes.length) return undefined
    if (OBJECT_KEYS.has(key)) return this.#object(bytes, from)
    if (key === BYTES_KEY) return this.#encoded(bytes, from)
    let end = from
    while (isDigit(bytes[end])) end += 1
    // A number ends where something else begins.
    if (end >= bytes.length) return undefined
    if (end > from) this.#count(key, Number(bytes.toString('latin1', from, end)))
    return end
  }

  #count(key: string, count: number): void {
    if (!Number.isSafeInteger(count)) return
    if (key === INPUT_KEY) this.#input = count
    else if (OUTPUT_KEYS.has(key)) this.#output = count
  }

  #object(bytes: Buffer, from: number): number | undefined {
    if (bytes[from] !== 123) return from
    const most = from + OBJECT_MOST
    const end = endOfObject(bytes, from, Math.min(bytes.length, most))
    if (end === undefined) return bytes.length >= most ? most : undefined
    const value = parsed(bytes.toString('utf8', from, end))
    const counts = value === undefined ? undefined : usageOf(value)
    this.#input = counts?.input_tokens ?? this.#input
    this.#output = counts?.output_tokens ?? this.#output
    return end
  }

  #encoded(bytes: Buffer, from: number): number | undefined {
    if (bytes[from] !== 34) return from
    const end = bytes.indexOf(34, from + 1)
    if (end === -1) return bytes.length - from > MOST ? bytes.length : undefined
    const inner = new UsageScan(EVENT)
    inner.push(Buffer.from(bytes.toString('latin1', from + 1, end), 'base64'))
    this.#input = inner.#input ?? this.#input
    this.#output = inner.#output ?? this.#output
    return end
  }
}

/** The index of the least place. */
function firstOf(places: readonly number[]): number {
  let first = -1
  for (const [index, place] of places.entries())
    if (place !== -1 && (first === -1 || place < (places[first] ?? 0))) first = index
  return first
}

/** A quote behind a backslash belongs to a string that quotes JSON. */
function placeOf(bytes: Buffer, key: string, from: number): number {
  let at = bytes.indexOf(key, from, 'latin1')
  while (at > 0 && bytes[at - 1] === 92) at = bytes.indexOf(key, at + 1, 'latin1')
  return at
}

function endOfObject(bytes: Buffer, from: number, most: number): number | undefined {
  let depth = 0
  let quoted = false
  for (let at = from; at < most; at++) {
    const byte = bytes[at]
    if (quoted) {
      if (byte === 92) at += 1
      else if (byte === 34) quoted = false
    } else if (byte === 34) quoted = true
    else if (byte === 123) depth += 1
    else if (byte === 125 && --depth === 0) return at + 1
  }
  return undefined
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isCounts(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 10 || byte === 13 || byte === 9
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57
}
