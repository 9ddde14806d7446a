// Reads WebSocket frames (RFC 6455 section 5), however the bytes are cut.
//
// Strict, because a relay must see the same messages as both its peers: no reserved bit (extensions are
// declined), the right masking, shortest lengths, whole control frames, text that is UTF-8. Heads and
// control frames are reported only when they are complete, payloads as they come; nothing is assembled.
// States: head -> payload -> head ... -> closed, after a close frame or a failure.

import {
  BINARY,
  CLOSE,
  CONTINUATION,
  CONTROL_BIT,
  FIN_BIT,
  LENGTH_16,
  LENGTH_64,
  MASK_BIT,
  MAX_CONTROL,
  OPCODE_BITS,
  PONG,
  RESERVED_BITS,
  TEXT,
} from './opcodes.ts'
import { Utf8Checker } from './utf8.ts'
import { isCloseCode, maskInto } from './write.ts'

/** `frame`: the head of a data frame; `payload`: a piece of it; `end`: it is complete; `control`: a whole one. */
export type FrameEvent = 'more' | 'frame' | 'payload' | 'end' | 'control' | 'failed'

/** Why the connection cannot go on, as a close frame says it. */
export interface FrameFailure {
  readonly code: 1002 | 1007 | 1009
  readonly reason: string
}

const HEAD = 0
const PAYLOAD = 1
const CLOSED = 2

const NOTHING = Buffer.alloc(0)
const NO_KEY = new Uint8Array(4)
/** More than the longest head or control frame: what is left of a read that is not copied. */
const SMALL = 256

export class FrameReader {
  readonly #masked: boolean
  readonly #utf8 = new Utf8Checker()
  #state = HEAD
  #input: Buffer = NOTHING
  #at = 0
  #from = 0
  /** What the open message is: TEXT, BINARY, or 0 where none is open. */
  #message = 0
  #left = 0
  #key = NO_KEY
  #keyAt = 0
  /** Of the last frame. */
  opcode = 0
  fin = false
  /** Whether the last data frame belongs to a text message. */
  text = false
  /** The payload without its mask: of text pieces and control frames. */
  clear: Buffer = NOTHING
  /** What a close frame said; 1005 where it said nothing. */
  closeCode = 0
  failure: FrameFailure | undefined

  /** `masked`: frames of a client, which are masked; those of a server are not. */
  constructor(masked: boolean) {
    this.#masked = masked
  }

  /** More bytes; ignored after a close frame or a failure. */
  push(chunk: Buffer): void {
    if (this.#state === CLOSED) return
    const rest = this.#input.length - this.#at
    this.#input = rest === 0 ? chunk : Buffer.concat([this.#input.subarray(this.#at), chunk])
    this.#at = 0
  }

  next(): FrameEvent {
    this.#from = this.#at
    switch (this.#state) {
      case HEAD:
        return this.#head()
      case PAYLOAD:
        return this.#left === 0 ? this.#end() : this.#payload()
      default:
        return 'more'
    }
  }

  /** The bytes of the last event, as received. */
  get raw(): Buffer {
    return this.#input.subarray(this.#from, this.#at)
  }

  /** All bytes reported since the last `push`, as received. */
  get passed(): Buffer {
    return this.#input.subarray(0, this.#at)
  }

  /** Whether a data frame has begun and not ended. */
  get midFrame(): boolean {
    return this.#left > 0 || this.#state === PAYLOAD
  }

  /** Whether nothing more will be reported. */
  get closed(): boolean {
    return this.#state === CLOSED
  }

  /** Lets go of what has been reported, so that a connection at rest holds no read buffer. */
  release(): void {
    const rest = this.#input.subarray(this.#at)
    this.#input = rest.length === 0 ? NOTHING : rest.length < SMALL ? Buffer.from(rest) : rest
    this.#at = 0
    this.#from = 0
    this.clear = NOTHING
  }

  #head(): FrameEvent {
    const input = this.#input
    const at = this.#at
    if (input.length - at < 2) return 'more'
    const first = input[at] ?? 0
    const second = input[at + 1] ?? 0
    const opcode = first & OPCODE_BITS
    const fin = (first & FIN_BIT) !== 0
    const short = second & ~MASK_BIT
    if ((first & RESERVED_BITS) !== 0) return this.#fail('a reserved bit is set')
    if (((second & MASK_BIT) !== 0) !== this.#masked)
      return this.#fail(this.#masked ? 'a frame is not masked' : 'a frame is masked')
    const isControl = (opcode & CONTROL_BIT) !== 0
    if (isControl ? opcode > PONG : opcode > BINARY) return this.#fail('unknown opcode')
    if (isControl && !fin) return this.#fail('a control frame in fragments')
    if (isControl && short > MAX_CONTROL) return this.#fail('a control frame is too long')
    if (!isControl && (opcode === CONTINUATION) !== (this.#message !== 0))
      return this.#fail(
        opcode === CONTINUATION
          ? 'a continuation of no message'
          : 'a message begins inside another one',
      )

    const lengthBytes = short === LENGTH_16 ? 2 : short === LENGTH_64 ? 8 : 0
    const keyAt = at + 2 + lengthBytes
    const headEnd = keyAt + (this.#masked ? 4 : 0)
    if (input.length < headEnd) return 'more'
    let length = short
    if (short === LENGTH_16) length = input.readUInt16BE(at + 2)
    else if (short === LENGTH_64) {
      const high = input.readUInt32BE(at + 2)
      if (high > 0x7fffffff) return this.#fail('malformed length')
      length = high * 2 ** 32 + input.readUInt32BE(at + 6)
      if (length > Number.MAX_SAFE_INTEGER) return this.#fail('a frame is too long', 1009)
    }
    if (length < (lengthBytes === 8 ? 0x10000 : lengthBytes === 2 ? LENGTH_16 : 0))
      return this.#fail('a length is not written in its shortest form')
    if (isControl && input.length < headEnd + length) return 'more'

    this.opcode = opcode
    this.fin = fin
    if (this.#masked) this.#key = new Uint8Array(input.subarray(keyAt, headEnd))
    this.#keyAt = 0
    this.#at = headEnd
    if (isControl) return this.#control(length)
    if (opcode !== CONTINUATION) this.#message = opcode
    this.text = this.#message === TEXT
    this.#left = length
    this.#state = PAYLOAD
    return 'frame'
  }

  #control(length: number): FrameEvent {
    const payload = this.#unmasked(this.#at, this.#at + length)
    if (this.opcode === CLOSE) {
      const failure = closeFault(payload)
      if (failure !== undefined) {
        this.#at = this.#from
        return this.#fail(failure.reason, failure.code)
      }
      this.closeCode = payload.length === 0 ? 1005 : payload.readUInt16BE(0)
      this.#state = CLOSED
    }
    this.#at += length
    this.clear = payload
    return 'control'
  }

  #payload(): FrameEvent {
    const available = this.#input.length - this.#at
    if (available === 0) return 'more'
    const to = this.#at + Math.min(available, this.#left)
    if (this.text) {
      this.clear = this.#unmasked(this.#at, to)
      if (!this.#utf8.push(this.clear)) return this.#fail('text that is not UTF-8', 1007)
    }
    this.#left -= to - this.#at
    this.#keyAt = (this.#keyAt + to - this.#at) & 3
    this.#at = to
    return 'payload'
  }

  #end(): FrameEvent {
    this.#state = HEAD
    if (!this.fin) return 'end'
    this.#message = 0
    if (this.text && !this.#utf8.end()) return this.#fail('text that is not UTF-8', 1007)
    return 'end'
  }

  #unmasked(from: number, to: number): Buffer {
    const bytes = this.#input.subarray(from, to)
    if (!this.#masked) return bytes
    const clear = Buffer.allocUnsafe(bytes.length)
    maskInto(clear, bytes, this.#key, this.#keyAt)
    return clear
  }

  #fail(reason: string, code: FrameFailure['code'] = 1002): FrameEvent {
    this.failure = { code, reason }
    this.#state = CLOSED
    return 'failed'
  }
}

function closeFault(payload: Buffer): FrameFailure | undefined {
  if (payload.length === 0) return undefined
  if (payload.length === 1 || !isCloseCode(payload.readUInt16BE(0)))
    return { code: 1002, reason: 'malformed close code' }
  const utf8 = new Utf8Checker()
  return utf8.push(payload.subarray(2)) && utf8.end()
    ? undefined
    : { code: 1007, reason: 'a close reason that is not UTF-8' }
}
