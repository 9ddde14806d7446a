// HTTP/2 written by hand: frames as bytes, and fields without Huffman or a table (RFC 9113, RFC 7541).

import type { Duplex } from 'node:stream'

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const

export const END_STREAM = 1
export const ACK = 1
export const END_HEADERS = 4
export const PADDED = 8

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const HEAD_BYTES = 9

export function frame(type: number, flags: number, stream: number, payload: Buffer = NONE): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const NONE = Buffer.alloc(0)

/** Pairs of identifier and value. */
export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.concat(
    pairs.map(([id, value]) => {
      const pair = Buffer.alloc(6)
      pair.writeUInt16BE(id)
      pair.writeUInt32BE(value, 2)
      return pair
    }),
  )
  return frame(TYPE.settings, 0, 0, payload)
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A field block of literals that no table keeps. */
export function fieldBlock(...fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]),
  )
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([prefixed(bytes.length), bytes])
}

/** An integer of 7 bits and more. */
function prefixed(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const digits = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128)
  digits.push(rest)
  return Buffer.from(digits)
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** One end of a connection of HTTP/2 that says what it is told. */
export class FramePeer {
  readonly socket: Duplex
  readonly frames: Frame[] = []
  closed = false
  #rest: Buffer = NONE
  #changed: (() => void) | undefined

  /** `server`: the other side sends the preface first. */
  constructor(socket: Duplex, server = false) {
    this.socket = socket
    let preface = server ? PREFACE.length : 0
    socket.on('data', (chunk: Buffer) => {
      const skipped = Math.min(preface, chunk.length)
      preface -= skipped
      this.#rest = Buffer.concat([this.#rest, chunk.subarray(skipped)])
      this.#read()
      this.#changed?.()
    })
    socket.on('error', () => undefined)
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.closed = true
        this.#changed?.()
      })
  }

  say(...bytes: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(bytes))
  }

  /** The next frame of this kind that nobody has taken; undefined once the connection has ended. */
  async hear(type: number, stream?: number): Promise<Frame | undefined> {
    const fits = (one: Frame): boolean =>
      one.type === type && (stream === undefined || one.stream === stream)
    await this.until(() => this.frames.some(fits))
    const index = this.frames.findIndex(fits)
    return index === -1 ? undefined : this.frames.splice(index, 1)[0]
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds() && !this.closed)
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
  }

  #read(): void {
    for (;;) {
      const rest = this.#rest
      if (rest.length < HEAD_BYTES) return
      const length = rest.readUIntBE(0, 3)
      if (rest.length < HEAD_BYTES + length) return
      this.frames.push({
        type: rest[3] ?? 0,
        flags: rest[4] ?? 0,
        stream: rest.readUInt32BE(5) & 0x7fff_ffff,
        payload: rest.subarray(HEAD_BYTES, HEAD_BYTES + length),
      })
      this.#rest = rest.subarray(HEAD_BYTES + length)
    }
  }
}
