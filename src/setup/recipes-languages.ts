// Command lines and languages: what their programs read, and where they differ.

import {
  type Command,
  hostAndPort,
  type Place,
  proxyEnv,
  proxyUrl,
  type Recipe,
  shWord,
  type Tool,
  trustEnv,
} from './recipe.ts'

export const LANGUAGES: readonly Tool[] = [
  {
    id: 'env',
    name: 'Everything that reads the environment',
    about: 'all variables of the tools below that do not contradict each other',
    recipe: everything,
  },
  { id: 'curl', name: 'curl', about: 'environment, or -x and --cacert', recipe: curl },
  {
    id: 'node',
    name: 'Node.js and its SDKs',
    about: 'NODE_USE_ENV_PROXY, NODE_EXTRA_CA_CERTS',
    recipe: node,
  },
  {
    id: 'python',
    name: 'Python: requests, httpx, aiohttp, SDKs',
    about: 'environment with WSS_PROXY; SSL_CERT_FILE and REQUESTS_CA_BUNDLE',
    recipe: python,
  },
  {
    id: 'java',
    name: 'Java',
    about: 'system properties and a trust store made by keytool',
    recipe: java,
  },
  { id: 'go', name: 'Go', about: 'environment; SSL_CERT_FILE on Linux', recipe: go },
  { id: 'git', name: 'git', about: 'http.proxy and http.sslCAInfo', recipe: git },
  { id: 'npm', name: 'npm', about: 'npm config: proxy, https-proxy, cafile', recipe: npm },
  { id: 'pip', name: 'pip', about: 'pip config: global.proxy, global.cert', recipe: pip },
]

function everything(place: Place): Recipe {
  return {
    env: {
      ...proxyEnv(place),
      ...webSockets(place),
      NODE_USE_ENV_PROXY: '1',
      ...trustEnv(place.ca?.file, ['NODE_EXTRA_CA_CERTS']),
      ...trustEnv(place.ca?.bundle, [
        'SSL_CERT_FILE',
        'REQUESTS_CA_BUNDLE',
        'CURL_CA_BUNDLE',
        'GIT_SSL_CAINFO',
        'PIP_CERT',
        'CODEX_CA_CERTIFICATE',
        'AWS_CA_BUNDLE',
        'CARGO_HTTP_CAINFO',
        'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
        'DENO_CERT',
      ]),
    },
    commands: [],
    files: [],
    notes: [
      'For every new shell: put the lines into ~/.profile (or /etc/profile.d/cordon.sh for everybody).',
      ...DIRECT_NOTES,
      'Java reads none of these: cordon setup java.',
    ],
  }
}

function curl(place: Place): Recipe {
  const trusted = place.ca === undefined ? '' : ` --cacert ${shWord(place.ca.bundle)}`
  return {
    env: { ...proxyEnv(place), ...trustEnv(place.ca?.bundle, ['CURL_CA_BUNDLE']) },
    commands: [],
    files: [],
    notes: [
      `One call alone: curl -x ${shWord(proxyUrl(place))}${trusted} https://example.com/`,
      'http_proxy is read in small letters only; networks (10.0.0.0/8) in NO_PROXY from 7.86 on.',
      ...(place.ca === undefined
        ? []
        : [
            'The curl of Windows and of macOS looks into the store of the system as well: cordon setup windows, macos.',
          ]),
    ],
  }
}

function node(place: Place): Recipe {
  return {
    env: {
      ...proxyEnv(place),
      NODE_USE_ENV_PROXY: '1',
      ...trustEnv(place.ca?.file, ['NODE_EXTRA_CA_CERTS']),
    },
    commands: [],
    files: [],
    notes: [
      'fetch, and with it the OpenAI and Anthropic SDKs, reads the environment from Node 24 (22.21) on, http and https from 24.5; without NODE_USE_ENV_PROXY requests go past the proxy.',
      'Older Node: fetchOptions: { dispatcher: new undici.ProxyAgent(process.env.HTTPS_PROXY) } in the SDK.',
      'ws and axios take an agent: new HttpsProxyAgent(process.env.HTTPS_PROXY) of https-proxy-agent.',
      ...(place.ca === undefined
        ? []
        : [
            'NODE_EXTRA_CA_CERTS adds to the roots of Node, and is read once, when the process starts. NODE_USE_SYSTEM_CA=1 takes the store of the system instead.',
          ]),
    ],
  }
}

function python(place: Place): Recipe {
  return {
    env: {
      ...proxyEnv(place),
      ...webSockets(place),
      ...trustEnv(place.ca?.bundle, [
        'SSL_CERT_FILE',
        'REQUESTS_CA_BUNDLE',
        'AWS_CA_BUNDLE',
        'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
      ]),
    },
    commands: [],
    files: [],
    notes: [
      'aiohttp reads the environment only with ClientSession(trust_env=True), and for wss:// only WSS_PROXY and WS_PROXY: with HTTPS_PROXY alone its WebSockets go past the proxy.',
      ...(place.ca === undefined
        ? []
        : [
            'httpx and the OpenAI, Anthropic and Google SDKs read SSL_CERT_FILE, requests reads REQUESTS_CA_BUNDLE; each replaces the roots of certifi, so both name the bundle.',
          ]),
      ...DIRECT_NOTES,
    ],
  }
}

function java(place: Place): Recipe {
  const { host, port } = hostAndPort(place)
  const store = place.ca === undefined ? undefined : `${place.ca.dir}/java-cacerts`
  const direct = [...place.direct.map((each) => each.replace(/^\./, '*.')), '127.*', '[::1]']
  const options = [
    `-Dhttps.proxyHost=${host}`,
    `-Dhttps.proxyPort=${port}`,
    `-Dhttp.proxyHost=${host}`,
    `-Dhttp.proxyPort=${port}`,
    `-Dhttp.nonProxyHosts=${[...new Set(direct.filter((each) => !each.includes('/') && each !== '::1'))].join('|')}`,
    '-Djdk.http.auth.tunneling.disabledSchemes=',
    ...(store === undefined
      ? []
      : [`-Djavax.net.ssl.trustStore=${store}`, '-Djavax.net.ssl.trustStorePassword=changeit']),
  ]
  return {
    // Of the options only the trust store can hold a blank or a $HOME, which the shell has to replace.
    env: {
      JAVA_TOOL_OPTIONS: options.map((each) => (each.includes(' ') ? `"${each}"` : each)).join(' '),
    },
    commands: place.ca === undefined || store === undefined ? [] : trustStore(place.ca.file, store),
    files: [],
    notes: [
      'The JDK refuses Basic on CONNECT as it is shipped; jdk.http.auth.tunneling.disabledSchemes= (empty) lifts that.',
      ...(place.login === undefined
        ? []
        : [
            'Name and token are taken from no property: java.net.http.HttpClient.newBuilder().authenticator(...), or Authenticator.setDefault(...).',
          ]),
      'Gradle and Maven: the same -D options in org.gradle.jvmargs and MAVEN_OPTS.',
    ],
  }
}

function trustStore(file: string, store: string): readonly Command[] {
  return [
    {
      does: "a copy of the JDK's roots, so that the JDK itself stays as it is",
      sh: `cp -fL "$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")/lib/security/cacerts" ${shWord(store)} && chmod u+w ${shWord(store)}`,
      powershell: `Copy-Item "$env:JAVA_HOME\\lib\\security\\cacerts" "${store}"`,
    },
    {
      does: 'our roots beside them',
      sh: `keytool -importcert -noprompt -alias cordon -file ${shWord(file)} -keystore ${shWord(store)} -storepass changeit`,
      powershell: `keytool -importcert -noprompt -alias cordon -file "${file}" -keystore "${store}" -storepass changeit`,
    },
  ]
}

function go(place: Place): Recipe {
  return {
    env: { ...proxyEnv(place), ...trustEnv(place.ca?.bundle, ['SSL_CERT_FILE']) },
    commands: [],
    files: [],
    notes: [
      'Go never uses a proxy for localhost and loopback addresses; NO_PROXY takes suffixes (.example.com) and networks.',
      ...(place.ca === undefined
        ? []
        : [
            'On macOS and Windows Go reads only the store of the system: cordon setup macos, cordon setup windows.',
          ]),
    ],
  }
}

function git(place: Place): Recipe {
  return {
    env: {},
    commands: [
      {
        does: 'the proxy for every repository',
        sh: `git config --global http.proxy ${shWord(proxyUrl(place))}`,
      },
      ...(place.ca === undefined
        ? []
        : [
            {
              does: 'what it trusts',
              sh: `git config --global http.sslCAInfo ${shWord(place.ca.bundle)}`,
            },
          ]),
    ],
    files: [],
    notes: [
      'For one host only: git config --global http.https://github.com.proxy ...',
      'git over SSH does not come through the proxy.',
      ...(place.ca === undefined
        ? []
        : [
            'Git for Windows: git config --global http.sslBackend schannel takes the store of Windows instead.',
          ]),
    ],
  }
}

function npm(place: Place): Recipe {
  const url = shWord(proxyUrl(place))
  return {
    env: {},
    commands: [
      {
        does: 'the proxy',
        sh: `npm config set proxy ${url} && npm config set https-proxy ${url}`,
        powershell: `npm config set proxy ${url}; npm config set https-proxy ${url}`,
      },
      {
        does: 'what is reached directly',
        sh: `npm config set noproxy ${shWord(place.direct.join(','))}`,
      },
      ...(place.ca === undefined
        ? []
        : [{ does: 'what it trusts', sh: `npm config set cafile ${shWord(place.ca.bundle)}` }]),
    ],
    files: [],
    notes: [
      'yarn (berry): yarn config set httpsProxy, httpProxy, httpsCaFilePath. pnpm reads the same .npmrc.',
    ],
  }
}

function pip(place: Place): Recipe {
  return {
    env: {},
    commands: [
      { does: 'the proxy', sh: `pip config set global.proxy ${shWord(proxyUrl(place))}` },
      ...(place.ca === undefined
        ? []
        : [
            { does: 'what it trusts', sh: `pip config set global.cert ${shWord(place.ca.bundle)}` },
          ]),
    ],
    files: [],
    notes: ['uv and poetry read the environment: cordon setup python.'],
  }
}

function webSockets(place: Place): Record<string, string> {
  const url = proxyUrl(place)
  return { WSS_PROXY: url, WS_PROXY: url }
}

const DIRECT_NOTES = [
  'NO_PROXY is read differently: .example.com (with the dot) and whole names hold everywhere, *.example.com and ports almost nowhere, networks in Go, Python 3 with httpx and curl 7.86.',
]
