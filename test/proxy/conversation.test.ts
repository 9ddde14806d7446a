// What a WebSocket costs its budgets: to which message what the origin says is charged, and that each token is charged once.

import t from 'tap'
import type { Progress } from '../../src/decision/running-answer.ts'
import { Conversation, type Question, type QuestionCost } from '../../src/proxy/conversation.ts'

interface Asked extends Question {
  readonly seen: Progress[]
  readonly costs: QuestionCost[]
}

function aQuestion(): Asked {
  const seen: Progress[] = []
  const costs: QuestionCost[] = []
  return {
    running: { passed: (progress) => seen.push(progress), whenOver: () => undefined },
    settle: (cost) => costs.push(cost),
    seen,
    costs,
  }
}

function says(conversation: Conversation, message: object): void {
  const bytes = Buffer.from(JSON.stringify(message))
  for (const piece of [bytes.subarray(0, 7), bytes.subarray(7)]) conversation.said(piece)
  conversation.saidAll()
}

const WORDS = { type: 'response.output_text.delta', delta: 'x'.repeat(40) }

function done(input_tokens: number, output_tokens: number): object {
  return { type: 'response.done', response: { usage: { input_tokens, output_tokens } } }
}

t.test('what the service tells takes the place of all that was estimated', async (t) => {
  const upgrade = aQuestion()
  const conversation = new Conversation('openai-realtime', upgrade)
  const [first, second, third] = [aQuestion(), aQuestion(), aQuestion()]
  conversation.asked(first)
  conversation.asked(second)
  says(conversation, WORDS)
  t.same(second.seen.at(-1), { tokens: 10, bytes: 0 })
  t.same([first.costs, second.costs], [[], []], 'their answer is under way')
  says(conversation, done(50, 12))
  t.same(second.seen.at(-1), { tokens: 12, bytes: 0, asked: 50 })
  t.same(first.costs, [{ input_tokens: 0, output_tokens: 0, measured_tokens: 0 }])
  // Spoken: no message of text belongs to it.
  says(conversation, done(70, 5))
  conversation.asked(third)
  says(conversation, WORDS)
  conversation.end()
  t.same(second.costs, [{ input_tokens: 120, output_tokens: 17, measured_tokens: 17 }])
  t.same(third.costs, [{ measured_tokens: 10 }], 'cut off before it was told')
  t.same(upgrade.costs, [{ input_tokens: 0, output_tokens: 0, measured_tokens: 0 }])
})

t.test('before the first message it is the upgrade, and its bytes to the end', async (t) => {
  const upgrade = aQuestion()
  const conversation = new Conversation('gemini-live', upgrade)
  conversation.passed(100)
  says(conversation, {
    serverContent: { outputTranscription: { text: 'x'.repeat(20) } },
    usageMetadata: { promptTokenCount: 30, responseTokenCount: 9, totalTokenCount: 39 },
  })
  t.same(upgrade.seen.at(-1), { tokens: 9, bytes: 100, asked: 30 })
  const question = aQuestion()
  conversation.asked(question)
  conversation.passed(250)
  t.same(upgrade.seen.at(-1), { tokens: 9, bytes: 250, asked: 30 })
  conversation.end()
  t.same(upgrade.costs, [{ input_tokens: 30, output_tokens: 9, measured_tokens: 9 }])
  t.same(question.costs, [{ measured_tokens: 0 }])
})

t.test('a service that never tells, or never answers', async (t) => {
  const silent = new Conversation('copilot-consumer', undefined)
  says(silent, { event: 'appendText', text: 'before anything is counted' })
  const [first, second] = [aQuestion(), aQuestion()]
  silent.asked(first)
  says(silent, { event: 'appendText', text: 'x'.repeat(40) })
  silent.asked(second)
  t.same(first.costs, [{ measured_tokens: 10 }], 'the next one is another matter')

  const mute = new Conversation('openai-realtime', undefined)
  const many = Array.from({ length: 150 }, aQuestion)
  for (const each of many) mute.asked(each)
  t.equal(many.filter(({ costs }) => costs.length === 1).length, 49, 'no more are waited for')
  mute.end()
  for (const { costs } of many) t.same(costs, [{ measured_tokens: 0 }])
  const late = aQuestion()
  mute.asked(late)
  t.same(late.costs, [{ measured_tokens: 0 }], 'went out as the connection ended')
})
