import type { ExceptionDesk } from '../../src/decision/exceptions.ts'

/** Nobody has an exception. */
export const NO_EXCEPTIONS: ExceptionDesk = {
  of: () => [],
  claim: () => Promise.resolve(undefined),
}
