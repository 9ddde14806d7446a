// Requests that two parsers may read in two ways, as they stand at the proxy's door; inside a tunnel
// `http://ORIGIN` goes from their targets. ORIGIN stands for the authority.

/** What would follow unseen. */
export const EVIL = 'GET http://ORIGIN/evil HTTP/1.1\r\nHost: ORIGIN\r\n\r\n'

/** ORIGIN stands for the origin's authority. */
export function post(lines: string, body = ''): string {
  return `POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n${lines}\r\n\r\n${body}`
}

function get(lines: string): string {
  return `GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n${lines}\r\n\r\n`
}

/** Spellings of a coding that some parser takes for chunked, and some does not. */
const CODINGS = [
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding\t: chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding:\x0cchunked',
  'Transfer-Encoding:\xa0chunked',
  'Transfer-Encoding:\0chunked',
  'Transfer-Encoding: chunked\0',
  'Transfer-Encoding: \x7fchunked',
  'Transfer-Encoding: "chunked"',
  "Transfer-Encoding: 'chunked'",
  'Transfer-Encoding: chunked;',
  'Transfer-Encoding: chunked,',
  'Transfer-Encoding: ,chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: chunk ed',
  'Transfer-Encoding: chun\x00ked',
  'Transfer-Encoding:\r\n chunked',
  'Transfer-Encoding:\r\n\tchunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: x',
  'Transfer-Encoding: x\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked',
  'Foo: bar\r\n\rTransfer-Encoding: chunked',
  'Foo: bar\rTransfer-Encoding: chunked',
  'Foo: bar\nTransfer-Encoding: chunked',
  '\nTransfer-Encoding: chunked',
  ' Transfer-Encoding: chunked',
  '\x00Transfer-Encoding: chunked',
  'Transfer-Encoding\0: chunked',
  'Transfer\x00-Encoding: chunked',
  'Transfer-Enc\xf6ding : chunked',
  '"Transfer-Encoding": chunked',
  ':Transfer-Encoding: chunked',
  'Transfer-Encoding chunked',
  'Transfer-Encoding:',
  'Transfer-Encoding: cow',
]
/** A coding under another name is an ordinary field: the length alone counts. */
export const HARMLESS_CODINGS = [
  'Transfer_Encoding: chunked',
  'X-Transfer-Encoding: chunked',
  'TE: chunked',
]

const LENGTHS = [
  'Content-Length: 5, 5',
  'Content-Length: 5\r\nContent-Length: 5',
  'Content-Length: 5\r\nContent-Length: 0',
  'Content-Length: 0\r\nContent-Length: 5',
  'Content-Length: +5',
  'Content-Length: -5',
  'Content-Length: 0x5',
  'Content-Length: 5e0',
  'Content-Length: 5.',
  'Content-Length: 5 5',
  'Content-Length: 5\x0b',
  'Content-Length: \x0c5',
  'Content-Length: 5\0',
  'Content-Length: "5"',
  'Content-Length: ５',
  'Content-Length:',
  'Content-Length: ,5',
  'Content-Length: 5,',
  'Content-Length : 5',
  'Content-Length\r\n: 5',
  'Content-Length:\r\n 5',
  'Content-Length: 99999999999999999999',
  'Content-Length: 18446744073709551621',
  'Content-Length: 4294967301, 5',
]

const CHUNKS = [
  '0x5\r\nhello\r\n0\r\n\r\n',
  '+5\r\nhello\r\n0\r\n\r\n',
  '-0\r\n\r\n',
  ' 5\r\nhello\r\n0\r\n\r\n',
  '5 \r\nhello\r\n0\r\n\r\n',
  '5\t\r\nhello\r\n0\r\n\r\n',
  '5\nhello\r\n0\r\n\r\n',
  '5\r\nhello\n0\r\n\r\n',
  '5\r\nhello0\r\n\r\n',
  '5\r\nhello\r0\r\n\r\n',
  '5\r\nhelloXX0\r\n\r\n',
  '5\r\nhello!\r\n0\r\n\r\n',
  '5;\nhello\r\n0\r\n\r\n',
  '5;a\nb\r\nhello\r\n0\r\n\r\n',
  '5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
  '5;a\rb\r\nhello\r\n0\r\n\r\n',
  '5;a\0\r\nhello\r\n0\r\n\r\n',
  '5,5\r\nhello\r\n0\r\n\r\n',
  '5#\r\nhello\r\n0\r\n\r\n',
  '100000005\r\nhello\r\n0\r\n\r\n'.replace('1', '10000000'),
  'ffffffffffffffff5\r\nhello\r\n0\r\n\r\n',
  '\r\n5\r\nhello\r\n0\r\n\r\n',
  '５\r\nhello\r\n0\r\n\r\n',
  '5_0\r\nhello\r\n0\r\n\r\n',
  '5\r\nhello\r\n0\n\r\n',
  '5\r\nhello\r\n0\r\n\n',
  '5\r\nhello\r\n0\r\nX: 1\n\r\n',
  '5\r\nhello\r\n0\r\nX\r\n\r\n',
  '5\r\nhello\r\n0\r\n X: 1\r\n\r\n',
  '5\r\nhello\r\n0\r\nX : 1\r\n\r\n',
  '5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n',
  '5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n',
]

/** [name, request, status] */
export const REFUSED: readonly (readonly [string, string, number])[] = [
  ...CODINGS.map((coding) => [coding, post(coding, '0\r\n\r\n'), 400] as const),
  ...CODINGS.map(
    (coding) =>
      [`length and ${coding}`, post(`Content-Length: 5\r\n${coding}`, '0\r\n\r\n'), 400] as const,
  ),
  ['length and coding', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['coding and length', post('Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n'), 400],
  [
    'length 0 and coding',
    post('Content-Length: 0\r\ntransfer-encoding: Chunked', '0\r\n\r\n'),
    400,
  ],
  [
    'a coding in 1.0',
    post('Transfer-Encoding: chunked', '0\r\n\r\n').replace('HTTP/1.1', 'HTTP/1.0'),
    400,
  ],
  ...LENGTHS.map((length) => [length, post(length, 'hello'), 400] as const),
  ...CHUNKS.map(
    (chunks) => [`chunks ${chunks}`, post('Transfer-Encoding: chunked', chunks), 400] as const,
  ),
  ['two Hosts', get('Host: other.example'), 400],
  ['two equal Hosts', get('Host: ORIGIN'), 400],
  ['Host after a space', 'GET http://ORIGIN/ HTTP/1.1\r\nHost : ORIGIN\r\n\r\n', 400],
  ['Host folded', 'GET http://ORIGIN/ HTTP/1.1\r\nHost:\r\n ORIGIN\r\n\r\n', 400],
  ['no Host', 'GET http://ORIGIN/ HTTP/1.1\r\n\r\n', 400],
  ['bare LF ends the head', 'GET http://ORIGIN/ HTTP/1.1\nHost: ORIGIN\n\n', 400],
  ['bare CR in the request line', 'GET http://ORIGIN/\rX: 1 HTTP/1.1\r\nHost: ORIGIN\r\n\r\n', 400],
  ['a second target', 'GET http://ORIGIN/ /evil HTTP/1.1\r\nHost: ORIGIN\r\n\r\n', 400],
  ['a second version', 'GET http://ORIGIN/ HTTP/1.1 HTTP/1.1\r\nHost: ORIGIN\r\n\r\n', 400],
  ['HTTP/0.9', 'GET http://ORIGIN/\r\n\r\n', 400],
  ['NUL in a value', get('X: a\0b'), 400],
  ['TRACE', get('X: 1').replace('GET', 'TRACE'), 405],
  ['a method in lower case', get('X: 1').replace('GET', 'get'), 501],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['an unknown expectation', post('Content-Length: 5\r\nExpect: 100-continue, x', 'hello'), 417],
  [
    'two expectations',
    post('Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue', 'hello'),
    417,
  ],
]
