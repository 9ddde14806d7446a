// Is a JSON body of some AI wire format, whatever its path? Two signs are asked for, because ordinary APIs
// have "messages", "prompt" and "model" too: 2 is said of what hardly anything else looks like, 1 of what
// a fitting path has to confirm.

import { member, memberString, type JsonNode } from './json.ts'
import { mcpMethods } from './mcp.ts'

export interface Shape {
  readonly format: string
  readonly score: 1 | 2
}

/** What the path and the headers add. */
export interface ShapeHints {
  /** In small letters. */
  readonly path: string
  readonly anthropicVersion: boolean
}

const ROLES = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function', 'model'])
/** Roles that people do not have among themselves. */
const MACHINE_ROLES = new Set(['system', 'developer', 'assistant', 'tool', 'function'])
const SAMPLING = new Set(
  `max_tokens max_completion_tokens max_output_tokens max_new_tokens max_tokens_to_sample temperature top_p
   top_k stream stream_options stop stop_sequences n_predict presence_penalty frequency_penalty
   repeat_penalty logit_bias logprobs best_of response_format reasoning_effort tools tool_choice functions
   parallel_tool_calls options keep_alive raw think generationConfig inferenceConfig seed
   num_predict extra_body`.split(/\s+/),
)
const OLLAMA_ONLY = ['options', 'keep_alive', 'raw', 'template', 'think']
const RESPONSES_ONLY = [
  'instructions',
  'max_output_tokens',
  'previous_response_id',
  'store',
  'reasoning',
  'include',
  'truncation',
  'conversation',
  'parallel_tool_calls',
  'prompt_cache_key',
]
const RESPONSES_ITEMS = new Set([
  'message',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
  'local_shell_call',
  'local_shell_call_output',
  'computer_call',
  'computer_call_output',
  'reasoning',
  'item_reference',
  'input_text',
  'input_image',
])
const ANTHROPIC_PARTS = new Set(['tool_use', 'tool_result', 'thinking', 'redacted_thinking'])
const GEMINI_PARTS = [
  'text',
  'inlineData',
  'inline_data',
  'fileData',
  'file_data',
  'functionCall',
  'function_call',
  'functionResponse',
  'function_response',
]
const CONVERSE_PARTS = [
  'text',
  'image',
  'document',
  'toolUse',
  'toolResult',
  'video',
  'guardContent',
]
/** Families of models that prompts go to: how model names begin, behind any `vendor/`. */
const MODEL_FAMILIES =
  `gpt- gpt4 gpt5 o1 o3 o4 chatgpt claude gemini gemma llama mistral mixtral codestral devstral ministral
   magistral qwen qwq deepseek phi phi3 phi4 command grok yi- glm kimi moonshot ernie hunyuan doubao nemotron
   granite falcon dall-e text-embedding text-davinci davinci sonar nova titan jamba solar olmo starcoder
   codellama vicuna nomic-embed mxbai bge- minimax step- gpt-oss tts- whisper flux sdxl stable-diffusion
   imagen veo sora palm bison`.split(/\s+/)

export function shapeOf(root: JsonNode, hints: ShapeHints): Shape | undefined {
  if (mcpMethods(root) !== undefined) return { format: 'mcp-2025', score: 2 }
  if (root.kind !== 'object') return undefined
  return (
    wrapped(root) ??
    gemini(root) ??
    messages(root, hints) ??
    responses(root, hints) ??
    prompt(root, hints) ??
    others(root)
  )
}

/** Does an object hold one of these keys? */
export function hasAny(node: JsonNode, keys: readonly string[]): boolean {
  return node.items.some(({ key }) => key !== undefined && keys.includes(key))
}

function samples(root: JsonNode): boolean {
  return root.items.some(({ key }) => key !== undefined && SAMPLING.has(key))
}

function objects(node: JsonNode | undefined): readonly JsonNode[] | undefined {
  if (node?.kind !== 'array' || node.items.length === 0) return undefined
  return node.items.every(({ kind }) => kind === 'object') ? node.items : undefined
}

function isModelName(name: string | undefined): boolean {
  if (name === undefined) return false
  const short = name.slice(name.lastIndexOf('/') + 1).toLowerCase()
  return MODEL_FAMILIES.some((family) => short.startsWith(family) || short.includes(`.${family}`))
}

function gemini(root: JsonNode): Shape | undefined {
  for (const holder of [root, member(root, 'request')]) {
    const contents = member(holder, 'contents')
    const turns = contents?.kind === 'object' ? [contents] : objects(contents)
    if (turns?.every(hasGeminiParts)) return { format: 'gemini', score: 2 }
  }
  return undefined
}

function hasGeminiParts(turn: JsonNode): boolean {
  const parts = member(turn, 'parts')
  if (parts?.kind === 'object') return hasAny(parts, GEMINI_PARTS)
  return objects(parts)?.every((part) => hasAny(part, GEMINI_PARTS)) ?? false
}

function messages(root: JsonNode, hints: ShapeHints): Shape | undefined {
  const turns = objects(member(root, 'messages'))
  if (turns === undefined) return undefined
  if (turns.every(isChatGptTurn)) return { format: 'chatgpt-web', score: 2 }
  const roles = turns.map((turn) => memberString(turn, 'role')?.toLowerCase() ?? '')
  if (!roles.every((role) => ROLES.has(role)) || !turns.every(hasContent)) return undefined
  const isNamed = memberString(root, 'model') !== undefined
  const isMachine = roles.some((role) => MACHINE_ROLES.has(role))
  const signs = [isNamed, isMachine, samples(root), turns.some(hasTypedParts)].filter(Boolean)
  return { format: chatFormat(root, turns, hints), score: isNamed || signs.length >= 2 ? 2 : 1 }
}

function isChatGptTurn(turn: JsonNode): boolean {
  const author = member(turn, 'author')
  return (
    memberString(author, 'role') !== undefined &&
    member(member(turn, 'content'), 'content_type') !== undefined
  )
}

function hasContent(turn: JsonNode): boolean {
  return hasAny(turn, ['content', 'parts', 'tool_calls', 'function_call'])
}

function hasTypedParts(turn: JsonNode): boolean {
  const parts = objects(member(turn, 'content')) ?? objects(member(turn, 'parts'))
  return parts?.every((part) => memberString(part, 'type') !== undefined) ?? false
}

function chatFormat(root: JsonNode, turns: readonly JsonNode[], hints: ShapeHints): string {
  const { path } = hints
  const parts = turns.flatMap((turn) => objects(member(turn, 'content')) ?? [])
  if (
    hasAny(root, ['inferenceConfig', 'toolConfig', 'additionalModelRequestFields']) ||
    (parts.length > 0 &&
      parts.every((part) => !hasAny(part, ['type']) && hasAny(part, CONVERSE_PARTS)))
  )
    return 'bedrock-converse'
  if (
    hints.anthropicVersion ||
    path.endsWith('/messages') ||
    hasAny(root, ['anthropic_version', 'stop_sequences', 'thinking']) ||
    parts.some((part) => ANTHROPIC_PARTS.has(memberString(part, 'type') ?? '')) ||
    (hasAny(root, ['system']) && hasAny(root, ['max_tokens']))
  )
    return 'anthropic'
  if (path.endsWith('/chat/completions')) return 'openai-chat'
  if (path.endsWith('/api/chat') && memberString(root, 'model') !== undefined) return 'ollama'
  if (hasAny(root, OLLAMA_ONLY)) return 'ollama'
  return path.endsWith('/v2/chat') ? 'cohere-v2' : 'openai-chat'
}

function responses(root: JsonNode, hints: ShapeHints): Shape | undefined {
  const input = member(root, 'input')
  if (input === undefined) return undefined
  const model = memberString(root, 'model')
  const items = objects(input)
  if (items?.every(isResponsesItem))
    return { format: 'openai-responses', score: model === undefined ? 1 : 2 }
  if (model === undefined || (input.kind !== 'string' && input.kind !== 'array')) return undefined
  if (hasAny(root, RESPONSES_ONLY) && input.kind === 'string')
    return { format: 'openai-responses', score: 2 }
  const format = hints.path.endsWith('/responses') ? 'openai-responses' : 'openai-other'
  const isEmbedding = hasAny(root, ['encoding_format', 'dimensions', 'input_type', 'voice'])
  return { format, score: isModelName(model) || isEmbedding ? 2 : 1 }
}

function isResponsesItem(item: JsonNode): boolean {
  const role = memberString(item, 'role')
  if (role !== undefined && ROLES.has(role) && hasAny(item, ['content'])) return true
  return RESPONSES_ITEMS.has(memberString(item, 'type') ?? '')
}

function prompt(root: JsonNode, hints: ShapeHints): Shape | undefined {
  const text = member(root, 'prompt')
  if (text?.kind !== 'string' && text?.kind !== 'array') return undefined
  if (hasAny(root, ['max_tokens_to_sample'])) return { format: 'anthropic-legacy', score: 2 }
  const model = memberString(root, 'model')
  const isOllama = hasAny(root, OLLAMA_ONLY) || hints.path.endsWith('/api/generate')
  const isImage = hasAny(root, ['size', 'quality', 'aspect_ratio', 'negative_prompt', 'width'])
  const format = isOllama ? 'ollama' : isImage ? 'openai-other' : 'openai-legacy-completions'
  const signs = [
    model !== undefined,
    isModelName(model),
    samples(root),
    isImage && hasAny(root, ['response_format', 'n', 'negative_prompt', 'steps']),
  ].filter(Boolean)
  if (signs.length === 0) return undefined
  return { format, score: signs.length >= 2 ? 2 : 1 }
}

/** Formats that wrap the prompt in something of their own. */
function wrapped(root: JsonNode): Shape | undefined {
  const state = member(root, 'conversationState')
  if (member(state, 'currentMessage') !== undefined) return { format: 'amazon-q', score: 2 }
  return undefined
}

function others(root: JsonNode): Shape | undefined {
  if (memberString(root, 'message') !== undefined && cohereTurns(root))
    return { format: 'cohere-v1', score: 2 }
  const inputs = member(root, 'inputs')
  const parameters = member(root, 'parameters')
  if (inputs?.kind === 'string' && parameters?.kind === 'object')
    return { format: 'huggingface-tgi', score: samples(parameters) ? 2 : 1 }
  const input = member(root, 'input')
  if (input?.kind === 'object' && member(input, 'prompt')?.kind === 'string') {
    const version = memberString(root, 'version')
    return { format: 'replicate', score: /^[0-9a-f]{64}$/.test(version ?? '') ? 2 : 1 }
  }
  return undefined
}

function cohereTurns(root: JsonNode): boolean {
  if (memberString(root, 'preamble') !== undefined) return true
  const turns = objects(member(root, 'chat_history'))
  return (
    turns?.every((turn) =>
      /^(?:USER|CHATBOT|SYSTEM|TOOL)$/i.test(memberString(turn, 'role') ?? ''),
    ) ?? false
  )
}
