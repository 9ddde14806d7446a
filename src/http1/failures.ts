// Every way in which bytes can be refused, as values: one object each, made once.

import type { Failure } from './message.ts'

function bad(reason: string): Failure {
  return { status: 400, reason }
}

export const BARE_LINE_END = bad('a line does not end in CRLF')
export const BAD_START = bad('this is not HTTP/1.1')
export const BAD_REQUEST_LINE = bad('malformed request line')
export const BAD_STATUS_LINE = bad('malformed status line')
export const BAD_TARGET = bad('malformed request target')
export const BAD_FIELD_NAME = bad('malformed field name')
export const BAD_FIELD_VALUE = bad('a forbidden byte in a field value')
export const FOLDED_FIELD = bad('a folded field line')
export const BAD_LENGTH = bad('malformed Content-Length')
export const REPEATED_LENGTH = bad('more than one Content-Length')
export const BAD_CODING = bad('malformed Transfer-Encoding')
export const LENGTH_AND_CODING = bad('both Content-Length and Transfer-Encoding')
export const CODING_IN_1_0 = bad('Transfer-Encoding in HTTP/1.0')
export const NO_HOST = bad('no Host field')
export const REPEATED_HOST = bad('more than one Host field')
export const BAD_HOST = bad('malformed Host field')
export const CONNECT_BODY = bad('CONNECT with a body')
export const REPEATED_CREDENTIALS = bad('more than one Proxy-Authorization field')
export const BAD_CHUNK_SIZE = bad('malformed chunk size')
export const BAD_CHUNK_EXTENSION = bad('malformed chunk extension')
export const LONG_CHUNK_EXTENSION = bad('chunk extensions too long')
export const BAD_CHUNK_END = bad('a chunk does not end in CRLF')
export const FRAMING_IN_TRAILERS = bad('a framing field in the trailer section')
export const CLOSING_INTERIM = bad('an interim response that closes the connection')
export const TOO_MANY_INTERIM = bad('too many interim responses')
export const UNASKED_SWITCH = bad('a change of protocol that nobody asked for')

export const TRACE_REFUSED: Failure = { status: 405, reason: 'TRACE is not accepted' }
export const TARGET_TOO_LONG: Failure = { status: 414, reason: 'the request target is too long' }
export const UNKNOWN_EXPECTATION: Failure = { status: 417, reason: 'unknown expectation' }
export const HEAD_TOO_LARGE: Failure = { status: 431, reason: 'the header section is too large' }
export const TOO_MANY_FIELDS: Failure = { status: 431, reason: 'too many header fields' }
export const UNKNOWN_METHOD: Failure = { status: 501, reason: 'unknown method' }
export const UNKNOWN_CODING: Failure = { status: 501, reason: 'unknown transfer coding' }
export const UNKNOWN_VERSION: Failure = { status: 505, reason: 'not HTTP/1.0 or HTTP/1.1' }
