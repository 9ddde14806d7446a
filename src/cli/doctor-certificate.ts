// What a host shows of itself through the proxy: whose certificate, whether complete and valid, and who trusts it.

import type { X509Certificate } from 'node:crypto'
import type { Check } from './doctor-checks.ts'

export interface Shown {
  readonly host: string
  /** As it was sent, the leaf first. */
  readonly chain: readonly X509Certificate[]
  /** What this process, with its environment, has against it. */
  readonly trustError: string | undefined
  /** Of the proxy. */
  readonly roots: readonly X509Certificate[]
  readonly isOurs: boolean
  /** PEM, slow to read. */
  readonly system: () => readonly string[]
  readonly now: number
}

const DAY_MS = 86_400_000

export function certificateChecks(shown: Shown): readonly Check[] {
  const { host, chain, isOurs, roots, trustError } = shown
  const [leaf] = chain
  if (leaf === undefined)
    return [
      {
        check: 'certificate',
        state: 'wrong',
        text: `${host} shows no certificate`,
        fix: 'look at the log of the proxy',
      },
    ]
  const issuer =
    /^O=(.*)$/m.exec(leaf.issuer)?.[1] ?? /^CN=(.*)$/m.exec(leaf.issuer)?.[1] ?? leaf.issuer
  if (!isOurs) {
    const text = `${host} is tunnelled: its certificate is of ${issuer}`
    if (trustError === undefined) return [{ check: 'certificate', state: 'ok', text }]
    return [
      {
        check: 'certificate',
        state: 'wrong',
        text: `${text}, and this machine does not trust it (${trustError})`,
        fix:
          roots.length === 0
            ? 'a host of your own network needs its own root here; else somebody on the way answers for it'
            : 'it is of nobody known and not of this proxy: another proxy on the way, or a former root?',
      },
    ]
  }
  return [
    {
      check: 'certificate',
      state: 'ok',
      text: `${host} is intercepted: its certificate is of this proxy (${chain.length} sent)`,
    },
    ...validity(shown, leaf),
    ...names(host, leaf),
    ...trusted(shown),
  ]
}

function* validity({ chain, now }: Shown, leaf: X509Certificate): Generator<Check> {
  const early = chain.find((each) => each.validFromDate.getTime() > now)
  const late = chain.find((each) => each.validToDate.getTime() < now)
  if (early !== undefined)
    yield {
      check: 'validity',
      state: 'wrong',
      text: `a certificate is valid from ${early.validFrom} on only`,
      fix: 'set the clock of this machine, or of the proxy',
    }
  else if (late !== undefined)
    yield {
      check: 'validity',
      state: 'wrong',
      text: `a certificate has ended on ${late.validTo}`,
      fix: late === leaf ? 'set the clock of this machine, or of the proxy' : 'cordon ca rotate',
    }
  else {
    const days = Math.floor((leaf.validToDate.getTime() - now) / DAY_MS)
    yield { check: 'validity', state: 'ok', text: `valid for ${days} more days` }
  }
}

function* names(host: string, leaf: X509Certificate): Generator<Check> {
  const fits = leaf.checkHost(host) ?? leaf.checkIP(host)
  if (fits === undefined)
    yield {
      check: 'certificate',
      state: 'wrong',
      text: `the certificate does not name ${host}`,
      fix: 'look at the log of the proxy',
    }
}

function* trusted({ trustError, roots, system }: Shown): Generator<Check> {
  if (trustError === undefined)
    yield { check: 'trust', state: 'ok', text: 'Node trusts it with this environment' }
  else
    yield {
      check: 'trust',
      state: 'wrong',
      text: `Node does not trust it with this environment (${trustError})`,
      fix: 'eval "$(cordon setup env)" sets NODE_EXTRA_CA_CERTS and its kin',
    }
  const inSystem = new Set(system().map((pem) => pem.trim()))
  if (roots.some((root) => inSystem.has(root.toString().trim())))
    yield { check: 'trust', state: 'ok', text: "the system's store has the root of this proxy" }
  else
    yield {
      check: 'trust',
      state: 'warning',
      text: "the system's store lacks the root of this proxy: browsers, editors and curl without a variable do not trust it",
      fix: 'cordon setup linux (macos, windows)',
    }
}
