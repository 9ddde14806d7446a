// From the text of a Go template (text/template) to its tree.

import { fail } from './operands.ts'

export type Argument =
  | { readonly kind: 'constant'; readonly value: string | boolean | bigint | number | null }
  | { readonly kind: 'dot' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'pipe'; readonly pipe: Pipe }
  | { readonly kind: 'fields'; readonly of: Argument; readonly names: readonly string[] }

export interface Pipe {
  readonly variables: readonly string[]
  readonly declares: boolean
  readonly commands: readonly (readonly Argument[])[]
}

export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipe }
  | {
      readonly kind: 'if' | 'with' | 'range'
      readonly pipe: Pipe
      readonly body: Nodes
      readonly otherwise: Nodes
    }
  | { readonly kind: 'template'; readonly name: string; readonly pipe: Pipe | undefined }
  | { readonly kind: 'break' | 'continue' }
export type Nodes = readonly Node[]

export interface Template {
  readonly body: Nodes
  readonly defined: ReadonlyMap<string, Nodes>
}

const MAX_DEPTH = 100
const TOKEN =
  /\s+|"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)+'|\$\w*|\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?|[+-]\d[\w.]*|(?:\.[\p{L}_][\p{L}\p{Nd}_]*)|[\p{L}_][\p{L}\p{Nd}_]*|:=|[=|(),.]/uy

type Piece = { readonly text: string } | { readonly tokens: readonly string[] }

export function parseTemplate(text: string, functions: ReadonlySet<string>): Template {
  const parser = new Parser([...pieces(text)], functions)
  return parser.template()
}

function* pieces(text: string): Generator<Piece> {
  let at = 0
  let trim = false
  while (at < text.length) {
    const open = text.indexOf('{{', at)
    let plain = text.slice(at, open === -1 ? text.length : open)
    if (trim) plain = plain.trimStart()
    if (open === -1) {
      yield { text: plain }
      return
    }
    const trimsBefore = /^\{\{-\s/.test(text.slice(open, open + 4))
    yield { text: trimsBefore ? plain.trimEnd() : plain }
    const start = open + (trimsBefore ? 3 : 2)
    const comment = /^\s*\/\*[\s\S]*?\*\/(\s-)?\}\}/.exec(text.slice(start))
    if (comment !== null) {
      at = start + comment[0].length
      trim = comment[1] !== undefined
      continue
    }
    const { tokens, end, trims } = tokensOf(text, start)
    yield { tokens }
    at = end
    trim = trims
  }
}

/** The tokens of an action; a space stands for any run of them, because it ends a chain of fields. */
function tokensOf(
  text: string,
  start: number,
): { tokens: readonly string[]; end: number; trims: boolean } {
  const tokens: string[] = []
  for (let at = start; at < text.length;) {
    if (text.startsWith('}}', at)) return { tokens, end: at + 2, trims: false }
    if (/^\s-\}\}/.test(text.slice(at, at + 4))) return { tokens, end: at + 4, trims: true }
    TOKEN.lastIndex = at
    const [token] = TOKEN.exec(text) ?? fail('a template has an unexpected character')
    // Spaces before a trim marker belong to it.
    if (/^\s/.test(token)) {
      const trims = text.startsWith('-}}', at + token.length)
      if (trims) return { tokens, end: at + token.length + 3, trims }
      tokens.push(' ')
    } else tokens.push(token)
    at += token.length
  }
  return fail('an action of a template does not end')
}

class Parser {
  readonly #pieces: readonly Piece[]
  readonly #functions: ReadonlySet<string>
  readonly #defined = new Map<string, Nodes>()
  #piece = 0
  #tokens: readonly string[] = []
  #at = 0
  #variables: string[] = ['$']
  #loops = 0
  #depth = 0

  constructor(found: readonly Piece[], functions: ReadonlySet<string>) {
    this.#pieces = found
    this.#functions = functions
  }

  template(): Template {
    const { nodes, end } = this.#list()
    if (end !== '') fail(`an unexpected {{${end}}}`)
    return { body: nodes, defined: this.#defined }
  }

  /** Up to `end`, `else` or the end of the text; the tokens behind `else` are left to read. */
  #list(): { nodes: Nodes; end: string } {
    if (++this.#depth > MAX_DEPTH) fail('a template nests too deep')
    const nodes: Node[] = []
    for (;;) {
      const piece = this.#pieces[this.#piece++]
      if (piece === undefined) {
        this.#depth -= 1
        return { nodes, end: '' }
      }
      if ('text' in piece) {
        if (piece.text !== '') nodes.push({ kind: 'text', text: piece.text })
        continue
      }
      this.#tokens = piece.tokens
      this.#at = 0
      const word = this.#peek()
      if (word === 'end' || word === 'else') {
        this.#next()
        this.#depth -= 1
        return { nodes, end: word }
      }
      const node = this.#action(word)
      if (node !== undefined) nodes.push(node)
    }
  }

  #action(word: string | undefined): Node | undefined {
    switch (word) {
      case 'if':
      case 'with':
      case 'range':
        this.#next()
        return this.#control(word)
      case 'define': {
        this.#next()
        this.#define(this.#text())
        return undefined
      }
      case 'block': {
        this.#next()
        const name = this.#text()
        const pipe = this.#pipe()
        this.#finish()
        this.#define(name)
        return { kind: 'template', name, pipe }
      }
      case 'template': {
        this.#next()
        const name = this.#text()
        const pipe = this.#peek() === undefined ? undefined : this.#pipe()
        this.#finish()
        return { kind: 'template', name, pipe }
      }
      case 'break':
      case 'continue':
        this.#next()
        this.#finish()
        if (this.#loops === 0) fail(`{{${word}}} outside {{range}}`)
        return { kind: word }
      case undefined:
        return fail('an empty action')
      default: {
        const pipe = this.#pipe()
        this.#finish()
        return { kind: 'action', pipe }
      }
    }
  }

  #define(name: string): void {
    this.#finish()
    const outer = this.#variables
    this.#variables = ['$']
    const { nodes, end } = this.#list()
    if (end !== 'end') fail('{{define}} does not end')
    this.#variables = outer
    // An empty definition does not replace another.
    if (
      !this.#defined.has(name) ||
      nodes.some((node) => node.kind !== 'text' || /\S/.test(node.text))
    )
      this.#defined.set(name, nodes)
  }

  #control(kind: 'if' | 'with' | 'range'): Node {
    const known = this.#variables.length
    const pipe = this.#pipe(kind === 'range' ? 2 : 1)
    this.#finish()
    if (kind === 'range') this.#loops += 1
    const body = this.#list()
    if (kind === 'range') this.#loops -= 1
    let otherwise: Nodes = []
    if (body.end === 'else') {
      const chained = this.#peek()
      if ((chained === 'if' || chained === 'with') && kind === chained) {
        this.#next()
        otherwise = [this.#control(chained)]
      } else {
        this.#finish()
        const rest = this.#list()
        if (rest.end !== 'end') fail(`{{${kind}}} does not end`)
        otherwise = rest.nodes
      }
    } else if (body.end !== 'end') fail(`{{${kind}}} does not end`)
    this.#variables.length = known
    return { kind, pipe, body: body.nodes, otherwise }
  }

  #pipe(mostVariables = 1): Pipe {
    const variables: string[] = []
    let declares = false
    const from = this.#at
    for (;;) {
      const name = this.#peek()
      if (name?.startsWith('$') !== true) break
      this.#next()
      const operator = this.#peek()
      if (operator === ':=' || operator === '=' || (operator === ',' && mostVariables > 1)) {
        this.#next()
        variables.push(name)
        if (operator === ',') continue
        declares = operator === ':='
        break
      }
      this.#at = from
      variables.length = 0
      break
    }
    if (variables.length > mostVariables) fail('too many variables')
    if (!declares && variables.some((name) => !this.#variables.includes(name)))
      fail('an undefined variable')
    const commands: (readonly Argument[])[] = []
    do commands.push(this.#command())
    while (this.#take('|'))
    if (commands.slice(1).some(([first]) => first?.kind === 'constant' || first?.kind === 'dot'))
      fail('a later command of a pipeline must be a function')
    if (declares) this.#variables.push(...variables)
    return { variables, declares, commands }
  }

  #command(): readonly Argument[] {
    const found: Argument[] = []
    for (let next = this.#peek(); ; next = this.#peek()) {
      if (next === undefined || next === '|' || next === ')') break
      found.push(this.#chained(this.#argument(next)))
    }
    if (found.length === 0) fail('an empty command')
    return found
  }

  #argument(next: string): Argument {
    this.#next()
    if (next === '(') {
      const pipe = this.#pipe()
      if (!this.#take(')')) fail('a bracket is not closed')
      return { kind: 'pipe', pipe }
    }
    if (next === '.') return { kind: 'dot' }
    if (/^\.[\p{L}_]/u.test(next))
      return { kind: 'fields', of: { kind: 'dot' }, names: [next.slice(1)] }
    if (next.startsWith('$')) {
      if (!this.#variables.includes(next)) fail('an undefined variable')
      return { kind: 'variable', name: next }
    }
    if (next === 'true' || next === 'false') return { kind: 'constant', value: next === 'true' }
    if (next === 'nil') return { kind: 'constant', value: null }
    if (/^["`]/.test(next)) return { kind: 'constant', value: unquoted(next) }
    if (next.startsWith("'"))
      return {
        kind: 'constant',
        value: BigInt(unquoted(`"${next.slice(1, -1)}"`).codePointAt(0) ?? 0),
      }
    if (/^[+-]?\.?\d/.test(next)) return { kind: 'constant', value: numberOf(next) }
    if (!this.#functions.has(next)) fail('an undefined function')
    return { kind: 'function', name: next }
  }

  /** `.a` straight behind an argument reads its field. */
  #chained(argument: Argument): Argument {
    const names: string[] = []
    for (let token = this.#tokens[this.#at]; token?.startsWith('.') === true;) {
      if (token === '.') break
      names.push(token.slice(1))
      this.#at += 1
      token = this.#tokens[this.#at]
    }
    if (names.length === 0) return argument
    if (argument.kind === 'constant' || argument.kind === 'function') fail('no field of a constant')
    return argument.kind === 'fields'
      ? { ...argument, names: [...argument.names, ...names] }
      : { kind: 'fields', of: argument, names }
  }

  #text(): string {
    const token = this.#next()
    return token !== undefined && /^["`]/.test(token) ? unquoted(token) : fail('a name is expected')
  }

  #finish(): void {
    if (this.#peek() !== undefined) fail('an unexpected token in a template')
  }

  #take(token: string): boolean {
    if (this.#peek() !== token) return false
    this.#next()
    return true
  }

  #peek(): string | undefined {
    while (this.#tokens[this.#at] === ' ') this.#at += 1
    return this.#tokens[this.#at]
  }

  #next(): string | undefined {
    const token = this.#peek()
    this.#at += 1
    return token
  }
}

function numberOf(text: string): bigint | number {
  const plain = text.replaceAll('_', '')
  if (/^[+-]?(?:0|[1-9]\d*)$/.test(plain)) return BigInt(plain.replace('+', ''))
  if (/^0(?:x[\da-f]+|o[0-7]+|b[01]+)$/i.test(plain)) return BigInt(plain)
  const number = Number(plain)
  return Number.isFinite(number) ? number : fail('a malformed number')
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

function unquoted(token: string): string {
  if (token.startsWith('`')) return token.slice(1, -1)
  return token
    .slice(1, -1)
    .replaceAll(
      /\\(?:x([\da-f]{2})|u([\da-f]{4})|U([\da-f]{8})|([0-7]{3})|(.))/gi,
      (_all, x?: string, u?: string, long?: string, octal?: string, other?: string) => {
        const hex = x ?? u ?? long
        if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16))
        if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
        return ESCAPES[other ?? ''] ?? other ?? ''
      },
    )
}
