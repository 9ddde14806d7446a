// Model Context Protocol: JSON-RPC 2.0 whose methods nothing else has. Editors, Ethereum nodes and other
// agents speak JSON-RPC too, so a method counts only where it is the protocol's own.

import { member, memberString, type JsonNode } from './json.ts'

const METHODS = new Set(
  `tools/call tools/list prompts/get prompts/list resources/read resources/list resources/templates/list
   resources/subscribe resources/unsubscribe sampling/createMessage completion/complete logging/setLevel
   elicitation/create roots/list server/discover subscriptions/listen notifications/initialized
   notifications/cancelled notifications/progress notifications/roots/list_changed
   notifications/tools/list_changed notifications/message`.split(/\s+/),
)
/** What carries somebody's words out. */
const SAYING = new Set([
  'tools/call',
  'prompts/get',
  'completion/complete',
  'sampling/createMessage',
  'elicitation/create',
])
const VERSION = /^20\d\d-\d\d-\d\d$/
const STATELESS_SINCE = '2026-07-28'

export interface McpCall {
  readonly method: string
  /** The tool, prompt or resource that is meant. */
  readonly name: string | undefined
}

/** The calls of a body, an answer of the client as method ''; undefined where it is no such protocol. */
export function mcpMethods(root: JsonNode): readonly McpCall[] | undefined {
  const messages = root.kind === 'array' ? root.items : [root]
  if (messages.length === 0) return undefined
  const calls = messages.map(callOf)
  const known = calls.filter((call) => call !== undefined)
  return known.length === calls.length && known.some(({ method }) => method !== '')
    ? known
    : undefined
}

function callOf(message: JsonNode): McpCall | undefined {
  if (memberString(message, 'jsonrpc') !== '2.0') return undefined
  const method = memberString(message, 'method')
  if (method === undefined) return { method: '', name: undefined }
  const params = member(message, 'params')
  const isOwn =
    method === 'initialize'
      ? VERSION.test(memberString(params, 'protocolVersion') ?? '')
      : METHODS.has(method)
  if (!isOwn) return undefined
  return { method, name: memberString(params, 'name') }
}

/** Does the body hold words, or what a tool, a model or a person answered? */
export function saysSomething(root: JsonNode): boolean {
  const messages = root.kind === 'array' ? root.items : [root]
  return messages.some((message) => {
    const method = memberString(message, 'method')
    if (method !== undefined) return SAYING.has(method)
    return (member(message, 'result')?.items.length ?? 0) > 0
  })
}

/** The revision that a request is of, by its headers and its body. */
export function mcpFormat(
  header: (name: string) => string | undefined,
  query: string | undefined,
  root: JsonNode | undefined,
): string {
  const said =
    header('mcp-protocol-version') ??
    memberString(
      member(member(root, 'params'), '_meta'),
      'io.modelcontextprotocol/protocolVersion',
    ) ??
    ''
  if (header('mcp-method') !== undefined || (VERSION.test(said) && said >= STATELESS_SINCE))
    return 'mcp-2026-07-28'
  // The endpoint of the oldest revision names the session in its query.
  if (
    said === '' &&
    header('mcp-session-id') === undefined &&
    /(?:^|&)session_?id=/i.test(query ?? '')
  )
    return 'mcp-http-sse-2024'
  return 'mcp-2025'
}

/** The headers of the stateless revision say what the body says, or the request is two things at once. */
export function headersAgree(
  header: (name: string) => string | undefined,
  calls: readonly McpCall[],
): boolean {
  const method = header('mcp-method')
  if (method === undefined) return true
  const [call] = calls
  return calls.length === 1 && call?.method === method
}
