// What the head of a request says of its format, before any body has come.

import { ruleOf, socketFormat, type PathRule, type WireKind } from './formats.ts'

export interface WireHead {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query?: string
  /** `protocol` of the known service; absent on hosts that nobody knows. */
  readonly protocol?: string
  header(lowerName: string): string | undefined
}

export interface Expected {
  /** An id of the wire formats. On a host that nobody knows a guess, until the body agrees. */
  readonly format: string | undefined
  readonly kind: WireKind
  /** The body may be of an AI wire format: worth reading on a host that nobody knows. */
  readonly mayBeAi: boolean
}

const NOTHING: Expected = { format: undefined, kind: 'other', mayBeAi: false }
/** Bodies that an AI format may have, by the first letters of their type behind the slash. */
const READABLE =
  /^(?:application\/(?:[a-z0-9.+-]*json|x-ndjson|x-amz-json-1\.[01]|connect\+proto|proto|grpc)|text\/plain)/
const FILE_TYPE =
  /^(?:image|audio|video)\/|^application\/(?:pdf|zip|gzip|octet-stream|msword|vnd\.)/

/** What the head alone says; asked of every request on the hot path. */
export function expectedOf(head: WireHead): Expected {
  const { method } = head
  if (method === 'GET') return head.header('upgrade') === undefined ? NOTHING : expectedSocket(head)
  if (method !== 'POST' && method !== 'PUT' && method !== 'PATCH') return NOTHING
  const type = head.header('content-type')?.toLowerCase()
  const rule = ruleFor(head)
  if (rule !== undefined) return { format: formatOf(rule, head), kind: rule.kind, mayBeAi: true }
  if (isMcp(head)) return { format: 'mcp-2025', kind: 'prompt', mayBeAi: true }
  if (isAmazonQ(head)) return { format: 'amazon-q', kind: 'prompt', mayBeAi: true }
  if (type === undefined) return { format: undefined, kind: 'other', mayBeAi: method === 'POST' }
  if (READABLE.test(type)) return { format: undefined, kind: 'other', mayBeAi: true }
  if (type.startsWith('multipart/form-data') || FILE_TYPE.test(type))
    return { format: undefined, kind: 'upload', mayBeAi: false }
  return NOTHING
}

function expectedSocket(head: WireHead): Expected {
  const format = socketFormat(trimmed(head.path))
  return { format, kind: 'other', mayBeAi: format !== undefined }
}

/** The rule of the table that the path falls under. */
export function ruleFor(head: WireHead): PathRule | undefined {
  return ruleOf(trimmed(head.path), head.protocol)
}

/** In small letters, without a slash at the end. */
export function trimmed(path: string): string {
  const lower = path.toLowerCase()
  return lower.endsWith('/') ? lower.slice(0, -1) : lower
}

/** Azure has the formats of OpenAI under paths of its own. */
export function formatOf(rule: PathRule, head: WireHead): string {
  if (!rule.format.startsWith('openai-')) return rule.format
  const path = trimmed(head.path)
  const isAzure =
    path.includes('/openai/deployments/') ||
    (head.protocol === 'azure-openai' && path.includes('/openai/'))
  return isAzure ? 'azure-openai' : rule.format
}

export function isMcp(head: WireHead): boolean {
  return (
    head.header('mcp-method') !== undefined ||
    head.header('mcp-session-id') !== undefined ||
    head.header('mcp-protocol-version') !== undefined
  )
}

export function isAmazonQ(head: WireHead): boolean {
  const target = head.header('x-amz-target')
  return (
    target !== undefined &&
    /\.(?:GenerateAssistantResponse|SendMessage|GenerateCompletions|GenerateRecommendations)$/.test(
      target,
    )
  )
}

/** The model that a path names. */
export function modelOfPath(head: WireHead): string | undefined {
  const segments = head.path.split('/')
  const after = (name: string): string | undefined => {
    const at = segments.indexOf(name)
    return at === -1 ? undefined : segments[at + 1]
  }
  const last = segments.at(-1) ?? ''
  const colon = last.lastIndexOf(':')
  if (colon > 0 && segments.at(-2) === 'models') return decoded(last.slice(0, colon))
  const models = segments.indexOf('models')
  if (models !== -1 && last === 'predictions')
    return decoded(segments.slice(models + 1, models + 3).join('/'))
  if (models !== -1) return decoded(segments.slice(models + 1).join('/'))
  return decoded(after('model') ?? after('deployments') ?? after('engines'))
}

const MODEL_MOST = 256

function decoded(segment: string | undefined): string | undefined {
  if (segment === undefined || segment === '' || segment.length > MODEL_MOST) return undefined
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
