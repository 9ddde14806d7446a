// multipart/form-data (RFC 7578), strictly: what does not keep to the form is not read as one.

export interface Part {
  readonly name: string
  readonly filename: string | undefined
  readonly mediaType: string | undefined
  /** Place of the content in the body. */
  readonly start: number
  readonly end: number
}

export interface PartsRead {
  readonly parts: readonly Part[]
  /** The closing delimiter was there, and nothing was out of form. */
  readonly whole: boolean
}

const MAX_PARTS = 1000
const HEADERS_MOST = 8192
const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i

export function readParts(body: Buffer, contentType: string): PartsRead | undefined {
  const found = BOUNDARY.exec(contentType)
  const boundary = found?.[1] ?? found?.[2]
  if (boundary === undefined) return undefined
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  const parts: Part[] = []
  // The first delimiter may stand at the very start, without the line end that belongs to the others.
  const first = Buffer.from(`--${boundary}`, 'latin1')
  let at = body.subarray(0, first.length).equals(first) ? first.length : -1
  if (at === -1) return undefined
  for (;;) {
    const isLast = body[at] === 45 && body[at + 1] === 45
    if (isLast) return { parts, whole: true }
    if (body[at] !== 13 || body[at + 1] !== 10 || parts.length >= MAX_PARTS)
      return { parts, whole: false }
    const head = at + 2
    const blank = body.subarray(head, head + HEADERS_MOST).indexOf('\r\n\r\n')
    if (blank === -1) return { parts, whole: false }
    const start = head + blank + 4
    const next = body.indexOf(delimiter, start)
    const end = next === -1 ? body.length : next
    const part = partOf(body.toString('utf8', head, head + blank), start, end)
    if (part === undefined) return { parts, whole: false }
    parts.push(part)
    if (next === -1) return { parts, whole: false }
    at = next + delimiter.length
  }
}

function partOf(head: string, start: number, end: number): Part | undefined {
  let disposition: string | undefined
  let mediaType: string | undefined
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon === -1) return undefined
    const name = line.slice(0, colon).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name === 'content-disposition') disposition = value
    if (name === 'content-type') mediaType = value
    // Encoded parts have been forbidden since RFC 7578; a server that reads them would read another text.
    if (name === 'content-transfer-encoding' && !/^(?:binary|8bit|7bit)$/i.test(value))
      return undefined
  }
  if (disposition === undefined || !/^form-data\b/i.test(disposition)) return undefined
  const name = parameter(disposition, 'name')
  if (name === undefined) return undefined
  const filename = parameter(disposition, 'filename') ?? extended(disposition)
  return { name, filename, mediaType, start, end }
}

function parameter(value: string, name: string): string | undefined {
  const at = value.toLowerCase().search(new RegExp(`;\\s*${name}=`))
  if (at === -1) return undefined
  const rest = value.slice(value.indexOf('=', at) + 1)
  const quoted = /^"((?:[^"\\]|\\.)*)"/.exec(rest)
  return quoted?.[1] ?? /^[^\s;"]+/.exec(rest)?.[0] ?? (rest.startsWith('""') ? '' : undefined)
}

function extended(value: string): string | undefined {
  const found = /;\s*filename\*=(?:utf-8|iso-8859-1)'[^']{0,16}'([^\s;]+)/i.exec(value)?.[1]
  if (found === undefined) return undefined
  try {
    return decodeURIComponent(found)
  } catch {
    return found
  }
}
