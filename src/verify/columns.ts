// A row's columns against what its record says: in one form for both, whatever a database makes of a value.

import { isDeepStrictEqual } from 'node:util'
import { parseExact } from '../base/exact-json.ts'
import type { Columns, ColumnType, Row } from '../store/unnest.ts'
import type { StoredRow, Value } from './store-pages.ts'

/** The first column that is not what the record says; undefined where all are. */
export function wrongColumn(columns: Columns, stored: StoredRow, said: Row): string | undefined {
  return Object.entries(columns).find(
    ([name, type]) => !isSame(type, stored[name] ?? null, said[name]),
  )?.[0]
}

/** All of them. */
export function wrongColumns(columns: Columns, stored: StoredRow, said: Row): string[] {
  return Object.entries(columns).flatMap(([name, type]) =>
    isSame(type, stored[name] ?? null, said[name]) ? [] : [name],
  )
}

function isSame(type: ColumnType, stored: Value, said: unknown): boolean {
  if (said === undefined || said === null) return stored === null
  if (stored === null) return false
  if (type === 'jsonb') return isSameDocument(stored, said)
  return Buffer.isBuffer(stored)
    ? Buffer.isBuffer(said) && stored.equals(said)
    : stored === formOf(type, said)
}

/** As src/verify/store-pages.ts reads a column of the type. */
function formOf(type: ColumnType, said: unknown): unknown {
  switch (type) {
    case 'text':
      return storable(typeof said === 'string' ? said : JSON.stringify(said))
    case 'bigint':
      return String(said)
    case 'timestamptz':
      return String(Math.trunc(typeof said === 'string' ? Date.parse(said) : Number(said)) * 1000)
    default:
      return said
  }
}

/** Where it is the same text byte for byte it need not be read. */
function isSameDocument(stored: Value, said: unknown): boolean {
  if (typeof stored !== 'string' || typeof said !== 'string') return false
  if (stored === said) return true
  return isDeepStrictEqual(documentOf(stored), documentOf(said.replaceAll(UNSTORABLE, '\\ufffd')))
}

function documentOf(text: string): unknown {
  try {
    return parseExact(text)
  } catch {
    return JSON.parse(text)
  }
}

/** What PostgreSQL cannot hold stands there as U+FFFD (src/store/array-bytes.ts, src/store/unnest.ts). */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd')
}

const UNSTORABLE = /(?<=(?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g
