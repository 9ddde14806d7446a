// Makes frames: the few that a relay has to say itself.

import { randomFillSync } from 'node:crypto'
import {
  CLOSE,
  FIN_BIT,
  LENGTH_16,
  LENGTH_64,
  MASK_BIT,
  MAX_CONTROL,
  MAX_SHORT,
  TEXT,
} from './opcodes.ts'
import { wholeCharacters } from './utf8.ts'

const MAX_REASON = MAX_CONTROL - 2
/** From so many bytes on it pays to look at words. */
const WORTH_WORDS = 1024
const ELLIPSIS = '…'

/** One whole frame; `masked` where it goes to a server. */
export function frame(opcode: number, payload: Buffer, masked: boolean): Buffer {
  const { length } = payload
  const lengthBytes = length <= MAX_SHORT ? 0 : length <= 0xffff ? 2 : 8
  const headEnd = 2 + lengthBytes + (masked ? 4 : 0)
  const bytes = Buffer.allocUnsafe(headEnd + length)
  const maskBit = masked ? MASK_BIT : 0
  bytes[0] = FIN_BIT | opcode
  if (lengthBytes === 0) bytes[1] = maskBit | length
  else if (lengthBytes === 2) {
    bytes[1] = maskBit | LENGTH_16
    bytes.writeUInt16BE(length, 2)
  } else {
    bytes[1] = maskBit | LENGTH_64
    bytes.writeBigUInt64BE(BigInt(length), 2)
  }
  if (masked) {
    const key = bytes.subarray(headEnd - 4, headEnd)
    randomFillSync(key)
    maskInto(bytes.subarray(headEnd), payload, key, 0)
  } else payload.copy(bytes, headEnd)
  return bytes
}

export function textFrame(text: string, masked: boolean): Buffer {
  return frame(TEXT, Buffer.from(text), masked)
}

/** A close frame; a reason that is too long for one is shortened. */
export function closeFrame(code: number, reason: string, masked: boolean): Buffer {
  const text = shortened(reason, MAX_REASON)
  const payload = Buffer.allocUnsafe(2 + text.length)
  payload.writeUInt16BE(code, 0)
  text.copy(payload, 2)
  return frame(CLOSE, payload, masked)
}

/** Why a message was refused, for a close frame: short enough for one, and the decision id at its end. */
export function closeReason(reason: string, decisionId: string): string {
  const ending = `; decision ${decisionId}`
  return shortened(reason, MAX_REASON - Buffer.byteLength(ending)).toString() + ending
}

/** Whether a peer may send this code (RFC 6455 section 7.4, and those registered since). */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)
}

/** Masks, or unmasks, which is the same; `at` is the place of the first byte in its frame. */
export function maskInto(target: Buffer, bytes: Buffer, key: Uint8Array, at: number): void {
  const { length } = bytes
  let index = 0
  if (length >= WORTH_WORDS) {
    bytes.copy(target)
    for (; (target.byteOffset + index) % 4 !== 0; index += 1)
      target[index] = (target[index] ?? 0) ^ (key[(at + index) & 3] ?? 0)
    index = maskWords(target, index, key, at + index)
  }
  for (; index < length; index += 1)
    target[index] = (bytes[index] ?? 0) ^ (key[(at + index) & 3] ?? 0)
}

/** Four bytes at once, in place, from an aligned index on; gives the index after the last whole word. */
function maskWords(target: Buffer, from: number, key: Uint8Array, at: number): number {
  const words = new Uint32Array(
    target.buffer,
    target.byteOffset + from,
    (target.length - from) >> 2,
  )
  const turned = Uint8Array.from([0, 1, 2, 3], (step) => key[(at + step) & 3] ?? 0)
  const [word = 0] = new Uint32Array(turned.buffer)
  for (let index = 0; index < words.length; index += 1) words[index] = (words[index] ?? 0) ^ word
  return from + words.length * 4
}

function shortened(text: string, maxBytes: number): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length <= maxBytes) return bytes
  const kept = bytes.subarray(0, maxBytes - Buffer.byteLength(ELLIPSIS))
  return Buffer.concat([kept.subarray(0, wholeCharacters(kept)), Buffer.from(ELLIPSIS)])
}
