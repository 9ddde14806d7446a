// Origins that speak TLS with certificates of an authority that is made for the run, and what belongs to it.

import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Server, startServer } from './processes.ts'
import { AI_HOST, PORTS, SITE_HOST } from './servers.ts'

/** Another AI service: its origin answers with streams and takes uploads. */
export const STREAM_HOST = 'api.mistral.ai'
export const FRESH_DOMAIN = 'fresh.test'
/** Hosts that can be asked for the first time. Not more: the YAML reader compares each key with all before it. */
export const FRESH_HOSTS = 5000

export const GET_PATH = '/v1/models'
export const CHAT_PATH = '/v1/chat/completions'
const MODELS = JSON.stringify({ object: 'list', data: [], text: 'x'.repeat(1000) })
const COMPLETION = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1,
  model: 'gpt-4o-mini',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'The sea is wide and blue. '.repeat(28) },
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 400, completion_tokens: 200, total_tokens: 600 },
})
export const LENGTHS = { get: MODELS.length, chat: COMPLETION.length }

export interface Certificates {
  /** The authority that clients and proxies trust for origins. */
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** An authority of the run and one certificate for every host of the benches, P-256. */
export function makeCertificates(dir: string): Certificates {
  const folder = join(dir, 'origin-tls')
  mkdirSync(folder)
  const at = (name: string): string => join(folder, name)
  makeAuthority(at('ca.pem'), at('ca.key'), 'Origins of the bench')
  const names = [AI_HOST, SITE_HOST, STREAM_HOST, `*.${FRESH_DOMAIN}`, 'localhost']
  writeFileSync(
    at('ext'),
    `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')},IP:127.0.0.1\nextendedKeyUsage=serverAuth\n`,
  )
  openssl(['req', '-new', ...NEW_KEY, '-keyout', at('key.pem')].concat(['-out', at('csr.pem')]), [
    '-subj',
    '/CN=bench',
  ])
  openssl(
    ['x509', '-req', '-in', at('csr.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
    ['-CAcreateserial', '-days', '30', '-extfile', at('ext'), '-out', at('cert.pem')],
  )
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export function makeAuthority(cert: string, key: string, name: string): void {
  openssl(
    ['req', '-x509', ...NEW_KEY, '-keyout', key, '-out', cert, '-days', '30'],
    ['-subj', `/CN=${name}`],
  )
}

function openssl(args: readonly string[], more: readonly string[]): void {
  execFileSync('openssl', [...args, ...more], { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** nginx, one process: a list of models for GET, a chat completion for the rest. */
export function startTlsOrigin(dir: string, { cert, key }: Certificates): Promise<Server> {
  const file = join(dir, 'nginx-tls.conf')
  writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${dir}/nginx-tls.pid; error_log stderr crit;
events { worker_connections 16384; }
http { access_log off; keepalive_timeout 75s; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  ssl_certificate ${cert}; ssl_certificate_key ${key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:bench:16m;
  server { listen 127.0.0.1:${PORTS.tlsOrigin} ssl backlog=4096;
    location / { return 200 '${MODELS}'; } location ${CHAT_PATH} { return 200 '${COMPLETION}'; } } }
`,
  )
  return startServer('nginx', ['-c', file, '-e', 'stderr'], { port: PORTS.tlsOrigin })
}

/** The origin of streams and uploads, in Go. */
export function startStreamOrigin(driver: string, { cert, key }: Certificates): Promise<Server> {
  const listen = `127.0.0.1:${PORTS.streamOrigin}`
  const args = [`-listen=${listen}`, `-cert=${cert}`, `-key=${key}`]
  return startServer(driver, ['origin', ...args], { port: PORTS.streamOrigin })
}
