// Path patterns of the catalogue, compiled once.
//
//   /chat        that path and what lies below it; whole segments, so not /chatter
//   /chat/       what lies below
//   /a/{id}/b    {id} is one segment
//   /api/ai.*    `*` at the end: any continuation
//   …/messages   any beginning
//   /search?k=v  that exact path with that query value

export interface PathPattern {
  readonly text: string
  /** The longer one wins. */
  readonly weight: number
  matches(path: string, query: string | undefined): boolean
}

export function compilePath(text: string): PathPattern {
  const [path = '', query] = splitOnce(text, '?')
  if (query !== undefined) {
    return {
      text,
      weight: text.length,
      matches: (seen, seenQuery) => seen === path && hasParameter(seenQuery, query),
    }
  }
  if (path.startsWith('…')) {
    const ending = path.slice(1)
    return { text, weight: ending.length, matches: (seen) => seen.endsWith(ending) }
  }
  if (path.includes('{')) return segments(text, path)
  if (path.endsWith('*')) {
    const prefix = path.slice(0, -1)
    return { text, weight: prefix.length, matches: (seen) => seen.startsWith(prefix) }
  }
  if (path.endsWith('/'))
    return { text, weight: path.length, matches: (seen) => seen.startsWith(path) }
  const below = `${path}/`
  return { text, weight: path.length, matches: (seen) => seen === path || seen.startsWith(below) }
}

function segments(text: string, path: string): PathPattern {
  const wanted = path.split('/')
  const open = wanted.at(-1) === ''
  if (open) wanted.pop()
  const matches = (seen: string): boolean => {
    const have = seen.split('/', wanted.length + 1)
    if (have.length < wanted.length || (open && have.length === wanted.length)) return false
    return wanted.every((segment, index) =>
      isPlaceholder(segment) ? have[index] !== '' : segmentMatches(segment, have[index] ?? ''),
    )
  }
  return { text, weight: path.length, matches }
}

function segmentMatches(pattern: string, segment: string): boolean {
  return pattern.endsWith('*') ? segment.startsWith(pattern.slice(0, -1)) : pattern === segment
}

function isPlaceholder(segment: string): boolean {
  return segment.startsWith('{') && segment.endsWith('}')
}

function hasParameter(query: string | undefined, wanted: string): boolean {
  return query !== undefined && query.split('&', 100).includes(wanted)
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

const ENCODED = /%[0-9A-Fa-f]{2}/g
const UNRESERVED = /[A-Za-z0-9._~-]/

/** RFC 3986 section 6.2.2: unreserved characters decoded, other encodings in upper case. Dot segments must be gone already. */
export function normalisePath(path: string): string {
  if (!path.includes('%')) return path
  return path.replace(ENCODED, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return UNRESERVED.test(character) ? character : encoded.toUpperCase()
  })
}
