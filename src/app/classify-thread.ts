// The thread that searches long texts, and reads large bodies.

import { parentPort } from 'node:worker_threads'
import { detect } from '../content/detect.ts'
import type { OfferedContent } from '../model/request.ts'
import { readRequest, type WireReading } from '../wire/request.ts'
import type { BodyInThread, Searched, ThreadAnswer, ThreadQuestion } from './classifier.ts'

/** Bodies that may have to be changed yet, by the question that brought them. */
const readings = new Map<number, WireReading>()

parentPort?.on('message', (question: ThreadQuestion) => {
  if (question.kind === 'forget') readings.delete(question.of)
  else parentPort?.postMessage(answer(question))
})

function answer(question: Exclude<ThreadQuestion, { kind: 'forget' }>): ThreadAnswer {
  const { id } = question
  try {
    switch (question.kind) {
      case 'classify':
        return { id, searched: search(question.content, question.maxBytes) }
      case 'read':
        return { id, ...read(id, question.body) }
      default:
        return { id, redacted: readings.get(question.of)?.redact(question.spans) }
    }
  } catch (error) {
    return { id, error: error instanceof Error ? error.name : 'failed' }
  }
}

function read(
  id: number,
  { method, path, query, protocol, fields, bytes, truncated, maxBytes }: BodyInThread,
): { readonly facts: Omit<WireReading, 'redact'>; readonly searched: Searched | undefined } {
  const head = {
    method,
    path,
    ...(query === undefined ? {} : { query }),
    ...(protocol === undefined ? {} : { protocol }),
    header: (name: string) => {
      const at = fields.findIndex((field, index) => index % 3 === 1 && field === name)
      return at === -1 ? undefined : fields[at + 1]
    },
  }
  const reading = readRequest(
    head,
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
    truncated,
  )
  readings.set(id, reading)
  const { text, format, parsed, action, model, stream, max_tokens, tools, attachments } = reading
  // The text stays here: whoever asked gets what was found in it.
  const searched =
    text === undefined ? undefined : search({ text, media_type: 'text/plain' }, maxBytes)
  const facts = {
    text: undefined,
    format,
    parsed,
    action,
    tools,
    attachments,
    ...(model === undefined ? {} : { model }),
    ...(stream === undefined ? {} : { stream }),
    ...(max_tokens === undefined ? {} : { max_tokens }),
  }
  return { facts, searched }
}

function search(content: OfferedContent, maxBytes: number): Searched {
  const { input, spans } = detect(content, maxBytes)
  return { input, spans: spans() }
}
