// The line protocol of session.ts, for the programs that run in Node.

import { createInterface } from 'node:readline'

export interface Job {
  readonly name: string
  readonly stream: boolean
  readonly url: string
  readonly prompt: string
  readonly body: string
}

export type Said =
  | { readonly text: string; readonly http?: string }
  | { readonly status: number; readonly body: string; readonly http?: string }

/** Does the jobs as they come; `told` says that an event has come. */
export async function doJobs(work: (job: Job, told: () => void) => Promise<Said>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [name = '', stream, url = '', prompt = '', body = ''] = line.split('\t')
    const job = { name, stream: stream === '1', url, prompt: plain(prompt), body: plain(body) }
    let said: string[]
    try {
      const done = await work(job, () => process.stdout.write('event\n'))
      said =
        'text' in done
          ? ['text', done.http ?? '', base64(done.text)]
          : ['http', String(done.status), done.http ?? '', base64(done.body)]
    } catch (error) {
      said = failed(error)
    }
    process.stdout.write(`${said.join('\t')}\n`)
  }
}

function failed(error: unknown): string[] {
  if (!(error instanceof Error)) return ['fail', 'thrown', '', base64(String(error))]
  const { status } = error as { readonly status?: number }
  const messages: string[] = []
  for (let cause: unknown = error; cause instanceof Error; { cause } = cause)
    messages.push(cause.message)
  return ['fail', error.constructor.name, String(status ?? ''), base64(messages.join(': '))]
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function plain(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8')
}
