// Paths as they are compared: doors and catalogue must read them alike, or a rule could be walked around.

const ENCODED = /%[0-9A-Fa-f]{2}/g
/** What a plain path never holds: an encoding, a dot segment, a backslash, anything but printable ASCII. */
const UNUSUAL = /%|\/\.|[^!-~]|[\\?#]|^(?!\/)/
const UNRESERVED = /[A-Za-z0-9._~-]/

/**
 * A path as a browser sends it (WHATWG: no dot segments, slashes only forward) and as RFC 3986 section
 * 6.2.2 compares it: unreserved characters decoded, other encodings in upper case. Costs a scan where
 * there is nothing to do.
 */
export function canonicalPath(path: string): string {
  if (!UNUSUAL.test(path)) return path
  const parsed = URL.parse(
    `http://x${path.startsWith('/') ? '' : '/'}${path.replaceAll('?', '%3F').replaceAll('#', '%23')}`,
  )
  return decodeUnreserved(parsed?.pathname ?? path)
}

/** RFC 3986 section 6.2.2.2 alone, for a path without dot segments. */
export function decodeUnreserved(path: string): string {
  if (!path.includes('%')) return path
  return path.replace(ENCODED, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return UNRESERVED.test(character) ? character : encoded.toUpperCase()
  })
}
