/** A URL or authority without query, fragment and user information: those are never kept. */
export function publicPart(url: string): string {
  const query = url.search(/[?#]/)
  const bare = query === -1 ? url : url.slice(0, query)
  if (!bare.includes('@') || /^\/(?![/\\])/.test(bare)) return bare
  // However its slashes are written, what a browser would take for a host is kept, and no more before it.
  const read = URL.parse(bare)
  if (read === null || read.host === '') return bare.slice(bare.lastIndexOf('@') + 1)
  return `${read.protocol}//${read.host}${read.pathname}`
}
