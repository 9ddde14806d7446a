// Text as people write it to a model, always the same: words, numbers, names and some code, nothing to be found in it.

const SENTENCES = [
  'Could you please look at the minutes of our last meeting and tell me which points are still open?',
  'The harbour office in Lisbon moved 41,200 containers in March, 7 % more than a year before.',
  'I would rather keep the second paragraph, but its tone is too formal for a letter to customers.',
  'function total(rows) { return rows.reduce((sum, row) => sum + row.price * row.amount, 0) }',
  'Our new train leaves at 08:45 from platform 12 and arrives shortly after noon, if nothing happens.',
  'Write three headlines of at most sixty characters; avoid exclamation marks and the word "revolutionary".',
  'SELECT region, count(*) FROM orders WHERE shipped_at >= date_trunc(month, now()) GROUP BY region;',
  'Version 3.4.1 of the library changed how time zones are read, and our tests fail since Tuesday.',
  'What is the difference between a heat pump and an air conditioner, in words that a child understands?',
  'The report of the third quarter is due on the 14th; Anna and Tomas will send the figures before.',
]

/** A chat whose JSON has about this many bytes. */
export function chatOf(bytes: number): {
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
} {
  let content = ''
  for (let at = 0; content.length < bytes - 160; at++)
    content += `${SENTENCES[at % SENTENCES.length]} `
  return {
    model: 'gpt-4o-mini',
    messages: [
      { role: 'system', content: 'You are a helpful assistant. Answer briefly.' },
      { role: 'user', content: content.slice(0, bytes - 160).trimEnd() },
    ],
  }
}
