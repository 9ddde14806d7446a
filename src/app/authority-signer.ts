// A signer command: each gateway keeps an issuing key of its own, which somebody else certifies.
//
// The command gets a request (PKCS#10, PEM) on stdin, and in CORDON_CA_PERMITTED the domains that it asks for;
// it writes the chain to stdout. Its answer is kept until two thirds of its life are over.

import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { CordonError } from '../base/errors.ts'
import { createRequest } from '../tls/create.ts'
import { type Authority, Issuer } from '../tls/issuer.ts'
import { checkedAuthority, refusal, within } from './authority-check.ts'
import { readText, write } from './authority-folder.ts'
import type { Environment } from './rules.ts'

export interface SignerRequest {
  readonly command: string
  /** Where the answer is kept. */
  readonly cache: string
  readonly domains: readonly string[] | undefined
  readonly env: Environment
  readonly now: number
  readonly timeLimitMs: number
  /** Not only what is kept: the command may be run. */
  readonly ask: boolean
  /** What is kept does not count. */
  readonly again: boolean
}

export interface SignerAnswer {
  readonly authority: Authority
  readonly renewAt: number
  /** The command failed, and what it said before is still valid. */
  readonly warning: string | undefined
}

const HOUR_MS = 3_600_000
const MAX_OUTPUT = 256 * 1024
const MAX_SAID = 500

export async function signedAuthority(request: SignerRequest): Promise<SignerAnswer> {
  const kept = keptAuthority(request)
  const fresh = kept !== undefined && request.now < renewAt(kept) && covers(kept, request.domains)
  if (kept !== undefined && ((fresh && !request.again) || !request.ask))
    return { authority: kept, renewAt: renewAt(kept), warning: undefined }
  if (!request.ask)
    throw refusal(SETTING, ['has not certified an issuing key yet: "cordon start" asks it'])
  try {
    const authority = await asked(request)
    return { authority, renewAt: renewAt(authority), warning: undefined }
  } catch (error) {
    if (kept === undefined || request.again || !(error instanceof CordonError)) throw error
    const [problem] = error.problems
    return {
      authority: kept,
      renewAt: Math.min(request.now + HOUR_MS, expiry(kept).getTime()),
      warning: `${SETTING}: ${problem?.message ?? error.message}; what it certified before is used until ${expiry(kept).toISOString()}`,
    }
  }
}

const SETTING = 'proxy.intercept.ca.signer'

function keptAuthority({ cache, now }: SignerRequest): Authority | undefined {
  if (!existsSync(cache)) return undefined
  try {
    const text = readText(cache, 'private')
    return checkedAuthority({ source: cache, chain: text, key: text }, now)
  } catch (error) {
    // Expired or broken: the signer is asked again.
    if (error instanceof CordonError) return undefined
    throw error
  }
}

async function asked({
  command,
  cache,
  domains,
  env,
  now,
  timeLimitMs,
}: SignerRequest): Promise<Authority> {
  const { request, key } = createRequest('Cordon', domains)
  const answer = await run(
    command,
    request,
    { ...withoutOurs(env), CORDON_CA_PERMITTED: (domains ?? []).join(',') },
    timeLimitMs,
  )
  const keyText = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  const authority = within(SETTING, () =>
    checkedAuthority({ source: `${SETTING} (its answer)`, chain: answer, key: keyText }, now),
  )
  mkdirSync(dirname(cache), { recursive: true, mode: 0o700 })
  const root = authority.chain.includes(authority.rootCert) ? '' : authority.rootCert
  write(cache, keyText + authority.chain + root, 0o600)
  return authority
}

/** The command's output; it and whatever it started are ended when it takes too long or says too much. */
async function run(
  command: string,
  input: string,
  env: Environment,
  timeLimitMs: number,
): Promise<string> {
  // A group of its own, so that all of it can be ended.
  const child = spawn('/bin/sh', ['-c', command], { env, detached: true, stdio: 'pipe' })
  let problem: string | undefined
  const end = (why: string): void => {
    problem ??= why
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
  const timer = setTimeout(() => end(`did not answer within ${timeLimitMs} ms`), timeLimitMs)
  const out = collected(child.stdout, MAX_OUTPUT, () => end(`wrote more than ${MAX_OUTPUT} bytes`))
  const said = collected(child.stderr, MAX_SAID, () => undefined)
  // A command that does not read its input has still answered.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      problem ??= `cannot be run (${error.message})`
      resolve(null)
    })
    child.once('close', resolve)
  })
  clearTimeout(timer)
  if (problem === undefined && code !== 0) problem = `ended with ${code}: ${said().trim()}`
  if (problem !== undefined) throw refusal(SETTING, [problem])
  return out()
}

function collected(stream: NodeJS.ReadableStream, most: number, onMore: () => void): () => string {
  const decoder = new StringDecoder('utf8')
  let text = ''
  let length = 0
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length > most) onMore()
    else text += decoder.write(chunk)
  })
  return () => text
}

/** Our own variables hold secrets that are none of the command's business. */
function withoutOurs(env: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('CORDON_')))
}

function covers(authority: Authority, domains: readonly string[] | undefined): boolean {
  const issuer = new Issuer(authority)
  if (domains === undefined) return issuer.constrainedTo === undefined
  return domains.every((domain) => issuer.mayIssue(domain))
}

function renewAt(authority: Authority): number {
  const { validFromDate } = new X509Certificate(authority.chain || authority.rootCert)
  const begin = validFromDate.getTime()
  return begin + (2 / 3) * (expiry(authority).getTime() - begin)
}

function expiry(authority: Authority): Date {
  return new X509Certificate(authority.chain || authority.rootCert).validToDate
}
