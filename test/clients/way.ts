// How a client is pointed at a proxy and told whom to trust: nothing else of it is changed.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { env } from 'node:process'
import { output, tool } from './install.ts'

const STORE_PASSWORD = 'changeit'

export interface Way {
  readonly port: number
  readonly login: string
  readonly password: string
  readonly trust: Trust
}

/** One authority, in each of the forms that clients read. */
export class Trust {
  readonly pem: string
  readonly #dir: string
  readonly #made = new Map<string, Promise<string>>()

  constructor(pem: string, dir: string) {
    this.pem = pem
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
  }

  /** A trust store for Java, and the options that name it. */
  async javaOptions(): Promise<string[]> {
    const store = await this.#once('java', async () => {
      const path = join(this.#dir, 'trust.p12')
      const what = ['-importcert', '-noprompt', '-alias', 'trusted', '-file', this.pem]
      const into = ['-keystore', path, '-storetype', 'PKCS12', '-storepass', STORE_PASSWORD]
      await output(await tool('keytool', 'openjdk-17-jre-headless'), [...what, ...into])
      return path
    })
    return [
      `-Djavax.net.ssl.trustStore=${store}`,
      `-Djavax.net.ssl.trustStorePassword=${STORE_PASSWORD}`,
      '-Djavax.net.ssl.trustStoreType=PKCS12',
    ]
  }

  /** A home folder whose NSS database trusts it, which is where Chromium looks on Linux. */
  home(): Promise<string> {
    return this.#once('nss', async () => {
      const home = join(this.#dir, 'home')
      const database = join(home, '.pki/nssdb')
      mkdirSync(database, { recursive: true })
      const certutil = await tool('certutil', 'libnss3-tools')
      const at = ['-d', `sql:${database}`]
      await output(certutil, [...at, '-N', '--empty-password'])
      await output(certutil, [...at, '-A', '-t', 'C,,', '-n', 'trusted', '-i', this.pem])
      return home
    })
  }

  #once(name: string, make: () => Promise<string>): Promise<string> {
    const made = this.#made.get(name) ?? make()
    this.#made.set(name, made)
    return made
  }
}

/** The environment of a client: where the proxy is, whom to trust, and a key for the SDK. */
export function environment({ port, login, password, trust }: Way): Record<string, string> {
  const proxy = `http://${login}:${password}@127.0.0.1:${port}`
  return {
    PATH: env['PATH'] ?? '',
    LANG: 'C.UTF-8',
    HTTPS_PROXY: proxy,
    https_proxy: proxy,
    WSS_PROXY: proxy,
    NODE_USE_ENV_PROXY: '1',
    NODE_EXTRA_CA_CERTS: trust.pem,
    SSL_CERT_FILE: trust.pem,
    REQUESTS_CA_BUNDLE: trust.pem,
    CURL_CA_BUNDLE: trust.pem,
    OPENAI_API_KEY: 'a-key',
    ANTHROPIC_API_KEY: 'a-key',
    GEMINI_API_KEY: 'a-key',
  }
}
