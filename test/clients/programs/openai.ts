// The openai package as its README shows it.

import OpenAI from 'openai'
import { doJobs } from './jobs.ts'

const client = new OpenAI()
const model = 'a-model'

await doJobs(async ({ name, stream, prompt }, told) => {
  if (name === 'embeddings') {
    const { data } = await client.embeddings.create({
      model,
      input: prompt,
      encoding_format: 'float',
    })
    return { text: `${data[0]?.embedding.length ?? 0} numbers` }
  }
  let text = ''
  if (name === 'responses') {
    if (!stream)
      return { text: (await client.responses.create({ model, input: prompt })).output_text }
    for await (const event of await client.responses.create({ model, input: prompt, stream })) {
      told()
      if (event.type === 'response.output_text.delta') text += event.delta
    }
    return { text }
  }
  const messages = [{ role: 'user' as const, content: prompt }]
  if (!stream) {
    const answer = await client.chat.completions.create({ model, messages })
    return { text: answer.choices[0]?.message.content ?? '' }
  }
  for await (const chunk of await client.chat.completions.create({ model, messages, stream })) {
    told()
    text += chunk.choices[0]?.delta.content ?? ''
  }
  return { text }
})
