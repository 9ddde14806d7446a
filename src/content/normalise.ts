// What does a text say once its disguises are taken off, and where did each character come from?
//
// NFKC, invisible characters removed, look-alike letters folded; JSON escapes, percent and entity
// encoding undone once. Every character of the result knows the place in the original that it came from.

/** A reading of a text. `start[i]` and `end[i]` bound, in UTF-16 units of the original, what made character i. */
export interface View {
  readonly text: string
  readonly start: Uint32Array | undefined
  readonly end: Uint32Array | undefined
}

// Zero-width and directional marks, soft hyphen, variation selectors, tags (Unicode Cf and Mn that print nothing).
const INVISIBLE =
  // oxlint-disable-next-line no-misleading-character-class -- ranges of single code points, none combined
  /[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\u{E0000}-\u{E0FFF}]/u

/** Letters of other scripts that look like Latin ones (Unicode confusables), as far as detectors care. */
const LOOK_ALIKES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    а: 'a',
    в: 'b',
    с: 'c',
    ԁ: 'd',
    е: 'e',
    һ: 'h',
    і: 'i',
    ј: 'j',
    к: 'k',
    ӏ: 'l',
    м: 'm',
    о: 'o',
    р: 'p',
    ԛ: 'q',
    ѕ: 's',
    т: 't',
    ѵ: 'v',
    ԝ: 'w',
    х: 'x',
    у: 'y',
    А: 'A',
    В: 'B',
    С: 'C',
    Е: 'E',
    Н: 'H',
    І: 'I',
    Ј: 'J',
    К: 'K',
    М: 'M',
    О: 'O',
    Р: 'P',
    Ѕ: 'S',
    Т: 'T',
    Х: 'X',
    У: 'Y',
    α: 'a',
    ο: 'o',
    ρ: 'p',
    ν: 'v',
    ι: 'i',
    κ: 'k',
    Α: 'A',
    Β: 'B',
    Ε: 'E',
    Ζ: 'Z',
    Η: 'H',
    Ι: 'I',
    Κ: 'K',
    Μ: 'M',
    Ν: 'N',
    Ο: 'O',
    Ρ: 'P',
    Τ: 'T',
    Υ: 'Y',
    Χ: 'X',
    '‐': '-',
    '‑': '-',
    '‒': '-',
    '–': '-',
    '—': '-',
    '−': '-',
    '‘': "'",
    '’': "'",
    '“': '"',
    '”': '"',
    '․': '.',
    '。': '.',
    '∕': '/',
    '⁄': '/',
    '﹫': '@',
  }),
)

// oxlint-disable-next-line no-control-regex -- every ASCII character, those too
const PLAIN = /^[\u0000-\u007F]*$/
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
  ['nbsp', ' '],
  ['commat', '@'],
  ['period', '.'],
])
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['b', '\b'],
  ['f', '\f'],
  ['/', '/'],
  ['"', '"'],
  ['\\', '\\'],
])
const ENCODED =
  /\\u[0-9A-Fa-f]{4}|\\[nrtbf/"\\]|(?:%[0-9A-Fa-f]{2})+|&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[a-z]{2,8});/g

/** The text as it stands, without disguises. */
export function plainView(text: string): View {
  if (PLAIN.test(text)) return { text, start: undefined, end: undefined }
  const builder = new Builder(text.length)
  fold(builder, text, 0, 0)
  return builder.view()
}

/** The text with escapes and encodings undone once, or undefined where it holds none. */
export function decodedView(text: string): View | undefined {
  if (!/[\\%&]/.test(text)) return undefined
  const builder = new Builder(text.length)
  let from = 0
  for (const found of text.matchAll(ENCODED)) {
    const decoded = decodeOne(found[0])
    if (decoded === undefined) continue
    fold(builder, text.slice(from, found.index), from, 0)
    fold(builder, decoded, found.index, found[0].length)
    from = found.index + found[0].length
  }
  if (from === 0) return undefined
  fold(builder, text.slice(from), from, 0)
  return builder.view()
}

function decodeOne(encoded: string): string | undefined {
  if (encoded.startsWith('\\u')) return String.fromCharCode(Number.parseInt(encoded.slice(2), 16))
  if (encoded.startsWith('\\')) return ESCAPES.get(encoded.slice(1))
  if (encoded.startsWith('%')) {
    const bytes = Buffer.from(encoded.replaceAll('%', ''), 'hex')
    const decoded = bytes.toString('utf8')
    return decoded.includes('\uFFFD') ? undefined : decoded
  }
  const name = encoded.slice(1, -1)
  if (!name.startsWith('#')) return ENTITIES.get(name)
  const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1))
  return code > 0 && code <= 0x10_ffff && (code < 0xd800 || code > 0xdfff)
    ? String.fromCodePoint(code)
    : undefined
}

/** Adds a text character by character; `width` > 0 says that all of it came from that many units at `at`. */
function fold(builder: Builder, text: string, at: number, width: number): void {
  let offset = at
  for (const character of text) {
    const start = width > 0 ? at : offset
    const end = width > 0 ? at + width : offset + character.length
    offset += character.length
    if (character <= '\u007F') builder.add(character, start, end)
    else if (!INVISIBLE.test(character)) {
      const same = LOOK_ALIKES.get(character) ?? digitOf(character) ?? character.normalize('NFKC')
      builder.add(same.length === 1 ? (LOOK_ALIKES.get(same) ?? same) : same, start, end)
    }
  }
}

/** Decimal digits of other scripts count as digits (Unicode Nd, in runs of ten). */
function digitOf(character: string): string | undefined {
  if (!/\p{Nd}/u.test(character)) return undefined
  const code = character.codePointAt(0) ?? 0
  let zero = code
  while (code - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1
  // Runs of ten start where the code point is a multiple of their block's offset; mathematical digits come in five runs.
  return code >= 0x1_d7ce && code <= 0x1_d7ff ? String((code - 0x1_d7ce) % 10) : String(code - zero)
}

class Builder {
  #parts = ''
  #start: Uint32Array
  #end: Uint32Array
  #size = 0

  constructor(capacity: number) {
    this.#start = new Uint32Array(capacity + 64)
    this.#end = new Uint32Array(capacity + 64)
  }

  add(text: string, start: number, end: number): void {
    this.#parts += text
    for (let unit = 0; unit < text.length; unit++) {
      if (this.#size === this.#start.length) this.#grow()
      this.#start[this.#size] = start
      this.#end[this.#size] = end
      this.#size += 1
    }
  }

  view(): View {
    return { text: this.#parts, start: this.#start, end: this.#end }
  }

  #grow(): void {
    const grow = (old: Uint32Array): Uint32Array => {
      const larger = new Uint32Array(old.length * 2)
      larger.set(old)
      return larger
    }
    this.#start = grow(this.#start)
    this.#end = grow(this.#end)
  }
}
