// Which tokens are in a GraphQL text? As gqlparser cuts them, which OPA uses: a number may touch a name,
// a byte order mark is white space everywhere, and half a surrogate pair is U+FFFD.

import { fail } from '../operands.ts'
import type { Work } from './work.ts'

type Punctuator =
  | '!'
  | '$'
  | '&'
  | '('
  | ')'
  | '...'
  | ':'
  | '='
  | '@'
  | '['
  | ']'
  | '{'
  | '}'
  | '|'

export type TokenKind =
  | Punctuator
  | 'name'
  | 'int'
  | 'float'
  | 'string'
  | 'block'
  | 'comment'
  | 'eof'

export interface Token {
  readonly kind: TokenKind
  /** Empty for punctuation. */
  readonly value: string
}

const SPACE = /[\t ,\n\r\uFEFF]*/y
const PUNCTUATOR = /\.\.\.|[!$&():=@[\]{}|]/y
const NAME = /[_A-Za-z][_0-9A-Za-z]*/y
// oxlint-disable-next-line no-control-regex -- the grammar names them
const COMMENT = /#[^\u0000-\u0008\u000A-\u001F]*/y
const NUMBER = /-?(?:0(?!\d)|[1-9]\d*)/y
const FRACTION = /\.(\d*)/y
const EXPONENT = /[eE][-+]?(\d*)/y
const HEX = /^[0-9a-fA-F]{4}$/
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['/', '/'],
  ['\\', '\\'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

export class Lexer {
  readonly #text: string
  readonly #work: Work
  #at = 0

  constructor(text: string, work: Work) {
    work.text(text)
    this.#text = text
    this.#work = work
  }

  read(): Token {
    this.#work.token()
    this.#take(SPACE)
    if (this.#at >= this.#text.length) return { kind: 'eof', value: '' }
    const punctuator = this.#take(PUNCTUATOR)
    if (punctuator !== undefined) return { kind: punctuator as Punctuator, value: '' }
    const name = this.#take(NAME)
    if (name !== undefined) return { kind: 'name', value: name }
    if (this.#text.startsWith('"""', this.#at)) return this.#block()
    if (this.#text[this.#at] === '"') return this.#string()
    const comment = this.#take(COMMENT)
    if (comment !== undefined) return { kind: 'comment', value: comment }
    return this.#number()
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #number(): Token {
    const whole = this.#take(NUMBER) ?? fail('no GraphQL token')
    const fraction = this.#take(FRACTION) ?? ''
    const exponent = this.#take(EXPONENT) ?? ''
    if (fraction === '.' || (exponent !== '' && !/\d$/.test(exponent))) fail('no number')
    const value = whole + fraction + exponent
    return { kind: value === whole ? 'int' : 'float', value }
  }

  #string(): Token {
    const text = this.#text
    let value = ''
    for (let at = this.#at + 1; at < text.length; at++) {
      const char = text[at] ?? ''
      if (char === '"') {
        this.#at = at + 1
        return { kind: 'string', value }
      }
      if (char < ' ' && char !== '\t') break
      if (char !== '\\') {
        value += char
        continue
      }
      at++
      if (text[at] === 'u') {
        const digits = text.slice(at + 1, at + 5)
        if (!HEX.test(digits)) break
        value += String.fromCharCode(Number.parseInt(digits, 16)).toWellFormed()
        at += 4
        continue
      }
      const escaped = ESCAPES.get(text[at] ?? '')
      if (escaped === undefined) break
      value += escaped
    }
    return fail('no string')
  }

  #block(): Token {
    const text = this.#text
    const parts: string[] = []
    let at = this.#at + 3
    while (at < text.length) {
      const char = text[at] ?? ''
      if (text.startsWith('"""', at)) {
        // Of more than three quotes the last three are the end.
        while (text[at + 3] === '"') {
          parts.push('"')
          at++
        }
        this.#at = at + 3
        return { kind: 'block', value: blockValue(parts.join('')) }
      }
      if (char < ' ' && char !== '\t' && char !== '\n' && char !== '\r') break
      if (text.startsWith('\\"""', at)) {
        parts.push('"""')
        at += 4
      } else if (char === '\r') {
        parts.push('\n')
        at += text[at + 1] === '\n' ? 2 : 1
      } else {
        parts.push(char)
        at++
      }
    }
    return fail('no block string')
  }
}

/** Without the indentation that the lines share and without blank lines around. */
function blockValue(raw: string): string {
  const lines = raw.split('\n')
  const indents = lines.map((line) => line.search(/[^ \t]/)).filter((indent) => indent !== -1)
  const common = indents.reduce((least, indent) => Math.min(least, indent), Infinity)
  const cut = lines.map((line, index) =>
    index === 0 || common === Infinity ? line : line.slice(common),
  )
  const first = cut.findIndex(hasText)
  return first === -1 ? '' : cut.slice(first, cut.findLastIndex(hasText) + 1).join('\n')
}

function hasText(line: string): boolean {
  return /[^ \t]/.test(line)
}
