// What OPA may do on behalf of a text: tests and policies come from people, and run beside keys and sockets.
//
// Without `http.send` nothing is asked, without `opa.runtime` nothing of the process is told, and with an empty
// `allow_net` OPA fetches no schema that an annotation names, while it compiles.

import type { Toolchain } from './toolchain.ts'

interface Capabilities {
  builtins: readonly { readonly name: string }[]
  allow_net?: readonly string[]
}

/** Even of tests, which may mock what policies must not call. */
const NEVER = new Set(['http.send', 'opa.runtime', 'net.lookup_ip_addr'])

/** For `--capabilities`: those of OPA itself, with these built-ins only, and without any network. */
export async function capabilitiesWith(
  toolchain: Pick<Toolchain, 'run'>,
  offers: (builtin: string) => boolean,
): Promise<string> {
  const { stdout } = await toolchain.run(['capabilities', '--current'])
  const capabilities = JSON.parse(stdout) as Capabilities
  capabilities.builtins = capabilities.builtins.filter(
    ({ name }) => !NEVER.has(name) && offers(name),
  )
  capabilities.allow_net = []
  return JSON.stringify(capabilities)
}

/** What a test may call. */
export function testCapabilities(toolchain: Pick<Toolchain, 'run'>): Promise<string> {
  return capabilitiesWith(toolchain, () => true)
}
