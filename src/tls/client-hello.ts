// The first message of a TLS client, read from whatever cuts the network made (RFC 8446 section 4.1.2, RFC 6066).
//
// It comes before anything is decided, from anybody: nothing here throws, holds more than a bound, or takes
// what a TLS server behind it would read otherwise. Where they could differ (two names, a name with odd
// characters, an extension twice), the hello is malformed.

import { isIP } from 'node:net'
import { isGrease, ja4Of } from './ja4.ts'

export interface ClientHello {
  /** In lower case, without a dot at the end. Undefined: none was sent, or an address. */
  readonly serverName: string | undefined
  readonly alpn: readonly string[]
  /** The highest offered, such as 0x0304. */
  readonly version: number
  /** Carries an encrypted hello, or what looks like one: browsers send random bytes there to every host. */
  readonly encrypted: boolean
  readonly ja4: string
}

export type HelloRead = 'more' | 'hello' | 'not_tls' | 'malformed' | 'too_large'

/** Of the message itself; post-quantum key shares make hellos of 2 to 4 KiB. */
const MAX_HELLO_BYTES = 16 * 1024
/** With the record headers: enough for a hello of 10 KiB in records of one byte each. */
const MAX_BYTES = 64 * 1024
const MAX_RECORD_BYTES = 16 * 1024
const RECORD_HEADER_BYTES = 5
const MESSAGE_HEADER_BYTES = 4
const HANDSHAKE = 22
const CLIENT_HELLO = 1

export class HelloReader {
  #bytes: Buffer = Buffer.alloc(0)
  /** May have room behind `#bytes`, so that single bytes cost no copy each. */
  #room: Buffer = Buffer.alloc(0)
  /** Where the next record begins. */
  #at = 0
  #fragments: Buffer[] = []
  #message = 0
  #state: HelloRead = 'more'
  #hello: ClientHello | undefined

  /** Takes what came; once it answers anything but `more` it stays with that answer. */
  push(chunk: Buffer): HelloRead {
    this.#append(chunk)
    while (this.#state === 'more' && this.#record()) continue
    if (this.#state === 'more' && this.#bytes.length > MAX_BYTES) this.#state = 'too_large'
    return this.#state
  }

  /** Only after `hello`. */
  get hello(): ClientHello {
    if (this.#hello === undefined) throw new Error('the hello has not been read')
    return this.#hello
  }

  /** Everything that was pushed, for the TLS server that comes after. */
  get bytes(): Buffer {
    return this.#bytes
  }

  #append(chunk: Buffer): void {
    const used = this.#bytes.length
    if (used === 0) {
      this.#bytes = chunk
      return
    }
    const length = used + chunk.length
    if (this.#room.length < length) {
      this.#room = Buffer.allocUnsafe(Math.max(length, 2 * used, 2048))
      this.#bytes.copy(this.#room)
    }
    chunk.copy(this.#room, used)
    this.#bytes = this.#room.subarray(0, length)
  }

  /** Takes one whole record; false while there is none. */
  #record(): boolean {
    const bytes = this.#bytes
    const at = this.#at
    // The version of the record says nothing (RFC 8446 section 5.1), but its first byte is always 3.
    if (bytes.length > at && bytes[at] !== HANDSHAKE) return this.#end(at, 'not_tls')
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return this.#end(at, 'not_tls')
    if (bytes.length < at + RECORD_HEADER_BYTES) return false
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > MAX_RECORD_BYTES) return this.#end(at, 'malformed')
    const begin = at + RECORD_HEADER_BYTES
    if (bytes.length < begin + length) return false
    this.#fragments.push(bytes.subarray(begin, begin + length))
    this.#message += length
    this.#at = begin + length
    this.#read()
    return true
  }

  /** What is no TLS where the first record should be is no TLS at all; later it is a broken hello. */
  #end(at: number, state: HelloRead): false {
    this.#state = at === 0 ? state : 'malformed'
    return false
  }

  #read(): void {
    const [first] = this.#fragments
    if (first?.[0] !== CLIENT_HELLO) {
      this.#state = 'malformed'
      return
    }
    if (this.#message < MESSAGE_HEADER_BYTES) return
    const head = first.length < MESSAGE_HEADER_BYTES ? this.#joined() : first
    const length = head.readUIntBE(1, 3)
    if (length > MAX_HELLO_BYTES) {
      this.#state = 'too_large'
      return
    }
    const end = MESSAGE_HEADER_BYTES + length
    if (this.#message < end) return
    const message = this.#joined()
    // Nothing may follow in the same record: no TLS server goes on from there.
    this.#hello =
      message.length === end ? readHello(message.subarray(MESSAGE_HEADER_BYTES)) : undefined
    this.#state = this.#hello === undefined ? 'malformed' : 'hello'
    this.#fragments = []
  }

  #joined(): Buffer {
    if (this.#fragments.length > 1) this.#fragments = [Buffer.concat(this.#fragments)]
    return this.#fragments[0] ?? Buffer.alloc(0)
  }
}

const SERVER_NAME = 0x0000
const SIGNATURE_ALGORITHMS = 0x000d
const ALPN = 0x0010
const SUPPORTED_VERSIONS = 0x002b
const ENCRYPTED_CLIENT_HELLO = 0xfe0d
const HOST_NAME = 0
const MAX_NAME = 253

function readHello(bytes: Buffer): ClientHello | undefined {
  const input = new Input(bytes)
  const legacyVersion = input.number(2)
  input.take(32)
  const session = input.vector(1)
  const ciphers = numbers(input.vector(2))
  const compression = input.vector(1)
  const extensions = input.ended ? new Map<number, Buffer>() : readExtensions(input.vector(2))
  if (!input.done || session.length > 32 || compression.length === 0) return undefined
  if (ciphers === undefined || ciphers.length === 0 || extensions === undefined) return undefined

  const versions = readList(extensions.get(SUPPORTED_VERSIONS), 1)
  const signatures = readList(extensions.get(SIGNATURE_ALGORITHMS), 2)
  const alpn = readAlpn(extensions.get(ALPN))
  const serverName = readServerName(extensions.get(SERVER_NAME))
  if (versions === undefined || signatures === undefined) return undefined
  if (alpn === undefined || serverName === undefined) return undefined
  const offered = versions.filter((version) => !isGrease(version))
  const version = offered.length === 0 ? legacyVersion : Math.max(...offered)
  return {
    serverName: serverName === '' ? undefined : serverName,
    alpn,
    version,
    encrypted: extensions.has(ENCRYPTED_CLIENT_HELLO),
    ja4: ja4Of({ version, ciphers, extensions: [...extensions.keys()], signatures, alpn }),
  }
}

function readExtensions(bytes: Buffer): Map<number, Buffer> | undefined {
  const input = new Input(bytes)
  const extensions = new Map<number, Buffer>()
  while (!input.ended) {
    const type = input.number(2)
    const body = input.vector(2)
    if (input.failed || extensions.has(type)) return undefined
    extensions.set(type, body)
  }
  return extensions
}

/** The numbers of a list behind its length; none where there is no list. */
function readList(bytes: Buffer | undefined, lengthBytes: 1 | 2): readonly number[] | undefined {
  if (bytes === undefined) return []
  const input = new Input(bytes)
  const list = numbers(input.vector(lengthBytes))
  return input.done && list?.length !== 0 ? list : undefined
}

function numbers(bytes: Buffer): readonly number[] | undefined {
  if (bytes.length % 2 === 1) return undefined
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16BE(2 * index))
}

function readAlpn(bytes: Buffer | undefined): readonly string[] | undefined {
  if (bytes === undefined) return []
  const outer = new Input(bytes)
  const input = new Input(outer.vector(2))
  const protocols: string[] = []
  while (!input.ended) {
    const protocol = input.vector(1)
    if (input.failed || protocol.length === 0) return undefined
    protocols.push(protocol.toString('latin1'))
  }
  return outer.done && protocols.length > 0 ? protocols : undefined
}

/** Exactly one host name, as OpenSSL demands; '' for none and for an address, undefined for what is neither. */
function readServerName(bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return ''
  const outer = new Input(bytes)
  const input = new Input(outer.vector(2))
  const type = input.number(1)
  const name = input.vector(2).toString('latin1').toLowerCase()
  if (!outer.done || !input.done || type !== HOST_NAME) return undefined
  const host = name.endsWith('.') ? name.slice(0, -1) : name
  if (isIP(host) !== 0 || ADDRESS.test(host)) return ''
  return host.length <= MAX_NAME && DNS_NAME.test(host) ? host : undefined
}

/** Underscores belong in no host name and are in use all the same. */
const DNS_NAME = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/
/** In brackets, or what `inet_aton` and browsers take for one: the last label is a number. */
const ADDRESS = /^\[.*\]$|^(?:[a-z0-9_-]+\.)*(?:\d+|0x[0-9a-f]*)$/

/** Reads forward; what is not there reads as nothing and is remembered. */
class Input {
  readonly #bytes: Buffer
  #at = 0
  failed = false

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get ended(): boolean {
    return this.failed || this.#at === this.#bytes.length
  }

  /** Everything was read, and all of it was there. */
  get done(): boolean {
    return !this.failed && this.#at === this.#bytes.length
  }

  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) this.failed = true
    if (this.failed) return Buffer.alloc(0)
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  number(bytes: 1 | 2): number {
    const taken = this.take(bytes)
    return this.failed ? 0 : taken.readUIntBE(0, bytes)
  }

  vector(lengthBytes: 1 | 2): Buffer {
    return this.take(this.number(lengthBytes))
  }
}
