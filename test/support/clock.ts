// A clock that a test sets while a program runs: libfaketime, where it is installed.

import { globSync, writeFileSync } from 'node:fs'

const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')

/** Why there is none; false where there is one. */
export function noClock(): string | false {
  return LIBRARY === undefined && 'libfaketime is not installed'
}

export class Clock {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
    this.shift(0)
  }

  /** What a program must have in its environment to read this clock; its monotonic one stays true. */
  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: LIBRARY ?? '',
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
  }

  /** Seconds before (negative) or behind the true time. */
  shift(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}`)
  }
}
