// What else opens TLS: Squid with ssl-bump and mitmproxy, each with its best settings, and Cordon as configured for it.

import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'
import { cacheDirs } from '../../src/config/cache.ts'
import { type Server, startServer } from './processes.ts'
import { AI_HOST, cordon, PORTS, SITE_HOST } from './servers.ts'
import { type Certificates, FRESH_DOMAIN, FRESH_HOSTS, STREAM_HOST } from './tls-origins.ts'

const CERTGEN = '/usr/lib/squid/security_file_certgen'
const ROOT = 0

/** The authority that Squid and mitmproxy sign with; P-256, so their leaves are too. */
export interface BumpAuthority {
  readonly cert: string
  readonly key: string
}

/**
 * Bumps at CONNECT, which is its fastest way: no look at the client's hello nor at the origin before. Its log is
 * buffered, nothing is cached, origin connections are kept.
 */
export function startSquidBump(
  dir: string,
  origin: Certificates,
  authority: BumpAuthority,
  deniedDomains: readonly string[],
  workers: number,
): Promise<Server> {
  const own = join(dir, 'squid-bump')
  mkdirSync(own)
  chmodSync(dir, 0o755)
  chmodSync(own, 0o777)
  const certificates = join(own, 'certificates')
  execFileSync(CERTGEN, ['-c', '-s', certificates, '-M', '64MB'], { stdio: 'ignore' })
  giveToSquid(certificates)
  writeFileSync(join(own, 'denied'), `${deniedDomains.join('\n')}\n`)
  writeFileSync(join(own, 'hosts'), hostsFile())
  writeFileSync(
    join(own, 'ca.pem'),
    `${readFileSync(authority.key, 'utf8')}${readFileSync(authority.cert, 'utf8')}`,
  )
  writeFileSync(
    join(own, 'squid.conf'),
    `http_port 127.0.0.1:${PORTS.squidBump} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=64MB tls-cert=${own}/ca.pem tls-dh=prime256v1
sslcrtd_program ${CERTGEN} -s ${certificates} -M 64MB
sslcrtd_children 8 startup=2 idle=1
tls_outgoing_options cafile=${origin.ca}
ssl_bump bump all
acl loopback src 127.0.0.0/8
acl denied dstdomain "${own}/denied"
http_access deny denied
http_access allow loopback
http_access deny all
hosts_file ${own}/hosts
cache deny all
cache_mem 0 MB
access_log stdio:${own}/access.log combined
buffered_logs on
cache_log ${own}/cache.log
pid_filename ${workers > 1 ? join(own, 'squid.pid') : 'none'}
coredump_dir ${own}
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 0 seconds
visible_hostname bench
server_pconn_for_nonretriable allow all
${workers > 1 ? `workers ${workers}\n` : ''}`,
  )
  const how = workers > 1 ? ['--foreground'] : ['-N']
  return startServer('squid', [...how, '-f', join(own, 'squid.conf')], { port: PORTS.squidBump })
}

/** Squid started by root works as another user. */
function giveToSquid(folder: string): void {
  if (process.getuid?.() !== ROOT) return
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'proxy'], { encoding: 'utf8' }))
  const [user, group] = [id('-u'), id('-g')]
  chownSync(folder, user, group)
  for (const name of ['certs', 'index.txt', 'size', 'index.txt.attr'])
    if (existsSync(join(folder, name))) chownSync(join(folder, name), user, group)
}

/** mitmdump is looked for in the user's cache, where `python3 -m venv` and pip put it, and on the path. */
export function findMitmdump(): string | undefined {
  const own = join(cacheDirs(env, tmpdir()).tools, 'mitmproxy/bin/mitmdump')
  if (existsSync(own)) return own
  try {
    return execFileSync('sh', ['-c', 'command -v mitmdump'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

/**
 * Its defaults and no log; bodies are held, as whoever reads them needs, up to the size that Cordon reads; event
 * streams pass (`stream`). Every name is the loopback, which costs it less than a look-up.
 */
export function startMitmproxy(
  program: string,
  dir: string,
  origin: Certificates,
  authority: BumpAuthority,
): Promise<Server> {
  const own = join(dir, 'mitmproxy')
  mkdirSync(own)
  writeFileSync(
    join(own, 'mitmproxy-ca.pem'),
    `${readFileSync(authority.key, 'utf8')}${readFileSync(authority.cert, 'utf8')}`,
  )
  writeFileSync(
    join(own, 'streams.py'),
    `import socket
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: real("127.0.0.1", *rest, **named)

def responseheaders(flow):
    if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
        flow.response.stream = True
`,
  )
  const settings = [
    `confdir=${own}`,
    `ssl_verify_upstream_trusted_ca=${origin.ca}`,
    'http2=false',
    'stream_large_bodies=10m',
  ].flatMap((setting) => ['--set', setting])
  const listen = ['--listen-host', '127.0.0.1', '-p', String(PORTS.mitmproxy)]
  return startServer(program, ['-q', ...listen, ...settings, '-s', join(own, 'streams.py')], {
    port: PORTS.mitmproxy,
  })
}

/** Beside what every bench sets: interception of the hosts that are asked for, and the way to their origin. */
export function interceptingConfig(dir: string, origin: Certificates): string {
  const file = join(dir, 'cordon-tls.yaml')
  const tls = `127.0.0.1:${PORTS.tlsOrigin}`
  const fresh = Array.from({ length: FRESH_HOSTS }, (_, at) => `${at}.${FRESH_DOMAIN}`)
  const resolve = Object.fromEntries([
    ...[AI_HOST, SITE_HOST, ...fresh].map((host) => [`${host}:443`, tls]),
    [`${STREAM_HOST}:443`, `127.0.0.1:${PORTS.streamOrigin}`],
  ])
  writeFileSync(
    file,
    `data_dir: ${join(dir, 'data-tls')}
proxy:
  listen: 127.0.0.1:${PORTS.cordon}
  trust: ["${origin.ca}"]
  intercept: {enabled: true, services: ["${AI_HOST}", "${STREAM_HOST}", "${SITE_HOST}", "*.${FRESH_DOMAIN}"]}
  resolve: ${JSON.stringify(resolve)}
api: {listen: "127.0.0.1:${PORTS.cordonApi}"}
observe: {listen: "127.0.0.1:${PORTS.observe}"}
`,
  )
  return file
}

/** Makes Cordon's authority; returns the file that clients trust. */
export function makeCordonAuthority(dir: string, config: string): string {
  const out = join(dir, 'cordon-root.pem')
  cordon(['ca', 'init', '--config', config])
  cordon(['ca', 'export', '--config', config, '--out', out])
  return out
}

function hostsFile(): string {
  const fresh = Array.from({ length: FRESH_HOSTS }, (_, at) => `127.0.0.1 ${at}.${FRESH_DOMAIN}`)
  return `127.0.0.1 ${AI_HOST} ${SITE_HOST} ${STREAM_HOST}\n${fresh.join('\n')}\n`
}
