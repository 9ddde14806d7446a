// A proxy auto-config script. Its dialect is that of the oldest reader: WinHTTP runs JScript of 2000.

import type { AiService } from '../model/service.ts'

/** Which hosts go to the proxy; undefined: all. */
export interface PacHosts {
  /** With everything below them. */
  readonly domains: readonly string[]
  /** Regular expressions over the whole host. */
  readonly patterns: readonly string[]
}

/** The hosts of these services. A pattern that JavaScript might read otherwise sends everything. */
export function pacHostsOf(services: readonly AiService[]): PacHosts | undefined {
  const domains = new Set<string>()
  const patterns = new Set<string>()
  for (const service of services) {
    for (const host of [...service.domains, ...service.api_hosts]) domains.add(host)
    for (const { host } of service.shared_hosts)
      if (!host.includes(':')) domains.add(host.replace(/^\*\./, ''))
    for (const pattern of service.host_patterns) patterns.add(pattern)
  }
  if ([...patterns].some((pattern) => !isPlain(pattern))) return undefined
  return { domains: [...domains].toSorted(), patterns: [...patterns].toSorted() }
}

/** No syntax in which RE2 and an old JavaScript differ. */
function isPlain(pattern: string): boolean {
  return !/\(\?(?!:)|\[\[:|\\[^.dwsDWS\-\\]|[*+?}]\+/.test(pattern) && isRegExp(pattern)
}

function isRegExp(pattern: string): boolean {
  try {
    return new RegExp(pattern).source !== ''
  } catch {
    return false
  }
}

/** `proxy`: `host:port`. Never DIRECT as a second choice: a proxy that is away is no reason to go past it. */
export function pacScript(proxy: string, hosts: PacHosts | undefined): string {
  return `// Proxy auto-config by Cordon${hosts === undefined ? '' : ': AI services only'}.
function FindProxyForURL(url, host) {
  var proxy = ${text(`PROXY ${proxy}`)};
  var scheme = url.substring(0, url.indexOf(":")).toLowerCase();
  if (scheme !== "http" && scheme !== "https" && scheme !== "ws" && scheme !== "wss") return "DIRECT";
  host = host.toLowerCase().replace(/^\\[|\\]$/g, "").replace(/\\.$/, "");
  if (isLocal(host)) return "DIRECT";
${hosts === undefined ? '  return proxy;' : '  return isAi(host) ? proxy : "DIRECT";'}
}
// No name is resolved: only what the host says of itself counts.
function isLocal(host) {
  if (host.indexOf(":") !== -1) return /^(::1$|::$|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:)/.test(host);
  if (host.indexOf(".") === -1) return true;
  if (/^[0-9.]+$/.test(host)) return /^(127|10|0)\\.|^192\\.168\\.|^169\\.254\\.|^172\\.(1[6-9]|2[0-9]|3[01])\\./.test(host);
  return /\\.(localhost|local|internal|intranet|private|corp|home|lan|home\\.arpa)$/.test(host);
}
${hosts === undefined ? '' : aiTest(hosts)}`
}

function aiTest({ domains, patterns }: PacHosts): string {
  return `var DOMAINS = {${domains.map((domain) => `${text(domain)}:1`).join(',')}};
var PATTERNS = [${patterns.map((pattern) => `new RegExp(${text(`^(?:${pattern})$`)})`).join(',')}];
function isAi(host) {
  for (var name = host; name !== ""; ) {
    if (Object.prototype.hasOwnProperty.call(DOMAINS, name)) return true;
    var dot = name.indexOf(".");
    name = dot === -1 ? "" : name.substring(dot + 1);
  }
  for (var i = 0; i < PATTERNS.length; i++) if (PATTERNS[i].test(host)) return true;
  return false;
}
`
}

/** A string of ASCII letters that closes no script and no string. */
function text(value: string): string {
  return JSON.stringify(value).replaceAll(
    /[^\u0020-\u007E]|[<>&]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
