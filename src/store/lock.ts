// One process at a time: a lock whose holder the refusal names.

import { CordonError } from '../base/errors.ts'
import { type Lock, lockHolder, tryLock } from '../base/process-lock.ts'

/** Throws STORE_LOCKED while a living process holds it; the lock of one that has ended is taken over. */
export function takeLock(file: string, what: string): Lock {
  const lock = tryLock(file)
  if (lock !== undefined) return lock
  const holder = lockHolder(file)
  throw new CordonError(
    'STORE_LOCKED',
    holder === undefined
      ? `${file}: the lock could not be taken`
      : `${what} is in use by process ${holder} (${file})`,
  )
}
