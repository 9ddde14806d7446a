// A proxy on a real port whose collaborators are stand-ins: everybody is known, everything is allowed,
// every name is this machine. Each can be replaced.

import { createSecureContext } from 'node:tls'
import { IdSource } from '../../src/base/ids.ts'
import type { Outcome } from '../../src/decision/decide.ts'
import type { Decision } from '../../src/model/decision.ts'
import type { AccessRequest } from '../../src/model/request.ts'
import type { Judge, LogEntry, OwnAnswer, Refusal, Target } from '../../src/proxy/ports.ts'
import {
  createProxy,
  type Proxy,
  type ProxyOptions,
  type ProxyParts,
} from '../../src/proxy/proxy.ts'

export interface Rig {
  readonly proxy: Proxy
  readonly port: number
  readonly decided: AccessRequest[]
  readonly endings: Parameters<Outcome['finish']>[0][]
  readonly log: LogEntry[]
  readonly limits: Map<string, number>
  readonly outcomes: Map<string, number>
  readonly interceptions: Map<string, number>
  close(): Promise<void>
}

export const ALLOWED: Decision = {
  decision_id: '0199aaaa-0000-7000-8000-000000000000',
  decision: 'ALLOW',
  reason: '',
  confidence: 1,
  risk_score: null,
  primary_policy_id: null,
  policies_evaluated: [],
  obligations: [],
  service: null,
  findings: [],
  review_id: null,
  exception_id: null,
  would_be: null,
  ttl: 30,
  revision: 'sha256:0',
  evaluation_us: 1,
}
export const DENIED: Decision = { ...ALLOWED, decision: 'DENY', reason: 'not here' }

export async function startRig(
  parts: Partial<ProxyParts> & {
    readonly outcome?: (request: AccessRequest) => Partial<Outcome> | Promise<Partial<Outcome>>
    readonly foresee?: Judge['foresee']
    readonly rejudge?: Judge['rejudge']
  } = {},
  options: Partial<ProxyOptions> = {},
): Promise<Rig> {
  const decided: AccessRequest[] = []
  const endings: Rig['endings'] = []
  const log: LogEntry[] = []
  const limits = new Map<string, number>()
  const outcomes = new Map<string, number>()
  const interceptions = new Map<string, number>()
  const { outcome, foresee, rejudge, ...others } = parts
  const proxy = createProxy(
    {
      ids: new IdSource(),
      callers: {
        identify: () => ({ ok: true, principal: { login: 'maya' }, address: '127.0.0.1' }),
      },
      judge: {
        decide: async (request) => {
          decided.push(request)
          return {
            decision: ALLOWED,
            service: undefined,
            refused: false,
            warnings: [],
            redactions: [],
            finish: (ending) => endings.push(ending),
            ...(await outcome?.(request)),
          }
        },
        foresee: foresee ?? (() => ({ service: undefined, readsContent: false })),
        rejudge: rejudge ?? (() => Promise.resolve(undefined)),
      },
      trust: { contextFor: () => createSecureContext() },
      router: {
        check: () => undefined,
        route: ({ port }) => ({ address: '127.0.0.1', port, family: 4, pinned: true }),
      },
      wording: { parseTarget, refusalOf, closeReason: ({ details }) => details },
      metrics: {
        requests: { inc: ({ outcome }) => add(outcomes, outcome) },
        limits: { inc: ({ limit }) => add(limits, limit) },
        interceptions: { inc: ({ outcome, reason }) => add(interceptions, `${outcome} ${reason}`) },
        connections: { set: () => undefined },
        upstreamSeconds: { observe: () => undefined },
        rejudged: { inc: () => undefined },
      },
      log: { write: (entry) => log.push(entry) },
      ...others,
    },
    {
      headerBytes: 32_768,
      headers: 100,
      connections: 1000,
      perClient: 1000,
      idleMs: 600_000,
      connectMs: 2000,
      plainPorts: new Set(),
      inspectBytes: () => 10 * 1024 * 1024,
      inspectMemory: 512 * 1024 * 1024,
      ...options,
    },
  )
  const port = (await proxy.listen({ host: '127.0.0.1', port: 0 })) ?? 0
  return {
    proxy,
    port,
    decided,
    endings,
    log,
    limits,
    outcomes,
    interceptions,
    close: () => proxy.close(200),
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function parseTarget(method: string, target: string, host: string | undefined): Target | Refusal {
  const bad = { status: 400, error: 'http_request_error', details: 'malformed target' }
  if (method === 'CONNECT') {
    const [name = '', port = ''] = target.split(':')
    if (port === '') return bad
    return {
      kind: 'connect',
      destination: { host: name, port: Number(port), scheme: 'https' },
      authority: target,
      requestTarget: '',
    }
  }
  if (!URL.canParse(target)) return bad
  const url = new URL(target)
  if (host !== undefined && host !== url.host) return bad
  return {
    kind: 'absolute',
    destination: {
      host: url.hostname,
      port: Number(url.port) || 80,
      scheme: 'http',
      path: url.pathname,
    },
    authority: url.host,
    requestTarget: url.pathname + url.search,
  }
}

function refusalOf({ status, error, details }: Refusal, { method }: { method: string }): OwnAnswer {
  const body = Buffer.from(JSON.stringify({ error: { message: details } }))
  return {
    status,
    fields: [
      ['Proxy-Status', `cordon; error=${error}`],
      ['Content-Length', String(body.length)],
    ],
    body: method === 'HEAD' ? Buffer.alloc(0) : body,
  }
}
