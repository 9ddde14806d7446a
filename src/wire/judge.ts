// Format, action, model, stream flag and tools of a request, from its head and the JSON it carries.

import type { PathRule } from './formats.ts'
import {
  expectedOf,
  formatOf,
  modelOfPath,
  ruleFor,
  trimmed,
  type WireHead,
  isMcp,
  isAmazonQ,
} from './head.ts'
import { member, memberString, type JsonNode } from './json.ts'
import { headersAgree, mcpFormat, mcpMethods, saysSomething } from './mcp.ts'
import type { Judgement, WireAction } from './reading.ts'
import { hasAny, shapeOf, type Shape } from './shape.ts'

const UNKNOWN: Judgement = {
  format: undefined,
  parsed: false,
  action: 'access_ai_service',
  tools: [],
}
const MAX_TOOLS = 256
const NAME_MOST = 128
const MODEL_MOST = 256
/** Web chats and formats that always stream. */
const STREAMING = new Set(
  `chatgpt-web claude-web gemini-web perplexity-web grok-web deepseek-web kimi-web cursor windsurf amazon-q
   copilot-consumer m365-copilot openai-realtime gemini-live`.split(/\s+/),
)

/** What the head alone says, where the body is none that could say more. */
export function judgeHead(head: WireHead): Judgement {
  const rule = ruleFor(head)
  const { format, kind } = expectedOf(head)
  const isKnown = head.protocol !== undefined
  const action: WireAction =
    kind === 'upload' ? 'upload_file' : kind === 'prompt' ? 'send_prompt' : 'access_ai_service'
  return {
    ...UNKNOWN,
    format: isKnown || (rule?.sure ?? true) ? format : undefined,
    parsed: format !== undefined && (head.method === 'GET' || head.method === 'HEAD'),
    action,
    ...modelAndStream(head, format, []),
  }
}

export function judge(head: WireHead, roots: readonly JsonNode[]): Judgement {
  const [root] = roots
  if (root === undefined) return judgeHead(head)
  const calls = mcpMethods(root)
  if (calls !== undefined || (isMcp(head) && memberString(root, 'jsonrpc') === '2.0'))
    return {
      ...UNKNOWN,
      format: mcpFormat((name) => head.header(name), head.query, root),
      parsed:
        calls === undefined
          ? saysOnlyAnswer(root)
          : headersAgree((name) => head.header(name), calls),
      action: saysSomething(root) ? 'send_prompt' : 'access_ai_service',
      tools: named(
        calls?.filter(({ method }) => method === 'tools/call').map(({ name }) => name) ?? [],
      ),
    }
  const rule = ruleFor(head) ?? (isAmazonQ(head) ? AMAZON_Q : undefined)
  const shape = shapeOf(root, {
    path: trimmed(head.path),
    anthropicVersion: head.header('anthropic-version') !== undefined,
  })
  const format = formatFor(head, root, rule, shape)
  if (format === undefined) {
    if (head.protocol === undefined || rule === undefined) return UNKNOWN
    // The path of a known service, and a body that is not what is known of it.
    return { ...judgeHead(head), format: formatOf(rule, head), parsed: false }
  }
  const isUpload = rule?.kind === 'upload' && shape?.score !== 2
  return {
    ...UNKNOWN,
    format,
    parsed: true,
    action: isUpload ? 'upload_file' : rule?.kind === 'other' ? 'access_ai_service' : 'send_prompt',
    ...modelAndStream(head, format, roots),
    tools: toolsOf(root),
  }
}

/** What is said of one message of a WebSocket. */
export function judgeMessage(
  head: WireHead,
  format: string | undefined,
  says: boolean,
  roots: readonly JsonNode[],
): Judgement {
  const tools = roots.flatMap((root) => toolsOf(root))
  return {
    ...UNKNOWN,
    format,
    parsed: format !== undefined,
    action: says && format !== undefined ? 'send_prompt' : 'access_ai_service',
    ...modelAndStream(head, format, roots),
    tools: named(tools),
  }
}

const AMAZON_Q: PathRule = {
  format: 'amazon-q',
  kind: 'prompt',
  sure: true,
  needs: ['conversationState', 'fileContext', 'message'],
  segments: [],
}

function saysOnlyAnswer(root: JsonNode): boolean {
  return hasAny(root, ['result', 'error']) || memberString(root, 'method') === 'ping'
}

/** A fitting path, and a body that does not contradict it; or a body that says it by itself. */
function formatFor(
  head: WireHead,
  root: JsonNode,
  rule: PathRule | undefined,
  shape: Shape | undefined,
): string | undefined {
  if (rule !== undefined) {
    const fits = rule.needs.length === 0 || hasAny(root, rule.needs)
    const isSure = head.protocol !== undefined || rule.sure || isAkin(rule.format, shape)
    if (fits && isSure && (rule.kind !== 'upload' || head.protocol !== undefined || rule.sure))
      return agreed(head, rule, shape)
  }
  return shape?.score === 2 ? shape.format : undefined
}

/** Half a sign counts where it points where the path does; a whole one everywhere. */
function isAkin(format: string, shape: Shape | undefined): boolean {
  if (shape === undefined) return false
  return shape.score === 2 || shape.format === format
}

/** Where one path carries two formats, the body tells which. */
function agreed(head: WireHead, rule: PathRule, shape: Shape | undefined): string {
  const isOllama = rule.format === 'ollama' && shape?.format === 'chatgpt-web'
  return isOllama ? 'chatgpt-web' : formatOf(rule, head)
}

function modelAndStream(
  head: WireHead,
  format: string | undefined,
  roots: readonly JsonNode[],
): { model?: string; stream?: boolean; max_tokens?: number } {
  const [root] = roots
  const model =
    modelOfBody(root) ??
    (format === undefined ? undefined : (modelOfPath(head) ?? modelOfQuery(head.query)))
  const stream = streamOf(head, format, root)
  const most = format === undefined ? undefined : maxTokensOf(root)
  return {
    ...(model !== undefined && model !== '' && { model: model.slice(0, MODEL_MOST) }),
    ...(stream !== undefined && { stream }),
    ...(most !== undefined && { max_tokens: most }),
  }
}

const MAX_TOKENS_PATHS: readonly (readonly string[])[] = [
  ['max_tokens'],
  ['max_completion_tokens'],
  ['max_output_tokens'],
  ['max_tokens_to_sample'],
  ['max_gen_len'],
  ['maxTokens'],
  ['generationConfig', 'maxOutputTokens'],
  ['generation_config', 'max_output_tokens'],
  ['inferenceConfig', 'maxTokens'],
  ['textGenerationConfig', 'maxTokenCount'],
  ['options', 'num_predict'],
  ['parameters', 'max_new_tokens'],
  ['input', 'max_tokens'],
  ['response', 'max_output_tokens'],
]
/** Beyond what any model writes. */
const MAX_TOKENS_MOST = 1e9

/** The greatest that is named; -1 and the like mean none. */
function maxTokensOf(root: JsonNode | undefined): number | undefined {
  let most: number | undefined
  for (const path of MAX_TOKENS_PATHS) {
    let node = root
    for (const key of path) node = member(node, key)
    if (node?.kind !== 'number' || !/^\d{1,10}$/.test(node.value)) continue
    most = Math.max(most ?? 0, Math.min(Number(node.value), MAX_TOKENS_MOST))
  }
  return most
}

/** Realtime sessions name theirs in the query. */
function modelOfQuery(query: string | undefined): string | undefined {
  return new URLSearchParams(query ?? '').get('model') ?? undefined
}

const MODEL_PATHS: readonly (readonly string[])[] = [
  ['model'],
  ['modelName'],
  ['modelId'],
  ['modeId'],
  ['session', 'model'],
  ['response', 'model'],
  ['setup', 'model'],
  ['params', 'model_preference'],
  ['params', 'model'],
  ['conversationState', 'currentMessage', 'userInputMessage', 'modelId'],
  ['variables', 'bot'],
  ['version'],
  ['scenario'],
]

function modelOfBody(root: JsonNode | undefined): string | undefined {
  for (const path of MODEL_PATHS) {
    let node = root
    for (const key of path) node = member(node, key)
    if (node?.kind === 'string') return node.value
  }
  return undefined
}

function streamOf(
  head: WireHead,
  format: string | undefined,
  root: JsonNode | undefined,
): boolean | undefined {
  if (format === undefined) return undefined
  if (STREAMING.has(format)) return true
  const last = head.path.slice(head.path.lastIndexOf('/') + 1).toLowerCase()
  if (/stream/.test(last)) return true
  const flag = member(root, 'stream')
  if (flag?.kind === 'literal') return flag.value === 'true'
  if (format === 'gemini' || format.startsWith('bedrock')) return false
  // Ollama streams unless it is told not to.
  if (format === 'ollama') return /\/(?:chat|generate)$/.test(trimmed(head.path))
  return root === undefined || format.startsWith('mcp') ? undefined : false
}

/** Names under `tools`, `functionDeclarations`, `toolConfig` and `mcp_servers`. */
function toolsOf(root: JsonNode): readonly string[] {
  const names: (string | undefined)[] = []
  for (const holder of [
    root,
    member(root, 'request'),
    member(root, 'session'),
    member(root, 'response'),
    member(root, 'setup'),
  ]) {
    for (const tool of listOf(holder, 'tools')) addTool(tool, names)
    for (const tool of listOf(holder, 'functions')) addTool(tool, names)
    for (const tool of listOf(holder, 'mcp_servers')) addTool(tool, names)
    for (const tool of listOf(member(holder, 'toolConfig'), 'tools')) addTool(tool, names)
  }
  const message = member(
    member(member(root, 'conversationState'), 'currentMessage'),
    'userInputMessage',
  )
  for (const tool of listOf(member(message, 'userInputMessageContext'), 'tools'))
    addTool(tool, names)
  return named(names)
}

function listOf(holder: JsonNode | undefined, key: string): readonly JsonNode[] {
  const list = member(holder, key)
  return list?.kind === 'array' ? list.items : []
}

function addTool(tool: JsonNode, names: (string | undefined)[]): void {
  const inner =
    member(tool, 'function') ??
    member(tool, 'toolSpec') ??
    member(tool, 'toolSpecification') ??
    tool
  const declarations = member(tool, 'functionDeclarations') ?? member(tool, 'function_declarations')
  if (declarations?.kind === 'array') {
    for (const one of declarations.items) names.push(memberString(one, 'name'))
    return
  }
  const name =
    memberString(inner, 'name') ?? memberString(tool, 'server_label') ?? memberString(tool, 'type')
  // Gemini's own tools are keys: `{"googleSearch": {}}`.
  names.push(name ?? (tool.items.length === 1 ? tool.items[0]?.key : undefined))
}

function named(names: readonly (string | undefined)[]): readonly string[] {
  const known = names.filter((name) => name !== undefined && name !== '')
  return [...new Set(known.map((name) => (name ?? '').slice(0, NAME_MOST)))].slice(0, MAX_TOOLS)
}
