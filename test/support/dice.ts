// Chance that can be had again: a test prints its seed, and CORDON_SEED=<seed> repeats its choices.

import { randomInt } from 'node:crypto'
import { env } from 'node:process'

export class Dice {
  readonly seed: number
  #state: number

  constructor(seed = Number(env['CORDON_SEED'] ?? randomInt(2 ** 31))) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** From 0 (inclusive) to 1: mulberry32, which is enough to choose with. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number, both ends inclusive. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  of<T>(choices: readonly T[]): T {
    const choice = choices[Math.floor(this.next() * choices.length)]
    if (choice === undefined) throw new Error('there is nothing to choose from')
    return choice
  }
}
