// Node's own fetch, or undici's with the dispatcher that reads the environment.

import { EnvHttpProxyAgent, fetch as undiciFetch, setGlobalDispatcher } from 'undici'
import { doJobs } from './jobs.ts'

const own = process.argv[2] === 'undici'
if (own) setGlobalDispatcher(new EnvHttpProxyAgent())

await doJobs(async ({ url, body }, told) => {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
  const answer = own ? await undiciFetch(url, request) : await fetch(url, request)
  let text = ''
  const decoder = new TextDecoder()
  for await (const part of answer.body ?? []) {
    const more = decoder.decode(part as Uint8Array, { stream: true })
    text += more
    for (const line of more.split('\n')) if (line.startsWith('data:')) told()
  }
  return { status: answer.status, body: text }
})
