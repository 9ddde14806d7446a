// Heads, chunks and trailers as bytes to send. Framing is always written anew, from what was understood.

import {
  FIELD_STRIDE,
  type FieldList,
  NO_LENGTH,
  type RequestHead,
  type ResponseHead,
} from './message.ts'

export interface RequestLine {
  /** What stands between method and version. */
  readonly target: string
  readonly host: string
  /** The protocol to ask for; undefined: none. */
  readonly upgrade: string | undefined
  readonly extra: FieldList
}

/** A request head in latin1; the fields are those of the head that was read. */
export function requestHead(head: RequestHead, line: RequestLine): string {
  let text = `${head.method} ${line.target} HTTP/1.1\r\nHost: ${line.host}\r\n`
  text += fieldLines(head.fields)
  if (head.chunked) text += 'Transfer-Encoding: chunked\r\n'
  else if (head.contentLength !== NO_LENGTH) text += `Content-Length: ${head.contentLength}\r\n`
  if (head.expectContinue) text += 'Expect: 100-continue\r\n'
  if (line.upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${line.upgrade}\r\n`
  else if (head.teTrailers) text += 'Connection: TE\r\nTE: trailers\r\n'
  return `${text}${fieldLines(line.extra)}\r\n`
}

/** How a body is framed towards the client. */
type ResponseFraming = 'as-declared' | 'chunked' | 'until-close'

export interface StatusLine {
  readonly framing: ResponseFraming
  /** `close`, `keep-alive` or `upgrade`; undefined: no Connection field. */
  readonly connection: 'close' | 'keep-alive' | 'upgrade' | undefined
  readonly extra: FieldList
}

/** A response head in latin1. */
export function responseHead(head: ResponseHead, line: StatusLine): string {
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n${fieldLines(head.fields)}`
  if (line.framing === 'chunked') text += 'Transfer-Encoding: chunked\r\n'
  // A 1xx or 204 has no length, whatever was declared (RFC 9110 section 8.6).
  else if (head.contentLength !== NO_LENGTH && head.status >= 200 && head.status !== 204)
    text += `Content-Length: ${head.contentLength}\r\n`
  if (line.connection === 'close') text += 'Connection: close\r\n'
  else if (line.connection === 'keep-alive') text += 'Connection: keep-alive\r\n'
  else if (line.connection === 'upgrade')
    text += `Connection: Upgrade\r\nUpgrade: ${head.upgrade ?? ''}\r\n`
  return `${text}${fieldLines(line.extra)}\r\n`
}

/** The head of an answer that no origin gave; its fields are complete but for the connection. */
export function ownHead(
  status: number,
  reason: string,
  fields: readonly (readonly [name: string, value: string])[],
  connection: 'close' | 'keep-alive' | undefined,
): string {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const last = connection === undefined ? '' : `Connection: ${connection}\r\n`
  return `HTTP/1.1 ${status} ${reason}\r\n${lines}${last}\r\n`
}

function fieldLines(fields: FieldList): string {
  let text = ''
  for (let index = 0; index < fields.length; index += FIELD_STRIDE) {
    text += `${fields[index]}: ${fields[index + 2]}\r\n`
  }
  return text
}

/** The line before a chunk of that many bytes. */
export function chunkLine(bytes: number): string {
  return `${bytes.toString(16)}\r\n`
}

/** What ends a chunked body. */
export function bodyEnd(trailers: FieldList): string {
  return `0\r\n${fieldLines(trailers)}\r\n`
}
