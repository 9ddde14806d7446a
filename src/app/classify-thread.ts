// The thread that searches long texts.

import { parentPort } from 'node:worker_threads'
import { detect } from '../content/detect.ts'
import type { ClassifyAnswer, ClassifyQuestion } from './classifier.ts'

parentPort?.on('message', (question: ClassifyQuestion) => parentPort?.postMessage(answer(question)))

function answer({ id, content, maxBytes }: ClassifyQuestion): ClassifyAnswer {
  try {
    const { input, spans } = detect(content, maxBytes)
    return { id, input, spans: spans() }
  } catch (error) {
    return { id, error: error instanceof Error ? error.name : 'failed' }
  }
}
