// What is decided without a look inside TLS: plain HTTP, tunnels, and the decision endpoint.

import type { Clients } from './clients.ts'
import type { Step } from './rows.ts'
import { newSecret } from './secret.ts'

const HELLO = [{ role: 'user' as const, content: 'Say hello' }]
const GREETING = /^Hello from the stand-in$/

export function atTheDoor(clients: Clients): readonly Step[] {
  const ask = (text: string) => async (): Promise<string> => {
    const decided = await clients.post('/v1/decisions', {
      user: { email: 'maya@acme.example' },
      action: 'send_prompt',
      resource: { url: 'https://api.openai.com/v1/chat/completions', method: 'POST' },
      content: { text },
      context: { source: 'ide_plugin' },
    })
    return `${String(decided['decision'])}: ${String(decided['reason'])}`
  }
  return [
    {
      who: 'maya',
      client: 'openai',
      service: 'openai-api',
      decided: 'ALLOW (default)',
      visibility: 'content',
      expected: GREETING,
      run: async () => {
        const answer = await clients
          .openAi('maya', 'http')
          .chat.completions.create({ model: 'gpt-5', messages: HELLO })
        return answer.choices[0]?.message.content ?? ''
      },
    },
    {
      who: 'ben',
      client: 'openai',
      service: 'openai-api',
      decided: 'DENY (default)',
      visibility: 'content',
      expected: /^PermissionDeniedError: 403 .*prohibited.*\(decision [0-9a-f-]{36}\)/,
      run: async () => {
        await clients
          .openAi('ben', 'http')
          .chat.completions.create({ model: 'gpt-5', messages: HELLO })
        return 'an answer'
      },
    },
    {
      who: 'carla',
      client: '@anthropic-ai/sdk',
      service: 'anthropic-api',
      decided: 'REVIEW (default)',
      visibility: 'content',
      expected: /^PermissionDeniedError: 403 .*review/,
      run: async () => {
        await clients
          .claude('carla', 'http')
          .messages.create({ model: 'claude-opus', max_tokens: 20, messages: HELLO })
        return 'an answer'
      },
    },
    {
      who: 'omar',
      client: 'reviews API',
      service: 'anthropic-api',
      expected: /^approved carla$/,
      run: async () => {
        const { items } = (await clients.get('/v1/reviews?status=pending')) as {
          items: { review_id: string; service_id: string }[]
        }
        const review = items.find(({ service_id: service }) => service === 'anthropic-api')
        const answered = await clients.post(`/v1/reviews/${review?.review_id ?? ''}`, {
          decision: 'approve',
          comment: 'for the demo',
        })
        return `${String(answered['status'])} carla`
      },
    },
    {
      who: 'carla',
      client: '@anthropic-ai/sdk, streaming',
      service: 'anthropic-api',
      decided: 'ALLOW (default)',
      visibility: 'content',
      expected: GREETING,
      run: async () => {
        let text = ''
        const events = await clients.claude('carla', 'http').messages.create({
          model: 'claude-opus',
          max_tokens: 20,
          messages: HELLO,
          stream: true,
        })
        for await (const event of events)
          if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
            text += event.delta.text
        return text
      },
    },
    {
      who: 'nobody',
      client: 'curl, http',
      service: 'deepseek',
      decided: 'DENY (default)',
      visibility: 'content',
      expected: /^403 .*prohibited/,
      run: async () => {
        const out = await clients.curl(undefined, 'http://chat.deepseek.com/', [
          '-w',
          '%{http_code}',
        ])
        const body = out.slice(0, out.lastIndexOf('}') + 1)
        const { error } = JSON.parse(body) as { error: { message: string } }
        return `${out.slice(body.length)} ${error.message}`
      },
    },
    {
      who: 'nobody',
      client: 'curl, https (a tunnel)',
      service: 'deepseek',
      decided: 'DENY (default)',
      visibility: 'sni',
      expected: /CONNECT tunnel failed, response 403|HTTP code 403/,
      run: () => clients.curl(undefined, 'https://chat.deepseek.com/'),
    },
    {
      who: 'maya',
      client: 'decision endpoint',
      service: 'openai-api',
      decided: 'ALLOW (default)',
      expected: /^ALLOW/,
      run: ask('please explain this function'),
    },
    {
      who: 'maya',
      client: 'decision endpoint',
      service: 'openai-api',
      decided: 'DENY secrets-to-external',
      expected: /^DENY: .*secret/,
      run: ask(`why does this fail? GITHUB_TOKEN=${newSecret()}`),
    },
  ]
}
