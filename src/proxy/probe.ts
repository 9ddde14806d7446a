// What `cordon doctor` talks to: Cordon itself, under a path of an intercepted host that no origin has.

import { NO_LENGTH, type RequestHead, type ResponseHead } from '../http1/message.ts'
import { fieldValue } from '../http1/message.ts'
import {
  Echo,
  echoFields,
  EVENT_COUNT,
  EVENT_FIELDS,
  EVENT_PAUSE_MS,
  eventText,
  PROBE_ECHO,
  PROBE_EVENTS,
} from '../setup/probe.ts'
import type { ClientLeg } from './ports.ts'

/** Ends what was begun. */
export type Cancel = () => void

/** Whether a path is one of the probes'. */
export function isProbe(path: string): boolean {
  return path === PROBE_EVENTS || path === PROBE_ECHO
}

/** An event stream whose events come one by one; `ended` is called once, unless it is cancelled. */
export function streamEvents(
  client: ClientLeg,
  request: RequestHead,
  ended: (keepAlive: boolean) => void,
): Cancel {
  const keepAlive = client.respond(OK_EVENTS, { request, ended: true, extra: [] })
  let index = 0
  const timer = setInterval(send, EVENT_PAUSE_MS)
  send()
  return () => clearInterval(timer)

  function send(): void {
    client.content(Buffer.from(eventText(index)))
    index += 1
    if (index < EVENT_COUNT) {
      client.flush()
      return
    }
    clearInterval(timer)
    client.end([])
    client.flush()
    ended(keepAlive)
  }
}

/** Sends each message back; undefined where the request is no upgrade that can be answered. */
export function startEcho(
  client: ClientLeg,
  request: RequestHead,
  ended: () => void,
): true | undefined {
  const { connection } = client
  const fields = echoFields((name) =>
    name === 'upgrade' ? request.upgrade : fieldValue(request.fields, name),
  )
  if (connection === undefined || fields === undefined) return undefined
  const { socket } = connection
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`, 'latin1')
  const echo = new Echo()
  const take = (bytes: Buffer): void => {
    socket.write(echo.push(bytes))
    if (echo.ended) socket.end()
  }
  const rest = connection.surrender()
  socket.on('data', take)
  socket.on('error', () => socket.destroy())
  socket.on('end', () => socket.end())
  socket.once('close', ended)
  socket.setTimeout(ECHO_IDLE_MS, () => socket.destroy())
  if (rest.length > 0) take(rest)
  socket.resume()
  return true
}

const ECHO_IDLE_MS = 10_000
const OK_EVENTS: ResponseHead = {
  status: 200,
  reason: 'OK',
  minor: 1,
  fields: EVENT_FIELDS.flatMap(([name, value]) => [name, name.toLowerCase(), value]),
  contentLength: NO_LENGTH,
  chunked: true,
  keepAlive: true,
  upgrade: undefined,
  keepAliveSeconds: undefined,
}
