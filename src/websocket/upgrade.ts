// The handshake (RFC 6455 section 4), between a client and an origin that a relay stands between.
//
// Heads are those of the HTTP/1.1 codec: `fields` holds name, name in lower case and value in turn, and
// `upgrade` the Upgrade value where Connection names it.

import { createHash } from 'node:crypto'

interface Head {
  readonly fields: readonly string[]
  readonly upgrade: string | undefined
}

export interface UpgradeRequest extends Head {
  readonly method: string
}

const STRIDE = 3
const EXTENSIONS = 'sec-websocket-extensions'
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Whether the client asks for a WebSocket, in whatever version. */
export function isWebSocketUpgrade({ method, upgrade }: UpgradeRequest): boolean {
  return method === 'GET' && upgrade?.toLowerCase() === 'websocket'
}

/** Why the handshake is not one of RFC 6455; then the frames after it could not be read. */
export function upgradeFault({ fields }: UpgradeRequest): string | undefined {
  const [version, otherVersion] = values(fields, 'sec-websocket-version')
  if (version !== '13' || otherVersion !== undefined) return 'not version 13 of WebSocket'
  const [key, otherKey] = values(fields, 'sec-websocket-key')
  if (key === undefined || otherKey !== undefined || !/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key))
    return 'malformed Sec-WebSocket-Key'
  return undefined
}

/** The fields without an offer of extensions: compressed messages could not be read. */
export function withoutExtensions(fields: readonly string[]): readonly string[] {
  const kept: string[] = []
  for (let index = 0; index < fields.length; index += STRIDE) {
    const lower = fields[index + 1] ?? ''
    if (lower !== EXTENSIONS) kept.push(fields[index] ?? '', lower, fields[index + 2] ?? '')
  }
  return kept
}

/** Why a 101 is not the answer to that request, which offered no extensions. */
export function switchFault(request: UpgradeRequest, response: Head): string | undefined {
  if (response.upgrade?.toLowerCase() !== 'websocket')
    return 'a change to another protocol than was asked for'
  const [key = ''] = values(request.fields, 'sec-websocket-key')
  const [accept, otherAccept] = values(response.fields, 'sec-websocket-accept')
  if (accept !== acceptOf(key) || otherAccept !== undefined)
    return 'a Sec-WebSocket-Accept that does not belong to the key'
  if (values(response.fields, EXTENSIONS).length > 0)
    return 'a WebSocket extension that was not offered'
  const [protocol, otherProtocol] = values(response.fields, 'sec-websocket-protocol')
  if (protocol === undefined) return undefined
  const offered = values(request.fields, 'sec-websocket-protocol').flatMap((value) =>
    value.split(',').map((name) => name.trim()),
  )
  return offered.includes(protocol) && otherProtocol === undefined
    ? undefined
    : 'a WebSocket subprotocol that was not offered'
}

/** What a server answers to this `Sec-WebSocket-Key`. */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64')
}

function values(fields: readonly string[], lowerName: string): string[] {
  const found: string[] = []
  for (let index = 0; index < fields.length; index += STRIDE) {
    if (fields[index + 1] === lowerName) found.push(fields[index + 2] ?? '')
  }
  return found
}
