// Every client that there is a recipe for.

import type { Authority, Command, Tool } from './recipe.ts'
import { AGENTS } from './recipes-agents.ts'
import { BROWSERS } from './recipes-browsers.ts'
import { LANGUAGES } from './recipes-languages.ts'
import { SYSTEMS } from './recipes-systems.ts'

export const TOOLS: readonly Tool[] = [...LANGUAGES, ...AGENTS, ...BROWSERS, ...SYSTEMS]

const OTHER_NAMES: Readonly<Record<string, string>> = {
  claude: 'claude-code',
  gemini: 'gemini-cli',
  'copilot-cli': 'copilot',
  'openai-codex': 'codex',
  'vs-code': 'vscode',
  code: 'vscode',
  golang: 'go',
  nodejs: 'node',
  python3: 'python',
  requests: 'python',
  httpx: 'python',
  aiohttp: 'python',
  chromium: 'chrome',
  browser: 'chrome',
  browsers: 'chrome',
  mac: 'macos',
  mdm: 'macos',
  intune: 'windows',
  gpo: 'windows',
  environment: 'env',
}

/** By its id or by another name that people give it. */
export function toolOf(name: string): Tool | undefined {
  const lower = name.toLowerCase()
  const id = OTHER_NAMES[lower] ?? lower
  return TOOLS.find((tool) => tool.id === id)
}

/** Makes the two files on a machine without Cordon. Once; again after `cordon ca rotate --root`. */
export function fetching(proxy: string, { dir, file, bundle }: Authority): readonly Command[] {
  return [
    {
      does: 'what is to be trusted',
      sh: `mkdir -p "${dir}" && curl -fsS --noproxy '*' -o "${file}" ${proxy}/ca.pem`,
      powershell: `New-Item -ItemType Directory -Force "${dir}" | Out-Null; Invoke-WebRequest ${proxy}/ca.pem -OutFile "${file}"`,
    },
    {
      does: "the system's roots and ours, for clients that replace their own",
      sh: `cat /etc/ssl/certs/ca-certificates.crt "${file}" > "${bundle}" 2>/dev/null || cat /etc/pki/tls/certs/ca-bundle.crt "${file}" > "${bundle}" 2>/dev/null || cat /etc/ssl/cert.pem "${file}" > "${bundle}"`,
      powershell: `Get-ChildItem Cert:\\LocalMachine\\Root | ForEach-Object { "-----BEGIN CERTIFICATE-----"; [Convert]::ToBase64String($_.RawData, 'InsertLineBreaks'); "-----END CERTIFICATE-----" } | Set-Content "${bundle}"; Get-Content "${file}" | Add-Content "${bundle}"`,
    },
  ]
}
