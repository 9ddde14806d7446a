// One file out of the bundle that `opa build` writes: a gzipped tar archive (POSIX.1-1988 ustar headers).

import { gunzipSync } from 'node:zlib'
import { CordonError } from '../../base/errors.ts'

const BLOCK_BYTES = 512
const NAME_BYTES = 100
const SIZE_AT = 124
const SIZE_BYTES = 12
const MAX_BUNDLE_BYTES = 512 * 1024 * 1024

export function fileOfBundle(gzipped: Uint8Array, name: string): Uint8Array {
  const tar = gunzipSync(gzipped, { maxOutputLength: MAX_BUNDLE_BYTES })
  for (let at = 0; at + BLOCK_BYTES <= tar.length;) {
    const path = field(tar, at, NAME_BYTES).replace(/^\//, '')
    if (path === '') break
    const size = Number.parseInt(field(tar, at + SIZE_AT, SIZE_BYTES), 8)
    if (!Number.isSafeInteger(size)) break
    const start = at + BLOCK_BYTES
    if (path === name) return tar.subarray(start, start + size)
    at = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
  }
  throw new CordonError('INTERNAL', `OPA's bundle holds no ${name}`)
}

function field(tar: Buffer, at: number, bytes: number): string {
  const text = tar.toString('latin1', at, at + bytes)
  const end = text.indexOf('\0')
  return (end === -1 ? text : text.slice(0, end)).trim()
}
