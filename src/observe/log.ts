// The process log: pino JSON lines on stderr, secrets redacted by path.

import { type DestinationStream, type Logger, pino } from 'pino'

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>

const SECRETS = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'password',
  'token',
  'key',
  'secret',
  'url',
  'database_url',
  'redis_url',
  'upstream',
]
const REDACTED = SECRETS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`])

/** Every line carries `role` and, in a worker, its number. */
export function openLog(
  base: Readonly<Record<string, unknown>>,
  destination: DestinationStream,
): Log {
  return pino(
    {
      base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    destination,
  )
}
