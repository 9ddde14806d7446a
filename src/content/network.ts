// Addresses of networks and devices. By the special-purpose registries of IANA (RFC 6890, 5737, 3849, 6598),
// private, loopback, link-local, shared and documentation addresses are none. MAC addresses by IEEE 802
// notations; zero, broadcast and the documentation range of RFC 7042 are none.

import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { Candidate } from './candidate.ts'
import { classAt, matchAt, WORD } from './characters.ts'

const SPECIAL = new BlockList()
for (const entry of `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
  192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3`.split(
  /\s+/,
)) {
  const [net = '', bits] = entry.split('/')
  SPECIAL.addSubnet(net, Number(bits), 'ipv4')
}
for (const entry of '::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 3fff::/20 fc00::/7 fe80::/10 ff00::/8'.split(
  ' ',
)) {
  const [net = '', bits] = entry.split('/')
  SPECIAL.addSubnet(net, Number(bits), 'ipv6')
}

const V4 = /\d{1,3}(?:\.\d{1,3}){3}(?:\/\d{1,2})?(?![\w-]|\.\d|\.[A-Za-z_])/y
const V6 = /[0-9A-Fa-f:]{3,45}(?:\.\d{1,3}){0,3}(?:%[A-Za-z0-9]{1,16})?(?:\/\d{1,3})?/y
const MAC =
  /[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.])/y
/** Four small numbers are a version, a section or an object identifier, unless a word says address. */
const ADDRESS_WORD =
  /\b(?:ip(?:v4)?|address(?:es)?|addr|host|server|dns|client|from|to|gateway|source|dest\w*|remote|resolver|nameserver|ping|connect\w*)\b[^\d]{0,16}$/i
const VERSION =
  /(?:§|\b(?:oid|object ?identifier|section|sec\.?|chapter|appendix|figure|table|rfc ?\d*|v|ver|version|release|build|firmware|driver|file ?version|assembly ?version))[\s:="'(-]{0,3}$/i

/** A dotted address whose first number stands at a place. */
export function findIpv4(text: string, at: number): Candidate | undefined {
  const found = matchAt(V4, text, at)?.[0]
  if (found === undefined || /[\w.-]/.test(text.charAt(at - 1))) return undefined
  const [address = '', bits] = found.split('/')
  if (!isIPv4(address) || SPECIAL.check(address, 'ipv4') || Number(bits ?? 0) > 32) return undefined
  const before = text.slice(Math.max(0, at - 32), at)
  if (VERSION.test(before) || (isSmall(address) && !ADDRESS_WORD.test(before))) return undefined
  return place(at, found.length)
}

/** Every number has one digit, and they differ: 8.8.8.8 and 1.1.1.1 are addresses to everybody. */
function isSmall(address: string): boolean {
  return address.length === 7 && new Set(address).size > 3
}

/** An address with colons that starts at a place. */
export function findIpv6(text: string, at: number): Candidate | undefined {
  if (/[\w:]/.test(text.charAt(at - 1))) return undefined
  const found = matchAt(V6, text, at)?.[0].replace(/(?<=[0-9A-Fa-f]):$/, '')
  if (found === undefined || (classAt(text, at + found.length) & WORD) !== 0) return undefined
  const [address = ''] = found.split(/[/%]/)
  if (!isIPv6(address) || isSpecial(address)) return undefined
  return place(at, found.length)
}

function isSpecial(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return SPECIAL.check(mapped, 'ipv4')
  if (SPECIAL.check(address, 'ipv6')) return true
  // Only 2000::/3 is given out; a shortened form elsewhere (`a::b`) is a path in some language.
  return address.includes('::') && !/^[23][0-9A-Fa-f]{3}:/.test(address)
}

export function findMac(text: string, at: number): Candidate | undefined {
  const found = matchAt(MAC, text, at)?.[0]
  if (found === undefined || /[\w:.-]/.test(text.charAt(at - 1))) return undefined
  const digits = found.replaceAll(/[:.-]/g, '').toLowerCase()
  if (/^(.)\1+$/.test(digits) || digits.startsWith('00005e0053')) return undefined
  return {
    type: 'mac_address',
    category: 'network',
    start: at,
    end: at + found.length,
    confidence: 0.8,
  }
}

function place(start: number, size: number): Candidate {
  return { type: 'ip_address', category: 'network', start, end: start + size, confidence: 0.85 }
}
