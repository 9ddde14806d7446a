// What a certificate can name: a DNS name or an address, in their one spelling.

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** The bytes of an address, or undefined for what is none. */
export function addressOf(host: string): Buffer | undefined {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  if (isIP(bare) === 0 || bare.includes('%')) return undefined
  return Buffer.from(ipaddr.parse(bare).toByteArray())
}

export function isDnsName(host: string): boolean {
  return host.length <= 253 && DNS_NAME.test(host)
}

const DNS_NAME = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/
