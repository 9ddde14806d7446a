// Names that a client chose and the ledger keeps, of a model and of tools: a key pasted into the wrong line of a
// configuration stands there, and what was found in a request is never stored.

import { detect } from '../content/detect.ts'
import type { InputDocument } from '../model/input.ts'

const TAKEN_OUT = '[REDACTED]'

/** The input for the record; policies have seen the names as they were. */
export function withoutFoundNames(input: InputDocument): InputDocument {
  const { content, resource } = input
  // The names are part of what was searched.
  if (content === undefined || (content.findings?.length ?? 0) === 0) return input
  const { tools } = content
  const { model } = resource
  return {
    ...input,
    resource: model === undefined ? resource : { ...resource, model: publicName(model) },
    content: tools === undefined ? content : { ...content, tools: tools.map(publicName) },
  }
}

function publicName<T>(name: T): T | string {
  if (typeof name !== 'string') return name
  return detect({ text: name }).input.findings?.length === 0 ? name : TAKEN_OUT
}
