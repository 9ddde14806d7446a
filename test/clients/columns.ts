// The columns of the matrix: through which Cordon, as whom, what is said, and what must come of it.

import { randomBytes } from 'node:crypto'
import { draw } from '../support/draw.ts'
import { ANSWER } from './answers.ts'
import type { Client } from './clients.ts'
import { BANNED } from './cordons.ts'
import { bodyOf, type Job } from './jobs.ts'
import type { Answer } from './session.ts'
import type { Reached } from './stand-in.ts'

export interface Verdict {
  readonly holds: boolean
  readonly text: string
  /** The decision that the client was told of. */
  readonly decisionId?: string
}

export interface Seen {
  readonly client: Client
  readonly job: Job
  readonly prompt: string
  readonly answer: Answer
  readonly reached: readonly Reached[]
  /** Whether an event came only with its successor. */
  readonly held: boolean
}

export interface Column {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly cordon: 'plain' | 'inside'
  readonly login: string
  readonly rightPassword: boolean
  /** What the ledger must say of each request; undefined: it is asked nothing. */
  readonly decision?: 'ALLOW' | 'DENY'
  prompt(): string
  /** Whether the job says anything that this column is about. */
  concerns(job: Job): boolean
  judge(seen: Seen): Verdict
}

const QUESTION = 'Why is the sky blue?'
const address = (): string => `${draw('small', 8)}@${draw('small', 10)}.example`
const secret = (): string => `sk-ant-api03-${draw('url', 93)}AA`
const speaks = ({ name }: Job): boolean => name !== 'page'
const always = (): boolean => true

export const COLUMNS: readonly Column[] = [
  {
    id: 'tunnelled',
    title: 'tunnelled',
    about:
      'the client trusts only the authority of the origin, so it saw the certificate of the origin itself',
    cordon: 'plain',
    login: 'tunnelled',
    rightPassword: true,
    prompt: () => QUESTION,
    concerns: always,
    judge: passes,
  },
  {
    id: 'intercepted',
    title: 'intercepted',
    about:
      'the client trusts only the authority of Cordon; an event of a stream is sent when the client has told of the one before, so none is held for its successor',
    cordon: 'inside',
    login: 'intercepted',
    rightPassword: true,
    decision: 'ALLOW',
    prompt: () => QUESTION,
    concerns: always,
    judge: passes,
  },
  {
    id: 'door',
    title: 'denied at the door',
    about: 'a policy refuses the person, inside TLS; nothing reaches the origin',
    cordon: 'inside',
    login: `${BANNED}.inside`,
    rightPassword: true,
    decision: 'DENY',
    prompt: () => QUESTION,
    concerns: always,
    judge: denied,
  },
  {
    id: 'content',
    title: 'denied on content',
    about: 'the prompt holds a secret and a policy refuses secrets; nothing reaches the origin',
    cordon: 'inside',
    login: 'content',
    rightPassword: true,
    decision: 'DENY',
    prompt: () => `Why does ${secret()} not work?`,
    concerns: speaks,
    judge: denied,
  },
  {
    id: 'redacted',
    title: 'redacted',
    about: 'the prompt holds an address; the origin gets `[REDACTED:email]` in its place',
    cordon: 'inside',
    login: 'redacted',
    rightPassword: true,
    decision: 'ALLOW',
    prompt: () => `Write to ${address()} that we are late.`,
    concerns: speaks,
    judge: redacted,
  },
  {
    id: 'refused',
    title: 'denied without interception',
    about: 'the same person as at the door, but CONNECT itself is refused: few clients show why',
    cordon: 'plain',
    login: `${BANNED}.plain`,
    rightPassword: true,
    prompt: () => QUESTION,
    concerns: always,
    judge: fails,
  },
  {
    id: 'password',
    title: 'wrong password',
    about: 'the proxy answers 407',
    cordon: 'plain',
    login: 'password',
    rightPassword: false,
    prompt: () => QUESTION,
    concerns: always,
    judge: fails,
  },
]

/** A password that is nobody's. */
export function wrongPassword(): string {
  return randomBytes(12).toString('hex')
}

function passes(seen: Seen): Verdict {
  return arrives(seen, (text) => saying(seen, text))
}

function redacted(seen: Seen): Verdict {
  const [found = ''] = /\S+@\S+/.exec(seen.prompt) ?? []
  return arrives(seen, (text) => {
    if (text.includes(found)) return 'the address reached the origin'
    const { prompt } = seen
    return saying({ ...seen, prompt: prompt.replace(found, '[REDACTED:email]') }, text)
  })
}

/** The problem with what the origin got, if any: exactly what was said is right. */
function saying({ job, prompt }: Seen, text: string): string | undefined {
  const quoted = JSON.stringify(prompt)
  if (job.name === 'page' || text.includes(quoted)) return undefined
  return text === bodyOf(job, prompt) ? undefined : 'the origin got another text'
}

function arrives(seen: Seen, problemWith: (text: string) => string | undefined): Verdict {
  const { job, answer, reached, held } = seen
  if (answer.failure !== undefined) return { holds: false, text: short(answer) }
  const wanted = job.name === 'embeddings' ? '2 numbers' : ANSWER
  if (answer.text?.trim() !== wanted)
    return { holds: false, text: `another answer: ${cut(answer.text ?? '')}` }
  const [first] = reached
  if (first === undefined || reached.length > 1)
    return { holds: false, text: `reached the origin ${reached.length} times` }
  const problem = problemWith(first.text)
  if (problem !== undefined) return { holds: false, text: problem }
  if (held) return { holds: false, text: 'events were held' }
  return { holds: true, text: `ok ${versions(answer.http ?? '', first.http)}` }
}

/** Of the client's leg as it says, and the origin's leg as the origin saw it. */
function versions(client: string, origin: string): string {
  return client === '' || client === origin ? origin : `${client}→${origin}`
}

function denied(seen: Seen): Verdict {
  const { client, job, answer, reached } = seen
  if (reached.length > 0) return { holds: false, text: 'it reached the origin' }
  const { failure } = answer
  if (failure === undefined) return { holds: false, text: `answered: ${cut(answer.text ?? '')}` }
  const [, decisionId] = ID.exec(failure.message) ?? []
  const told = decisionId === undefined ? {} : { decisionId }
  // A socket that was open is closed with a reason; a page never learns why one did not open.
  if (job.name === 'realtime' && failure.kind === 'close 1006')
    return { holds: true, text: 'closed 1006: browsers hide the rest' }
  if (decisionId === undefined) return { holds: false, text: `no decision id: ${short(answer)}` }
  if (job.name === 'realtime' && / 1008\b/.test(` ${failure.kind} ${failure.message}`))
    return { holds: true, text: 'closed 1008', ...told }
  const right = failure.kind === client.permission && failure.status === 403
  const text = failure.kind.startsWith('HTTP') ? failure.kind.slice(5) : failure.kind
  return { holds: right, text: right ? text : short(answer), ...told }
}

const ID = /\b([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\b/

function fails({ answer, reached }: Seen): Verdict {
  if (reached.length > 0) return { holds: false, text: 'it reached the origin' }
  if (answer.failure === undefined) return { holds: false, text: 'answered' }
  const { kind, message, status } = answer.failure
  // Go names a refusal by the words of its status alone.
  const all = `${status ?? ''} ${kind} ${message}`
    .replace('Proxy Authentication Required', '407')
    .replace('Forbidden', '403')
  const [code] = /\b40[37]\b/.exec(all) ?? []
  const said = ID.test(message) ? ', with the id' : ''
  return { holds: true, text: `${code === undefined ? '' : `${code} in `}${kind}${said}` }
}

function short({ failure }: Answer): string {
  if (failure === undefined) return 'no failure'
  return cut(`${failure.kind}: ${failure.message}`)
}

function cut(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 160 ? `${line.slice(0, 157)}...` : line
}
