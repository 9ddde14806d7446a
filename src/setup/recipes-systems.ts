// Containers and whole machines.

import { createHash, type X509Certificate } from 'node:crypto'
import { mobileConfig } from './mobile-config.ts'
import { certificatesOf } from './pem.ts'
import {
  hostAndPort,
  json,
  type Place,
  proxyEnv,
  proxyUrl,
  type Recipe,
  shWord,
  type Tool,
} from './recipe.ts'

export const SYSTEMS: readonly Tool[] = [
  {
    id: 'docker',
    name: 'Docker',
    about: '~/.docker/config.json; the certificate in the image',
    recipe: docker,
  },
  {
    id: 'linux',
    name: 'Linux',
    about: "the system's trust store and /etc/environment",
    recipe: linux,
  },
  {
    id: 'macos',
    name: 'macOS (MDM)',
    about: 'a .mobileconfig with certificate and proxy',
    recipe: macos,
  },
  {
    id: 'windows',
    name: 'Windows (GPO, Intune)',
    about: 'certificate store, proxy settings, machine environment',
    recipe: windows,
  },
]

function docker(place: Place): Recipe {
  const url = proxyUrl(place)
  const proxies = { default: { httpProxy: url, httpsProxy: url, noProxy: place.direct.join(',') } }
  return {
    env: {},
    commands: [],
    files: [
      { path: '~/.docker/config.json', text: json({ proxies }) },
      {
        path: '/etc/docker/daemon.json (pulls; then restart docker)',
        text: json({
          proxies: { 'http-proxy': url, 'https-proxy': url, 'no-proxy': place.direct.join(',') },
        }),
      },
      ...(place.ca === undefined
        ? []
        : [
            {
              path: 'Dockerfile (Debian, Ubuntu, Alpine)',
              text: [
                'COPY ca.pem /usr/local/share/ca-certificates/cordon.crt',
                'RUN update-ca-certificates',
                'ENV NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/cordon.crt \\',
                '    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \\',
                '    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt',
              ].join('\n'),
            },
          ]),
    ],
    notes: [
      'A proxy on 127.0.0.1 is not reached from inside a container: name an address of the host (and set proxy.listen and proxy.clients).',
      'config.json sets the proxy variables of new containers and builds, no others.',
    ],
  }
}

function linux(place: Place): Recipe {
  const { HTTPS_PROXY = '', HTTP_PROXY = '', NO_PROXY = '' } = proxyEnv(place)
  return {
    env: {},
    commands:
      place.ca === undefined
        ? []
        : [
            {
              does: 'Debian, Ubuntu, Alpine',
              sh: `sudo cp ${shWord(place.ca.file)} /usr/local/share/ca-certificates/cordon.crt && sudo update-ca-certificates`,
              powershell: null,
              asRoot: true,
            },
            {
              does: 'Fedora, RHEL, SUSE (/etc/pki/trust/anchors, update-ca-certificates)',
              sh: `sudo cp ${shWord(place.ca.file)} /etc/pki/ca-trust/source/anchors/cordon.pem && sudo update-ca-trust`,
              powershell: null,
              asRoot: true,
            },
          ],
    files: [
      {
        path: '/etc/environment',
        text: Object.entries({
          HTTPS_PROXY,
          HTTP_PROXY,
          NO_PROXY,
          https_proxy: HTTPS_PROXY,
          http_proxy: HTTP_PROXY,
          no_proxy: NO_PROXY,
          NODE_USE_ENV_PROXY: '1',
        })
          .map(([name, value]) => `${name}=${value}`)
          .join('\n'),
      },
      {
        path: '/etc/systemd/system.conf.d/cordon.conf (services)',
        text: `[Manager]\nDefaultEnvironment="HTTPS_PROXY=${HTTPS_PROXY}" "HTTP_PROXY=${HTTP_PROXY}" "NO_PROXY=${NO_PROXY}"`,
      },
    ],
    notes: [
      ...(place.login === undefined
        ? []
        : [
            'These files are read by everybody: rather identify machines by proxy.networks than by a token in them.',
          ]),
      'Node, Python with certifi, Java, Firefox and Chrome keep roots of their own: cordon setup node, python, java, firefox, chrome.',
    ],
  }
}

function macos(place: Place): Recipe {
  const { host, port } = hostAndPort(place)
  return {
    env: {},
    commands: [
      ...(place.ca === undefined
        ? []
        : [
            {
              does: 'the certificate, without MDM',
              sh: `sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ${shWord(place.ca.file)}`,
              powershell: null,
              asRoot: true,
            },
          ]),
      {
        does: 'the proxy, without MDM',
        sh: `sudo networksetup -setautoproxyurl Wi-Fi ${shWord(`${place.proxy}/proxy.pac`)}`,
        powershell: null,
        asRoot: true,
      },
    ],
    files: [
      {
        path: 'cordon.mobileconfig',
        name: 'cordon.mobileconfig',
        text: mobileConfig({ host, port, pac: `${place.proxy}/proxy.pac`, pem: place.ca?.pem }),
      },
    ],
    notes: [
      'A global HTTP proxy is taken on supervised devices only. A certificate that comes by MDM is trusted at once; installed by hand it has to be trusted in Keychain Access.',
      ...(place.ca !== undefined && place.ca.pem === undefined
        ? [
            `The certificate's place in the profile is empty: cordon setup macos puts it in; or base64 of ${place.ca.file}.`,
          ]
        : []),
    ],
  }
}

function windows(place: Place): Recipe {
  const { ca } = place
  const pac = `${place.proxy}/proxy.pac`
  const [root] = ca?.pem === undefined ? [] : certificatesOf(ca.pem)
  const { HTTPS_PROXY = '', HTTP_PROXY = '', NO_PROXY = '' } = proxyEnv(place)
  const machine = Object.entries({
    HTTPS_PROXY,
    HTTP_PROXY,
    NO_PROXY,
    NODE_USE_ENV_PROXY: '1',
    ...(ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: String.raw`C:\ProgramData\cordon\ca.pem` }),
  })
  return {
    env: {},
    commands: [
      ...(ca === undefined
        ? []
        : [
            {
              does: 'the certificate; by GPO: Computer Configuration, Windows Settings, Security Settings, Public Key Policies, Trusted Root Certification Authorities',
              sh: null,
              powershell: String.raw`Import-Certificate -FilePath ca.pem -CertStoreLocation Cert:\LocalMachine\Root`,
              asRoot: true,
            },
          ]),
      {
        does: 'the proxy of the user; by GPO: Internet Settings, Automatic configuration',
        sh: null,
        powershell: String.raw`Set-ItemProperty 'HKCU:\Software\Microsoft\Windows\CurrentVersion\Internet Settings' AutoConfigURL '${pac}'`,
        asRoot: true,
      },
      {
        does: 'the proxy of services (WinHTTP)',
        sh: null,
        powershell: `netsh winhttp set proxy proxy-server="${place.proxy.replace('http://', '')}" bypass-list="<local>"`,
        asRoot: true,
      },
      ...machine.map(([name, value]) => ({
        does: `machine environment: ${name}`,
        sh: null,
        powershell: `[Environment]::SetEnvironmentVariable('${name}', '${value.replaceAll("'", "''")}', 'Machine')`,
        asRoot: true,
      })),
    ],
    files: [
      {
        path: 'Intune: custom OMA-URI settings',
        text: [
          './Vendor/MSFT/NetworkProxy/SetupScriptUrl',
          `  String: ${pac}`,
          ...(root === undefined
            ? []
            : [
                `./Device/Vendor/MSFT/RootCATrustedCertificates/Root/${thumbprint(root)}/EncodedCertificate`,
                `  String: ${root.raw.toString('base64')}`,
              ]),
        ].join('\n'),
      },
    ],
    notes: [
      'Run as administrator. Edge and Chrome read the store of Windows; Firefox with ImportEnterpriseRoots (cordon setup firefox).',
    ],
  }
}

/** As Windows names a certificate. */
function thumbprint(certificate: X509Certificate): string {
  return createHash('sha1').update(certificate.raw).digest('hex').toUpperCase()
}
