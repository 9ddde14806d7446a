// Hosts whose clients break when TLS is opened, whatever authority they trust: shipped, so that nobody has to
// find out. docs/reference/interception.md shows this list; it says how to add to it and how to go past it.
//
// Evidence only. A vendor that merely asks for exemption (Cursor does) has no place here, and neither has
// a browser: Chrome and Firefox let an authority that was added locally override pins.

export interface PinnedHosts {
  /** `name`, or `*.name` for everything below it. */
  readonly hosts: readonly string[]
  /**
   * pinned: the client compares the certificate with what it carries. client_certificate: the client shows one
   * of its own, which ends at the proxy. own_root: the origin's root is trusted by that client alone.
   */
  readonly reason: 'pinned' | 'client_certificate' | 'own_root'
  readonly client: string
  readonly source: string
  /** vendor: documented by who makes it. measured: somebody looked. reported: an issue or another proxy's list. */
  readonly evidence: 'vendor' | 'measured' | 'reported'
  /** When the source was last read. */
  readonly checked: string
}

export const PINNED: readonly PinnedHosts[] = [
  {
    hosts: ['desktop.chatgpt.com', 'android.chat.openai.com', 'ios.chat.openai.com'],
    reason: 'pinned',
    client: 'ChatGPT for macOS, Android and iOS',
    source: 'https://lumia.security/blog/openai-limits-data-inspection-for-most-organizations',
    evidence: 'measured',
    checked: '2026-11',
  },
  {
    hosts: ['mtls.api.openai.com', 'mtls-eu.api.openai.com'],
    reason: 'client_certificate',
    client: 'OpenAI API with mutual TLS',
    source: 'https://developers.openai.com/api/docs/guides/mutual-tls',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: ['mtls.api.x.ai'],
    reason: 'client_certificate',
    client: 'xAI API with mutual TLS',
    source: 'https://docs.x.ai/developers/advanced-api-usage/mtls',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: ['*.mtls.googleapis.com'],
    reason: 'client_certificate',
    client: 'Google Cloud clients with a device certificate, Vertex AI among them',
    source: 'https://google.aip.dev/auth/4114',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: [
      'certauth.login.microsoftonline.com',
      '*.certauth.login.microsoftonline.com',
      'certauth.login.microsoftonline.us',
      '*.certauth.login.microsoftonline.us',
      'device.login.microsoftonline.com',
      'enterpriseregistration.windows.net',
    ],
    reason: 'client_certificate',
    client: 'Microsoft Entra: sign-in by certificate, device registration',
    source: 'https://learn.microsoft.com/entra/identity/devices/how-to-hybrid-join',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: [
      'manage.microsoft.com',
      '*.manage.microsoft.com',
      'dm.microsoft.com',
      '*.dm.microsoft.com',
      'has.spserv.microsoft.com',
    ],
    reason: 'client_certificate',
    client: 'Microsoft Intune, Endpoint Privilege Management, health attestation',
    source: 'https://learn.microsoft.com/intune/intune-service/fundamentals/intune-endpoints',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: ['licensing.mp.microsoft.com', 'storeedgefd.dsx.mp.microsoft.com'],
    reason: 'pinned',
    client: 'Microsoft Store, winget',
    source: 'https://github.com/microsoft/winget-cli/issues/2879',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: ['update.microsoft.com', '*.update.microsoft.com'],
    reason: 'own_root',
    client: 'Windows Update: the root is trusted by Windows only',
    source: 'https://gist.github.com/AlainODea/3fa55ff00a96d9fd66a75d47a036795e',
    evidence: 'reported',
    checked: '2026-11',
  },
  {
    hosts: ['*.gw.arc.azure.com', '*.atp.azure.com'],
    reason: 'client_certificate',
    client: 'Azure Arc gateway, Defender for Identity sensor',
    source: 'https://learn.microsoft.com/defender-for-identity/deploy/configure-proxy',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: [
      'push.apple.com',
      '*.push.apple.com',
      'albert.apple.com',
      'gs.apple.com',
      'gsa.apple.com',
      'gdmf.apple.com',
      'mesu.apple.com',
      'deviceenrollment.apple.com',
      'mdmenrollment.apple.com',
      'iprofiles.apple.com',
      'identity.apple.com',
      'swscan.apple.com',
      'updates.cdn-apple.com',
      '*.appattest.apple.com',
      '*.itunes.apple.com',
      '*.apps.apple.com',
      '*.mzstatic.com',
      '*.apple-cloudkit.com',
      '*.icloud.com',
      '*.icloud-content.com',
      '*.ess.apple.com',
      '*.ls.apple.com',
      'guzzoni.apple.com',
      '*.smoot.apple.com',
      'apple-relay.apple.com',
      'apple-relay.cloudflare.com',
      'apple-relay.fastly-edge.com',
    ],
    reason: 'pinned',
    client: 'Apple systems: set-up, push, updates, store, iCloud, Siri and Private Cloud Compute',
    source: 'https://support.apple.com/101555',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: ['android.googleapis.com'],
    reason: 'pinned',
    client: 'Android system services',
    source: 'https://github.com/mitmproxy/mitmproxy/issues/3619',
    evidence: 'reported',
    checked: '2026-11',
  },
  {
    hosts: ['client.dropbox.com', 'd.dropbox.com', 'api-d.dropbox.com'],
    reason: 'pinned',
    client: 'Dropbox desktop and mobile (the web pages are not pinned)',
    source: 'https://github.com/dropbox/certificate-pins',
    evidence: 'vendor',
    checked: '2026-11',
  },
  {
    hosts: ['*.signal.org', '*.whispersystems.org'],
    reason: 'own_root',
    client: 'Signal on every system',
    source: 'https://github.com/signalapp/libsignal/issues/541',
    evidence: 'measured',
    checked: '2026-11',
  },
  {
    hosts: ['*.whatsapp.net'],
    reason: 'pinned',
    client: 'WhatsApp for mobile and desktop (not web.whatsapp.com)',
    source: 'https://github.com/mitmproxy/mitmproxy/issues/1771',
    evidence: 'reported',
    checked: '2026-11',
  },
]

/** What `Interception` takes. */
export const PINNED_HOSTS: readonly string[] = PINNED.flatMap(({ hosts }) => hosts)
