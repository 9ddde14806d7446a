// Every string of a JSON value that can hold text, in the order of the body. Keys say what a value is:
// `"password": "…"` is read as `password: …`; keys that only name a part of the format say nothing.

import { attachData, attachObject, isData, isReferenceKey } from './json-attachments.ts'
import { escapeAt, readJson, type JsonNode } from './json.ts'
import { spelledLayer, type Spelling, type View } from './place.ts'
import type { TextBuilder } from './text-builder.ts'

/** Values under these keys are prose, or lists of it: the key adds nothing. */
const PROSE = new Set(
  `content text input prompt parts arguments output instructions system message messages query inputs
   documents preamble suffix description delta transcript extracted_content query_str inputText thinking
   reasoning summary title body value sensitive_string_value dsl_query system_prompt custom_system_prompt
   enum required stop name result arg args command code`.split(/\s+/),
)
/** Words of the formats themselves. */
const STRUCTURE = new Set(
  `type role object status format media_type mimeType mime_type detail encoding encoding_format kind event
   jsonrpc model mode action target author content_type contentType cache_control ttl service_tier
   finish_reason tool_choice phase`.split(/\s+/),
)
const STRUCTURE_VALUE = /^[A-Za-z0-9_.:/*+@-]{1,64}$/
const SHORT_VALUE = 32
/** Sealed by the service; its client cannot read it either. */
const SEALED = new Set(
  'encrypted_content signature thoughtSignature thought_signature redacted_thinking'.split(' '),
)
const SEALED_VALUE = /^[A-Za-z0-9+/_=-]{100,}$/
const ID_KEY = /(?:^|_|[a-z])(?:id|Id|ID|uuid)s?$/
const ID_VALUE =
  /^(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?:call|toolu|srvtoolu|msg|resp|rs|fc|ws|item|thread|run|asst|step|chatcmpl|file|ctc|ctco|fco|ci|mcp|req|evt|event|conv)[_-][A-Za-z0-9_-]{1,80})$/
/** Numbers under these keys count or date something. */
const COUNTED =
  /(?:_at|_ms|id|time|timestamp|created|updated|date|seed|size|bytes|tokens|length|width|height|index|offset|count|version|expires|budget|limit|duration|timeout|max|min|maximum|minimum)$/i
/** Keys that are names in a program; others are text. */
const IDENTIFIER = /^(?!.*\d{4})[\w$./ -]{1,32}$/
const NUMBER_LEAST = 6
/** JSON in a string of JSON in a string of JSON. */
const NESTED_MOST = 3

/** How strings are spelled in JSON. */
const JSON_SPELLING: Spelling = {
  length: (text, at) => (text.charCodeAt(at) === 92 ? Math.max(escapeAt(text, at), 1) : 1),
  units: () => 1,
  // Placeholders hold nothing that JSON would escape.
  spell: (text) => text,
}

/** Adds the text of a JSON value. `source` is the text it was read from, `view` the place of that text. */
export function addJsonText(
  builder: TextBuilder,
  root: JsonNode,
  source: string,
  view: View,
): void {
  new Walk(builder, source, view, 0).value(root, undefined, [])
}

/** Where the characters of a string are. */
function viewOf(node: JsonNode, source: string, view: View): View {
  if (!node.escaped) return { layer: view.layer, base: view.base + node.start + 1 }
  const layer = spelledLayer(view, source, node.start + 1, node.end - 1, JSON_SPELLING)
  return { layer, base: 0 }
}

class Walk {
  readonly #builder: TextBuilder
  readonly #source: string
  readonly #view: View
  readonly #nested: number

  constructor(builder: TextBuilder, source: string, view: View, nested: number) {
    this.#builder = builder
    this.#source = source
    this.#view = view
    this.#nested = nested
  }

  /** `key`: the nearest one; `around`: the objects it lies in, the nearest first. */
  value(node: JsonNode, key: string | undefined, around: readonly JsonNode[]): void {
    switch (node.kind) {
      case 'object': {
        const inside = [node, ...around.slice(0, 2)]
        attachObject(this.#builder, node, key)
        for (const item of node.items) this.#member(item, inside)
        break
      }
      case 'array':
        for (const item of node.items) this.value(item, key, around)
        break
      case 'string':
        this.#string(node, key, around)
        break
      case 'number':
        this.#number(node)
        break
      default:
    }
  }

  #member(item: JsonNode, around: readonly JsonNode[]): void {
    const key = item.key ?? ''
    const isScalar = item.kind !== 'object' && item.kind !== 'array'
    if (!isScalar && !IDENTIFIER.test(key)) this.#builder.add(key, undefined)
    this.value(item, key, around)
  }

  #string(node: JsonNode, key: string | undefined, around: readonly JsonNode[]): void {
    const { value } = node
    if (value === '') return
    if (key !== undefined && isReferenceKey(key) && !value.startsWith('data:'))
      this.#builder.attach({ kind: 'reference', searched: false })
    if (key !== undefined && isFormat(key, value)) return
    const view = (): View => viewOf(node, this.#source, this.#view)
    if (isData(key, value) && attachData(this.#builder, node, key, around, view)) return
    if (this.#nestedJson(value, view)) return
    const isLabelled = node.key !== undefined && !PROSE.has(node.key)
    this.#builder.add(value, view(), isLabelled ? node.key : undefined)
  }

  #number(node: JsonNode): void {
    const { key, value } = node
    if (value.length < NUMBER_LEAST || /[.eE]/.test(value)) return
    if (key === undefined) this.#builder.add(value, undefined)
    else if (!COUNTED.test(key)) this.#builder.add(value, undefined, key)
  }

  /** JSON inside a string: arguments of tools, wrapped requests. */
  #nestedJson(value: string, view: () => View): boolean {
    const first = value.charCodeAt(0)
    if ((first !== 123 && first !== 91) || value.length < 4 || this.#nested >= NESTED_MOST)
      return false
    const last = value.charCodeAt(value.trimEnd().length - 1)
    if (last !== 125 && last !== 93) return false
    const { root, problem } = readJson(value)
    if (root === undefined || problem !== undefined) return false
    new Walk(this.#builder, value, view(), this.#nested + 1).value(root, undefined, [])
    return true
  }
}

/** Is a string a word of the format, an id, or sealed? */
function isFormat(key: string, value: string): boolean {
  if (STRUCTURE.has(key))
    return (value.length <= SHORT_VALUE || key === 'model') && STRUCTURE_VALUE.test(value)
  if (SEALED.has(key)) return SEALED_VALUE.test(value)
  return value.length <= 88 && ID_KEY.test(key) && ID_VALUE.test(value)
}
