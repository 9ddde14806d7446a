// What every door makes of what it saw: one AccessRequest, whatever the protocol.

import type { Span } from './finding.ts'
import type { ContentInput } from './input.ts'

export const SOURCES = [
  'proxy',
  'browser_plugin',
  'ide_plugin',
  'api_gateway',
  'icap',
  'cli',
] as const
/** What doors ask for; other snake_case words are legal. */
export const ACTIONS = [
  'access_ai_service',
  'access_site',
  'send_prompt',
  'upload_file',
  'download_file',
  'receive_response',
  'call_tool',
  'paste',
] as const
/** The enforcement point that a request came through. */
export type Source = (typeof SOURCES)[number]

/** Obligations that a door can perform by itself say so here; the others turn an ALLOW into a DENY. */
export type Capability = string

/**
 * Who is asking, as far as the door knows. Nothing set: an anonymous person.
 * `login` is looked up as name, then email, then external_id, without case.
 */
export interface Principal {
  readonly login?: string
  readonly user_id?: string
  readonly name?: string
  readonly email?: string
  readonly external_id?: string
  /** What a network mapping says of somebody whom the directory does not know. */
  readonly department?: string
}

/** Where a request goes. `path` is absent while it is hidden inside TLS; it never holds a query. */
export interface Destination {
  /** Canonical: lower case, punycode, no trailing dot; an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
  readonly scheme: 'http' | 'https'
  readonly path?: string
  /** The query without `?`. For matching only: never recorded, never an input of policies. */
  readonly query?: string
  readonly method?: string
  /** Lower-case header name to value, only those that signatures name are needed. */
  readonly headers?: ReadonlyMap<string, string>
  readonly user_agent?: string
  readonly model?: string
  /** Wire format that the request speaks; on a host that no signature matches it is the sign of suspected AI. */
  readonly format?: string
}

/** Content that a door hands over to be searched; it is classified in memory and forgotten. */
export interface OfferedContent {
  readonly text: string
  readonly media_type?: string
  readonly filename?: string
  /** What a door that has read the whole message knows beside its text. */
  readonly message?: MessageFacts
  /** What is in the text, where it was searched already. */
  readonly searched?: SearchedContent
}

export interface SearchedContent {
  readonly input: ContentInput
  /** Places of the findings, in code points of the text. */
  spans(): readonly Span[]
}

/** A message whose format was understood, or not, and how much of it was there to be read. */
export interface MessageFacts {
  readonly parsed: boolean
  readonly truncated: boolean
  /** Of the body as it was sent. */
  readonly bytes: number
  readonly stream?: boolean
  /** The most tokens that its answer may have, where it says so. */
  readonly max_tokens?: number
  readonly tools: readonly string[]
  readonly attachments: readonly object[]
}

export interface AccessRequest {
  /** One id from door to record: a UUIDv7. */
  readonly request_id: string
  readonly principal: Principal
  readonly action: string
  readonly destination: Destination
  readonly content?: OfferedContent
  readonly context: RequestContext
  /** It opens a WebSocket, whose messages are requests of their own. */
  readonly conversation?: true
}

/** What a door may say of the circumstances; time, network data and assets are added by `decide`. */
export interface RequestContext {
  readonly source: Source
  readonly ip_address?: string
  /** Label of the configured network that the client is in. */
  readonly network?: string
  readonly device?: Readonly<Record<string, unknown>>
  readonly user_agent?: string
  /** Fingerprint of the client's TLS hello. */
  readonly ja4?: string
  readonly location_type?: string
  readonly geo_location?: string
  readonly capabilities?: readonly Capability[]
}
