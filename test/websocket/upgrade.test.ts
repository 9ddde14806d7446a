// The handshake: what is a WebSocket, and which answer belongs to which question.

import t from 'tap'
import {
  acceptOf,
  isWebSocketUpgrade,
  switchFault,
  upgradeFault,
  withoutExtensions,
} from '../../src/websocket/upgrade.ts'

// The example of RFC 6455 section 1.3.
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

function fields(...pairs: readonly (readonly [string, string])[]): string[] {
  return pairs.flatMap(([name, value]) => [name, name.toLowerCase(), value])
}

const asked = {
  method: 'GET',
  upgrade: 'WebSocket',
  fields: fields(
    ['Sec-WebSocket-Key', KEY],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Protocol', 'realtime, openai-beta.realtime-v1'],
    ['Sec-WebSocket-Protocol', 'third'],
  ),
}

t.test('a WebSocket is asked for by GET and Upgrade, whatever its version', async (t) => {
  t.ok(isWebSocketUpgrade(asked))
  t.ok(isWebSocketUpgrade({ ...asked, fields: [] }))
  for (const other of [
    { ...asked, method: 'POST' },
    { ...asked, upgrade: undefined },
    { ...asked, upgrade: 'h2c' },
    { ...asked, upgrade: 'websocket, h2c' },
  ])
    t.notOk(isWebSocketUpgrade(other))
})

t.test('only the handshake of RFC 6455 leads to frames that can be read', async (t) => {
  t.equal(upgradeFault(asked), undefined)
  const version = ['Sec-WebSocket-Version', '13'] as const
  const key = ['Sec-WebSocket-Key', KEY] as const
  for (const [what, list] of [
    ['no version', fields(key)],
    ['version 8', fields(key, ['Sec-WebSocket-Version', '8'])],
    ['two versions', fields(key, version, version)],
    ['no key', fields(version)],
    ['two keys', fields(version, key, key)],
    ['a key of 15 bytes', fields(version, ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAA'])],
    ['a key that is no base64', fields(version, ['Sec-WebSocket-Key', '_'.repeat(22) + '=='])],
    ['a key with bits to spare', fields(version, ['Sec-WebSocket-Key', 'A'.repeat(21) + 'B=='])],
  ] as const)
    t.type(upgradeFault({ ...asked, fields: list }), 'string', what)
})

t.test('no extension is offered to the origin', async (t) => {
  const offer = fields(
    ['Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits'],
    ['X-Note', 'sec-websocket-extensions'],
    ['sec-websocket-extensions', 'x-other'],
  )
  t.strictSame(withoutExtensions([...offer, ...asked.fields]), [
    ...fields(['X-Note', 'sec-websocket-extensions']),
    ...asked.fields,
  ])
})

t.test('an answer has to belong to the question', async (t) => {
  t.equal(acceptOf(KEY), ACCEPT)
  const accept = ['Sec-WebSocket-Accept', ACCEPT] as const
  const good = fields(accept, ['Sec-WebSocket-Protocol', 'openai-beta.realtime-v1'])
  t.equal(switchFault(asked, { upgrade: 'websocket', fields: good }), undefined)
  t.equal(switchFault(asked, { upgrade: 'WebSocket', fields: fields(accept) }), undefined)
  for (const [what, upgrade, list] of [
    ['another protocol', 'h2c', good],
    ['no protocol', undefined, good],
    ['no accept', 'websocket', []],
    ['another accept', 'websocket', fields(['Sec-WebSocket-Accept', acceptOf('x')])],
    ['two accepts', 'websocket', fields(accept, accept)],
    [
      'an extension',
      'websocket',
      fields(accept, ['Sec-WebSocket-Extensions', 'permessage-deflate']),
    ],
    ['a strange subprotocol', 'websocket', fields(accept, ['Sec-WebSocket-Protocol', 'fourth'])],
    [
      'two subprotocols',
      'websocket',
      fields(accept, ['Sec-WebSocket-Protocol', 'third'], ['Sec-WebSocket-Protocol', 'third']),
    ],
  ] as const)
    t.type(switchFault(asked, { upgrade, fields: list }), 'string', what)
})
