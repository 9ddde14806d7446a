// What leaves for the origin in place of what was received.

import { type FieldList, type RequestHead, withoutFields } from '../http1/message.ts'
import type { Span } from '../model/finding.ts'
import { isWebSocketUpgrade, upgradeFault, withoutExtensions } from '../websocket/upgrade.ts'
import type { Inspection } from './inspector.ts'
import type { Way } from './origins.ts'
import type { Inside, ParentProxy, Refusal, Target } from './ports.ts'
import { BAD_UPGRADE } from './refusals.ts'
import type { HeldBody } from './relay.ts'

export const NO_FIELDS: FieldList = []
const MAX_WARNING = 1000

/** `streams`: the client speaks HTTP/2, so the origin may. */
export function wayTo(
  { destination, authority, kind }: Target,
  inside: Inside | undefined,
  parent: ParentProxy | undefined,
  streams: boolean,
): Way {
  if (inside?.tls !== undefined)
    return {
      destination: inside.destination,
      authority: inside.authority,
      parent: inside.tls.via,
      tunnelled: true,
      protocols: streams ? ['h2', 'http/1.1'] : ['http/1.1'],
    }
  return {
    destination,
    authority,
    parent: parent?.covers(destination) === true ? parent : undefined,
    tunnelled: kind === 'connect',
    protocols: undefined,
  }
}

/** What will be read must not be compressed; on an opened host no protocol is changed to that is not read. */
export function readableUpgrade(
  head: RequestHead,
  readsMessages: boolean,
  inside: Inside | undefined,
): RequestHead | Refusal {
  if (head.upgrade === undefined) return head
  if (readsMessages)
    return upgradeFault(head) === undefined
      ? { ...head, fields: withoutExtensions(head.fields) }
      : BAD_UPGRADE
  return inside?.tls !== undefined && !isWebSocketUpgrade(head)
    ? { ...head, upgrade: undefined }
    : head
}

export interface BodyToSend {
  readonly head: RequestHead
  readonly held?: HeldBody
}

/** The body as it came, or with what had to go replaced; undefined where that cannot be done. */
export function bodyToSend(
  received: RequestHead,
  inspection: Inspection | undefined,
  trailers: FieldList | undefined,
  redactions: readonly Span[],
): BodyToSend | undefined | Promise<BodyToSend | undefined> {
  if (inspection === undefined || !inspection.foretold.holds) return { head: received }
  // We have answered the expectation ourselves.
  const head = received.expectContinue ? { ...received, expectContinue: false } : received
  const release = (): void => inspection.release()
  if (redactions.length === 0) return { head, held: { parts: inspection.parts, trailers, release } }
  const body = inspection.redacted(redactions)
  return body instanceof Promise
    ? body.then((found) => changed(head, found, release))
    : changed(head, body, release)
}

function changed(
  head: RequestHead,
  body: Buffer | undefined,
  release: () => void,
): BodyToSend | undefined {
  if (body === undefined) return undefined
  return {
    head: {
      ...head,
      chunked: false,
      contentLength: body.length,
      fields: withoutFields(head.fields, DESCRIBE_BODY),
    },
    held: { parts: [body], trailers: NO_FIELDS, release },
  }
}

/** One field that any client can read, or nothing. */
export function warningField(warnings: readonly string[]): FieldList {
  if (warnings.length === 0) return NO_FIELDS
  const text = warnings.join('; ').replace(/[^\x20-\x7e]+/g, '?')
  return ['X-Cordon-Warning', 'x-cordon-warning', text.slice(0, MAX_WARNING)]
}

/** Fields that describe a body byte by byte: of a changed one they would be wrong. */
const DESCRIBE_BODY: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
])
