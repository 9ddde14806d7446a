// The clients of the sample company: SDKs, curl and a WebSocket, each through the proxy as a person; and the API.

import { execFile } from 'node:child_process'
import { Agent } from 'node:https'
import { promisify } from 'node:util'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { fetch, ProxyAgent, request } from 'undici'
import { WebSocket } from 'ws'

export interface Access {
  readonly proxy: string
  readonly api: string
  readonly key: string
  /** Of each person: a proxy token. */
  readonly tokens: ReadonlyMap<string, string>
  /** What the clients trust: Cordon's root, and nothing else. */
  readonly ca: string
}

export class Clients {
  readonly #access: Access

  constructor(access: Access) {
    this.#access = access
  }

  openAi(name: string, scheme: 'http' | 'https'): OpenAI {
    const baseURL = `${scheme}://api.openai.com/v1`
    return new OpenAI({ apiKey: 'demo', baseURL, fetch: this.#fetchAs(name) })
  }

  claude(name: string, scheme: 'http' | 'https'): Anthropic {
    const baseURL = `${scheme}://api.anthropic.com`
    return new Anthropic({ apiKey: 'demo', baseURL, fetch: this.#fetchAs(name) })
  }

  /** What curl prints, or what it says of a failure. Without a name: nobody. */
  async curl(
    name: string | undefined,
    url: string,
    options: readonly string[] = [],
  ): Promise<string> {
    const { proxy } = this.#access
    const login = name === undefined ? [] : ['--proxy-user', `${name}:${this.#token(name)}`]
    try {
      const words = ['-sS', '-m', '30', '-x', proxy, ...login, ...options, url]
      return (await promisify(execFile)('curl', words)).stdout
    } catch (error) {
      return error instanceof Error && 'stderr' in error
        ? String(error.stderr).trim()
        : String(error)
    }
  }

  /** Sends one message after the other, each when the one before was answered; how it ended comes last. */
  converse(name: string, url: string, messages: readonly string[]): Promise<readonly string[]> {
    const { proxy, ca } = this.#access
    const address = proxy.replace('://', `://${name}:${this.#token(name)}@`)
    const agent = new Agent({ proxyEnv: { HTTPS_PROXY: address }, ca })
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, { agent })
      const left = [...messages]
      const said: string[] = []
      let text = ''
      const next = (): void => {
        const message = left.shift()
        if (message === undefined) socket.close(1000)
        else socket.send(message)
      }
      socket.on('open', next)
      socket.on('message', (data: Buffer) => {
        const { type, delta = '' } = JSON.parse(data.toString()) as { type: string; delta?: string }
        text += delta
        if (type !== 'response.done') return
        said.push(text)
        text = ''
        next()
      })
      socket.on('close', (code, reason) =>
        resolve([...said, `closed with ${code} ${reason.toString()}`]),
      )
      socket.on('error', reject)
    })
  }

  async post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const { api, key } = this.#access
    const { body: answer } = await request(`${api}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return (await answer.json()) as Record<string, unknown>
  }

  async get(path: string): Promise<unknown> {
    const { api, key } = this.#access
    const { body } = await request(`${api}${path}`, { headers: { authorization: `Bearer ${key}` } })
    return body.json()
  }

  /** The SDKs take a fetch of the caller's choice: this one goes through the proxy as that person. */
  #fetchAs(name: string): typeof globalThis.fetch {
    const { proxy: uri, ca } = this.#access
    const token = `Basic ${Buffer.from(`${name}:${this.#token(name)}`).toString('base64')}`
    const dispatcher = new ProxyAgent({ uri, token, requestTls: { ca } })
    const proxied = (input: string, init?: RequestInit): Promise<unknown> =>
      fetch(input, { ...(init as object), dispatcher })
    return proxied as typeof globalThis.fetch
  }

  #token(name: string): string {
    return this.#access.tokens.get(name) ?? ''
  }
}
