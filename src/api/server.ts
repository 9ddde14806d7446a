// Door 2: the decision endpoint and the admin API, on fastify.
//
// Decision routes stand in a scope of their own without the plugins of the documentation pages, which cost throughput.

import { isIP } from 'node:net'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import Fastify, { type FastifyInstance } from 'fastify'
import type { FastifyRouteSchemaDef } from 'fastify/types/schema.js'
import { parseExact } from '../base/exact-json.ts'
import type { Log } from '../observe/log.ts'
import { type BudgetDesk, budgetRoutes } from './budgets.ts'
import { type BundleDesk, bundleRoutes } from './bundles.ts'
import { type ConflictDesk, conflictRoutes } from './conflicts.ts'
import { coverageRoutes, type Reports } from './coverage.ts'
import { type DecisionParts, decisionRoutes, MAX_BODY_BYTES } from './decisions.ts'
import { type ExceptionDesk, exceptionRoutes } from './exceptions.ts'
import { type ExplanationDesk, explanationRoutes } from './explanations.ts'
import { type Records, listRoutes } from './lists.ts'
import { type PeopleDesk, peopleRoutes } from './people.ts'
import { MAX_ID_LENGTH, type PolicyDesk, policyRoutes } from './policies.ts'
import { policyPushRoutes } from './policy-push.ts'
import { problemHandler, sendProblem } from './problem.ts'
import { type QuestionDesk, questionRoutes } from './questions.ts'
import { type ReplayDesk, replayRoutes } from './replays.ts'
import { type ReviewDesk, reviewRoutes } from './reviews.ts'
import { streamRoutes, type StreamParts } from './stream.ts'

export type ApiParts = DecisionParts &
  StreamParts & {
    readonly records: Records
    readonly reports: Reports
    readonly questions: QuestionDesk
    readonly desk: ReviewDesk
    readonly exceptions: ExceptionDesk
    readonly people: PeopleDesk
    readonly budgets: BudgetDesk
    readonly replays: ReplayDesk
    readonly policies: PolicyDesk
    readonly conflicts: ConflictDesk
    readonly explanations: ExplanationDesk
    readonly bundles: BundleDesk
    readonly log: Log
    readonly version: string
  }

/** For the servers that the API is put behind. */
export const REQUEST_TIMEOUT_MS = 30_000

/** The API; once it is `ready()`, its `routing` answers the requests of whatever server it is put behind. */
export async function openApi(parts: ApiParts): Promise<FastifyInstance> {
  const app = Fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    // Measured as it was sent: a character of an id may be three.
    routerOptions: { maxParamLength: 3 * MAX_ID_LENGTH },
    genReqId: () => parts.ids.next(),
  })
  app.decorateRequest('apiKey', null)
  app.setErrorHandler(problemHandler(parts.log))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, 'NOT_FOUND', `no such address: ${request.method} ${pathOf(request.url)}`),
  )
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    // Acts that need no more than their address come from clients that announce JSON all the same.
    if (body.length === 0) return done(null, null)
    try {
      done(null, readJson(body as Buffer))
    } catch {
      done(Object.assign(new Error('no JSON'), { statusCode: 400, code: 'CORDON_BODY_NO_JSON' }))
    }
  })
  app.setValidatorCompiler(validators())

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Cordon',
        version: parts.version,
        description: 'Decisions about AI services, and what was decided.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'cordon key create' },
        },
      },
      security: [{ key: [] }],
    },
  })
  await app.register(async (scope) => decisionRoutes(scope, parts))
  await app.register(async (scope) => listRoutes(scope, parts))
  await app.register(async (scope) => reviewRoutes(scope, parts))
  await app.register(async (scope) => exceptionRoutes(scope, parts))
  await app.register(async (scope) => coverageRoutes(scope, parts))
  await app.register(async (scope) => questionRoutes(scope, parts))
  await app.register(async (scope) => peopleRoutes(scope, parts))
  await app.register(async (scope) => budgetRoutes(scope, parts))
  await app.register(async (scope) => replayRoutes(scope, parts))
  await app.register(async (scope) => policyRoutes(scope, parts))
  await app.register(async (scope) => conflictRoutes(scope, parts))
  await app.register(async (scope) => explanationRoutes(scope, parts))
  await app.register(async (scope) => policyPushRoutes(scope, parts))
  await app.register(async (scope) => bundleRoutes(scope, parts))
  streamRoutes(app, parts)
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { docExpansion: 'list' },
  })
  app.get('/v1/openapi.json', { schema: { hide: true } }, () => app.swagger())
  return app
}

/** Bodies are taken as they are; the texts of a query string become the numbers that their schema asks for. */
function validators(): (route: FastifyRouteSchemaDef<object>) => ValidateFunction {
  const make = (coerceTypes: boolean): Ajv => {
    const ajv = addFormats.default(
      new Ajv({ coerceTypes, useDefaults: true, removeAdditional: false, strict: false }),
    )
    return ajv.addFormat('ip', (text: string) => isIP(text) !== 0)
  }
  const exact = make(false)
  const lenient = make(true)
  return ({ schema, httpPart }) => (httpPart === 'body' ? exact : lenient).compile(schema)
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })
const HUGE = /[eE]\+?\d{3}/

/** JSON text in UTF-8; a number beyond all numbers would become a null on its way. */
function readJson(body: Buffer): unknown {
  const text = UTF8.decode(body)
  if (HUGE.test(text)) JSON.parse(text, refuseInfinity)
  return parseExact(text)
}

function refuseInfinity(_key: string, value: unknown): unknown {
  if (value === Infinity || value === -Infinity) throw new SyntaxError('a number out of range')
  return value
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]?.slice(0, 200) ?? ''
}
