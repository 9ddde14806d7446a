// What a reader makes of some bytes, as plain values that can be compared: bodies joined, heads listed.

import type { FieldList, Http1Limits } from '../../src/http1/message.ts'
import { RequestReader } from '../../src/http1/request-reader.ts'
import { type Expectation, ResponseReader } from '../../src/http1/response-reader.ts'

const LIMITS: Http1Limits = { headerBytes: 32_768, headers: 100 }

interface Message {
  readonly start: string
  readonly fields: readonly string[]
  readonly contentLength: number
  readonly chunked: boolean
  body: string
  trailers: readonly string[]
  complete: boolean
}

export interface Reading {
  readonly messages: Message[]
  readonly interim: number[]
  failure: string | undefined
  unread: number
  /** The bytes end inside a message. */
  incomplete: boolean
}

/** Reads requests out of the pieces, one after the other. */
export function readRequests(pieces: readonly Buffer[], limits: Http1Limits = LIMITS): Reading {
  const reader = new RequestReader(limits)
  const reading: Reading = {
    messages: [],
    interim: [],
    failure: undefined,
    unread: 0,
    incomplete: false,
  }
  for (const piece of pieces) {
    reader.push(piece)
    for (let event = reader.next(); event !== 'more'; event = reader.next()) {
      if (event === 'failed') {
        reading.failure = `${reader.failure.status} ${reader.failure.reason}`
        return reading
      }
      if (event === 'head') {
        const { method, target, minor, host, fields, contentLength, chunked } = reader.head
        reading.messages.push({
          start: `${method} ${target} ${minor} ${host}`,
          fields: pairs(fields),
          contentLength,
          chunked,
          body: '',
          trailers: [],
          complete: false,
        })
      }
      note(reading, event, reader)
    }
  }
  reading.unread = reader.unread
  reading.incomplete = reader.midMessage
  return reading
}

/** Reads the response to one request, and what follows it until the pieces end. */
export function readResponse(
  pieces: readonly Buffer[],
  expectation: Expectation = { method: 'GET', upgrade: false },
  limits: Http1Limits = LIMITS,
): Reading {
  const reader = new ResponseReader(limits)
  reader.expect(expectation)
  const reading: Reading = {
    messages: [],
    interim: [],
    failure: undefined,
    unread: 0,
    incomplete: false,
  }
  for (const piece of pieces) {
    reader.push(piece)
    for (let event = reader.next(); event !== 'more'; event = reader.next()) {
      if (event === 'failed') {
        reading.failure = reader.failure.reason
        return reading
      }
      const { status, reason, fields, contentLength, chunked } = reader.head
      if (event === 'interim') reading.interim.push(status)
      if (event === 'head') {
        reading.messages.push({
          start: `${status} ${reason}`,
          fields: pairs(fields),
          contentLength,
          chunked,
          body: '',
          trailers: [],
          complete: status === 101,
        })
      }
      note(reading, event, reader)
    }
  }
  const last = reading.messages.at(-1)
  if (reader.untilClose && last?.complete === false && reader.close() === 'end')
    last.complete = true
  reading.unread = reader.unread
  return reading
}

/** Cuts bytes at these places. */
export function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places].map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b)
  const pieces: Buffer[] = []
  let from = 0
  for (const place of [...sorted, bytes.length]) {
    if (place > from) pieces.push(bytes.subarray(from, place))
    from = place
  }
  return pieces
}

function note(
  reading: Reading,
  event: string,
  reader: { readonly content: Buffer; readonly trailers: FieldList },
): void {
  const last = reading.messages.at(-1)
  if (last === undefined) return
  if (event === 'body') last.body += reader.content.toString('latin1')
  if (event === 'end') {
    last.complete = true
    last.trailers = pairs(reader.trailers)
  }
}

function pairs(fields: FieldList): string[] {
  const texts: string[] = []
  for (let index = 0; index < fields.length; index += 3)
    texts.push(`${fields[index]}: ${fields[index + 2]}`)
  return texts
}
