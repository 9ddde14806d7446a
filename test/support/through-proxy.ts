// Clients of a proxy, and a stand-in for whatever lies behind it.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type RequestListener,
  type Server,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** `name:token` of Basic. */
  readonly login?: string
}

/** One request in absolute form. */
export async function ask(
  proxyPort: number,
  url: string,
  options: AskOptions = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body, login } = options
  const sent = request({
    port: proxyPort,
    host: '127.0.0.1',
    method,
    path: url,
    agent: false,
    headers: {
      host: new URL(url).host,
      ...(login === undefined ? {} : { 'proxy-authorization': basic(login) }),
      ...headers,
    },
  })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part as Buffer)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(parts).toString('utf8'),
  }
}

export function basic(login: string): string {
  return `Basic ${Buffer.from(login).toString('base64')}`
}

/** Where requests end up; tells what it received. */
export class StandIn {
  readonly received: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = []
  readonly #server: Server
  port = 0

  constructor(listener: RequestListener = echo) {
    this.#server = createServer((incoming, response) => {
      this.received.push({ url: incoming.url ?? '', headers: incoming.headers })
      listener(incoming, response)
    })
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

const echo: RequestListener = (incoming, response) => {
  let bytes = 0
  incoming.on('data', (part: Buffer) => {
    bytes += part.length
  })
  incoming.on('end', () => {
    response.setHeader('content-type', 'text/plain')
    response.end(`${incoming.method ?? ''} ${bytes}`)
  })
}

/** What `curl` printed and how it ended; undefined where it is not installed. */
export function curl(...args: string[]): Promise<{ readonly code: number; readonly out: string }> {
  return new Promise((resolve) => {
    execFile('curl', ['--silent', '--show-error', '--max-time', '20', ...args], (error, out) => {
      resolve({ code: error === null ? 0 : Number(error.code), out })
    })
  })
}

export async function withoutCurl(): Promise<false | string> {
  return new Promise((resolve) => {
    execFile('curl', ['--version'], (error) =>
      resolve(error === null ? false : 'curl is not installed'),
    )
  })
}
