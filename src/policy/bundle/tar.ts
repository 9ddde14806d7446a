// Tar archives as bundles have them: regular files, nothing else that could reach beyond the folder they are unpacked into.
//
// Written are ustar headers (POSIX.1-1988), with a pax header where a path is too long for one; the same files give the
// same bytes. Read are these and GNU's long names. Links, devices, paths that climb and names twice are refused.

import { CordonError } from '../../base/errors.ts'

export interface ArchiveFile {
  /** Relative, with `/`. */
  readonly path: string
  readonly bytes: Buffer
}

export interface ArchiveBounds {
  readonly files: number
  /** Of one file. */
  readonly fileBytes: number
}

const BLOCK = 512
const NAME = { at: 0, bytes: 100 }
const SIZE = { at: 124, bytes: 12 }
const CHECKSUM = { at: 148, bytes: 8 }
const TYPE_AT = 156
const PREFIX = { at: 345, bytes: 155 }
const MAX_PATH_BYTES = 1024
/** Of a pax header or a long name. */
const MAX_EXTRA_BYTES = 64 * 1024
const READ_BY_ALL = '0000644\0'

export function packTar(files: readonly ArchiveFile[]): Buffer {
  const parts: Buffer[] = []
  for (const { path, bytes } of files) {
    const name = Buffer.from(path)
    if (name.length > NAME.bytes) {
      const record = paxRecord('path', path)
      parts.push(header('PaxHeader', record.length, 'x'), padded(record))
    }
    parts.push(header(name.subarray(0, NAME.bytes).toString('latin1'), bytes.length, '0'))
    parts.push(padded(bytes))
  }
  parts.push(Buffer.alloc(2 * BLOCK))
  return Buffer.concat(parts)
}

/** Throws BUNDLE_INVALID for whatever is no plain file of this folder. */
export function readTar(tar: Buffer, bounds: ArchiveBounds): readonly ArchiveFile[] {
  const files: ArchiveFile[] = []
  const seen = new Set<string>()
  let longName: string | undefined
  let sizeOfNext: number | undefined
  let at = 0
  for (; at + BLOCK <= tar.length;) {
    const head = tar.subarray(at, at + BLOCK)
    if (head.every((byte) => byte === 0)) return files
    checkSum(head)
    const type = String.fromCharCode(head[TYPE_AT] ?? 0)
    const size = sizeOfNext ?? sizeOf(head)
    const start = at + BLOCK
    if (start + size > tar.length) throw refused('it ends in the middle of a file')
    const content = tar.subarray(start, start + size)
    at = start + Math.ceil(size / BLOCK) * BLOCK
    if (type === 'x' || type === 'L') {
      if (size > MAX_EXTRA_BYTES) throw refused('a header is too large')
      if (type === 'L') longName = textOf(content)
      else {
        const extra = readPax(content)
        longName = extra.get('path') ?? longName
        sizeOfNext = sizeFrom(extra.get('size'))
      }
      continue
    }
    // Of all files that follow; nothing in it concerns us.
    if (type === 'g') continue
    const name = longName ?? nameOf(head)
    longName = undefined
    sizeOfNext = undefined
    // A folder comes into being with its files.
    if (type === '5') {
      plainPath(name.replace(/\/+$/, ''), true)
      continue
    }
    if (type !== '0' && type !== '\0')
      throw refused(`"${shown(name)}" is ${KINDS.get(type) ?? 'no plain file'}`)
    const path = plainPath(name, false)
    if (seen.has(path)) throw refused(`"${path}" stands in it twice`)
    seen.add(path)
    if (files.length >= bounds.files) throw refused(`it has more than ${bounds.files} files`)
    if (size > bounds.fileBytes) throw refused(`"${path}" is larger than ${bounds.fileBytes} bytes`)
    files.push({ path, bytes: content })
  }
  throw refused('it ends before its end')
}

const KINDS: ReadonlyMap<string, string> = new Map([
  ['1', 'a link'],
  ['2', 'a symbolic link'],
  ['3', 'a device'],
  ['4', 'a device'],
  ['6', 'a pipe'],
])

/** OPA writes a leading slash; nothing may lead out of the folder, or be another name of what is in it. */
function plainPath(name: string, isFolder: boolean): string {
  const path = name.replace(/^(?:\.?\/)+/, '')
  const parts = path.split('/')
  const isPlain =
    Buffer.byteLength(path) <= MAX_PATH_BYTES &&
    // oxlint-disable-next-line no-control-regex -- exactly these are what a name must not hold
    !/[\u0000-\u001F\u007F\\]/.test(path) &&
    (isFolder || path !== '') &&
    (path === '' || parts.every((part) => part !== '' && part !== '.' && part !== '..'))
  if (!isPlain) throw refused(`"${shown(name)}" is no path below its folder`)
  return path
}

function header(name: string, size: number, type: string): Buffer {
  const block = Buffer.alloc(BLOCK)
  block.write(name, NAME.at, NAME.bytes, 'latin1')
  block.write(READ_BY_ALL, 100, 'latin1')
  block.write('0000000\0'.repeat(2), 108, 'latin1')
  block.write(`${size.toString(8).padStart(11, '0')}\0`, SIZE.at, 'latin1')
  // No time: the same files are the same archive.
  block.write(`${'0'.repeat(11)}\0`, 136, 'latin1')
  block.write(' '.repeat(CHECKSUM.bytes), CHECKSUM.at, 'latin1')
  block.write(type, TYPE_AT, 'latin1')
  block.write('ustar\u000000', 257, 'latin1')
  block.write(`${sum(block).toString(8).padStart(6, '0')}\0 `, CHECKSUM.at, 'latin1')
  return block
}

function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % BLOCK
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(BLOCK - rest)])
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const body = Buffer.from(` ${key}=${value}\n`)
  let length = body.length + 1
  while (String(length).length + body.length !== length)
    length = String(length).length + body.length
  return Buffer.concat([Buffer.from(String(length)), body])
}

function readPax(content: Buffer): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at)
    const length = space === -1 ? Number.NaN : Number(content.toString('latin1', at, space))
    if (!Number.isSafeInteger(length) || length <= space - at || at + length > content.length)
      throw refused('a pax header is malformed')
    const record = content.toString('utf8', space + 1, at + length - 1)
    const equals = record.indexOf('=')
    if (equals > 0) found.set(record.slice(0, equals), record.slice(equals + 1))
    at += length
  }
  return found
}

function sum(block: Buffer): number {
  let total = 0
  for (const byte of block) total += byte
  return total
}

function checkSum(head: Buffer): void {
  const said = Number.parseInt(field(head, CHECKSUM), 8)
  let own = sum(head)
  for (let at = CHECKSUM.at; at < CHECKSUM.at + CHECKSUM.bytes; at++) own += 0x20 - (head[at] ?? 0)
  if (said !== own) throw refused('a header is damaged')
}

function sizeOf(head: Buffer): number {
  const text = field(head, SIZE)
  if (!/^[0-7]+$/.test(text)) throw refused('a size is malformed')
  return Number.parseInt(text, 8)
}

function sizeFrom(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,12}$/.test(text)) throw refused('a size is malformed')
  return Number(text)
}

function nameOf(head: Buffer): string {
  const name = textOf(head.subarray(NAME.at, NAME.at + NAME.bytes))
  const isUstar = head.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isUstar ? textOf(head.subarray(PREFIX.at, PREFIX.at + PREFIX.bytes)) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function field(head: Buffer, { at, bytes }: { at: number; bytes: number }): string {
  return textOf(head.subarray(at, at + bytes)).trim()
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end)
}

function shown(name: string): string {
  // oxlint-disable-next-line no-control-regex -- exactly these are what a name must not hold
  return name.slice(0, 200).replaceAll(/[\u0000-\u001F\u007F]/g, '?')
}

function refused(why: string): CordonError {
  return new CordonError('BUNDLE_INVALID', `the bundle is refused: ${why}`)
}
