// What runs inside the tunnel: a request of each HTTP version, an event stream, a WebSocket.

import { randomBytes } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import type { Duplex } from 'node:stream'
import { setTimeout as after } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { acceptOf, EVENT_COUNT, PROBE_ECHO, PROBE_EVENTS } from '../setup/probe.ts'
import { answerOf, bodyOf, type ProxyAnswer, reasonOf } from './doctor-path.ts'

const STEP_MS = 15_000
const MESSAGE = 'cordon doctor'

/** Its answer, or why there is none. */
export type Heard = ProxyAnswer | string

export async function overHttp1(socket: TLSSocket, host: string, path: string): Promise<Heard> {
  return attempt(async (signal) => {
    const response = await responseOf(socket, { path, headers: { host }, signal })
    return answerOf(response, await bodyOf(response))
  })
}

export async function overHttp2(socket: TLSSocket, host: string, path: string): Promise<Heard> {
  return attempt(async (signal) => {
    const session = connectHttp2(`https://${host}`, { createConnection: () => socket })
    try {
      const stream = session.request({ ':path': path }, { signal })
      const failed = new Promise<never>((_, reject) => {
        session.once('error', reject)
        stream.once('error', reject)
      })
      const headers = await Promise.race([
        failed,
        new Promise<Readonly<Record<string, unknown>>>((resolve) => {
          stream.once('response', (each) => resolve(each))
        }),
      ])
      const body = await Promise.race([failed, bodyOf(stream)])
      return answerOf(
        { statusCode: Number(headers[':status']), headers } as unknown as IncomingMessage,
        body,
      )
    } finally {
      session.destroy()
    }
  })
}

/** How many parts the stream came in, and whether its first event was there before its last was sent. */
export type Stream =
  | { readonly kind: 'streamed'; readonly parts: number; readonly complete: boolean }
  | { readonly kind: 'refused'; readonly answer: ProxyAnswer }
  | { readonly kind: 'failed'; readonly message: string }

export async function eventStream(socket: TLSSocket, host: string): Promise<Stream> {
  const done = await attempt<Stream>(async (signal) => {
    const headers = { host, accept: 'text/event-stream' }
    const response = await responseOf(socket, { path: PROBE_EVENTS, headers, signal })
    if (response.statusCode !== 200)
      return { kind: 'refused', answer: answerOf(response, await bodyOf(response)) }
    let text = ''
    let parts = 0
    for await (const part of response) {
      text += (part as Buffer).toString('utf8')
      parts++
    }
    return {
      kind: 'streamed',
      parts,
      complete: text.split('event: probe\n').length - 1 === EVENT_COUNT,
    }
  })
  return typeof done === 'string' ? { kind: 'failed', message: done } : done
}

/** Undefined: the message came back. */
export async function webSocket(socket: TLSSocket, host: string): Promise<Heard | undefined> {
  return attempt(async (signal) => {
    const key = randomBytes(16).toString('base64')
    const sent = request({
      createConnection: () => socket,
      path: PROBE_ECHO,
      signal,
      headers: {
        host,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': key,
      },
    })
    const answer = new Promise<Heard | undefined>((resolve, reject) => {
      sent.once('error', reject)
      sent.once('response', (response) => {
        bodyOf(response).then((body) => resolve(answerOf(response, body)), reject)
      })
      sent.once('upgrade', (response, upgraded, head) => {
        if (response.headers['sec-websocket-accept'] !== acceptOf(key))
          resolve('the upgrade was answered wrongly')
        else echoed(upgraded, head).then(resolve, reject)
      })
    })
    sent.end()
    return answer
  })
}

/** One masked text frame, and the same text in an unmasked one. */
async function echoed(socket: Duplex, head: Buffer): Promise<string | undefined> {
  const payload = Buffer.from(MESSAGE)
  const mask = randomBytes(4)
  const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))
  const wanted = Buffer.concat([Buffer.from([0x81, payload.length]), payload])
  let got = head
  const back = (async () => {
    for await (const part of socket) {
      got = Buffer.concat([got, part as Buffer])
      if (got.length >= wanted.length) break
    }
    return got.subarray(0, wanted.length).equals(wanted)
      ? undefined
      : 'the message came back changed, or not at all'
  })()
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked]))
  return Promise.race([back, after(STEP_MS, 'no message came back', { ref: false })])
}

async function responseOf(
  socket: TLSSocket,
  options: { path: string; headers: Record<string, string>; signal: AbortSignal },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request({ createConnection: () => socket, ...options })
    sent.once('error', reject)
    sent.once('response', resolve)
    sent.end()
  })
}

async function attempt<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T | string> {
  try {
    return await step(AbortSignal.timeout(STEP_MS))
  } catch (error) {
    return reasonOf(error)
  }
}
