// The way to a host through the proxy, a step at a time: connection, CONNECT, TLS.

import { X509Certificate } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Login } from '../setup/recipe.ts'

const STEP_MS = 15_000

export interface Way {
  /** `http://host:port`. */
  readonly proxy: string
  readonly login: Login | undefined
  readonly host: string
  readonly port: number
}

/** What a proxy answered, as far as it explains itself. */
export interface ProxyAnswer {
  readonly status: number
  readonly details: string | undefined
  readonly decisionId: string | undefined
  readonly json: unknown
}

export type Opened =
  | { readonly kind: 'tunnel'; readonly socket: Socket }
  | { readonly kind: 'refused'; readonly answer: ProxyAnswer }
  | { readonly kind: 'failed'; readonly message: string }

export type Secured =
  | {
      readonly kind: 'tls'
      readonly socket: TLSSocket
      readonly chain: readonly X509Certificate[]
      readonly trustError: string | undefined
    }
  | { readonly kind: 'failed'; readonly message: string }

/** One page of the proxy itself, in origin form. */
export async function askProxy({ proxy }: Way, path: string): Promise<ProxyAnswer | string> {
  return new Promise((resolve) => {
    const sent = request({
      ...addressOf(proxy),
      path,
      agent: false,
      signal: AbortSignal.timeout(STEP_MS),
    })
    sent.on('error', (error) => resolve(reasonOf(error)))
    sent.on('response', (response) => {
      bodyOf(response).then(
        (body) => resolve(answerOf(response, body)),
        (error: unknown) => resolve(reasonOf(error)),
      )
    })
    sent.end()
  })
}

/** CONNECT. */
export async function openTunnel({ proxy, login, host, port }: Way): Promise<Opened> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return new Promise((resolve) => {
    const sent = request({
      ...addressOf(proxy),
      method: 'CONNECT',
      path: authority,
      agent: false,
      signal: AbortSignal.timeout(STEP_MS),
      headers: {
        host: authority,
        ...(login?.token === undefined
          ? {}
          : {
              'proxy-authorization': `Basic ${Buffer.from(`${login.user}:${login.token}`).toString('base64')}`,
            }),
      },
    })
    sent.on('error', (error) => resolve({ kind: 'failed', message: reasonOf(error) }))
    sent.on('connect', (response, socket, head) => {
      if (response.statusCode === 200) {
        if (head.length > 0) socket.unshift(head)
        resolve({ kind: 'tunnel', socket })
        return
      }
      socket.destroy()
      resolve({ kind: 'refused', answer: answerOf(response, head.toString('utf8')) })
    })
    sent.end()
  })
}

/** A handshake that finishes whatever the certificate is, so that it can be looked at. */
export async function secure(
  socket: Socket,
  host: string,
  alpn: readonly string[],
): Promise<Secured> {
  return new Promise((resolve) => {
    const failed = (error: unknown): void => {
      clearTimeout(timer)
      tls.destroy()
      resolve({ kind: 'failed', message: reasonOf(error) })
    }
    const timer = setTimeout(() => failed(new Error('no answer to the TLS handshake')), STEP_MS)
    const tls = connectTls({
      socket,
      ...(/[^\d.]/.test(host) && !host.includes(':') ? { servername: host } : {}),
      ALPNProtocols: [...alpn],
      rejectUnauthorized: false,
    })
    tls.on('error', failed)
    tls.on('close', () => failed(new Error('the connection was closed during the TLS handshake')))
    tls.once('secureConnect', () => {
      clearTimeout(timer)
      tls.off('error', failed)
      tls.on('error', () => undefined)
      const error: unknown = tls.authorizationError
      resolve({
        kind: 'tls',
        socket: tls,
        chain: chainOf(tls),
        trustError: tls.authorized
          ? undefined
          : error instanceof Error
            ? error.message
            : String(error),
      })
    })
  })
}

/** As it was sent, the leaf first. */
function chainOf(tls: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  let peer: { raw?: Buffer; issuerCertificate?: object } | undefined = tls.getPeerCertificate(true)
  while (peer?.raw !== undefined && chain.length < 10) {
    const certificate = new X509Certificate(peer.raw)
    if (chain.some(({ raw }) => raw.equals(certificate.raw))) break
    chain.push(certificate)
    peer = peer.issuerCertificate
  }
  return chain
}

export async function bodyOf(response: AsyncIterable<unknown>): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of response) {
    parts.push(part as Buffer)
    length += (part as Buffer).length
    if (length > 1 << 20) break
  }
  return Buffer.concat(parts).toString('utf8')
}

export function answerOf({ statusCode, headers }: IncomingMessage, body: string): ProxyAnswer {
  const said = headers['proxy-status']
  const id = headers['x-cordon-decision-id']
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    json = undefined
  }
  return {
    status: statusCode ?? 0,
    details: typeof said === 'string' ? /details="((?:[^"\\]|\\.)*)"/.exec(said)?.[1] : undefined,
    decisionId: typeof id === 'string' ? id : undefined,
    json,
  }
}

function addressOf(proxy: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(proxy)
  return { host: hostname.replaceAll(/^\[|\]$/g, ''), port: port === '' ? 80 : Number(port) }
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError' || error.name === 'AbortError')
    return `no answer within ${STEP_MS / 1000} seconds`
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return error.message === '' ? (code ?? error.name) : error.message
}
