// What kind of name is a host? Hosts here are canonical: lower case, punycode, no trailing dot, IPv6 without brackets.

import { BlockList, isIP } from 'node:net'

const PRIVATE = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  PRIVATE.addSubnet(network, bits, 'ipv4')
}
PRIVATE.addAddress('::', 'ipv6')
PRIVATE.addAddress('::1', 'ipv6')
PRIVATE.addSubnet('fc00::', 7, 'ipv6')
PRIVATE.addSubnet('fe80::', 10, 'ipv6')

const LOCAL_NAME =
  /^(?:[^.]+|.*\.(?:localhost|local|internal|intranet|private|corp|home|lan|home\.arpa|test))$/

/** Loopback and private addresses, and names that only a private network knows: where local runtimes live. */
export function isPrivateHost(host: string): boolean {
  const family = isIP(host)
  if (family === 0) return LOCAL_NAME.test(host)
  return PRIVATE.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

/** An address has no domains above it. */
export function isAddress(host: string): boolean {
  return isIP(host) !== 0
}
