// `proxy.intercept.origins`: which authorities vouch for a destination, and which certificate is shown to it.

import { domainToASCII } from 'node:url'
import { absolute, isMap, type Leaf, leaf, listOf, Wrong } from './leaf.ts'

/** What one destination is verified with, and what is shown to it. */
export interface OriginCertificates {
  /** `host`, or `*.host` for everything below it. */
  readonly host: string
  /** Absent: every port. */
  readonly port?: number
  /** Authorities that are trusted for it beside those of `proxy.trust` and the system. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export function originCertificates(): Leaf<readonly OriginCertificates[]> {
  const expects = 'a list of {host, ca, cert, key}'
  return leaf<readonly OriginCertificates[]>([], expects, (value, origin) =>
    listOf(value, origin, expects, 'json').map((item) => {
      if (!isMap(item)) throw new Wrong(expects)
      const { host: place, ...files } = item
      const unknown = Object.keys(files).find((key) => !['ca', 'cert', 'key'].includes(key))
      if (unknown !== undefined) throw new Wrong(`${expects}; "${unknown}" is none of these`)
      if ((files['cert'] === undefined) !== (files['key'] === undefined))
        throw new Wrong(`${expects}, where cert and key stand together`)
      if (Object.keys(files).length === 0) throw new Wrong(`${expects}, with ca, or cert and key`)
      const named = Object.entries(files).map(([key, file]) => {
        if (typeof file !== 'string' || file === '' || file.includes('\0'))
          throw new Wrong(`${expects}, where ${key} is a path`)
        return [key, absolute(file, origin)]
      })
      return { ...readOriginHost(place, expects), ...Object.fromEntries(named) }
    }),
  )
}

function readOriginHost(value: unknown, expects: string): { host: string; port?: number } {
  const [, host, port] =
    typeof value === 'string' ? (/^((?:\*\.)?[^:/\s*]+)(?::(\d{1,5}))?$/.exec(value) ?? []) : []
  const below = host?.startsWith('*.') === true ? '*.' : ''
  const name = domainToASCII((host ?? '').slice(below.length).replace(/\.$/, ''))
  if (name === '' || (port !== undefined && !isPort(Number(port))))
    throw new Wrong(`${expects}, where host is a host or *.host, with or without a port`)
  return { host: below + name, ...(port === undefined ? {} : { port: Number(port) }) }
}

function isPort(port: number): boolean {
  return port > 0 && port <= 65_535
}
