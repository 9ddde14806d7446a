// What do the regex built-ins answer? RE2 syntax through a linear-time engine, with the matching rules of
// Go's regexp package: which empty matches count, what `$1x` names, how split treats the ends.

import { LRUCache } from 'lru-cache'
import { RE2JS } from 're2js'
import {
  boundedCount,
  boundedText,
  type BuiltinTable,
  fail,
  integerAt,
  MAX_ITEMS,
  type Operands,
  textAt,
} from './operands.ts'

const CACHED_PATTERNS = 500
const MAX_PATTERN = 32 * 1024
/** Bytes of the classes' tables that Go's parser would refuse are far beyond this. */
const MAX_PROGRAM = 100_000

type Match = readonly (readonly [start: number, end: number] | undefined)[]

export function regexBuiltins(): BuiltinTable {
  const patterns = new Patterns()
  return {
    'regex.is_valid': ([pattern]) => typeof pattern === 'string' && isValid(pattern),
    'regex.match': (operands) => patterns.get(textAt(operands, 0)).test(textAt(operands, 1)),
    re_match: (operands) => patterns.get(textAt(operands, 0)).test(textAt(operands, 1)),
    'regex.split': (operands) => split(patterns, operands),
    'regex.find_n': (operands) => {
      const text = textAt(operands, 1)
      return findAll(patterns.get(textAt(operands, 0)), text, integerAt(operands, 2)).map((match) =>
        groupText(text, match[0]),
      )
    },
    'regex.find_all_string_submatch_n': (operands) => {
      const text = textAt(operands, 1)
      return findAll(patterns.get(textAt(operands, 0)), text, integerAt(operands, 2)).map((match) =>
        match.map((group) => groupText(text, group)),
      )
    },
    'regex.replace': (operands) => replace(patterns, operands),
    'regex.template_match': (operands) => templateMatch(patterns, operands),
  }
}

const SYNTAX =
  /\\Q[\s\S]*?(?:\\E|$)|\\[\s\S]|\[\^?\]?(?:\[:\^?\w+:\]|\\[\s\S]|[^\]\\])*\]|\(\?P?<(\w+)>/g

/** Compiled patterns, the most recent kept. */
class Patterns {
  readonly #compiled = new LRUCache<string, RE2JS>({ max: CACHED_PATTERNS })

  get(pattern: string): RE2JS {
    const known = this.#compiled.get(pattern)
    if (known !== undefined) return known
    const compiled = compile(pattern)
    this.#compiled.set(pattern, compiled)
    return compiled
  }
}

function compile(pattern: string): RE2JS {
  if (pattern.length > MAX_PATTERN) fail('the pattern is too long')
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(forGo(pattern))
  } catch {
    return fail('the pattern is malformed')
  }
  return compiled.programSize() > MAX_PROGRAM ? fail('the pattern is too large') : compiled
}

/**
 * Where Go's syntax differs: `\C` is refused, `(?<name>` is `(?P<name>`, and a name may stand twice.
 * Escapes and classes are passed over.
 */
function forGo(pattern: string): string {
  const seen = new Set<string>()
  return pattern.replaceAll(SYNTAX, (token, name: string | undefined) => {
    if (token === String.raw`\C`) throw new Error('no single bytes')
    if (name === undefined) return token
    const again = seen.has(name)
    seen.add(name)
    return again ? '(' : `(?P<${name}>`
  })
}

function isValid(pattern: string): boolean {
  try {
    RE2JS.compile(forGo(pattern))
    return pattern.length <= MAX_PATTERN
  } catch {
    return false
  }
}

/** Go's FindAll: an empty match right after another match does not count. */
function findAll(pattern: RE2JS, text: string, limit: bigint): Match[] {
  const found: Match[] = []
  const most = limit < 0n ? MAX_ITEMS + 1 : Number(limit)
  const matcher = pattern.matcher(text)
  const groups = pattern.groupCount()
  let from = 0
  let previousEnd = -1
  while (found.length < most && from <= text.length && matcher.find(from)) {
    const start = matcher.start(0)
    const end = matcher.end(0)
    const accepted = end !== from || start !== previousEnd
    from = end === from ? from + widthAt(text, from) : end
    previousEnd = end
    if (!accepted) continue
    const match: ([number, number] | undefined)[] = []
    for (let group = 0; group <= groups; group++) {
      const at = matcher.start(group)
      match.push(at < 0 ? undefined : [at, matcher.end(group)])
    }
    found.push(match)
    boundedCount(found.length)
  }
  return found
}

function widthAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xff_ff ? 2 : 1
}

function groupText(text: string, group: readonly [number, number] | undefined): string {
  return group === undefined ? '' : text.slice(group[0], group[1])
}

function split(patterns: Patterns, operands: Operands): string[] {
  const source = textAt(operands, 0)
  const text = textAt(operands, 1)
  const pattern = patterns.get(source)
  if (source !== '' && text === '') return ['']
  const pieces: string[] = []
  let from = 0
  let end = 0
  for (const [whole] of findAll(pattern, text, -1n)) {
    if (whole === undefined) continue
    end = whole[0]
    if (whole[1] !== 0) pieces.push(text.slice(from, end))
    from = whole[1]
  }
  if (end !== text.length) pieces.push(text.slice(from))
  return pieces
}

function replace(patterns: Patterns, operands: Operands): string {
  const text = textAt(operands, 0)
  const pattern = patterns.get(textAt(operands, 1))
  const template = parseTemplate(textAt(operands, 2))
  const names = new Map<string, number>()
  for (const [name, group] of Object.entries(pattern.namedGroups())) names.set(name, group)
  let out = ''
  let from = 0
  for (const match of findAll(pattern, text, -1n)) {
    const [start, end] = match[0] ?? [from, from]
    out += text.slice(from, start)
    for (const part of template) {
      if (typeof part === 'string') out += part
      else {
        const group = typeof part.group === 'number' ? part.group : names.get(part.group)
        if (group !== undefined) out += groupText(text, match[group])
      }
    }
    boundedText(out)
    from = end
  }
  return boundedText(out + text.slice(from))
}

type TemplatePart = string | { readonly group: number | string }

/** Go's Expand: `$1`, `$name`, `${name}`, `$$`; a name is the longest run of letters, digits and `_`. */
function parseTemplate(template: string): TemplatePart[] {
  const parts: TemplatePart[] = []
  const reference = /\$(?:(\$)|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu
  let from = 0
  for (const match of template.matchAll(reference)) {
    parts.push(template.slice(from, match.index))
    from = match.index + match[0].length
    const name = match[2] ?? match[3]
    if (name === undefined) parts.push('$')
    else parts.push({ group: /^(?:0|[1-9]\d{0,8})$/.test(name) ? Number(name) : name })
  }
  parts.push(template.slice(from))
  return parts
}

/** Text with regular expressions between delimiters, matched as a whole. */
function templateMatch(patterns: Patterns, operands: Operands): boolean {
  const template = textAt(operands, 0)
  const text = textAt(operands, 1)
  const open = textAt(operands, 2)
  const close = textAt(operands, 3)
  if (Buffer.byteLength(open) !== 1 || Buffer.byteLength(close) !== 1)
    fail('a delimiter is one character')
  let level = 0
  let start = 0
  let from = 0
  let source = '^'
  for (let at = 0; at < template.length; at++) {
    if (template[at] === open) {
      level += 1
      if (level === 1) start = at
    } else if (template[at] === close) {
      level -= 1
      if (level < 0) fail('unbalanced delimiters')
      if (level === 0) {
        const inner = template.slice(start + 1, at)
        patterns.get(`^${inner}$`)
        source += `${RE2JS.quote(template.slice(from, start))}(${inner})`
        from = at + 1
      }
    }
  }
  if (level !== 0) fail('unbalanced delimiters')
  return patterns.get(`${source}${RE2JS.quote(template.slice(from))}$`).test(text)
}
