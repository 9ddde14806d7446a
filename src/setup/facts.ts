// What Cordon's own pages are made from.

import type { PacHosts } from './pac.ts'

export interface SetupFacts {
  /** `http://host:port` of the proxy, as a client that named this Host reaches it: `proxyUrlOf`. */
  proxyUrl(hostHeader: string | undefined): string
  /** PEM of what has to be trusted; undefined: HTTPS is tunnelled. */
  roots(): string | undefined
  /** What is looked into, as hosts and patterns that people know; undefined: HTTPS is tunnelled. */
  interceptedHosts(): readonly string[] | undefined
  /** Hosts of AI services; undefined: the script for them sends everything. */
  aiHosts(): PacHosts | undefined
  /** Whether a name and a token are asked for. */
  readonly needsLogin: boolean
  /** Mail address, https URL, or nothing. */
  readonly contact: string
  readonly version: string
}

/** A name or address with its port, as Host has it; nothing that could be anything else in a page or script. */
const HOST = /^(?:[a-z0-9][a-z0-9._-]{0,252}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i

/** The proxy under the name by which the client reached it, else under its own. */
export function proxyUrlOf(hostHeader: string | undefined, own: string): string {
  if (hostHeader === undefined || !HOST.test(hostHeader)) return own
  const text = `http://${hostHeader.toLowerCase()}`
  if (!URL.canParse(text)) return own
  const { hostname, port } = new URL(text)
  return `http://${hostname}:${port === '' ? '80' : port}`
}
