// Are certificates, requests and keys shown as Go shows them? They are made here, by openssl.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { askBoth } from '../support/differential.ts'
import { withoutOpa } from '../support/policy-folder.ts'

const withoutOpenssl =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'

const CONFIG = `[req]
distinguished_name=dn
prompt=no
[dn]
C=DE
O=Org
OU=Unit
CN=example.com
[v3]
subjectAltName=DNS:example.com,IP:10.0.0.1,IP:::1,email:m@x.example,URI:spiffe://d/x?q=1
keyUsage=critical,digitalSignature,keyCertSign
extendedKeyUsage=serverAuth,1.2.3.4
basicConstraints=critical,CA:TRUE,pathlen:0
subjectKeyIdentifier=hash
certificatePolicies=1.2.3.4
authorityInfoAccess=OCSP;URI:http://o.example/,caIssuers;URI:http://ca.example/
crlDistributionPoints=URI:http://crl.example/
nameConstraints=critical,permitted;DNS:.ok.example,excluded;IP:192.168.0.0/255.255.0.0
`
const KEYS = {
  rsa: ['rsa:2048'],
  ec: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  ed: ['ed25519'],
}

t.test('as OPA shows them', { skip: withoutOpa() || withoutOpenssl }, async (t) => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'req.cnf'), CONFIG)
  const calls = Object.entries(KEYS).flatMap(([kind, algorithm]) => {
    const [key, certificate, request] = ['key', 'crt', 'csr'].map((end) => `${kind}.${end}`)
    const make = (...args: string[]): void => {
      const { status, stderr } = spawnSync('openssl', ['req', '-config', 'req.cnf', ...args], {
        cwd: dir,
        encoding: 'utf8',
      })
      t.equal(status, 0, stderr)
    }
    make(
      '-x509',
      '-extensions',
      'v3',
      '-newkey',
      ...algorithm,
      '-nodes',
      '-keyout',
      key ?? '',
      '-out',
      certificate ?? '',
    )
    make('-new', '-reqexts', 'v3', '-key', key ?? '', '-out', request ?? '')
    const [keyText, certificateText, requestText] = [key, certificate, request].map((file) =>
      readFileSync(join(dir, file ?? ''), 'utf8'),
    )
    return [
      { name: 'crypto.x509.parse_certificates', args: [certificateText] },
      { name: 'crypto.x509.parse_certificate_request', args: [requestText] },
      { name: 'crypto.x509.parse_keypair', args: [certificateText, keyText] },
      { name: 'crypto.x509.parse_rsa_private_key', args: [keyText] },
      { name: 'crypto.parse_private_keys', args: [keyText] },
      { name: 'crypto.x509.parse_certificates', args: [keyText] },
    ]
  })
  for (const { call, opa, own } of await askBoth(calls)) t.equal(own, opa, call.slice(0, 60))
})
