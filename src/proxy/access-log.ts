// The access log: combined format as Apache and Squid write it, every request, no query strings.

import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import type { LogEntry } from './ports.ts'

const MAX_BUFFERED = 4 * 1024 * 1024
const RETRY_MS = 1000
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
  #failedAt = 0

  constructor(options: AccessLogOptions) {
    this.#options = options
    if (options.to === 'stdout') process.stdout.on('error', options.onError)
    this.reopen()
  }

  /** After a rotation: writes to the file of that name, whatever became of the old one. */
  reopen(): void {
    const { to, now, onError } = this.#options
    const old = this.#stream
    if (to === '') this.#stream = undefined
    else if (to === 'stdout') this.#stream = process.stdout
    else {
      this.#stream = createWriteStream(to, { flags: 'a', mode: 0o640 })
      this.#stream.on('error', (error) => {
        this.#failedAt = now()
        onError(error)
      })
      if (old !== undefined && old !== process.stdout) old.end()
    }
  }

  write(entry: LogEntry): void {
    const stream = this.#stream
    if (stream === undefined) return
    const now = this.#options.now()
    if (stream.destroyed) {
      // The disk was full, or the folder was not there: it may be better now.
      this.#options.onDropped()
      if (now - this.#failedAt >= RETRY_MS) {
        this.#failedAt = now
        this.reopen()
      }
    } else if (stream.writableLength > MAX_BUFFERED) this.#options.onDropped()
    else stream.write(lineOf(entry, new Date(now)))
  }

  /** Resolves once every line is written, or the file has failed. */
  async close(): Promise<void> {
    const stream = this.#stream
    this.#stream = undefined
    if (stream === undefined || stream === process.stdout || stream.closed) return
    stream.end()
    await once(stream, 'close').catch(() => undefined)
  }
}

export function lineOf(
  { address, login, method, target, minor, status, bytesOut, referer, userAgent }: LogEntry,
  at: Date,
): string {
  const request = `${method} ${target} HTTP/1.${minor}`
  const from = referer?.split(/[?#]/, 1)[0]
  const sent = bytesOut === 0 ? '-' : bytesOut
  // Three digits where the client got no status: what reads the format expects them.
  const code = String(status).padStart(3, '0')
  return `${address ?? '-'} - ${token(login)} [${timestamp(at)}] "${wire(request)}" ${code} ${sent} "${wire(from ?? '-')}" "${wire(userAgent ?? '-')}"\n`
}

/** One line stays one line, and one field one field, whatever the client sent; its bytes stand as latin1. */
function wire(text: string): string {
  return text.slice(0, MAX_FIELD).replaceAll(/["\\]|[^\u0020-\u007E]/g, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`
    return hex(Buffer.from(character, 'latin1'))
  })
}

/** A login is text: its bytes are UTF-8, and it ends where a blank would. */
function token(login: string | undefined): string {
  if (login === undefined || login === '') return '-'
  return login
    .slice(0, MAX_FIELD)
    .replaceAll(/["\\]|[^\u0021-\u007E]/gu, (character) =>
      character === '"' || character === '\\' ? `\\${character}` : hex(Buffer.from(character)),
    )
}

function hex(bytes: Buffer): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

function timestamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const offset = -at.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  return `${two(at.getDate())}/${MONTHS[at.getMonth()] ?? ''}/${at.getFullYear()}:${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())} ${zone}`
}
