// Labels that a text carries itself, as classification schemes write them.

const MARKINGS: readonly (readonly [string, RegExp])[] = [
  ['top_secret', /\bTOP SECRET\b/],
  ['secret', /\b(?:CLASSIFICATION|CLASSIFIED|MARKING)\s?:?\s?SECRET\b/],
  [
    'confidential',
    /\b(?:STRICTLY |HIGHLY |COMPANY )?CONFIDENTIAL\b|\b(?:strictly|company|highly) confidential\b|\bVERTRAULICH\b|\bCONFIDENTIEL\b/,
  ],
  ['restricted', /\b(?:CLASSIFICATION\s?:?\s?)?RESTRICTED\b/],
  [
    'internal',
    /\bINTERNAL (?:USE )?ONLY\b|\binternal use only\b|\bFOR INTERNAL USE\b|\bNUR FÜR INTERNEN GEBRAUCH\b/,
  ],
]
/** Every marking holds one of these words: one cheap pattern instead of five. */
const ANY = /SECRET|CONFIDENTI|confidential|VERTRAULICH|RESTRICTED|INTERN|internal use/

export function markingsOf(text: string): string[] {
  if (!ANY.test(text)) return []
  return MARKINGS.filter(([, pattern]) => pattern.test(text))
    .map(([label]) => label)
    .toSorted()
}
