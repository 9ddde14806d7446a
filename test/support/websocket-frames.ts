// WebSocket frames written by hand, so that they can be wrong too.

import { randomBytes } from 'node:crypto'
import { FrameReader } from '../../src/websocket/frames.ts'

export interface FrameParts {
  readonly opcode: number
  readonly payload?: Buffer | string
  readonly fin?: boolean
  readonly reserved?: number
  readonly masked?: boolean
  /** Bytes of the extended length; by default the shortest form. */
  readonly lengthBytes?: 0 | 2 | 8
  /** What the head says in place of the real length. */
  readonly declared?: bigint
}

export function frameOf(parts: FrameParts): Buffer {
  const payload = Buffer.from(parts.payload ?? '')
  const { opcode, fin = true, reserved = 0, masked = false } = parts
  const length = parts.declared ?? BigInt(payload.length)
  const lengthBytes = parts.lengthBytes ?? (length < 126n ? 0 : length < 65536n ? 2 : 8)
  const head = Buffer.alloc(2 + lengthBytes)
  head[0] = (fin ? 0x80 : 0) | reserved | opcode
  head[1] =
    (masked ? 0x80 : 0) | (lengthBytes === 0 ? Number(length) : lengthBytes === 2 ? 126 : 127)
  if (lengthBytes === 2) head.writeUInt16BE(Number(length), 2)
  if (lengthBytes === 8) head.writeBigUInt64BE(length, 2)
  if (!masked) return Buffer.concat([head, payload])
  const key = randomBytes(4)
  const covered = payload.map((byte, index) => byte ^ (key[index & 3] ?? 0))
  return Buffer.concat([head, key, covered])
}

/** What a reader says about the bytes: one entry an event, neighbouring pieces of a payload joined. */
export function readFrames(chunks: readonly Buffer[], masked: boolean): string[] {
  const reader = new FrameReader(masked)
  const events: string[] = []
  let payload = ''
  let passed = ''
  for (const chunk of chunks) {
    reader.push(chunk)
    for (;;) {
      const event = reader.next()
      if (event !== 'payload' && payload !== '') {
        if (event === 'more') break
        events.push(`payload ${payload}`)
        payload = ''
      }
      if (event === 'more') break
      if (event === 'failed') {
        events.push(`failed ${reader.failure?.code} ${reader.failure?.reason}`)
        break
      }
      const { opcode, fin, text, clear, raw } = reader
      if (event === 'payload') payload += (text ? clear : raw).toString('latin1')
      else if (event === 'control') events.push(`control ${opcode} ${clear.toString('latin1')}`)
      else events.push(`${event} ${opcode} ${fin}`)
    }
    passed += reader.passed.toString('latin1')
    reader.release()
  }
  if (payload !== '') events.push(`payload ${payload}`)
  events.push(`passed ${passed}`)
  return events
}
