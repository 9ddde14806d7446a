// Browsers, by managed policy.

import { json, type Place, type Recipe, shWord, type Tool } from './recipe.ts'

export const BROWSERS: readonly Tool[] = [
  {
    id: 'chrome',
    name: 'Chrome',
    about: 'managed policy; trust of the system (NSS on Linux)',
    recipe: chrome,
  },
  {
    id: 'edge',
    name: 'Edge',
    about: 'managed policy; trust of the system (NSS on Linux)',
    recipe: edge,
  },
  {
    id: 'firefox',
    name: 'Firefox',
    about: 'policies.json: proxy and certificate',
    recipe: firefox,
  },
]

const LOGIN_ASKED = 'Browsers ask for name and token once a session.'

function chrome(place: Place): Recipe {
  return chromium(
    place,
    '/etc/opt/chrome/policies/managed/cordon.json',
    String.raw`HKLM:\Software\Policies\Google\Chrome`,
  )
}

function edge(place: Place): Recipe {
  return chromium(
    place,
    '/etc/opt/edge/policies/managed/cordon.json',
    String.raw`HKLM:\Software\Policies\Microsoft\Edge`,
  )
}

function chromium(place: Place, path: string, key: string): Recipe {
  const settings = {
    ProxyMode: 'pac_script',
    ProxyPacUrl: `${place.proxy}/proxy.pac`,
    ProxyPacMandatory: true,
  }
  return {
    env: {},
    commands: [
      ...(place.ca === undefined
        ? []
        : [
            {
              does: "trust on Linux (certutil of libnss3-tools); elsewhere the system's store counts",
              sh: `mkdir -p "$HOME/.pki/nssdb" && certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n Cordon -i ${shWord(place.ca.file)}`,
              powershell: null,
            },
          ]),
      {
        does: 'the policy by registry',
        sh: `sudo install -D -m 644 cordon.json ${path}`,
        powershell: `New-Item -Force '${key}' | Out-Null; Set-ItemProperty '${key}' ProxySettings '${JSON.stringify(settings)}'; Set-ItemProperty '${key}' QuicAllowed 0 -Type DWord`,
        asRoot: true,
      },
    ],
    files: [
      { path, name: 'cordon.json', text: json({ ProxySettings: settings, QuicAllowed: false }) },
    ],
    notes: [
      LOGIN_ASKED,
      'Locally added roots do not hold for QUIC, and a proxy is not used for it: QuicAllowed false, and UDP 443 closed at the firewall.',
      `For a try, without policy: --proxy-pac-url=${place.proxy}/proxy.pac`,
    ],
  }
}

function firefox(place: Place): Recipe {
  return {
    env: {},
    commands: [],
    files: [
      {
        path: '/etc/firefox/policies/policies.json (Windows, macOS: distribution/policies.json beside the program)',
        name: 'policies.json',
        text: json({
          policies: {
            Proxy: { Mode: 'autoConfig', AutoConfigURL: `${place.proxy}/proxy.pac`, Locked: true },
            ...(place.ca === undefined
              ? {}
              : { Certificates: { ImportEnterpriseRoots: true, Install: [place.ca.file] } }),
            Preferences: { 'network.http.http3.enable': { Value: false, Status: 'locked' } },
          },
        }),
      },
    ],
    notes: [
      LOGIN_ASKED,
      'By hand: Settings, Network Settings, "Automatic proxy configuration URL"; Settings, Certificates, Authorities, Import.',
    ],
  }
}
