// Where the statements of a Cedar file begin and end, in the order they were written.
//
// Cedar's own splitting orders by text and loses places; ids (`<file name>:<n>`) and messages need both. The
// file was parsed by Cedar before, so strings, comments and semicolons are all that must be told apart. Its
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

const TOKEN = /\s+|\/\/[^\n]*|"(?:[^"\\]|\\[\s\S])*"?|[A-Za-z_]\w*|&&|\|\||[^]/y

/** The statements, and the first place at which a bound is exceeded. */
export function splitStatements(text: string): {
  readonly statements: readonly Statement[]
  readonly tooLarge: { readonly at: number; readonly message: string } | undefined
} {
  const statements: Statement[] = []
  let tooLarge: { at: number; message: string } | undefined
  let start = -1
  let effectAt = -1
  let depth = 0
  let operators = 0
  let ifs = 0
  TOKEN.lastIndex = 0
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const [token = ''] = TOKEN.exec(text) ?? []
    if (/^\s|^\/\//.test(token)) continue
    if (start === -1) start = at
    if (token === '(' || token === '[' || token === '{') depth += 1
    else if (token === ')' || token === ']' || token === '}') depth -= 1
    else if (token === 'if') ifs += 1
    else if (/^(?:&&|\|\||[+\-*<>=!])$/.test(token)) operators += 1
    else if (effectAt === -1 && depth === 0 && (token === 'permit' || token === 'forbid')) {
      // An annotation may be called so; its name follows an `@`.
      if (!/@\s*$/.test(text.slice(start, at))) effectAt = at - start
    }
    const message = boundExceeded(at - start, depth, operators, ifs)
    if (message !== undefined) tooLarge ??= { at, message }
    if (token !== ';') continue
    statements.push({ text: text.slice(start, at + 1), start, effectAt })
    start = -1
    effectAt = -1
    depth = 0
    operators = 0
    ifs = 0
  }
  return { statements, tooLarge }
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
