// Classes of ASCII characters, so that the one pass over a text looks each up instead of trying patterns.

export const DIGIT = 1
export const LOWER = 2
export const UPPER = 4
export const HYPHEN = 8
const UNDERSCORE = 16
/** `+` and `/`, which base64 adds. */
const PLUS_SLASH = 32

export const LETTER = LOWER | UPPER
/** A word is letters and digits. */
export const WORD = LETTER | DIGIT
/** A token is what secrets are made of: words, hyphen, underscore. */
export const TOKEN = WORD | HYPHEN | UNDERSCORE
/** A run is what base64 in both alphabets is made of. */
export const RUN = TOKEN | PLUS_SLASH

/** For every code unit, so that a look-up needs no branch. */
export const CLASSES = new Uint8Array(0x1_0000)
CLASSES.fill(DIGIT, 48, 58)
CLASSES.fill(UPPER, 65, 91)
CLASSES.fill(LOWER, 97, 123)
CLASSES[45] = HYPHEN
CLASSES[95] = UNDERSCORE
CLASSES[43] = PLUS_SLASH
CLASSES[47] = PLUS_SLASH

/** The class of the character at a place; 0 outside the text and for everything that is not listed. */
export function classAt(text: string, index: number): number {
  // Asked outside the text, charCodeAt gives NaN, after which every look-up would be a slow one.
  if (index < 0 || index >= text.length) return 0
  return CLASSES[text.charCodeAt(index)] ?? 0
}

/** Are these digits, letters or an underscore, as `\w` in a pattern? */
export function isWordAt(text: string, index: number): boolean {
  return (classAt(text, index) & (WORD | UNDERSCORE)) !== 0
}

/** A sticky pattern tried at one place. */
export function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}
