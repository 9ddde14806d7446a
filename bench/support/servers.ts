// The programs that are compared: Cordon as shipped, Squid, nginx as the origin, OPA.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Server, startServer } from './processes.ts'

export const PORTS = {
  origin: 21080,
  cordon: 21128,
  cordonApi: 21181,
  observe: 21464,
  squid: 21129,
  squidBump: 21130,
  mitmproxy: 21131,
  tlsOrigin: 21443,
  streamOrigin: 21444,
  opa: 21182,
  opaLogging: 21183,
}
export const AI_HOST = 'api.openai.com'
export const SITE_HOST = 'www.site.test'
const MAIN = join(import.meta.dirname, '../../src/main.ts')

/** nginx, one process, a fixed answer of 1 KB. */
export function startOrigin(dir: string): Promise<Server> {
  const answer = JSON.stringify({ ok: true, text: 'x'.repeat(1000) })
  writeFileSync(
    join(dir, 'nginx.conf'),
    `daemon off; master_process off; worker_processes 1; pid ${dir}/nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http { access_log off; keepalive_timeout 75s; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  server { listen 127.0.0.1:${PORTS.origin} backlog=4096; location / { return 200 '${answer}'; } } }
`,
  )
  return startServer('nginx', ['-c', join(dir, 'nginx.conf'), '-e', 'stderr'], {
    port: PORTS.origin,
  })
}

/** Only addresses, the data folder and the way to the origin differ from the defaults. */
export function cordonConfig(dir: string): string {
  const file = join(dir, 'cordon.yaml')
  const origin = `127.0.0.1:${PORTS.origin}`
  writeFileSync(
    file,
    `data_dir: ${join(dir, 'data')}
proxy:
  listen: 127.0.0.1:${PORTS.cordon}
  egress: {allow: ["127.0.0.1/32"], ports: [80, ${PORTS.origin}]}
  resolve: {"${AI_HOST}:80": "${origin}", "${SITE_HOST}:80": "${origin}"}
api: {listen: "127.0.0.1:${PORTS.cordonApi}"}
observe: {listen: "127.0.0.1:${PORTS.observe}"}
`,
  )
  return file
}

export function startCordon(config: string): Promise<Server> {
  return startServer(process.execPath, [MAIN, 'start', '--config', config], {
    port: PORTS.cordon,
    ready: 'cordon ready',
  })
}

/** What a command of Cordon prints. */
export function cordon(args: readonly string[]): string {
  return execFileSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' }).trim()
}

/** Its best settings: one list of domains as ACL, buffered log, nothing cached, origin connections kept. */
export function startSquid(dir: string, deniedDomains: readonly string[]): Promise<Server> {
  const logs = join(dir, 'squid')
  mkdirSync(logs)
  chmodSync(logs, 0o777)
  chmodSync(dir, 0o755)
  writeFileSync(join(dir, 'denied'), `${deniedDomains.join('\n')}\n`)
  writeFileSync(
    join(dir, 'squid.conf'),
    `http_port 127.0.0.1:${PORTS.squid}
acl loopback src 127.0.0.0/8
acl denied dstdomain "${dir}/denied"
http_access deny denied
http_access allow loopback
http_access deny all
cache deny all
cache_mem 0 MB
access_log stdio:${logs}/access.log combined
buffered_logs on
cache_log ${logs}/cache.log
pid_filename none
coredump_dir ${logs}
pinger_enable off
max_filedescriptors 8192
shutdown_lifetime 0 seconds
visible_hostname bench
server_pconn_for_nonretriable allow all
cache_peer 127.0.0.1 parent ${PORTS.origin} 0 no-query originserver no-digest no-netdb-exchange
never_direct allow all
`,
  )
  return startServer('squid', ['-N', '-f', join(dir, 'squid.conf')], { port: PORTS.squid })
}

export function startOpa(dir: string, policy: string, isLogging: boolean): Promise<Server> {
  const file = join(dir, 'bench.rego')
  writeFileSync(file, policy)
  const port = isLogging ? PORTS.opaLogging : PORTS.opa
  const args = ['run', '--server', '--disable-telemetry', '--addr', `127.0.0.1:${port}`]
  if (isLogging) args.push('--set', 'decision_logs.console=true')
  else args.push('--log-level', 'error')
  return startServer('opa', [...args, file], { port })
}

/** The first words a program says about its version, or undefined where it is not installed. */
export function versionOf(command: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
      .split('\n')[0]
      ?.trim()
  } catch {
    return undefined
  }
}
