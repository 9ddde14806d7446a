/** What each code means, and the status a door answers with. Public: documented, never reused. */
export const ERROR_CODES = {
  CONFIG_INVALID: { status: 500, means: 'A setting is unknown, malformed or cannot take effect.' },
  SIGNATURE_INVALID: { status: 500, means: 'A file of the catalogue is malformed.' },
  POLICY_INVALID: {
    status: 422,
    means: 'A policy folder has an error; the message names the place.',
  },
  BUNDLE_INVALID: {
    status: 422,
    means: 'A bundle of policies is malformed, too large, or its signature does not hold.',
  },
  POLICY_TOOLCHAIN_MISSING: {
    status: 500,
    means: 'Rego without a compiled form needs OPA, which is not installed.',
  },
  INPUT_INVALID: { status: 400, means: 'A request document is malformed.' },
  UNAUTHENTICATED: { status: 401, means: 'The API key is missing or not valid.' },
  FORBIDDEN: { status: 403, means: 'The API key lacks the scope that this call needs.' },
  NOT_FOUND: { status: 404, means: 'There is nothing with that id.' },
  CONFLICT: { status: 409, means: 'The state of the thing does not allow this.' },
  STALE: { status: 412, means: 'It was changed since it was read.' },
  UNSEEN: { status: 428, means: 'A change names the edition it is about, and this one does not.' },
  OWN_VERSION: { status: 403, means: 'Whoever wrote a version cannot approve it.' },
  OWN_REQUEST: {
    status: 403,
    means: 'Nobody decides about a request of their own, or about what is for themselves.',
  },
  ACTIVATION_REFUSED: {
    status: 409,
    means: 'What would be in force is not valid, fails its tests or has a critical conflict.',
  },
  IMPORT_INVALID: { status: 422, means: 'A directory file has lines that were refused.' },
  STORE_UNAVAILABLE: { status: 503, means: 'The database does not answer.' },
  STORE_LOCKED: { status: 503, means: 'Another process holds the data directory.' },
  AUTHORITY_INVALID: {
    status: 500,
    means: 'The interception authority is missing, malformed, expired or may not issue.',
  },
  CANNOT_LISTEN: { status: 500, means: 'An address to listen on is taken or not ours.' },
  TOO_BUSY: { status: 503, means: 'So much waits already that nothing more is taken.' },
  TOO_MANY: { status: 429, means: 'So many of these are open already that no more are taken.' },
  SPOOL_FULL: {
    status: 503,
    means: 'The spool has reached its limit; nothing may pass unrecorded.',
  },
  SPOOL_FAILED: { status: 503, means: 'The spool could not be written.' },
  LEDGER_KEY: {
    status: 500,
    means: 'The key that signs the ledger is missing, or is not the one it was signed with.',
  },
  LEDGER_OLDER: {
    status: 500,
    means: 'The ledger folder is an older copy of what the store has.',
  },
  INTERNAL: { status: 500, means: 'A fault of Cordon itself; the log has the details.' },
} as const satisfies Record<string, { status: number; means: string }>

export type ErrorCode = keyof typeof ERROR_CODES

/** A place in a file, 1-based, as compilers print it. */
export interface Place {
  readonly file: string
  readonly line?: number
  readonly column?: number
}

/** One thing that is wrong with something from outside. */
export interface Problem extends Place {
  readonly message: string
  /** Where in the request it came, as a JSON pointer (RFC 6901); the API then tells the place with the message. */
  readonly pointer?: string
}

/** `file:line:column: message`, as far as the place is known. */
export function formatProblem({ file, line, column, message }: Problem): string {
  if (file === '') return message
  const place = [file, line, line === undefined ? undefined : column]
  return `${place.filter((part) => part !== undefined).join(':')}: ${message}`
}

/** Every error this program throws on purpose. Callers branch on `code`, never on the message. */
export class CordonError extends Error {
  override readonly name = 'CordonError'
  readonly code: ErrorCode
  /** What was wrong, one entry a place; empty where the message says all. */
  readonly problems: readonly Problem[]

  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { problems?: readonly Problem[] } = {},
  ) {
    super(message, options)
    this.code = code
    this.problems = options.problems ?? []
  }
}
