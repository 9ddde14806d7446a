// AI command lines and editors.

import { json, type Place, proxyEnv, proxyUrl, type Recipe, type Tool, trustEnv } from './recipe.ts'

export const AGENTS: readonly Tool[] = [
  {
    id: 'claude-code',
    name: 'Claude Code',
    about: 'env of ~/.claude/settings.json',
    recipe: claudeCode,
  },
  { id: 'codex', name: 'Codex', about: 'environment and CODEX_CA_CERTIFICATE', recipe: codex },
  { id: 'gemini-cli', name: 'Gemini CLI', about: '~/.gemini/.env', recipe: geminiCli },
  {
    id: 'copilot',
    name: 'GitHub Copilot',
    about: 'settings of the editor; environment for its command line',
    recipe: copilot,
  },
  {
    id: 'cursor',
    name: 'Cursor',
    about: 'http.proxy of its settings; trust of the system',
    recipe: cursor,
  },
  {
    id: 'vscode',
    name: 'VS Code',
    about: 'http.proxy of its settings; trust of the system',
    recipe: vscode,
  },
]

const PLAIN = 'The address of the proxy begins with http://; an https:// one is not taken.'
const SYSTEM_TRUST =
  'The certificate has to be trusted by the system: cordon setup linux, macos or windows.'

function claudeCode(place: Place): Recipe {
  const { HTTPS_PROXY = '', HTTP_PROXY = '', NO_PROXY = '' } = proxyEnv(place)
  const env = {
    HTTPS_PROXY,
    HTTP_PROXY,
    NO_PROXY,
    ...trustEnv(place.ca?.file, ['NODE_EXTRA_CA_CERTS']),
  }
  return {
    env,
    commands: [],
    files: [{ path: '~/.claude/settings.json', text: json({ env }) }],
    notes: [
      'Either the environment or the file; a managed machine has the file at /etc/claude-code/managed-settings.json.',
      PLAIN,
      'Name and token in the URL are the only credentials that it knows.',
      ...(place.ca === undefined
        ? []
        : ['From 2.1.101 on it trusts the store of the system as well.']),
    ],
  }
}

function codex(place: Place): Recipe {
  const { HTTPS_PROXY = '', HTTP_PROXY = '', NO_PROXY = '' } = proxyEnv(place)
  const trusted = trustEnv(place.ca?.bundle, ['SSL_CERT_FILE'])
  const dotenv = { HTTPS_PROXY, HTTP_PROXY, NO_PROXY, ...trusted }
  return {
    env: { ...dotenv, ...trustEnv(place.ca?.bundle, ['CODEX_CA_CERTIFICATE']) },
    commands: [],
    files: [{ path: '~/.codex/.env', text: lines(dotenv) }],
    notes: [
      ...(place.ca === undefined
        ? []
        : [
            'CODEX_CA_CERTIFICATE counts before SSL_CERT_FILE. ~/.codex/.env may not set CODEX_*, so the file names SSL_CERT_FILE. NODE_EXTRA_CA_CERTS is not read.',
          ]),
      'It speaks WebSocket first. Where that fails: supports_websockets = false for the provider in ~/.codex/config.toml.',
    ],
  }
}

function geminiCli(place: Place): Recipe {
  const { HTTPS_PROXY = '', HTTP_PROXY = '', NO_PROXY = '' } = proxyEnv(place)
  const env = {
    HTTPS_PROXY,
    HTTP_PROXY,
    NO_PROXY,
    ...trustEnv(place.ca?.file, ['NODE_EXTRA_CA_CERTS']),
  }
  return {
    env,
    commands: [],
    files: [{ path: '~/.gemini/.env', text: lines({ HTTPS_PROXY, HTTP_PROXY, NO_PROXY }) }],
    notes: [
      'The scheme of the address is needed: http://host:port.',
      ...(place.ca === undefined
        ? []
        : [
            'NODE_EXTRA_CA_CERTS is read when the process starts, so it belongs into the shell, not into .env.',
          ]),
    ],
  }
}

function copilot(place: Place): Recipe {
  const editor = vscode(place)
  return {
    env: {
      ...proxyEnv(place),
      NODE_USE_ENV_PROXY: '1',
      ...trustEnv(place.ca?.file, ['NODE_EXTRA_CA_CERTS']),
    },
    commands: [],
    files: editor.files,
    notes: [
      'The file is for Copilot in VS Code, the environment for its command line, which starts on Node.',
      'One proxy serves http and https. JetBrains: Settings, HTTP Proxy, and Tools, Server Certificates.',
      PLAIN,
      ...(place.ca === undefined ? [] : [SYSTEM_TRUST]),
    ],
  }
}

function cursor(place: Place): Recipe {
  const editor = vscode(place)
  return {
    ...editor,
    files: editor.files.map(({ text }) => ({
      path: 'Cursor: settings.json (Preferences: Open User Settings)',
      text,
    })),
    notes: [
      ...editor.notes,
      'Its agents hold HTTP/2 streams in both directions. Where a stream stalls: "cursor.general.disableHttp2": true.',
      'The vendor asks not to look into *.cursor.sh; hosts of proxy.intercept.never are tunnelled and recorded.',
    ],
  }
}

function vscode(place: Place): Recipe {
  return {
    env: {},
    commands: [],
    files: [
      {
        path: 'VS Code: settings.json (Preferences: Open User Settings)',
        text: json({
          'http.proxy': proxyUrl(place),
          'http.proxySupport': 'override',
          'http.proxyStrictSSL': true,
          'http.noProxy': place.direct,
          ...(place.ca === undefined ? {} : { 'http.systemCertificates': true }),
        }),
      },
    ],
    notes: [
      'Terminals inside read the environment: cordon setup env.',
      ...(place.ca === undefined ? [] : [SYSTEM_TRUST]),
      PLAIN,
    ],
  }
}

function lines(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')
}
