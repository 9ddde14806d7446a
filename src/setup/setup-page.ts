// The page that tells people what this proxy is, what it looks at, and what to do.

import { escapeHtml, pageHtml } from '../base/html.ts'
import type { SetupFacts } from './facts.ts'
import { certificatesOf } from './pem.ts'
import { DIRECT, type Place, type Recipe, type Tool } from './recipe.ts'
import { asSh } from './render.ts'
import { fetching, TOOLS } from './tools.ts'

const HOSTS_SHOWN = 40
/** Where the recipes of the page keep their files, in the reader's own home. */
const DIR = '$HOME/.cordon'

export function setupPage(facts: SetupFacts, proxy: string): string {
  const roots = facts.roots()
  const place: Place = {
    proxy,
    direct: DIRECT,
    ...(facts.needsLogin ? { login: { user: 'NAME' } } : {}),
    ...(roots === undefined
      ? {}
      : { ca: { dir: DIR, file: `${DIR}/ca.pem`, bundle: `${DIR}/ca-bundle.pem`, pem: roots } }),
  }
  return pageHtml({
    title: 'Set up this proxy',
    accent: '#1a56b8',
    width: '52rem',
    body: [
      about(facts),
      roots === undefined ? '' : certificate(roots, place),
      addresses(facts, proxy, roots !== undefined),
      '<h2>Tools</h2>',
      '<p class="soft">Open a tool for the exact lines, or ask for them where Cordon is installed: <code>cordon setup TOOL</code>, on Windows with <code>--format powershell</code>.</p>',
      ...TOOLS.map(
        (tool) =>
          `<details><summary>${escapeHtml(tool.name)} <span class="soft">${escapeHtml(tool.about)}</span></summary>${recipeHtml(tool, tool.recipe(place))}</details>`,
      ),
      verify(proxy, place),
      `<dl><dt>Proxy</dt><dd>${escapeHtml(proxy)}</dd><dt>Version</dt><dd>Cordon ${escapeHtml(facts.version)}</dd>${facts.contact === '' ? '' : `<dt>Questions</dt><dd>${contactHtml(facts.contact)}</dd>`}</dl>`,
    ].join('\n'),
  })
}

function about(facts: SetupFacts): string {
  const hosts = facts.interceptedHosts()
  const looksInto =
    hosts === undefined
      ? '<li>HTTPS passes as it is: seen are who, when and which host, not what is said. No certificate is needed.</li>'
      : `<li>${hosts.length === 0 ? 'Nothing is looked into yet.' : `<details><summary>Looked into: ${hosts.length} ${hosts.length === 1 ? 'host' : 'hosts'} of AI services</summary>${hostList(hosts)}</details>`}</li>
${
  hosts.includes('unknown')
    ? '<li>Sites that are in no catalogue are looked into as well, to find AI services that nobody knows yet.</li>'
    : '<li>Every other site passes as it is, with its own certificate: nothing in it is seen.</li>'
}`
  return `<p>Your organisation uses Cordon to apply its rules for AI services. Requests to AI services go through this proxy. It lets them pass, passes them with personal data or secrets removed, or refuses them and says why.</p>
<ul>
${looksInto}
<li>Recorded: who used which AI service when, and what was decided. Not recorded: what you wrote, the answers, passwords, tokens, and what stands behind the <code>?</code> of an address.</li>
</ul>`
}

function hostList(hosts: readonly string[]): string {
  const shown = hosts.slice(0, HOSTS_SHOWN)
  const more = hosts.length - shown.length
  return `<p class="soft">${shown.map(escapeHtml).join(', ')}${more > 0 ? ` and ${more} more` : ''}</p>`
}

function certificate(roots: string, { proxy, ca }: Place): string {
  const rows = certificatesOf(roots)
    .map(
      ({ subject, fingerprint256, validTo }) =>
        `<dt>${escapeHtml(commonName(subject))}</dt><dd>until ${escapeHtml(validTo)}<br><code>${escapeHtml(fingerprint256)}</code></dd>`,
    )
    .join('')
  return `<h2>1. Trust the certificate</h2>
<p><a class="button" href="ca.pem" download>ca.pem</a> <a class="button" href="ca.cer" download>ca.cer (Windows, Android)</a></p>
<p>Compare the SHA-256 fingerprint with the one that your security team tells you. On a managed machine the certificate is there already.</p>
<dl>${rows}</dl>
${
  ca === undefined
    ? ''
    : `<p>Command lines and languages keep roots of their own. The lines below for each tool name these two files:</p>\n${pre(
        fetching(proxy, ca)
          .map(({ does, sh }) => `# ${does}\n${sh ?? ''}`)
          .join('\n'),
      )}`
}`
}

function commonName(subject: string): string {
  return /^CN=(.*)$/m.exec(subject)?.[1] ?? subject
}

function addresses({ needsLogin }: SetupFacts, proxy: string, isSecond: boolean): string {
  const pac = `${proxy}/proxy.pac`
  return `<h2>${isSecond ? '2. ' : ''}Use the proxy</h2>
<p>Browsers and systems: automatic configuration by</p>
<pre><code>${escapeHtml(pac)}</code></pre>
<p>Everything that reads the environment:</p>
<pre><code>export HTTPS_PROXY=${escapeHtml(needsLogin ? proxy.replace('://', '://NAME:TOKEN@') : proxy)}</code></pre>
${needsLogin ? '<p class="soft">NAME and TOKEN: your login, and the token that you were given.</p>' : ''}`
}

/** What runs in one block; what belongs into files, each under its name. */
function recipeHtml(tool: Tool, recipe: Recipe): string {
  const [, ...lines] = asSh(tool, { ...recipe, files: [], notes: [] })
    .trimEnd()
    .split('\n')
  return [
    ...(lines.length === 0 ? [] : [pre(lines.join('\n'))]),
    ...recipe.files.map(({ path, text }) => `<h3>${escapeHtml(path)}</h3>${pre(text)}`),
    recipe.notes.length === 0
      ? ''
      : `<ul class="soft">${recipe.notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>`,
  ].join('\n')
}

function pre(text: string): string {
  return `<pre><code>${escapeHtml(text)}</code></pre>`
}

function verify(proxy: string, { ca }: Place): string {
  const trust = ca === undefined ? '' : ` --cacert "${ca.bundle}"`
  return `<h2>See that it works</h2>
<pre><code>curl -sS -o /dev/null -w '%{http_code}\\n' -x ${escapeHtml(proxy)}${escapeHtml(trust)} https://api.openai.com/v1/models</code></pre>
<p><code>401</code>: the service answers, and asks for its own key. <code>403</code>: Cordon refuses, and the answer says why. <code>407</code>: name and token are missing. Where Cordon is installed, <code>cordon doctor</code> looks at all of it and says what to change.</p>`
}

function contactHtml(contact: string): string {
  const href = contact.startsWith('https://') ? contact : `mailto:${contact}`
  return `<a href="${escapeHtml(href)}">${escapeHtml(contact.replace(/^https:\/\//, ''))}</a>`
}
