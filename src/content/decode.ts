// Escapes and encodings undone once: JSON and JavaScript (RFC 8259 section 7, doubled ones of JSON inside
// JSON too), percent (RFC 3986), quoted HTML entities (the ones that stand for ASCII, and numeric ones).

import { addPlain, readAs } from './normalise.ts'
import { ViewBuilder, type View } from './view.ts'

const ENTITIES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
    nbsp: ' ',
    commat: '@',
    period: '.',
    colon: ':',
    sol: '/',
    bsol: '\\',
    equals: '=',
    plus: '+',
    lowbar: '_',
    hyphen: '-',
    dash: '-',
    ndash: '-',
    num: '#',
    lpar: '(',
    rpar: ')',
    excl: '!',
    dollar: '$',
    percnt: '%',
    ast: '*',
    comma: ',',
    semi: ';',
    newline: '\n',
    tab: '\t',
    shy: '',
    zwnj: '',
    zwj: '',
  }),
)
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['b', '\b'],
  ['f', '\f'],
  ['/', '/'],
  ['"', '"'],
  ["'", "'"],
])
const ENCODED =
  /\\{1,4}(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|[nrtbf/"'])|(?:%[0-9A-Fa-f]{2})+|&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});/g

export interface Decoded {
  readonly view: View
  /** Where, in the view, something was decoded. */
  readonly changes: readonly number[]
}

/** The text with escapes and encodings undone once, or undefined where it holds none. */
export function decodedView(text: string): Decoded | undefined {
  if (!text.includes('\\') && !text.includes('%') && !text.includes('&')) return undefined
  const builder = new ViewBuilder(text)
  const changes: number[] = []
  let from = 0
  for (const { index, 0: encoded } of text.matchAll(ENCODED)) {
    const decoded = decodeOne(encoded)
    if (decoded === undefined) continue
    addPlain(builder, text, from, index)
    changes.push(builder.size)
    addDecoded(builder, index, encoded, decoded)
    from = index + encoded.length
  }
  if (from === 0) return undefined
  addPlain(builder, text, from, text.length)
  return { view: builder.view(), changes }
}

/** Percent encoding keeps its places where each triple is one character, so that spans stay exact. */
function addDecoded(builder: ViewBuilder, index: number, encoded: string, decoded: string): void {
  const even = encoded.startsWith('%') && decoded.length * 3 === encoded.length
  if (!even) {
    builder.replace(index, index + encoded.length, plain(decoded))
    return
  }
  for (let unit = 0; unit < decoded.length; unit++)
    builder.replace(index + unit * 3, index + unit * 3 + 3, decoded.charAt(unit))
}

function plain(decoded: string): string {
  if (decoded.length === 1 && decoded < '\u0080') return decoded
  let text = ''
  for (const character of decoded) text += readAs(character)
  return text
}

function decodeOne(encoded: string): string | undefined {
  // By far the most of them: one mark behind one backslash.
  if (encoded.length === 2) return ESCAPES.get(encoded.charAt(1))
  if (encoded.startsWith('\\')) return decodeEscape(encoded.replace(/^\\+/, ''))
  if (encoded.startsWith('%')) {
    const decoded = Buffer.from(encoded.replaceAll('%', ''), 'hex').toString('utf8')
    return decoded.includes('\uFFFD') ? undefined : decoded
  }
  const name = encoded.slice(1, -1)
  if (!name.startsWith('#')) return ENTITIES.get(name.toLowerCase())
  return characterOf(/^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1)))
}

function decodeEscape(escape: string): string | undefined {
  if (escape.length === 1) return ESCAPES.get(escape)
  const code = Number.parseInt(escape.replaceAll(/[ux{}]/g, ''), 16)
  // Halves of a pair come as two escapes and join in the text.
  return code >= 0xd800 && code <= 0xdfff ? String.fromCharCode(code) : characterOf(code)
}

function characterOf(code: number): string | undefined {
  return code > 0 && code <= 0x10_ffff && (code < 0xd800 || code > 0xdfff)
    ? String.fromCodePoint(code)
    : undefined
}
