// What a client is asked to do. SDKs make the request of it themselves; plain HTTP clients get address and body.

/** `long` is a chat of more than a megabyte: curl asks before it sends that, others send while an answer may come. */
export type JobName =
  | 'chat'
  | 'long'
  | 'responses'
  | 'embeddings'
  | 'messages'
  | 'generate'
  | 'conversation'
  | 'realtime'
  | 'page'

export interface Job {
  readonly name: JobName
  readonly stream: boolean
}

const MODEL = 'a-model'
const LONG = 'Tell the truth, in short words, and nothing else. '.repeat(30_000)

const URLS: Readonly<Record<JobName, string>> = {
  chat: 'https://api.openai.com/v1/chat/completions',
  long: 'https://api.openai.com/v1/chat/completions',
  responses: 'https://api.openai.com/v1/responses',
  embeddings: 'https://api.openai.com/v1/embeddings',
  messages: 'https://api.anthropic.com/v1/messages',
  generate: `https://generativelanguage.googleapis.com/v1beta/models/${MODEL}:generateContent`,
  conversation: 'https://chatgpt.com/backend-api/f/conversation',
  realtime: `wss://api.openai.com/v1/realtime?model=${MODEL}`,
  page: 'https://chatgpt.com/',
}

export const HOSTS = [...new Set(Object.values(URLS).map((url) => new URL(url).hostname))]

export function urlOf(job: Job): string {
  return URLS[job.name]
}

/** The body that a program without an SDK sends; empty where there is none. */
export function bodyOf(job: Job, prompt: string): string {
  const { name, stream } = job
  if (name === 'page') return ''
  if (name === 'realtime') {
    const content = [{ type: 'input_text', text: prompt }]
    const item = { type: 'message', role: 'user', content }
    return JSON.stringify({ type: 'conversation.item.create', item })
  }
  if (name === 'conversation') {
    const message = { author: { role: 'user' }, content: { content_type: 'text', parts: [prompt] } }
    return JSON.stringify({ action: 'next', model: MODEL, messages: [message], stream })
  }
  const before = name === 'long' ? [{ role: 'system', content: LONG }] : []
  const messages = [...before, { role: 'user', content: prompt }]
  return JSON.stringify({ model: MODEL, messages, ...(stream ? { stream } : {}) })
}

/** The text of an answer that came to a program without an SDK. */
export function textOf(body: string): string {
  if (!body.startsWith('data:')) return textOfObject(body)
  return body
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => textOfObject(line.slice('data: '.length)))
    .join('')
}

function textOfObject(json: string): string {
  try {
    const { v, choices } = JSON.parse(json) as {
      readonly v?: string
      readonly choices?: readonly {
        readonly message?: { readonly content?: string }
        readonly delta?: { readonly content?: string }
      }[]
    }
    const [choice] = choices ?? []
    return v ?? choice?.message?.content ?? choice?.delta?.content ?? ''
  } catch {
    return json
  }
}

/** What an error answer says, in whichever of the dialects. */
export function messageOf(body: string): string {
  try {
    const { error } = JSON.parse(body) as { readonly error?: { readonly message?: string } }
    return error?.message ?? body
  } catch {
    return body
  }
}
