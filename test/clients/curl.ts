// curl has no program around it: each job is one run of it, as a shell script would.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { bodyOf, type Job, urlOf } from './jobs.ts'
import { type Answer, plainAnswer, type Session } from './session.ts'
import { environment, type Way } from './way.ts'

export class CurlSession implements Session {
  readonly #program: string
  readonly #version: string
  readonly #env: Record<string, string>

  constructor(program: string, version: '--http1.1' | '--http2', way: Way) {
    this.#program = program
    this.#version = version
    this.#env = environment(way)
  }

  async ask(job: Job, prompt: string, told: () => void): Promise<Answer> {
    const options = ['--silent', '--show-error', '--no-buffer', '--max-time', '40', this.#version]
    const request = ['--header', 'content-type: application/json', '--data-binary', '@-']
    const args = [...options, ...request, '--write-out', '\n%{http_code} %{http_version}']
    const child = spawn(this.#program, [...args, urlOf(job)], { env: this.#env })
    const closed = once(child, 'close') as Promise<[number | null]>
    child.stdin.on('error', () => undefined)
    child.stdin.end(bodyOf(job, prompt))
    let said = ''
    child.stderr.on('data', (part: Buffer) => {
      said += part.toString('utf8')
    })
    const lines: string[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('data:')) told()
      lines.push(line)
    }
    const [code] = await closed
    const [status, version] = (lines.pop() ?? '').split(' ')
    if (code !== 0) return { failure: { kind: `exit ${code}`, message: said.trim() } }
    return plainAnswer(Number(status), version === '2' ? 'h2' : 'h1', lines.join('\n'))
  }

  async close(): Promise<void> {
    // Nothing stays open between two jobs.
  }
}
