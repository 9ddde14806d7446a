import type { Refusal } from './ports.ts'
// A refusal and what would have come instead share no type tag; a refusal is told by its status.

export function isRefusal(result: object): result is Refusal {
  return 'status' in result
}
