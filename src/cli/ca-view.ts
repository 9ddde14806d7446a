// The interception authority as `cordon ca` shows it.

import type { X509Certificate } from 'node:crypto'
import { subjectOf } from '../app/authority-check.ts'
import { rootKeyFile } from '../app/authority-folder.ts'
import {
  authorityFolder,
  issuingCertificate,
  type LoadedAuthority,
  NOBODY,
} from '../app/authority.ts'
import type { Config } from '../config/schema.ts'
import { Issuer } from '../tls/issuer.ts'
import { certificatesIn } from '../tls/pem.ts'

export interface View {
  readonly source: string
  readonly roots: readonly CertificateView[]
  readonly issuing: CertificateView & { readonly permitted_domains: readonly string[] | null }
  readonly selected: {
    readonly domains: number | null
    readonly covered: number | null
    readonly outside: readonly string[]
  }
  readonly root_key_file: string | null
  readonly warnings: readonly string[]
}

export function viewOf(
  config: Config,
  { source, authority, outside, warnings }: LoadedAuthority,
  domains: readonly string[] | undefined,
): View {
  const permitted = new Issuer(authority).constrainedTo?.filter((domain) => domain !== NOBODY)
  const count = domains?.length ?? null
  return {
    source,
    roots: certificatesIn(authority.rootCert).map(certificateView),
    issuing: {
      ...certificateView(issuingCertificate(authority)),
      permitted_domains: permitted ?? null,
    },
    selected: { domains: count, covered: count === null ? null : count - outside.length, outside },
    root_key_file: source === 'data_dir' ? (rootKeyFile(authorityFolder(config)) ?? null) : null,
    warnings,
  }
}

export interface CertificateView {
  readonly subject: string
  readonly fingerprint_sha256: string
  readonly not_before: string
  readonly not_after: string
}

/** As JSON has it. */
export function certificateView(certificate: X509Certificate): CertificateView {
  return {
    subject: subjectOf(certificate),
    fingerprint_sha256: certificate.fingerprint256,
    not_before: certificate.validFromDate.toISOString(),
    not_after: certificate.validToDate.toISOString(),
  }
}

function limitText(domains: readonly string[] | null): string {
  if (domains === null) return 'nothing'
  return domains.length === 0 ? 'no host at all' : domains.join(', ')
}

function certificateLines(name: string, view: CertificateView): readonly string[] {
  return [
    `${name.padEnd(12)} ${view.subject}`,
    `             SHA-256 ${view.fingerprint_sha256}`,
    `             from ${view.not_before.slice(0, 10)} until ${view.not_after.slice(0, 10)}`,
  ]
}

export function linesOf(view: View): readonly string[] {
  const { roots, issuing, selected } = view
  const bound =
    selected.domains === null
      ? 'without bound'
      : `${selected.domains} domains, ${selected.covered ?? 0} of them covered`
  return [
    ...roots.flatMap((root, index) => certificateLines(index === 0 ? 'root' : 'former root', root)),
    ...certificateLines('issuing', issuing),
    `limited to   ${limitText(issuing.permitted_domains)}`,
    `selected     ${bound}`,
    ...(selected.outside.length === 0 ? [] : [`not covered  ${selected.outside.join(', ')}`]),
    `root's key   ${view.root_key_file ?? 'not in data_dir/ca'}`,
  ]
}
