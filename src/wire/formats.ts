// Which wire format a request has, as far as its head tells: a table of paths, compiled at load.
//
// Paths are compared from their end, because gateways put prefixes before them. `*` is any one segment.
// A path that is `sure` means this format wherever it is met; the others are words that other APIs use too,
// and on a host that nobody knows the body has to agree.

export type WireKind = 'prompt' | 'upload' | 'other'

export interface PathRule {
  readonly format: string
  readonly kind: WireKind
  readonly sure: boolean
  /** One of these keys stands at the top of a body of this format; empty: any body. */
  readonly needs: readonly string[]
  readonly segments: readonly string[]
}

const NEEDS: Readonly<Record<string, string>> = {
  'openai-chat': 'messages',
  'openai-responses': 'input prompt previous_response_id conversation items',
  'openai-legacy-completions': 'prompt suffix extra',
  'openai-other': 'input prompt query text texts documents messages content instructions image',
  anthropic: 'messages requests prompt',
  'anthropic-legacy': 'prompt',
  gemini: 'contents content requests request instances prompt generateContentRequest',
  'bedrock-converse': 'messages system input',
  'bedrock-invoke':
    'messages prompt inputText message text_prompts texts inputs taskType input_text schemaVersion',
  'cohere-v2': 'messages',
  'cohere-v1': 'message prompt texts query inputs text',
  ollama: 'messages prompt input model',
  'huggingface-tgi': 'inputs',
  replicate: 'input',
  'chatgpt-web': 'messages prompt partial_query input',
  'claude-web': 'prompt attachments',
  'perplexity-web': 'query_str params',
  'grok-web': 'message',
  'deepseek-web': 'prompt',
  'qwen-web': 'messages',
  'meta-ai-web': 'variables',
  'poe-web': 'variables',
  'kimi-web': 'message',
  'amazon-q': 'conversationState',
  'copilot-consumer': 'content',
}

// Format, kind, and paths; those after `?` are sure of nothing by themselves.
const TABLE = `
openai-chat prompt chat/completions
openai-responses prompt codex/responses ? responses responses/compact responses/input_tokens conversations conversations/*/items
openai-legacy-completions prompt engines/*/completions fim/completions ? completions
openai-other prompt v1/embeddings images/generations images/edits images/variations audio/speech v1/moderations threads/*/messages threads/runs threads/*/runs v1/assistants ? embeddings rerank v1/rerank v2/rerank v1/videos videos moderations image/generations video/generations
openai-other upload audio/transcriptions audio/translations ? v1/files v1/uploads uploads/*/parts
anthropic prompt messages/count_tokens messages/batches ? messages
anthropic upload ? v1/files
anthropic-legacy prompt ? v1/complete
bedrock-converse prompt model/*/converse model/*/converse-stream model/*/count-tokens
bedrock-invoke prompt model/*/invoke model/*/invoke-with-response-stream
cohere-v2 prompt ? v2/chat
cohere-v2 prompt ? v2/embed v2/rerank
cohere-v1 prompt ? v1/chat v1/generate v1/embed v1/rerank v1/summarize v1/classify actions/chat
ollama prompt ? api/chat api/generate api/embed api/embeddings
ollama other ? api/pull api/create
huggingface-tgi prompt generate_stream ? models/* models/*/* generate pipeline/feature-extraction
replicate prompt models/*/*/predictions deployments/*/*/predictions ? predictions
chatgpt-web prompt backend-api/f/conversation backend-api/conversation backend-anon/conversation backend-anon/f/conversation backend-api/f/conversation/prepare backend-api/conversation/*
chatgpt-web upload backend-api/files backend-anon/files backend-api/files/*/uploaded backend-api/files/process_upload_stream backend-api/transcribe
claude-web prompt chat_conversations/*/completion chat_conversations/*/retry_completion
claude-web upload organizations/*/convert_document organizations/*/upload conversations/*/wiggle/upload-file ? api/*/upload
copilot-consumer prompt c/api/start
copilot-consumer upload c/api/attachments
m365-copilot upload m365copilot/uploadfile
gemini-web prompt assistant.lamda.bardfrontendservice/streamgenerate bardfrontendservice/streamgenerate
perplexity-web prompt rest/sse/perplexity_ask
perplexity-web upload rest/uploads/create_upload_url rest/uploads/batch_create_upload_urls
grok-web prompt rest/app-chat/conversations/new rest/app-chat/conversations/*/responses
grok-web upload rest/app-chat/upload-file
deepseek-web prompt api/v0/chat/completion
deepseek-web upload api/v0/file/upload_file
qwen-web prompt api/v2/chat/completions
qwen-web upload api/v2/files/getststoken ? api/v1/files
meta-ai-web prompt ? api/graphql
poe-web prompt api/gql_post
poe-web upload api/gql_upload_post
kimi-web prompt kimi.gateway.chat.v1.chatservice/chat
kimi-web upload ? api/pre-sign-url
amazon-q prompt generateassistantresponse sendmessagestreaming
windsurf prompt exa.language_server_pb.languageserverservice/getchatmessage exa.language_server_pb.languageserverservice/* exa.api_server_pb.apiserverservice/*
cursor prompt aiserver.v1.chatservice/* aiserver.v1.aiservice/* aiserver.v1.cmdkservice/* aiserver.v1.bidiservice/bidiappend aiserver.v1.fastapplyservice/* agent.v1.agentservice/*
`

/** Methods of Google's APIs stand behind a colon. */
const METHODS = new Map<string, readonly [format: string, kind: WireKind]>([
  ['generatecontent', ['gemini', 'prompt']],
  ['streamgeneratecontent', ['gemini', 'prompt']],
  ['embedcontent', ['gemini', 'prompt']],
  ['batchembedcontents', ['gemini', 'prompt']],
  ['batchgeneratecontent', ['gemini', 'prompt']],
  ['counttokens', ['gemini', 'prompt']],
  ['generateanswer', ['gemini', 'prompt']],
  ['generatetext', ['gemini', 'prompt']],
  ['generatemessage', ['gemini', 'prompt']],
  ['predict', ['gemini', 'prompt']],
  ['predictlongrunning', ['gemini', 'prompt']],
  ['rawpredict', ['anthropic', 'prompt']],
  ['streamrawpredict', ['anthropic', 'prompt']],
])
/** `predict` is a word of other models too. */
const UNSURE_METHODS = new Set(['predict', 'predictlongrunning', 'rawpredict', 'streamrawpredict'])

/** Upgrades to WebSocket, by the end of the path. */
const SOCKETS: readonly (readonly [end: string, format: string])[] = [
  ['/v1/realtime', 'openai-realtime'],
  ['/openai/realtime', 'openai-realtime'],
  ['/realtime', 'openai-realtime'],
  ['/responses', 'openai-responses'],
  ['bidigeneratecontent', 'gemini-live'],
  ['/c/api/chat', 'copilot-consumer'],
]
const M365_SOCKET = '/m365copilot/chathub/'

const RULES = compile()

function compile(): ReadonlyMap<string, readonly PathRule[]> {
  const rules = new Map<string, PathRule[]>()
  for (const line of TABLE.trim().split('\n')) {
    const [format = '', kind, ...paths] = line.split(' ')
    const unsure = paths.indexOf('?')
    for (const [index, path] of paths.entries()) {
      if (path === '?') continue
      const segments = path.split('/')
      const rule: PathRule = {
        format,
        kind: kind === 'prompt' || kind === 'upload' ? kind : 'other',
        sure: unsure === -1 || index < unsure,
        needs: kind === 'prompt' ? needsOf(format) : [],
        segments,
      }
      const last = segments.at(-1) ?? ''
      rules.set(last, [...(rules.get(last) ?? []), rule])
    }
  }
  // The longest path is the most specific one.
  for (const [last, found] of rules)
    rules.set(
      last,
      found.toSorted((a, b) => b.segments.length - a.segments.length),
    )
  return rules
}

function needsOf(format: string): readonly string[] {
  return NEEDS[format]?.split(' ') ?? []
}

/** All formats that a path, a header or a message can stand for. */
export const PATH_FORMATS: ReadonlySet<string> = new Set([
  ...[...RULES.values()].flat().map(({ format }) => format),
  ...[...METHODS.values()].map(([format]) => format),
  ...SOCKETS.map(([, format]) => format),
  'm365-copilot',
])

/** The rule of a path, in small letters and without a slash at its end. */
export function ruleOf(path: string, prefers: string | undefined): PathRule | undefined {
  const slash = path.lastIndexOf('/')
  const last = path.slice(slash + 1)
  const colon = last.lastIndexOf(':')
  if (colon !== -1) {
    const method = last.slice(colon + 1)
    const found = METHODS.get(method)
    if (found !== undefined) {
      const [format, kind] = found
      const sure = !UNSURE_METHODS.has(method)
      return { format, kind, sure, needs: needsOf(format), segments: [] }
    }
  }
  const exact = RULES.get(last)
  const open = RULES.get('*')
  if (exact === undefined && open === undefined) return undefined
  const segments = path.split('/')
  return best(exact, segments, prefers) ?? best(open, segments, prefers)
}

function best(
  rules: readonly PathRule[] | undefined,
  segments: readonly string[],
  prefers: string | undefined,
): PathRule | undefined {
  const found = rules?.filter((rule) => endsWith(segments, rule.segments))
  // One path of several formats: the one that the service is known for.
  return (
    found?.find(({ format }) => prefers !== undefined && format.startsWith(prefers)) ?? found?.[0]
  )
}

function endsWith(path: readonly string[], end: readonly string[]): boolean {
  const moved = path.length - end.length
  if (moved < 0) return false
  for (let index = end.length - 1; index >= 0; index--) {
    const wanted = end[index]
    const is = path[moved + index]
    if (wanted !== is && (wanted !== '*' || is === '')) return false
  }
  return true
}

/** The format of the messages of a WebSocket, by the path of its upgrade in small letters. */
export function socketFormat(path: string): string | undefined {
  if (path.includes(M365_SOCKET)) return 'm365-copilot'
  return SOCKETS.find(([end]) => path.endsWith(end))?.[1]
}
