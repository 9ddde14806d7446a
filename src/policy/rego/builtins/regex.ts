// Regular expressions with RE2's syntax and Go's results, in linear time.

import { LRUCache } from 'lru-cache'
import { RE2JS } from 're2js'
import { integer, text, WrongArgument } from './arguments.ts'
import type { Builtin } from './registry.ts'

const COMPILED = 1000
const MAX_PATTERN = 10_000

export function createRegexBuiltins(): Readonly<Record<string, Builtin>> {
  const known = new LRUCache<string, RE2JS>({ max: COMPILED })
  const compile = (pattern: string): RE2JS => {
    let compiled = known.get(pattern)
    if (compiled === undefined) {
      if (pattern.length > MAX_PATTERN) throw new WrongArgument('pattern too long')
      compiled = RE2JS.compile(pattern)
      known.set(pattern, compiled)
    }
    return compiled
  }
  return {
    'regex.split': (pattern, value) => splitGo(compile(text(pattern)), text(value)),
    'regex.find_n': (pattern, value, limit) => {
      const most = Number(integer(limit))
      const found: string[] = []
      for (const { start, end } of matches(compile(text(pattern)), text(value))) {
        if (most >= 0 && found.length >= most) break
        found.push(text(value).slice(start, end))
      }
      return found
    },
    'regex.replace': (value, pattern, replacement) =>
      replaceGo(compile(text(pattern)), text(value), text(replacement)),
    'regex.template_match': (template, value, open, close) => {
      const expression = templateExpression(text(template), text(open), text(close))
      return compile(expression).matcher(text(value)).find()
    },
  }
}

interface Match {
  readonly start: number
  readonly end: number
  readonly groups: readonly (string | null)[]
  readonly names: Readonly<Record<string, number>>
}

/** Go's FindAll: an empty match right after a match does not count. */
function* matches(pattern: RE2JS, value: string): Generator<Match> {
  const matcher = pattern.matcher(value)
  const names = pattern.namedGroups()
  let previousEnd = -1
  while (matcher.find()) {
    const [start, end] = [matcher.start(), matcher.end()]
    if (start === end && start === previousEnd) continue
    previousEnd = end
    const groups = Array.from({ length: matcher.groupCount() + 1 }, (_, index) =>
      matcher.group(index),
    )
    yield { start, end, groups, names }
  }
}

/** Go's Regexp.Split with n = -1. */
function splitGo(pattern: RE2JS, value: string): string[] {
  if (pattern.pattern().length > 0 && value === '') return ['']
  const parts: string[] = []
  let from = 0
  let end = 0
  for (const match of matches(pattern, value)) {
    end = match.start
    if (match.end !== 0) parts.push(value.slice(from, end))
    from = match.end
  }
  if (end !== value.length) parts.push(value.slice(from))
  return parts
}

/** Go's Regexp.ReplaceAllString: `$1`, `${name}`; an unknown group is empty, `$$` a dollar. */
function replaceGo(pattern: RE2JS, value: string, replacement: string): string {
  let out = ''
  let from = 0
  for (const { start, end, groups, names } of matches(pattern, value)) {
    out += value.slice(from, start)
    out += replacement.replaceAll(
      /\$(?:\$|\{(\w+)\}|(\w+))/g,
      (_whole, braced: string | undefined, bare: string | undefined) => {
        const name = braced ?? bare
        if (name === undefined) return '$'
        const index = /^\d+$/.test(name) ? Number(name) : names[name]
        return index === undefined ? '' : (groups[index] ?? '')
      },
    )
    from = end
  }
  return out + value.slice(from)
}

/** `urn:{.*}:x`: what stands between the delimiters is an expression, the rest is literal. */
function templateExpression(template: string, open: string, close: string): string {
  if ([...open].length !== 1 || [...close].length !== 1) throw new WrongArgument('delimiter')
  let out = '^'
  let depth = 0
  let part = ''
  for (const character of template) {
    if (character === open && depth++ === 0) {
      out += RE2JS.quote(part)
      part = ''
    } else if (character === close && --depth === 0) {
      out += `(${part})`
      part = ''
    } else part += character
    if (depth < 0) throw new WrongArgument('unbalanced delimiters')
  }
  if (depth !== 0) throw new WrongArgument('unbalanced delimiters')
  return `${out}${RE2JS.quote(part)}$`
}
