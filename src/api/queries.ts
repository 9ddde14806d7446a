// What may stand in the query of a list, a report or the stream: names, times, pages, and the filters of decisions.

import { Type } from 'typebox'
import { EFFECTS, MODES, SEVERITIES } from '../model/decision.ts'
import { SOURCES } from '../model/request.ts'

export const closed = { additionalProperties: false }
/** No database keeps a NUL in a text. */
const text = (maxLength: number, description?: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      maxLength,
      pattern: String.raw`^[^\u0000]*$`,
      ...(description === undefined ? {} : { description }),
    }),
  )
export const Name = text(320)
export const Words = text(
  320,
  'Words that all occur, "a phrase", or, -not: in reason, host, path, service, model, policy, person, department',
)
export const Time = Type.Optional(Type.String({ format: 'date-time', description: 'RFC 3339' }))
const Id = Type.Optional(Type.String({ format: 'uuid' }))
export const paging = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 512 })),
}

/** Of lists and of the stream. */
export const decisionFilters = {
  user: Name,
  department: Name,
  service: Name,
  policy: Name,
  decision: Type.Optional(Type.Enum([...EFFECTS])),
  would_be: Type.Optional(Type.Enum([...EFFECTS])),
  mode: Type.Optional(Type.Enum([...MODES])),
  severity: Type.Optional(
    Type.Enum([...SEVERITIES], { description: 'Of the violation that the decision was' }),
  ),
  source: Type.Optional(Type.Enum([...SOURCES])),
  action: Name,
  host: Name,
  model: Name,
  finding: text(64, 'A type of finding, such as email'),
  request_id: Id,
  review_id: Id,
  exception_id: Id,
  q: Words,
}
