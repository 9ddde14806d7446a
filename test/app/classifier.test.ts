// Short texts are searched at once, long ones in a thread; the answer is the same.

import t from 'tap'
import { Classifier } from '../../src/app/classifier.ts'
import { detect } from '../../src/content/detect.ts'
import { readRequest } from '../../src/wire/request.ts'

const MOST = 10 * 1024 * 1024
const LONG = `${'words and more words, '.repeat(4000)} mail quokka@corp-mail.com ${'and so on '.repeat(900)}`

t.test('a short text is searched at once', async (t) => {
  const classifier = new Classifier(() => t.fail('nothing is refused'))
  const answer = classifier.classify({ text: 'mail quokka@corp-mail.com' }, MOST)
  t.notOk(answer instanceof Promise)
  t.same((await answer).input.finding_types, ['email'])
  await classifier.close()
})

t.test('a long one is searched elsewhere, with the same findings and spans', async (t) => {
  const classifier = new Classifier(() => t.fail('nothing is refused'))
  const answer = classifier.classify({ text: LONG }, MOST)
  t.ok(answer instanceof Promise)
  const expected = detect({ text: LONG }, MOST)
  t.same((await answer).input, expected.input)
  t.same((await answer).spans(), expected.spans())
  const cut = await classifier.classify({ text: LONG }, 1024)
  t.match(cut.input, { truncated: true, findings: [] })
  await classifier.close()
})

t.test('what waits is bounded, and told', async (t) => {
  let told = 0
  const classifier = new Classifier(() => {
    told += 1
  })
  const half = ' '.repeat(33 * 1024 * 1024)
  const first = classifier.classify({ text: half }, 1024)
  await t.rejects(Promise.resolve(classifier.classify({ text: half }, 1024)), { code: 'TOO_BUSY' })
  t.equal(told, 1)
  t.equal((await first).input.truncated, true)
  t.match((await classifier.classify({ text: LONG }, MOST)).input, { finding_types: ['email'] })
  await classifier.close()
})

t.test('a thread that ends fails what waits, and nothing else', async (t) => {
  const classifier = new Classifier(() => undefined)
  const waiting = Promise.resolve(classifier.classify({ text: LONG }, MOST))
  await Promise.all([classifier.close(), t.rejects(waiting, { code: 'INTERNAL' })])
  t.same((await classifier.classify({ text: LONG }, MOST)).input.finding_types, ['email'])
  await classifier.close()
})

t.test(
  'a large body is read elsewhere, and what was found can be taken out of it there',
  async (t) => {
    const classifier = new Classifier(() => t.fail('nothing is refused'))
    const content = `${'words and more words, '.repeat(10_000)} mail quokka@corp-mail.com`
    const bytes = Buffer.from(
      JSON.stringify({ model: 'm', messages: [{ role: 'user', content }], stream: true }),
    )
    const head = {
      method: 'POST',
      path: '/v1/chat/completions',
      protocol: 'openai',
      header: (name: string) => (name === 'content-type' ? 'application/json' : undefined),
    }
    const fields = ['Content-Type', 'content-type', 'application/json']
    const asked = classifier.read({ head, fields, bytes, truncated: false, maxBytes: MOST })
    t.ok(asked instanceof Promise)
    const reading = await asked
    const direct = readRequest(head, bytes, false)
    for (const fact of ['format', 'parsed', 'action', 'model', 'stream', 'tools'] as const)
      t.same(reading[fact], direct[fact], fact)
    t.equal(reading.text, undefined, 'the text stays where it was read')
    t.same(
      reading.searched?.input.finding_types,
      detect({ text: direct.text ?? '' }, MOST).input.finding_types,
    )
    const redacted = await reading.redact(reading.searched?.spans() ?? [])
    t.match(redacted?.toString(), 'mail [REDACTED:email]')
    t.notMatch(redacted?.toString(), 'quokka')
    reading.release?.()
    t.equal(await reading.redact(reading.searched?.spans() ?? []), undefined, 'it is forgotten')
    await classifier.close()
  },
)
