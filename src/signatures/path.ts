// Path patterns of the catalogue, compiled once.
//
//   /chat        that path and what lies below it; whole segments, so not /chatter
//   /chat/       what lies below
//   /a/{id}/b    {id} is one segment
//   /api/ai.*    `*` at the end: any continuation
//   /v1/…        the same
//   …/messages   any beginning
//   /search?k=v  that exact path with that query value

export interface PathPattern {
  readonly text: string
  /** The longer one wins. */
  readonly weight: number
  /** Where every path that matches begins with the same segment: that segment. */
  readonly firstSegment: string | undefined
  readonly matches: (path: string, query: string | undefined) => boolean
}

export function compilePath(written: string): PathPattern {
  const text = written.endsWith('…') ? `${written.slice(0, -1)}*` : written
  const [path, query] = splitOnce(text, '?')
  const firstSegment = firstOf(path)
  if (query !== undefined) {
    const matches = (seen: string, seenQuery: string | undefined): boolean =>
      seen === path && hasParameter(seenQuery, query)
    return { text, weight: text.length, firstSegment, matches }
  }
  if (path.startsWith('…')) {
    const ending = path.slice(1)
    const matches = (seen: string): boolean => seen.endsWith(ending)
    return { text, weight: ending.length, firstSegment: undefined, matches }
  }
  const weight = path.length
  if (path.includes('{')) return { text, weight, firstSegment, matches: segmentMatcher(path) }
  if (path.endsWith('*')) {
    const prefix = path.slice(0, -1)
    return { text, weight, firstSegment, matches: (seen) => seen.startsWith(prefix) }
  }
  if (path.endsWith('/'))
    return { text, weight, firstSegment, matches: (seen) => seen.startsWith(path) }
  const below = `${path}/`
  const matches = (seen: string): boolean => seen === path || seen.startsWith(below)
  return { text, weight, firstSegment, matches }
}

/** Undefined where the first segment is empty, a placeholder, or may go on. */
function firstOf(path: string): string | undefined {
  const [, segment] = /^\/([^/{}*…]+)(?=\/|$)/.exec(path) ?? []
  return segment
}

function segmentMatcher(path: string): (seen: string) => boolean {
  const wanted = path.split('/')
  const open = wanted.at(-1) === ''
  if (open) wanted.pop()
  return (seen) => {
    const have = seen.split('/', wanted.length + 1)
    if (have.length < wanted.length || (open && have.length === wanted.length)) return false
    return wanted.every((segment, index) => {
      const part = have[index] ?? ''
      return isPlaceholder(segment) ? part !== '' : segmentMatches(segment, part)
    })
  }
}

function segmentMatches(pattern: string, segment: string): boolean {
  return pattern.endsWith('*') ? segment.startsWith(pattern.slice(0, -1)) : pattern === segment
}

function isPlaceholder(segment: string): boolean {
  return segment.startsWith('{') && segment.endsWith('}')
}

function hasParameter(query: string | undefined, wanted: string): boolean {
  if (query === undefined) return false
  for (const parameter of query.split('&', MAX_PARAMETERS)) {
    if (parameter === wanted || (parameter.includes('%') && decoded(parameter) === wanted))
      return true
  }
  return false
}

function decoded(parameter: string): string {
  try {
    return decodeURIComponent(parameter)
  } catch {
    return parameter
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

const MAX_PARAMETERS = 100
