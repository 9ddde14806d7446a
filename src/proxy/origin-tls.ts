// TLS to an origin: verified before a byte of a request is sent, or not used at all.

import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import { connect, type SecureContext, type TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import type { Deadlines, Expiring } from './deadlines.ts'
import type { Refusal } from './ports.ts'

export type Protocol = 'h2' | 'http/1.1'

/** Which authorities an origin is verified by, and what it is shown of ours. */
export interface OriginTrust {
  contextFor(host: string, port: number): SecureContext
}

export interface SecureOrigin {
  readonly host: string
  readonly port: number
  /** What is offered, in order. */
  readonly protocols: readonly Protocol[]
}

const SESSIONS = 2000
const MAX_CODE = 80
/** A session that is resumed shows no certificate: after this time the origin has to show it again. */
const VERIFIED_MS = 5 * 60_000

interface Agreed {
  readonly session: Buffer
  /** Until when what was verified counts; resuming does not prolong it. */
  readonly until: number
}

export class OriginTls {
  readonly #trust: OriginTrust
  readonly #deadlines: Deadlines
  readonly #waitMs: number
  readonly #sessions = new LRUCache<string, Agreed>({ max: SESSIONS })

  constructor(trust: OriginTrust, deadlines: Deadlines, waitMs: number) {
    this.#trust = trust
    this.#deadlines = deadlines
    this.#waitMs = waitMs
  }

  /** Authorities or certificates have changed: what was agreed under the old ones does not count. */
  forget(): void {
    this.#sessions.clear()
  }

  /** `done` is called once, unless the returned function has cancelled the handshake. */
  secure(
    socket: Socket,
    { host, port, protocols }: SecureOrigin,
    done: (result: TLSSocket | Refusal) => void,
  ): () => void {
    const key = `${host}:${port}`
    const known = this.#sessions.get(key)
    const { now } = this.#deadlines
    const agreed = known !== undefined && known.until > now ? known : undefined
    const named = isIP(host) === 0
    const secured = connect({
      socket,
      secureContext: this.#trust.contextFor(host, port),
      ALPNProtocols: [...protocols],
      host,
      ...(named ? { servername: host } : {}),
      ...(agreed === undefined ? {} : { session: agreed.session }),
      rejectUnauthorized: true,
    })
    // An origin that forgets a session, or whose tickets expire, says so by a full handshake.
    secured.on('session', (session: Buffer) => {
      const until = secured.isSessionReused() ? agreed?.until : undefined
      this.#sessions.set(key, { session, until: until ?? now + VERIFIED_MS })
    })
    return new Handshake(secured, this.#deadlines, this.#waitMs, (result) => {
      if ('status' in result) this.#sessions.delete(key)
      done(result)
    }).cancel
  }
}

class Handshake implements Expiring {
  readonly #socket: TLSSocket
  readonly #deadlines: Deadlines
  readonly #done: (result: TLSSocket | Refusal) => void
  readonly expiresAt: number
  #over = false

  constructor(
    socket: TLSSocket,
    deadlines: Deadlines,
    waitMs: number,
    done: (result: TLSSocket | Refusal) => void,
  ) {
    this.#socket = socket
    this.#deadlines = deadlines
    this.#done = done
    this.expiresAt = deadlines.now + waitMs
    deadlines.add(this)
    socket.once('secureConnect', () => this.#settle(socket))
    socket.on('error', this.#failed)
    socket.on('close', this.#closed)
  }

  expire(): void {
    this.#settle(TIMED_OUT)
  }

  readonly cancel = (): void => {
    this.#over = true
    this.#deadlines.delete(this)
    this.#socket.destroy()
  }

  #settle(result: TLSSocket | Refusal): void {
    if (this.#over) return
    this.#over = true
    this.#deadlines.delete(this)
    if ('status' in result) this.#socket.destroy()
    else result.off('error', this.#failed).off('close', this.#closed)
    this.#done(result)
  }

  readonly #failed = (error: NodeJS.ErrnoException): void => this.#settle(refusalOfTls(error))

  readonly #closed = (): void => this.#settle(BROKEN)
}

const TIMED_OUT: Refusal = {
  status: 504,
  error: 'connection_timeout',
  details: 'the origin does not finish the TLS handshake in time',
}
const BROKEN: Refusal = {
  status: 502,
  error: 'tls_protocol_error',
  details: 'the origin ended the TLS handshake',
}

/** What is wrong with a certificate, in words; the codes are those of OpenSSL as Node gives them, or its text. */
const CERTIFICATE_FAULTS: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'it has expired'],
  ['CERT_NOT_YET_VALID', 'it is not valid yet'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'it is for another host'],
  ['ERR_TLS_CERT_ALTNAME_FORMAT', 'its names are malformed'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'it is self-signed'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'its root is not trusted'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'its issuer is not trusted'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'its issuer is not trusted, or an intermediate is missing'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'an intermediate certificate is missing'],
  ['CERT_SIGNATURE_FAILURE', 'its signature is wrong'],
  ['CERT_REVOKED', 'it is revoked'],
  ['INVALID_CA', 'its issuer may not issue certificates'],
  ['INVALID_CA_CERTIFICATE', 'its issuer may not issue certificates'],
  ['KEY_USAGE_DOES_NOT_INCLUDE_CERTIFICATE_SIGNING', 'its issuer may not issue certificates'],
  ['INVALID_PURPOSE', 'it is not for servers'],
  ['PATH_LENGTH_EXCEEDED', 'its chain is longer than its issuers allow'],
  ['PERMITTED_SUBTREE_VIOLATION', 'its issuer may not issue for this host'],
  ['EXCLUDED_SUBTREE_VIOLATION', 'its issuer may not issue for this host'],
  ['CERT_UNTRUSTED', 'it is not trusted'],
  ['CERT_REJECTED', 'it is not accepted'],
  ['CERT_CHAIN_TOO_LONG', 'its chain is too long'],
  ['EE_CERTIFICATE_KEY_TOO_WEAK', 'its key is too small'],
  ['CA_CERTIFICATE_KEY_TOO_WEAK', 'the key of its issuer is too small'],
  ['CA_SIGNATURE_DIGEST_ALGORITHM_TOO_WEAK', 'it is signed with a hash that is too weak'],
  ['UNHANDLED_CRITICAL_EXTENSION', 'it demands something that is not understood'],
  ['UNSUPPORTED_NAME_CONSTRAINT_TYPE', 'its constraints are not understood'],
  ['HOSTNAME_MISMATCH', 'it is for another host'],
])

/** `X509_V_ERR_*` without a sentence above: still a certificate that is not accepted. */
const CERTIFICATE_CODE =
  /^(?:CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_|CRL_|CA_|EE_|OCSP_|STORE_LOOKUP|PROXY_|ERROR_IN_CERT|KEYUSAGE_|UNHANDLED_CRITICAL|SUBTREE_|NO_ISSUER|UNSUPPORTED_)/

/** The faults that Node has no code for it calls so; the message is OpenSSL's. */
const WITHOUT_CODE = 'UNSPECIFIED'

/** Of a handshake, or of its end that TLS 1.3 lets a client hear later: it was not accepted. */
export function refusalOfTls(error: {
  readonly code?: string | undefined
  readonly message?: string
}): Refusal {
  const unspecified = error.code === WITHOUT_CODE
  const code = unspecified
    ? (error.message ?? '')
        .toUpperCase()
        .replaceAll(/[^A-Z0-9]+/g, '_')
        .slice(0, MAX_CODE)
    : (error.code ?? '')
  const fault = CERTIFICATE_FAULTS.get(code)
  if (unspecified || fault !== undefined || CERTIFICATE_CODE.test(code)) {
    return {
      status: 502,
      error: 'tls_certificate_error',
      details: `the certificate of the origin is not accepted: ${fault ?? code.toLowerCase().replaceAll('_', ' ')} (${code})`,
    }
  }
  if (/ALERT/.test(code)) {
    return {
      status: 502,
      error: 'tls_alert_received',
      details: `the origin refused the TLS handshake (${code.replace(/^ERR_SSL_/, '')})`,
    }
  }
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) {
    return {
      status: 502,
      error: 'tls_protocol_error',
      details: `the TLS handshake with the origin failed (${code.replace(/^ERR_SSL_/, '')})`,
    }
  }
  return BROKEN
}
