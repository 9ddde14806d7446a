// What a policy or a client made of a person's names stays out of a record's text, which can never be changed.
//
// A reason may greet somebody, a path may hold an account's name, a policy may notify the person. In the record a word
// stands there that says what stood there; the names themselves are in the personal part, as long as it is there.

import type { Decision } from '../model/decision.ts'
import type { InputDocument } from '../model/input.ts'
import type { Principal } from '../model/request.ts'

/** What somebody is called, in lower case, and the word for it. */
type Name = readonly [name: string, word: string]

/** Shorter ones are looked for as whole words: "al" stands in "allowed". */
const ANYWHERE_FROM = 4

export class Nameless {
  readonly #names: Name[] = []

  constructor({ user, context }: InputDocument, { login, name, email, external_id }: Principal) {
    this.#add(user.email, '[user.email]')
    this.#add(email, '[user.email]')
    this.#add(user.name, '[user.name]')
    this.#add(name, '[user.name]')
    this.#add(login, '[login]')
    this.#add(external_id, '[user.external_id]')
    this.#add(context.ip_address, '[ip_address]')
    this.#add(context.device?.['hostname'], '[device]')
  }

  text(text: string): string {
    const lower = text.toLowerCase()
    const isEscaped = lower.includes('%')
    const found = this.#names
      .flatMap(([name, word]): Name[] => [
        ...(lower.includes(name) ? [[name, word] as const] : []),
        // As it stands in a path.
        ...(isEscaped
          ? [[encodeURIComponent(name.toWellFormed()).toLowerCase(), word] as const]
          : []),
      ])
      // An e-mail address before the name that it begins with.
      .toSorted(([a], [b]) => b.length - a.length)
    return found.reduce((out, [name, word]) => out.replaceAll(patternOf(name), word), text)
  }

  /** The decision as the record keeps it, or what the policies said. */
  decision<T extends Pick<Decision, 'reason' | 'obligations' | 'policies_evaluated'>>(
    decision: T,
  ): T {
    const { reason, obligations, policies_evaluated: evaluated } = decision
    // Texts of most records name nobody, and the list of policies is known by its identity.
    const erred = evaluated.some(({ error }) => error !== null)
    if (obligations.length === 0 && !erred && !this.#isIn(reason)) return decision
    return {
      ...decision,
      reason: this.text(reason),
      obligations: this.#within(obligations) as typeof obligations,
      policies_evaluated: erred ? (this.#within(evaluated) as typeof evaluated) : evaluated,
    }
  }

  /** The input as the record keeps it, but for what goes into the personal part. */
  input(input: InputDocument): InputDocument {
    const { path, model } = input.resource
    if (!this.#isIn(path ?? '') && !this.#isIn(model ?? '')) return input
    return {
      ...input,
      resource: {
        ...input.resource,
        ...(path === undefined ? {} : { path: this.text(path) }),
        ...(model === undefined ? {} : { model: this.text(model) }),
      },
    }
  }

  #add(name: unknown, word: string): void {
    if (typeof name === 'string' && name.trim() !== '') this.#names.push([name.toLowerCase(), word])
  }

  /** Whether it may name somebody; cheap, for every record asks. */
  #isIn(text: string): boolean {
    if (text === '') return false
    const lower = text.toLowerCase()
    return lower.includes('%') || this.#names.some(([name]) => lower.includes(name))
  }

  #within(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value)
    if (Array.isArray(value)) return value.map((item) => this.#within(item))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#within(item)]))
  }
}

function patternOf(name: string): RegExp {
  const exact = name.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`)
  return name.length < ANYWHERE_FROM
    ? new RegExp(String.raw`(?<![\p{L}\p{N}])${exact}(?![\p{L}\p{N}])`, 'giu')
    : new RegExp(exact, 'giu')
}
