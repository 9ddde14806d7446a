// Hellos of TLS clients: caught from real ones, or put together from parts that a vector names.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { HelloReader } from '../../src/tls/client-hello.ts'

/** What a client sends first to the port that it is given. */
export async function caughtHello(connect: (port: number) => unknown): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const reader = new HelloReader()
  const caught = new Promise<Buffer>((resolve, reject) => {
    server.on('connection', (socket) => {
      socket.on('error', () => undefined)
      socket.on('close', () => reject(new Error('closed before a hello')))
      socket.on('data', (chunk) => {
        if (reader.push(chunk) === 'more') return
        resolve(reader.bytes)
        socket.destroy()
      })
    })
  })
  connect((server.address() as AddressInfo).port)
  try {
    return await caught
  } finally {
    server.close()
  }
}

export interface Parts {
  readonly legacyVersion?: number
  readonly ciphers?: readonly number[]
  readonly compression?: Buffer
  /** Types with their bodies, in this order. */
  readonly extensions?: readonly (readonly [number, Buffer])[]
}

/** One record with a hello of these parts. */
export function helloOf(parts: Parts): Buffer {
  const { legacyVersion = 0x0303, ciphers = [0x1301], extensions, compression } = parts
  const list = (extensions ?? []).map(([type, body]) => Buffer.concat([u16(type), vector(2, body)]))
  const body = Buffer.concat([
    u16(legacyVersion),
    randomBytes(32),
    vector(1, randomBytes(32)),
    vector(2, ...ciphers.map(u16)),
    vector(1, compression ?? Buffer.from([0])),
    ...(extensions === undefined ? [] : [vector(2, ...list)]),
  ])
  return record(Buffer.concat([Buffer.from([1, 0]), vector(2, body)]))
}

export function record(content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, content)])
}

/** The same message in records of so many bytes. */
export function inRecordsOf(size: number, hello: Buffer): Buffer {
  const message = hello.subarray(5)
  const count = Math.ceil(message.length / size)
  return Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      record(message.subarray(index * size, (index + 1) * size)),
    ),
  )
}

export const serverName = (...names: readonly string[]): readonly [number, Buffer] => [
  0,
  vector(2, ...names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, latin1(name))]))),
]

export const alpn = (...protocols: readonly string[]): readonly [number, Buffer] => [
  16,
  vector(2, ...protocols.map((protocol) => vector(1, latin1(protocol)))),
]

export const versions = (...list: readonly number[]): readonly [number, Buffer] => [
  43,
  vector(1, ...list.map(u16)),
]

export const signatures = (...list: readonly number[]): readonly [number, Buffer] => [
  13,
  vector(2, ...list.map(u16)),
]

export function vector(lengthBytes: 1 | 2, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
