// application/x-www-form-urlencoded, as the URL standard reads it.

import type { Spelling } from './place.ts'

export interface FormField {
  readonly name: string
  readonly value: string
  /** Place of the value as it is spelled. */
  readonly start: number
  readonly end: number
  /** Each character of the value can be found again in its spelling. */
  readonly exact: boolean
}

const MAX_FIELDS = 2000

/** The fields of a form; undefined where there are more than anybody fills in. */
export function readForm(text: string): readonly FormField[] | undefined {
  const fields: FormField[] = []
  let start = 0
  while (start <= text.length) {
    const next = text.indexOf('&', start)
    const end = next === -1 ? text.length : next
    if (end > start) {
      if (fields.length >= MAX_FIELDS) return undefined
      fields.push(fieldOf(text, start, end))
    }
    start = end + 1
  }
  return fields
}

function fieldOf(text: string, start: number, end: number): FormField {
  const equals = text.indexOf('=', start)
  const from = equals === -1 || equals >= end ? end : equals + 1
  const name = decode(text.slice(start, from === end && equals !== end - 1 ? end : from - 1))
  const value = decode(text.slice(from, end))
  return {
    name: name ?? '',
    value: value ?? text.slice(from, end),
    start: from,
    end,
    exact: value !== undefined,
  }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** Percent triples: as many as the character has bytes in UTF-8 stand for it. */
export const FORM_SPELLING: Spelling = {
  length: (text, at) => (text.charCodeAt(at) === 37 ? bytesAt(text, at) * 3 : 1),
  units: (text, at) => (text.charCodeAt(at) === 37 && bytesAt(text, at) === 4 ? 2 : 1),
  spell: (text) => encodeURIComponent(text),
}

function bytesAt(text: string, at: number): number {
  const lead = Number.parseInt(text.slice(at + 1, at + 3), 16)
  if (lead >= 0xf0) return 4
  if (lead >= 0xe0) return 3
  return lead >= 0xc0 ? 2 : 1
}
