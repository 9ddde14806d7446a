// The probe's WebSocket, spoken to by a real client and by bytes that are none.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { WebSocket } from 'ws'
import { Echo, echoFields, PROBE_ECHO } from '../../src/setup/probe.ts'

t.test('a real client gets its messages back, and a clean close', async (t) => {
  const server = createServer()
  server.on('upgrade', (request, socket: Socket) => {
    const fields = echoFields((name) => request.headers[name] as string | undefined) ?? []
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    )
    const echo = new Echo()
    // A byte at a time, so that every cut is met.
    socket.on('data', (bytes: Buffer) => {
      for (const byte of bytes) socket.write(echo.push(Buffer.from([byte])))
      if (echo.ended) socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = new WebSocket(
    `ws://127.0.0.1:${(server.address() as AddressInfo).port}${PROBE_ECHO}`,
  )
  await once(client, 'open')
  for (const message of ['hello', '', 'ä'.repeat(60)]) {
    client.send(message)
    const [data] = (await once(client, 'message')) as [Buffer]
    t.equal(data.toString('utf8'), message)
  }
  client.ping('x')
  await once(client, 'pong')
  client.close(1000, 'bye')
  const [code] = (await once(client, 'close')) as [number]
  t.equal(code, 1000)
  server.close()
})

t.test('what is no short masked message ends it, and says why', async (t) => {
  for (const [bytes, code] of [
    [[0x81, 0x01, 0x61], 1002],
    [[0xc1, 0x80, 0, 0, 0, 0], 1002],
    [[0x81, 0xfe, 0xff, 0xff], 1009],
    [[0x01, 0x80, 0, 0, 0, 0], 1003],
    [[0x83, 0x80, 0, 0, 0, 0], 1003],
  ] as const) {
    const echo = new Echo()
    t.strictSame([...echo.push(Buffer.from(bytes))], [0x88, 2, code >> 8, code & 0xff])
    t.ok(echo.ended)
    t.equal(echo.push(Buffer.from(bytes)).length, 0)
  }
  const many = new Echo()
  many.push(Buffer.concat(Array.from({ length: 101 }, () => Buffer.from([0x81, 0x80, 0, 0, 0, 0]))))
  t.ok(many.ended, 'after a hundred')
})

t.test('only an upgrade is answered as one', async (t) => {
  const right: Record<string, string> = {
    upgrade: 'WebSocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  t.match(
    echoFields((name) => right[name]),
    [
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
    ],
  )
  for (const [name, value] of [
    ['upgrade', 'h2c'],
    ['sec-websocket-version', '8'],
    ['sec-websocket-key', 'short'],
    ['sec-websocket-key', 'a\r\nb'],
  ] as const)
    t.equal(
      echoFields((each) => (each === name ? value : right[each])),
      undefined,
    )
})
