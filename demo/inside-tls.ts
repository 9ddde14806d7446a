// What is decided inside TLS: every client of this part speaks HTTPS and trusts Cordon's root alone.

import { setTimeout as pause } from 'node:timers/promises'
import type { Clients } from './clients.ts'
import type { Step } from './rows.ts'
import { newSecret } from './secret.ts'
import type { StandIns } from './stand-ins.ts'

const HELLO = [{ role: 'user' as const, content: 'Say hello' }]
const GREETING = /^Hello from the stand-in$/
const UNKNOWN_HOST = 'chat.startup.example'
const PINNED_HOST = 'desktop.chatgpt.com'

export interface Inside {
  readonly clients: Clients
  readonly standIns: StandIns
  /** Files: what clients trust, and what the stand-ins are certified by. */
  readonly caFile: string
  readonly standInsFile: string
}

export function insideTls(inside: Inside): readonly Step[] {
  return [...answers(inside), ...refusals(inside), ...outsiders(inside)]
}

function answers({ clients, standIns, caFile }: Inside): readonly Step[] {
  const openAi = { service: 'openai-api', visibility: 'content', decided: 'ALLOW (default)' }
  return [
    {
      ...openAi,
      who: 'maya',
      client: 'openai',
      expected: GREETING,
      run: async () => {
        const answer = await clients
          .openAi('maya', 'https')
          .chat.completions.create({ model: 'gpt-5', messages: HELLO })
        return answer.choices[0]?.message.content ?? ''
      },
    },
    {
      ...openAi,
      who: 'maya',
      client: 'openai, streaming',
      expected: GREETING,
      run: async () => {
        let text = ''
        const chunks = await clients
          .openAi('maya', 'https')
          .chat.completions.create({ model: 'gpt-5', messages: HELLO, stream: true })
        for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? ''
        return text
      },
    },
    {
      ...openAi,
      who: 'maya',
      client: 'curl, HTTP/2',
      expected: /^200 over HTTP\/2, at the origin HTTP\/2\.0$/,
      run: async () => {
        const out = await clients.curl('maya', 'https://api.openai.com/v1/models', [
          ...quiet(caFile),
          '--http2',
          '-w',
          '%{http_code} over HTTP/%{http_version}',
        ])
        return `${out}, at the origin ${standIns.reached.at(-1)?.protocol ?? 'nothing'}`
      },
    },
    {
      ...openAi,
      who: 'maya',
      client: 'openai, an e-mail address',
      expected: /^the origin received: Write to \[REDACTED:email\] about the invoice$/,
      run: async () => {
        const content = 'Write to jane.doe@customer.example about the invoice'
        const messages = [{ role: 'user' as const, content }]
        await clients.openAi('maya', 'https').chat.completions.create({ model: 'gpt-5', messages })
        const { body = '{}' } = standIns.reached.at(-1) ?? {}
        const received = JSON.parse(body) as { messages?: { content: string }[] }
        return `the origin received: ${received.messages?.[0]?.content ?? 'nothing'}`
      },
    },
  ]
}

function refusals({ clients, standIns }: Inside): readonly Step[] {
  /** Tells the error that an SDK throws, and whether anything reached the origin. */
  const refused = async (run: () => PromiseLike<unknown>): Promise<string> => {
    const before = standIns.reached.length
    let error: unknown
    try {
      await run()
    } catch (thrown) {
      error = thrown
    }
    const told = error instanceof Error ? `${error.constructor.name}: ${error.message}` : 'no error'
    const reached = standIns.reached.length - before
    return `${told}; ${reached === 0 ? 'nothing' : reached} reached the origin`
  }
  const withSecret = `why does this fail? GITHUB_TOKEN=${newSecret()}`
  return [
    {
      who: 'maya',
      client: 'openai, a secret',
      service: 'openai-api',
      decided: 'DENY secrets-to-external',
      visibility: 'content',
      expected:
        /^PermissionDeniedError: 403 the text holds a secret.* \(decision [0-9a-f-]{36}\); nothing reached/,
      run: () =>
        refused(() =>
          clients.openAi('maya', 'https').chat.completions.create({
            model: 'gpt-5',
            messages: [{ role: 'user', content: withSecret }],
            stream: true,
          }),
        ),
    },
    {
      who: 'ben',
      client: '@anthropic-ai/sdk',
      service: 'anthropic-api',
      decided: 'DENY (default)',
      visibility: 'content',
      expected:
        /^PermissionDeniedError: 403 \{"type":"error","error":\{"type":"permission_error","message":".*prohibited.*\(decision [0-9a-f-]{36}\)"\}\}; nothing reached/,
      run: () =>
        refused(() =>
          clients
            .claude('ben', 'https')
            .messages.create({ model: 'claude-opus', max_tokens: 20, messages: HELLO }),
        ),
    },
    {
      who: 'maya',
      client: 'ws, two messages',
      service: 'openai-api',
      decided: 'DENY secrets-to-external',
      // The upgrade, the message that passed and the one that did not.
      records: 3,
      visibility: 'content',
      expected:
        /^Hello from the stand-in; closed with 1008 .*secret.*decision [0-9a-f-]{36}; 1 reached/,
      run: async () => {
        const before = standIns.reached.length
        const message = (text: string): string =>
          JSON.stringify({
            type: 'response.create',
            model: 'gpt-5',
            input: [{ role: 'user', content: [{ type: 'input_text', text }] }],
          })
        const said = await clients.converse('maya', 'wss://api.openai.com/v1/responses', [
          message('Say hello'),
          message(withSecret),
        ])
        return `${said.join('; ')}; ${standIns.reached.length - before} reached the origin`
      },
    },
  ]
}

function outsiders({ clients, caFile, standInsFile }: Inside): readonly Step[] {
  return [
    {
      who: 'maya',
      client: 'curl, a pinned host',
      service: 'chatgpt',
      decided: 'ALLOW (default)',
      visibility: 'sni',
      expected: /^200, certified by O ?= ?Stand-ins/,
      run: async () => {
        const out = await clients.curl('maya', `https://${PINNED_HOST}/`, [
          ...quiet(standInsFile),
          '-w',
          '%{http_code} %{certs}',
        ])
        return `${out.slice(0, 3)}, certified by ${/^Issuer:(.*)$/m.exec(out)?.[1] ?? out}`
      },
    },
    {
      who: 'maya',
      client: 'curl, an unknown host',
      service: UNKNOWN_HOST,
      decided: 'ALLOW (default)',
      visibility: 'content',
      expected: /^200$/,
      run: () =>
        clients.curl('maya', `https://${UNKNOWN_HOST}/v1/chat/completions`, [
          ...quiet(caFile),
          '-w',
          '%{http_code}',
          '-H',
          'content-type: application/json',
          '-d',
          JSON.stringify({ model: 'their-own-1', messages: HELLO }),
        ]),
    },
    {
      who: 'omar',
      client: 'shadow AI API',
      service: UNKNOWN_HOST,
      expected: /^chat\.startup\.example speaks openai-chat, 1 person/,
      run: async () => {
        // Records are in the store a moment after the answer.
        for (let attempt = 0; attempt < 20; attempt++) {
          const { items } = (await clients.get('/v1/shadow-ai')) as {
            items: { host: string; formats: string[]; people: number }[]
          }
          const [found] = items
          if (found !== undefined && found.formats.length > 0)
            return `${found.host} speaks ${found.formats.join()}, ${found.people} person`
          await pause(250)
        }
        return 'nothing'
      },
    },
  ]
}

/** Trusts that file alone, and keeps the body to itself. */
function quiet(caFile: string): readonly string[] {
  return ['--cacert', caFile, '-o', '/dev/null']
}
