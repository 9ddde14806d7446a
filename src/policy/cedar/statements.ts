// Where the statements of a Cedar file begin and end, in the order they were written.
//
// Cedar's own splitting orders by text and loses places; ids (`<file name>:<n>`) and messages need both. Cedar parses
// each of them afterwards, so gaps, strings and semicolons are all that must be told apart, as its lexer does. Its
// parser recurses on the wasm stack, and overflowing it ruins the instance: depth and size are bounded first.

export interface Statement {
  readonly text: string
  /** Offset of its first character within the file. */
  readonly start: number
  /** Offset of `permit` or `forbid` within the statement. */
  readonly effectAt: number
}

const MAX_STATEMENT_CHARS = 65_536
const MAX_DEPTH = 64
const MAX_OPERATORS = 800
const MAX_IFS = 100

/**
 * What lies between tokens: to Cedar a comment ends with any end of a line, a byte order mark is no gap, and the next
 * line of Unicode (U+0085) is one.
 */
const GAP = /(?:[^\S\uFEFF]|\u0085)+|\/\/[^\n\r]*/y
/** A longer string is more than a statement may be. */
const TOKEN = /"(?:[^"\\]|\\[\s\S]){0,65536}"?|[A-Za-z_]\w*|&&|\|\||[^]/y

/** Where a bound is exceeded, or where something stands that no semicolon ends. */
export interface Unfinished {
  readonly at: number
  /** Absent: Cedar says what is wrong. */
  readonly message?: string
}

/** Each statement, and at the end what cannot be split. */
export function* splitStatements(text: string): Generator<Statement, Unfinished | undefined> {
  let start = -1
  let effectAt = -1
  let depth = 0
  let operators = 0
  let ifs = 0
  let before = ''
  for (let at = 0; ;) {
    for (GAP.lastIndex = at; GAP.test(text);) at = GAP.lastIndex
    if (at >= text.length) return start === -1 ? undefined : { at: start }
    TOKEN.lastIndex = at
    const [token = ''] = TOKEN.exec(text) ?? []
    if (start === -1) start = at
    if (token === '(' || token === '[' || token === '{') depth += 1
    else if (token === ')' || token === ']' || token === '}') depth -= 1
    else if (token === 'if') ifs += 1
    else if (/^(?:&&|\|\||[+\-*<>=!])$/.test(token)) operators += 1
    else if (effectAt === -1 && depth === 0 && (token === 'permit' || token === 'forbid')) {
      // An annotation may be called so; its name follows an `@`.
      if (before !== '@') effectAt = at - start
    }
    const message = boundExceeded(at - start, depth, operators, ifs)
    if (message !== undefined) return { at, message }
    at += token.length
    before = token
    if (token !== ';') continue
    yield { text: text.slice(start, at), start, effectAt }
    start = -1
    effectAt = -1
    depth = 0
    operators = 0
    ifs = 0
  }
}

function boundExceeded(
  chars: number,
  depth: number,
  operators: number,
  ifs: number,
): string | undefined {
  if (chars > MAX_STATEMENT_CHARS)
    return `a statement is longer than ${MAX_STATEMENT_CHARS} characters`
  if (depth > MAX_DEPTH) return `a statement nests deeper than ${MAX_DEPTH} brackets`
  if (operators > MAX_OPERATORS) return `a statement has more than ${MAX_OPERATORS} operators`
  return ifs > MAX_IFS ? `a statement has more than ${MAX_IFS} conditionals` : undefined
}
