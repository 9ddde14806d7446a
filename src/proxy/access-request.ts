// What the proxy asks of the corridor: what the head says, and then what the body says.

import type { RequestHead } from '../http1/message.ts'
import { fieldValue } from '../http1/message.ts'
import type { AccessRequest, RequestContext } from '../model/request.ts'
import { FieldMap } from './field-map.ts'
import type { Inspection } from './inspector.ts'
import type { Caller, Inside, Target } from './ports.ts'

export function accessRequest(
  id: string,
  { fields, method }: RequestHead,
  { destination }: Target,
  caller: Caller & { readonly ok: true },
  inside: Inside | undefined,
): AccessRequest {
  const userAgent = fieldValue(fields, 'user-agent')
  const context: { -readonly [K in keyof RequestContext]: RequestContext[K] } = { source: 'proxy' }
  if (caller.address !== undefined) context.ip_address = caller.address
  if (caller.network !== undefined) context.network = caller.network
  if (inside?.tls !== undefined) context.ja4 = inside.tls.ja4
  if (userAgent !== undefined) context.user_agent = userAgent
  return {
    request_id: id,
    principal: caller.principal,
    action: 'access_ai_service',
    destination: {
      ...destination,
      method,
      headers: new FieldMap(fields),
      ...(userAgent === undefined ? {} : { user_agent: userAgent }),
    },
    context,
  }
}

/** The request once as much of its body was read as will be. `bytes`: as long as the body says it is. */
export function seenRequest(
  request: AccessRequest,
  inspection: Inspection,
  bytes: number,
): AccessRequest {
  const content = inspection.content(bytes)
  const { format, model, action, canRedact } = inspection
  return {
    ...request,
    action,
    destination: {
      ...request.destination,
      ...(format === undefined ? {} : { format }),
      ...(model === undefined ? {} : { model }),
    },
    ...(content === undefined ? {} : { content }),
    ...(inspection.foretold.readsMessages ? { conversation: true } : {}),
    context: { ...request.context, capabilities: canRedact ? SEEN_AND_REDACTABLE : SEEN },
  }
}

const SEEN = ['inspect', 'cut_stream'] as const
const SEEN_AND_REDACTABLE = ['inspect', 'cut_stream', 'redact'] as const
