// The access log: combined format as Apache and Squid write it, every request, no query strings.

import { createWriteStream, type WriteStream } from 'node:fs'
import type { LogEntry } from './ports.ts'

const MAX_BUFFERED = 4 * 1024 * 1024
const MAX_FIELD = 2048
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export interface AccessLogOptions {
  /** A file, `stdout`, or empty for none. */
  readonly to: string
  readonly now: () => number
  readonly onDropped: () => void
  readonly onError: (error: Error) => void
}

export class AccessLog {
  readonly #options: AccessLogOptions
  #stream: WriteStream | NodeJS.WriteStream | undefined

  constructor(options: AccessLogOptions) {
    this.#options = options
    this.reopen()
  }

  /** After a rotation: writes to the file of that name, whatever became of the old one. */
  reopen(): void {
    const { to, onError } = this.#options
    const old = this.#stream
    if (to === '') this.#stream = undefined
    else if (to === 'stdout') this.#stream = process.stdout
    else {
      this.#stream = createWriteStream(to, { flags: 'a', mode: 0o640 })
      this.#stream.on('error', onError)
      if (old !== undefined && old !== process.stdout) old.end()
    }
  }

  write(entry: LogEntry): void {
    const stream = this.#stream
    if (stream === undefined) return
    if (stream.writableLength > MAX_BUFFERED) {
      this.#options.onDropped()
      return
    }
    stream.write(lineOf(entry, new Date(this.#options.now())))
  }

  close(): void {
    if (this.#stream !== undefined && this.#stream !== process.stdout) this.#stream.end()
  }
}

export function lineOf(
  { address, login, method, target, minor, status, bytesOut, referer, userAgent }: LogEntry,
  at: Date,
): string {
  const request = `${method} ${target} HTTP/1.${minor}`
  const from = referer?.split(/[?#]/, 1)[0]
  return `${address ?? '-'} - ${token(login)} [${timestamp(at)}] "${field(request)}" ${status} ${bytesOut === 0 ? '-' : bytesOut} "${field(from ?? '-')}" "${field(userAgent ?? '-')}"\n`
}

/** One line stays one line, and one field one field, whatever the client sent. */
function field(text: string): string {
  return text
    .slice(0, MAX_FIELD)
    .replaceAll(/["\\]|[^\u0020-\u007E]/g, (character) =>
      character === '"' || character === '\\'
        ? `\\${character}`
        : [...Buffer.from(character)]
            .map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
            .join(''),
    )
}

function token(login: string | undefined): string {
  return login === undefined || login === '' ? '-' : field(login).replaceAll(' ', '\\x20')
}

function timestamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const offset = -at.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  return `${two(at.getDate())}/${MONTHS[at.getMonth()] ?? ''}/${at.getFullYear()}:${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())} ${zone}`
}
