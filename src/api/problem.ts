// Errors of the API: RFC 9457 problem documents, one place where codes become answers.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import {
  CordonError,
  ERROR_CODES,
  type ErrorCode,
  formatProblem,
  type Problem,
} from '../base/errors.ts'
import type { Log } from '../observe/log.ts'

/** What is wrong with one part of the request: `pointer` is a JSON pointer (RFC 6901) into the body. */
export interface ProblemDetail {
  readonly pointer: string
  readonly detail: string
}

export interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly errors: readonly ProblemDetail[]
}

export function sendProblem(
  reply: FastifyReply,
  code: ErrorCode,
  detail: string,
  errors: readonly ProblemDetail[] = [],
  status: number = ERROR_CODES[code].status,
): FastifyReply {
  const { means } = ERROR_CODES[code]
  const body: ProblemDocument = { type: 'about:blank', title: means, status, code, detail, errors }
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="Cordon"')
  if (status === 503 || status === 429) reply.header('retry-after', '5')
  return reply.code(status).type('application/problem+json').send(JSON.stringify(body))
}

/** The error handler of every route: what was foreseen is answered, the rest is logged and called INTERNAL. */
export function problemHandler(log: Log) {
  return (
    error: FastifyError | CordonError,
    request: FastifyRequest,
    reply: FastifyReply,
  ): FastifyReply => {
    if (error instanceof CordonError) {
      return sendProblem(reply, error.code, error.message, error.problems.map(detailOf))
    }
    if (error.validation !== undefined) {
      const context = error.validationContext ?? 'body'
      const errors = error.validation.map(({ instancePath, message, params }) => ({
        pointer: pointerOf(context, instancePath, params),
        detail: message ?? 'is not valid',
      }))
      return sendProblem(reply, 'INPUT_INVALID', `the ${context} is not valid`, errors)
    }
    const status = error.statusCode ?? 500
    if (status >= 400 && status < 500) {
      const detail = clientDetail(error)
      return sendProblem(reply, 'INPUT_INVALID', detail, [{ pointer: '', detail }], status)
    }
    log.error(
      { err: { message: error.message, stack: error.stack }, request_id: request.id },
      'request failed',
    )
    return sendProblem(reply, 'INTERNAL', 'the log has the details')
  }
}

function detailOf(problem: Problem): ProblemDetail {
  const { pointer, file, message } = problem
  return pointer === undefined
    ? { pointer: file, detail: message }
    : { pointer, detail: file === '' ? message : formatProblem(problem) }
}

/** An unknown or missing key is a fault of the key, not of the object around it. */
function pointerOf(
  context: string,
  path: string,
  params: Readonly<Record<string, unknown>>,
): string {
  const key = params['additionalProperty'] ?? params['missingProperty']
  const pointer =
    typeof key === 'string' ? `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}` : path
  return context === 'body' ? pointer : `/${context}${pointer}`
}

/** Messages of the parser can quote the body, so only its kind is told. */
function clientDetail(error: FastifyError): string {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return 'the body is too large'
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return 'the content type must be application/json'
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return 'the body is empty'
    case 'CORDON_BODY_NO_JSON':
      return 'the body is no JSON in UTF-8, nested too deep, or holds a number out of range'
    default:
      return 'the request is not valid'
  }
}
