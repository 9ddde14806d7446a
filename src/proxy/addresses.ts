// Which addresses are never the public internet, and which IPv4 address hides in an IPv6 one?

import { BlockList, isIP } from 'node:net'

/** IANA special-purpose registries, cloud metadata. */
const INTERNAL: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '168.63.129.16/32',
  '100.100.100.200/32',
  '::/128',
  '::1/128',
  '::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '3fff::/20',
  '5f00::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]

export class Networks {
  readonly #list = new BlockList()

  /** Networks with their length, or addresses. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address = '', bits] = entry.split('/')
      const [bare = ''] = address.split('%', 1)
      const family = isIP(bare)
      if (family === 0) continue
      const whole = family === 4 ? 32 : 128
      this.#list.addSubnet(
        bare,
        bits === undefined ? whole : Number(bits),
        family === 4 ? 'ipv4' : 'ipv6',
      )
    }
  }

  has(address: string): boolean {
    const [bare = ''] = address.split('%', 1)
    const family = isIP(bare)
    return family !== 0 && this.#list.check(bare, family === 4 ? 'ipv4' : 'ipv6')
  }
}

export const INTERNAL_NETWORKS = new Networks(INTERNAL)

/** The IPv4 address inside a mapped, compatible, NAT64, 6to4 or Teredo one; else the address itself. */
export function unwrap(address: string): string {
  if (isIP(address) !== 6) return address
  const groups = groupsOf(address)
  const [a = 0, b = 0, , , , f = 0, g = 0, h = 0] = groups
  const zeros = (count: number): boolean => groups.slice(0, count).every((group) => group === 0)
  if (zeros(5) && (f === 0xffff || f === 0) && (g > 0 || h > 1)) return quad(g, h)
  if (zeros(4) && groups[4] === 0xffff && f === 0) return quad(g, h)
  if (a === 0x64 && b === 0xff9b && groups.slice(2, 6).every((group) => group === 0))
    return quad(g, h)
  if (a === 0x2002) return quad(b, groups[2] ?? 0)
  if (a === 0x2001 && b === 0) return quad(g ^ 0xffff, h ^ 0xffff)
  return address
}

function groupsOf(address: string): number[] {
  const [bare = ''] = address.split('%', 1)
  const hex = bare.replace(
    /(\d+)\.(\d+)\.(\d+)\.(\d+)$/,
    (_whole, a: string, b: string, c: string, d: string) =>
      `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`,
  )
  const [head = '', tail] = hex.split('::')
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const before = parse(head)
  if (tail === undefined) return before
  const after = parse(tail)
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

function quad(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
