// The parent proxy: which destinations go through it, and how it is reached.

import { BlockList, isIP } from 'node:net'
import type { Destination } from '../model/request.ts'
import type { Egress } from './egress.ts'
import type { ParentProxy, Refusal, Route } from './ports.ts'

/** `http://user:pass@host:port`; `except` holds host suffixes and networks that are reached directly. */
export function openParent(
  url: string,
  except: readonly string[],
  egress: Pick<Egress, 'route'>,
): ParentProxy {
  const { hostname, port, username, password } = new URL(url)
  const networks = new BlockList()
  const suffixes: string[] = []
  for (const entry of except) {
    const [address = '', bits] = entry.split('/')
    const family = isIP(address)
    if (family === 0) suffixes.push(entry.toLowerCase().replace(/^\*?\./, ''))
    else
      networks.addSubnet(
        address,
        bits === undefined ? (family === 4 ? 32 : 128) : Number(bits),
        family === 4 ? 'ipv4' : 'ipv6',
      )
  }
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const destination: Destination = { host, port: port === '' ? 80 : Number(port), scheme: 'http' }
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  const basic = `Basic ${Buffer.from(login).toString('base64')}`
  return {
    credentials: username === '' ? [] : ['Proxy-Authorization', 'proxy-authorization', basic],
    covers: ({ host: wanted }) => {
      const family = isIP(wanted)
      if (family !== 0) return !networks.check(wanted, family === 4 ? 'ipv4' : 'ipv6')
      return !suffixes.some((suffix) => wanted === suffix || wanted.endsWith(`.${suffix}`))
    },
    route: (): Route | Refusal | Promise<Route | Refusal> => egress.route(destination, false),
  }
}
