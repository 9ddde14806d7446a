// `observe.listen`: /metrics for Prometheus, /healthz (this process lives) and /readyz (it can do its work).

import { createServer, type Server, type ServerResponse } from 'node:http'
import { METRICS_CONTENT_TYPE } from '../observe/metrics.ts'

/** What stands between a process and its work; `ok: false` says why. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail?: string
}

export interface ObserveParts {
  /** The text exposition of all processes together. */
  readonly metrics: () => Promise<string>
  readonly checks: () => Promise<readonly Check[]>
}

export function observeServer({ metrics, checks }: ObserveParts): Server {
  const routes: Readonly<Record<string, (response: ServerResponse) => Promise<void>>> = {
    '/metrics': async (response) => answer(response, 200, METRICS_CONTENT_TYPE, await metrics()),
    '/healthz': async (response) => answer(response, 200, 'application/json', '{"status":"ok"}\n'),
    '/readyz': async (response) => {
      const results = await checks()
      const ready = results.every(({ ok }) => ok)
      const body = { status: ready ? 'ready' : 'not ready', checks: results }
      answer(response, ready ? 200 : 503, 'application/json', `${JSON.stringify(body)}\n`)
    },
  }
  const server = createServer((request, response) => {
    const route = routes[request.url?.split('?', 1)[0] ?? '']
    if (route === undefined)
      answer(response, 404, 'text/plain', 'see /metrics, /healthz, /readyz\n')
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      answer(response, 405, 'text/plain', 'GET only\n')
    else route(response).catch(() => answer(response, 500, 'text/plain', 'failed\n'))
  })
  server.requestTimeout = 10_000
  server.maxConnections = 256
  return server
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  if (response.headersSent) return
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}
