// The @anthropic-ai/sdk package as its README shows it.

import Anthropic from '@anthropic-ai/sdk'
import { doJobs } from './jobs.ts'

const client = new Anthropic()

await doJobs(async ({ stream, prompt }, told) => {
  const request = {
    model: 'a-model',
    max_tokens: 64,
    messages: [{ role: 'user' as const, content: prompt }],
  }
  let text = ''
  if (!stream) {
    const { content } = await client.messages.create(request)
    for (const block of content) if (block.type === 'text') text += block.text
    return { text }
  }
  for await (const event of await client.messages.create({ ...request, stream })) {
    told()
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
      text += event.delta.text
  }
  return { text }
})
