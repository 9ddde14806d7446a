// How are the parts read that queries and schemas share: names, values, types and directives?
//
// Comments stay with the token that follows them until it is taken.

import { fail } from '../operands.ts'
import {
  type Argument,
  type ChildValue,
  type Comment,
  type Directive,
  type TypeRef,
  VALUE,
  type Value,
} from './ast.ts'
import { Lexer, type Token, type TokenKind } from './lexer.ts'
import type { Work } from './work.ts'

const LITERALS: Partial<Record<TokenKind, number>> = {
  int: VALUE.int,
  float: VALUE.float,
  string: VALUE.string,
  block: VALUE.block,
}

export class Reader {
  readonly work: Work
  readonly #lexer: Lexer
  #peeked: Token | undefined
  /** Before the token that is peeked at. */
  #comment: Comment = null

  constructor(text: string, work: Work) {
    this.work = work
    this.#lexer = new Lexer(text, work)
  }

  peek(): Token {
    if (this.#peeked !== undefined) return this.#peeked
    const comments: { Value: string }[] = []
    let token = this.#lexer.read()
    for (; token.kind === 'comment'; token = this.#lexer.read())
      comments.push({ Value: token.value })
    this.#comment = comments.length === 0 ? null : { List: comments }
    this.#peeked = token
    return token
  }

  next(): Token {
    const token = this.peek()
    this.#peeked = undefined
    this.#comment = null
    return token
  }

  /** The comments before the next token. */
  comment(): Comment {
    this.peek()
    return this.#comment
  }

  isNext(kind: TokenKind): boolean {
    return this.peek().kind === kind
  }

  expect(kind: TokenKind): string {
    return this.isNext(kind) ? this.next().value : fail(`${kind} is expected`)
  }

  keyword(word: string): Comment {
    const comment = this.comment()
    if (this.expect('name') !== word) fail(`${word} is expected`)
    return comment
  }

  skip(kind: TokenKind): boolean {
    if (!this.isNext(kind)) return false
    this.next()
    return true
  }

  name(): string {
    return this.expect('name')
  }

  /** Nothing, or at least one within brackets; with the comments before the closing one. */
  some<T>(open: TokenKind, close: TokenKind, read: () => T): { items: T[]; comment: Comment } {
    if (!this.skip(open)) return { items: [], comment: null }
    if (this.isNext(close)) fail('at least one definition is expected')
    const items = this.#until(close, read)
    const comment = this.comment()
    this.next()
    return { items, comment }
  }

  /** One or more with a separator that may also stand first. */
  separated<T>(separator: TokenKind, read: () => T): T[] {
    this.skip(separator)
    const items = [read()]
    while (this.skip(separator)) items.push(read())
    return items
  }

  #until<T>(close: TokenKind, read: () => T): T[] {
    const items: T[] = []
    while (!this.isNext(close)) items.push(this.work.within(read))
    return items
  }

  directives(constant: boolean): Directive[] {
    const directives: Directive[] = []
    while (this.skip('@'))
      directives.push({ Name: this.name(), Arguments: this.arguments(constant), Location: '' })
    return directives
  }

  arguments(constant: boolean): Argument[] {
    return this.some('(', ')', () => {
      const comment = this.comment()
      const name = this.name()
      this.expect(':')
      return { Name: name, Value: this.value(constant), Comment: comment }
    }).items
  }

  value(constant: boolean): Value {
    const { kind, value } = this.peek()
    const comment = this.comment()
    if (kind === '[') return this.#children(VALUE.list, comment, () => this.#element(constant))
    if (kind === '{') return this.#children(VALUE.object, comment, () => this.#member(constant))
    if (kind === '$')
      return constant ? fail('no variable here') : literal(VALUE.variable, this.variable())
    this.next()
    if (kind === 'name') return literal(wordKind(value), value)
    return literal(LITERALS[kind] ?? fail('a value is expected'), value)
  }

  #children(kind: number, comment: Comment, read: () => ChildValue): Value {
    this.next()
    const children = this.#until(kind === VALUE.list ? ']' : '}', read)
    this.next()
    return { ...literal(kind, ''), Children: children, Comment: comment }
  }

  #element(constant: boolean): ChildValue {
    return { Name: '', Value: this.value(constant), Comment: null }
  }

  #member(constant: boolean): ChildValue {
    const comment = this.comment()
    const name = this.name()
    this.expect(':')
    return { Name: name, Value: this.value(constant), Comment: comment }
  }

  variable(): string {
    this.expect('$')
    return this.name()
  }

  type(): TypeRef {
    const type: TypeRef = { NamedType: '', Elem: null, NonNull: false }
    if (this.skip('[')) {
      type.Elem = this.work.within(() => this.type())
      this.expect(']')
    } else type.NamedType = this.name()
    type.NonNull = this.skip('!')
    return type
  }
}

/** gqlparser drops the comments before all but lists and objects. */
function literal(kind: number, raw: string): Value {
  return { Raw: raw, Children: [], Kind: kind, Comment: null, ExpectedTypeHasDefault: false }
}

function wordKind(word: string): number {
  if (word === 'null') return VALUE.null
  return word === 'true' || word === 'false' ? VALUE.boolean : VALUE.enum
}
