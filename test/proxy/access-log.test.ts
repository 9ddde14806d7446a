// The access log: the combined format to the letter, whatever is sent; files that are rotated, lost and found.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AccessLog, lineOf } from '../../src/proxy/access-log.ts'
import type { LogEntry } from '../../src/proxy/ports.ts'
import { dial, Origin } from '../support/peers.ts'
import { startRig } from '../support/proxy-rig.ts'

const COMBINED =
  /^(\S+) (\S+) (\S+) \[(\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\n$/
const ENTRY: LogEntry = {
  address: '10.1.2.3',
  login: 'maya',
  method: 'GET',
  target: 'http://a.example/x',
  minor: 1,
  status: 200,
  bytesOut: 17,
  durationMs: 3,
  referer: 'http://b.example/',
  userAgent: 'curl/8',
}
const AT = new Date(2026, 0, 5, 3, 4, 9)

t.test('the line is that of Apache', async (t) => {
  const offset = -AT.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0')}${String(Math.abs(offset) % 60).padStart(2, '0')}`
  t.equal(
    lineOf(ENTRY, AT),
    `10.1.2.3 - maya [05/Jan/2026:03:04:09 ${zone}] "GET http://a.example/x HTTP/1.1" 200 17 "http://b.example/" "curl/8"\n`,
  )
  const bare = lineOf(
    {
      ...ENTRY,
      address: undefined,
      login: undefined,
      status: 0,
      bytesOut: 0,
      referer: undefined,
      userAgent: undefined,
      minor: 0,
    },
    AT,
  )
  t.match(bare, /^- - - \[.*\] "GET http:\/\/a.example\/x HTTP\/1.0" 000 - "-" "-"\n$/)
})

t.test('one request is one line with nine fields, whatever stands in them', async (t) => {
  for (const [evil, written] of [
    ['a"b', 'a\\"b'],
    ['a\\b', 'a\\\\b'],
    ['a\\"', 'a\\\\\\"'],
    ['a\nb', 'a\\x0ab'],
    ['a\r\n10.0.0.1 - root', 'a\\x0d\\x0a10.0.0.1 - root'],
    ['\x1b[31m', '\\x1b[31m'],
    ['a\tb\0\x7f', 'a\\x09b\\x00\\x7f'],
    ['\xc3\xa9', '\\xc3\\xa9'],
    ['\xe9', '\\xe9'],
  ] as const) {
    const line = lineOf({ ...ENTRY, userAgent: evil, referer: evil, target: evil, login: evil }, AT)
    const [, , , login, , request, , , referer, agent] = COMBINED.exec(line) ?? []
    t.equal(agent, written)
    t.equal(referer, written)
    t.equal(request, `GET ${written} HTTP/1.1`)
    t.type(login, 'string', JSON.stringify(evil))
  }
  const [, , , login] = COMBINED.exec(lineOf({ ...ENTRY, login: 'måya 👍 x' }, AT)) ?? []
  t.equal(login, 'm\\xc3\\xa5ya\\x20\\xf0\\x9f\\x91\\x8d\\x20x')
  t.ok(
    lineOf({ ...ENTRY, userAgent: '"'.repeat(30_000), target: 'x'.repeat(8000) }, AT).length < 9000,
  )
})

t.test('no query, fragment or user information is written, however it is spelt', async (t) => {
  const origin = await new Origin().listen()
  const rig = await startRig()
  t.teardown(async () => {
    origin.close()
    await rig.close()
  })
  const secret = `s${Math.random().toString(36).slice(2)}`
  for (const referer of [
    `http://h.example/p?k=${secret}`,
    `http://h.example/p#${secret}`,
    `http://u:${secret}@h.example/p`,
    `http:////u:${secret}@h.example/p`,
    `http:\\\\u:${secret}@h.example/p`,
    `http:/u:${secret}@h.example/p`,
    `http:u:${secret}@h.example/p`,
    `ht\ttp://u:${secret}@h.example/p`,
    `//u:${secret}@h.example/p`,
    `u:${secret}@h.example:80`,
    `http://${secret}@@h.example/`,
    `android-app://u:${secret}@h.example/`,
  ]) {
    const client = await dial(rig.port)
    client.say(
      `GET http://${origin.authority}/p?${secret} HTTP/1.1\r\nHost: ${origin.authority}\r\nReferer: ${referer}\r\n\r\n`,
    )
    const upstream = await origin.accept()
    t.match(await upstream.hear('\r\n\r\n'), `Referer: ${referer}`)
    upstream.say('HTTP/1.1 204 No\r\nConnection: close\r\n\r\n')
    await client.hear('\r\n\r\n')
    client.socket.destroy()
  }
  for (const target of [
    `GET http://u:${secret}@a.example/ HTTP/1.1`,
    `GET http:////u:${secret}@a.example/ HTTP/1.1`,
    `CONNECT u:${secret}@a.example:443 HTTP/1.1`,
    `GET ftp://u:${secret}@a.example/ HTTP/1.1`,
    `GET /x?${secret} HTTP/1.1`,
  ]) {
    const client = await dial(rig.port)
    client.say(`${target}\r\nHost: a.example\r\nConnection: close\r\n\r\n`)
    await client.hearAll()
    client.socket.destroy()
  }
  t.equal(rig.log.length, 17)
  t.notMatch(rig.log.map((entry) => lineOf(entry, AT)).join(''), secret)
})

t.test('a file that cannot be written is counted, told, and tried again', async (t) => {
  const folder = join(scratch(t), 'later')
  const to = join(folder, 'access.log')
  let now = AT.getTime()
  let dropped = 0
  let failed: ((error: Error) => void) | undefined
  const failure = new Promise<Error>((resolve) => (failed = resolve))
  const log = new AccessLog({
    to,
    now: () => now,
    onDropped: () => (dropped += 1),
    onError: (error) => failed?.(error),
  })
  t.match(await failure, { code: 'ENOENT' })
  log.write(ENTRY)
  t.equal(dropped, 1)
  mkdirSync(folder)
  now += 1001
  log.write(ENTRY)
  t.equal(dropped, 2, 'the next one finds the file open again')
  log.write(ENTRY)
  await log.close()
  t.match(readFileSync(to, 'utf8'), /^10\.1\.2\.3 - maya [^\n]*\n$/)
  t.equal(dropped, 2)
})

t.test('after a rotation the new file is written, and the old one is whole', async (t) => {
  const to = join(scratch(t), 'access.log')
  const log = new AccessLog({
    to,
    now: Date.now,
    onDropped: () => t.fail(),
    onError: (error) => t.error(error),
  })
  for (let index = 0; index < 100; index++) log.write(ENTRY)
  while (!existsSync(to)) await new Promise((resolve) => setImmediate(resolve))
  renameSync(to, `${to}.1`)
  log.write({ ...ENTRY, login: 'last' })
  log.reopen()
  log.write({ ...ENTRY, login: 'kim' })
  await log.close()
  t.match(readFileSync(to, 'utf8'), /^[^\n]* kim [^\n]*\n$/)
  while (!readFileSync(`${to}.1`, 'utf8').includes(' last '))
    await new Promise((resolve) => setImmediate(resolve))
  t.equal(readFileSync(`${to}.1`, 'utf8').split('\n').length, 102)
})

function scratch(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'cordon-access-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}
