// What `cordon doctor` talks to on an intercepted host: an event stream and a WebSocket that Cordon serves itself,
// under /.well-known/cordon/probe/. Pure: whoever owns the socket writes what is said here.

import { createHash } from 'node:crypto'

export const PROBE_EVENTS = '/.well-known/cordon/probe/events'
export const PROBE_ECHO = '/.well-known/cordon/probe/echo'

/** One event at once, the others each after a pause; then the end of the body. */
export const EVENT_COUNT = 5
export const EVENT_PAUSE_MS = 100
/** Without a length, so HTTP/1.1 sends it chunked. */
export const EVENT_FIELDS = [
  ['Content-Type', 'text/event-stream'],
  ['Cache-Control', 'no-store'],
] as const

export function eventText(index: number): string {
  return `event: probe\ndata: {"event":${index},"of":${EVENT_COUNT}}\n\n`
}

/** The answer to an upgrade of PROBE_ECHO, or undefined where the request is none (then: 426). */
export function echoFields(
  header: (lowerName: string) => string | undefined,
): readonly (readonly [string, string])[] | undefined {
  const key = header('sec-websocket-key')
  if (header('upgrade')?.toLowerCase() !== 'websocket' || header('sec-websocket-version') !== '13')
    return undefined
  if (key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key)) return undefined
  return [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Accept', acceptOf(key)],
  ]
}

/** RFC 6455 section 4.2.2. */
export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

/** The longest frame without a length of its own: enough for a probe. */
const MAX_PAYLOAD = 125
const MAX_MESSAGES = 100
const [TEXT, BINARY, CLOSE, PING] = [0x1, 0x2, 0x8, 0x9]

/** Sends each short message back; anything else ends it with the code that says why. */
export class Echo {
  #pending = Buffer.alloc(0)
  #messages = 0
  /** The socket is to be ended once what was returned is written. */
  ended = false

  /** What to write for these bytes of the client. */
  push(bytes: Buffer): Buffer {
    const out: Buffer[] = []
    this.#pending = Buffer.concat([this.#pending, bytes])
    while (!this.ended && this.#pending.length >= 2) {
      const first = this.#pending[0] ?? 0
      const second = this.#pending[1] ?? 0
      const length = second & 0x7f
      const opcode = first & 0x0f
      if ((second & 0x80) === 0 || (first & 0x70) !== 0) out.push(this.#end(1002))
      else if (length > MAX_PAYLOAD || ++this.#messages > MAX_MESSAGES) out.push(this.#end(1009))
      else if (this.#pending.length < length + 6) {
        this.#messages--
        break
      } else {
        const payload = unmasked(
          this.#pending.subarray(2, 6),
          this.#pending.subarray(6, 6 + length),
        )
        this.#pending = this.#pending.subarray(6 + length)
        if (opcode === CLOSE) {
          this.ended = true
          out.push(frame(CLOSE, payload))
        } else if (opcode === PING) out.push(frame(0xa, payload))
        else if ((opcode === TEXT || opcode === BINARY) && first >= 0x80)
          out.push(frame(opcode, payload))
        else if (opcode !== 0xa) out.push(this.#end(1003))
      }
    }
    return Buffer.concat(out)
  }

  #end(code: number): Buffer {
    this.ended = true
    return frame(CLOSE, Buffer.from([code >> 8, code & 0xff]))
  }
}

function frame(opcode: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload])
}

function unmasked(mask: Buffer, payload: Buffer): Buffer {
  return Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0)))
}
