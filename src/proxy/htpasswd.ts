// htpasswd files as Apache and Squid read them: bcrypt, apr1, sha256-crypt, sha512-crypt. Weaker forms are refused.

import type { Worker } from 'node:worker_threads'
import { CordonError, type Problem } from '../base/errors.ts'
import { openThread } from '../base/thread.ts'
import { MAX_ROUNDS } from './crypt.ts'
import type { HashAnswer, HashQuestion } from './hash-thread.ts'

const MAX_LINES = 200_000
const MAX_PASSWORD = 1024
/** Of bcrypt: beyond it one login takes seconds. */
const MAX_COST = 15

export class Htpasswd {
  readonly #users: ReadonlyMap<string, string>

  private constructor(users: ReadonlyMap<string, string>) {
    this.#users = users
  }

  /** Throws CONFIG_INVALID with every line that is wrong. */
  static parse(file: string, text: string): Htpasswd {
    const users = new Map<string, string>()
    const problems: Problem[] = []
    const lines = text.split('\n')
    const refuse = (index: number, message: string): void => {
      problems.push({ file, line: index + 1, column: 1, message })
    }
    if (lines.length > MAX_LINES) refuse(MAX_LINES, `more than ${MAX_LINES} lines`)
    for (const [index, line] of lines.slice(0, MAX_LINES).entries()) {
      const entry = line.replace(/\r$/, '')
      if (entry === '' || entry.startsWith('#')) continue
      const at = entry.indexOf(':')
      const [user, hash] = [entry.slice(0, at), entry.slice(at + 1)]
      const wrong = at < 1 ? 'must be user:hash' : problemOf(hash)
      if (wrong !== undefined) refuse(index, wrong)
      else if (users.has(user)) refuse(index, `the user "${user}" stands twice`)
      else users.set(user, hash)
    }
    if (problems.length > 0)
      throw new CordonError('CONFIG_INVALID', `${file}: is not valid`, { problems })
    return new Htpasswd(users)
  }

  /** The login as the file writes it, where the password is right. Costs the same for users who are not there. */
  async verify(user: string, password: string): Promise<string | undefined> {
    if (password.length > MAX_PASSWORD) return undefined
    const known = this.#users.get(user)
    const [anybody] = this.#users.values()
    const hash = known ?? anybody
    if (hash === undefined) return undefined
    const matches = await CHECKER.check(hash, password)
    return known !== undefined && matches ? user : undefined
  }
}

function problemOf(hash: string): string | undefined {
  const [, cost] = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(hash) ?? []
  if (cost !== undefined)
    return Number(cost) >= 4 && Number(cost) <= MAX_COST
      ? undefined
      : `the cost of a bcrypt hash must be from 4 to ${MAX_COST}`
  if (/^\$apr1\$[^$]{1,8}\$[./0-9A-Za-z]{22}$/.test(hash)) return undefined
  const sha = /^\$(?:5|6)\$(?:rounds=(\d+)\$)?[^$]{0,16}\$(?:[./0-9A-Za-z]{43}|[./0-9A-Za-z]{86})$/
  const found = sha.exec(hash)
  if (found !== null)
    return Number(found[1] ?? 0) <= MAX_ROUNDS ? undefined : `more than ${MAX_ROUNDS} rounds`
  return 'the hash is not bcrypt, apr1, sha256-crypt or sha512-crypt (make one with: htpasswd -B)'
}

/** The hashing thread, from the first question on. */
class Checker {
  readonly #open = new Map<
    number,
    { resolve(matches: boolean): void; reject(error: Error): void }
  >()
  #worker: Worker | undefined
  #next = 1

  check(hash: string, password: string): Promise<boolean> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject })
      this.#worker ??= this.#start()
      this.#worker.ref()
      this.#worker.postMessage({ id, hash, password } satisfies HashQuestion)
    })
  }

  #start(): Worker {
    const worker = openThread(new URL('./hash-thread.ts', import.meta.url))
    worker.on('message', ({ id, matches }: HashAnswer) => {
      this.#open.get(id)?.resolve(matches)
      this.#open.delete(id)
      if (this.#open.size === 0) worker.unref()
    })
    worker.on('error', () => undefined)
    worker.on('exit', () => {
      this.#worker = undefined
      const waiting = [...this.#open.values()]
      this.#open.clear()
      for (const question of waiting)
        question.reject(new CordonError('INTERNAL', 'the hashing thread has ended'))
    })
    return worker
  }
}

/** One for all files that this process reads, one after the other. */
const CHECKER = new Checker()
