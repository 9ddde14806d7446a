// How far may OPTIONS still go? Every proxy counts down, and the last one answers (RFC 9110 section 7.6.2).

import { FIELD_STRIDE, fieldValue, type RequestHead } from '../http1/message.ts'

const NAME = 'max-forwards'

/** The head to send on; undefined where the request ends here. */
export function countedDown(head: RequestHead): RequestHead | undefined {
  if (head.method !== 'OPTIONS') return head
  const value = fieldValue(head.fields, NAME)
  if (value === undefined || !/^\d{1,9}$/.test(value)) return head
  const left = Number(value) - 1
  if (left < 0) return undefined
  const fields = [...head.fields]
  for (let index = 1; index < fields.length; index += FIELD_STRIDE) {
    if (fields[index] === NAME) fields[index + 1] = String(left)
  }
  return { ...head, fields }
}
