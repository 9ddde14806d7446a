// A configuration profile for macOS and iOS: our roots as trusted, and the proxy.

import { createHash } from 'node:crypto'
import { escapeHtml } from '../base/html.ts'
import { certificatesOf } from './pem.ts'

export interface ProfileFacts {
  readonly host: string
  readonly port: string
  readonly pac: string
  /** Undefined with a proxy that only tunnels, or where the certificate is to be put in by hand. */
  readonly pem: string | undefined
}

export function mobileConfig({ host, port, pac, pem }: ProfileFacts): string {
  const roots = pem === undefined ? [] : certificatesOf(pem)
  const payloads = [
    ...roots.map((root, index) =>
      payload('com.apple.security.root', `root-${index + 1}`, root.fingerprint256, [
        ['PayloadCertificateFileName', `cordon-${index + 1}.cer`],
        ['PayloadContent', root.raw],
      ]),
    ),
    payload('com.apple.proxy.http.global', 'proxy', `${host}:${port}`, [
      ['ProxyType', 'Auto'],
      ['ProxyPACURL', pac],
      // Without the script nothing goes out past the proxy.
      ['ProxyPACFallbackAllowed', false],
    ]),
  ]
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadContent</key>
  <array>
${payloads.join('\n')}
  </array>
${entries('  ', [
  ['PayloadDisplayName', 'Cordon'],
  ['PayloadIdentifier', 'cordon.profile'],
  ['PayloadScope', 'System'],
  ['PayloadType', 'Configuration'],
  ['PayloadUUID', uuidOf(`profile ${pac}`)],
  ['PayloadVersion', 1],
])}
</dict>
</plist>
`
}

type Value = string | number | boolean | Buffer

function payload(
  type: string,
  name: string,
  seed: string,
  values: readonly (readonly [string, Value])[],
): string {
  const all = [
    ...values,
    ['PayloadDisplayName', `Cordon ${name}`],
    ['PayloadIdentifier', `cordon.profile.${name}`],
    ['PayloadType', type],
    ['PayloadUUID', uuidOf(`${type} ${seed}`)],
    ['PayloadVersion', 1],
  ] as const
  return `    <dict>\n${entries('      ', all)}\n    </dict>`
}

function entries(indent: string, values: readonly (readonly [string, Value])[]): string {
  return values
    .map(([key, value]) => `${indent}<key>${key}</key>\n${indent}${valueOf(value)}`)
    .join('\n')
}

function valueOf(value: Value): string {
  if (typeof value === 'boolean') return value ? '<true/>' : '<false/>'
  if (typeof value === 'number') return `<integer>${value}</integer>`
  if (typeof value === 'string') return `<string>${escapeHtml(value)}</string>`
  return `<data>${value.toString('base64')}</data>`
}

/** The same profile has the same ids, so that a device replaces it instead of keeping both. */
function uuidOf(seed: string): string {
  const hex = createHash('sha256').update(`cordon ${seed}`).digest('hex')
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ]
    .join('-')
    .toUpperCase()
}
