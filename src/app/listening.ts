// Where the doors of the primary listen, and how a unix socket that nobody serves any more is cleared away.

import { lstatSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { CordonError } from '../base/errors.ts'
import type { Listen } from '../config/leaf.ts'

export function listenOptions(listen: Listen): { host: string; port: number } | { path: string } {
  return listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port }
}

/** `host:port` or `unix:/path`, as the configuration writes it. */
export function listenText(listen: Listen): string {
  if (listen.kind === 'unix') return `unix:${listen.path}`
  return `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`
}

/** Why nothing can listen there, for people. */
export function cannotListen(setting: string, listen: Listen, error: unknown): CordonError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed'
  const why = code === 'EADDRINUSE' ? 'something listens there already' : code
  const message = `${setting}: ${listenText(listen)} cannot be listened on (${why})`
  return new CordonError('CANNOT_LISTEN', message, { cause: error })
}

/** Listens; the address as people write it. */
export async function listenTo(server: Server, setting: string, listen: Listen): Promise<string> {
  await clearSocket(listen)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(setting, listen, error)))
    server.listen(listenOptions(listen), resolve)
  })
  const bound = server.address()
  return typeof bound === 'object' && bound !== null
    ? `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
    : `unix:${bound ?? ''}`
}

/** A process that was killed leaves its socket behind; one that answers is somebody's. */
export async function clearSocket(listen: Listen): Promise<void> {
  if (listen.kind !== 'unix') return
  const { path } = listen
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  if (!(await answers(path))) rmSync(path, { force: true })
}

export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

export async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
}

/** Takes no more; running answers may finish within the grace. */
export async function drainServer(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(timer)
}
