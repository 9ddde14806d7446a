// What node, Python and Java say of leaves: the limits of an authority are enforced by the clients themselves.

import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import { promisify } from 'node:util'
import t from 'tap'
import { Issuer, type Leaf } from '../../src/tls/issuer.ts'
import { testAuthority } from '../support/authority.ts'

const run = promisify(execFile)
const limited = testAuthority(['openai.com', 'anthropic.com'])
const noJava = spawnSync('java', ['-version']).status === 0 ? false : 'java is not installed'

t.test('node and python trust the root alone, and hold a stolen key to its limits', async (t) => {
  const good = new Issuer(limited).issue('api.openai.com')
  // The same key, without the program's own check.
  const bank = forged('bank.test')
  const address = forged('127.0.0.1')
  const seen: string[] = []
  for (const [leaf, host] of [
    [good, 'api.openai.com'],
    [bank, 'bank.test'],
    [address, '127.0.0.1'],
  ] as const) {
    await served(leaf, async (port) => {
      seen.push(await nodeSays(port, host), await pythonSays(port, host))
    })
  }
  t.same(seen.slice(0, 2), ['trusted', 'trusted'])
  for (const refused of seen.slice(2))
    t.match(refused, /permitted subtree|excluded subtree|PERMITTED|EXCLUDED/i)
})

t.test(
  'java trusts the root alone, and holds a stolen key to its limits',
  { skip: noJava },
  async (t) => {
    const dir = t.testdir({
      'root.pem': limited.rootCert,
      'Check.java': JAVA,
      'good.pem': new Issuer(limited).issue('api.openai.com').cert,
      'bank.pem': forged('bank.test').cert,
      'address.pem': forged('127.0.0.1').cert,
    })
    const { stdout } = await run(
      'java',
      ['Check.java', 'root.pem', 'good.pem', 'bank.pem', 'address.pem'],
      { cwd: dir },
    )
    const [good, bank, address] = stdout.split('\n')
    t.equal(good, 'trusted')
    t.match(bank, /constraints/i)
    t.match(address, /constraints/i)
  },
)

/** Issued by the limited authority's key although it may not. */
function forged(host: string): Leaf {
  const issuer = new Issuer(limited)
  issuer.mayIssue = () => true
  return issuer.issue(host)
}

async function served(leaf: Leaf, use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer({ cert: leaf.cert, key: leaf.key }, (socket) => socket.end())
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await use((server.address() as AddressInfo).port)
  server.close()
}

async function nodeSays(port: number, host: string): Promise<string> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ...(host === '127.0.0.1' ? {} : { servername: host }),
    ca: limited.rootCert,
  })
  try {
    await once(socket, 'secureConnect')
    return 'trusted'
  } catch (error) {
    return String(error)
  } finally {
    socket.destroy()
  }
}

async function pythonSays(port: number, host: string): Promise<string> {
  const { stdout } = await run('python3', ['-c', PYTHON, String(port), host, limited.rootCert])
  return stdout.trim()
}

const PYTHON = `
import socket, ssl, sys
context = ssl.create_default_context(cadata=sys.argv[3])
context.verify_flags |= ssl.VERIFY_X509_STRICT
try:
    with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as raw:
        context.wrap_socket(raw, server_hostname=sys.argv[2])
        print('trusted')
except ssl.SSLError as error:
    print(error)
`

const JAVA = `
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;

public class Check {
  public static void main(String[] files) throws Exception {
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    store.setCertificateEntry("root", factory.generateCertificate(new FileInputStream(files[0])));
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(store);
    X509TrustManager manager = (X509TrustManager) trust.getTrustManagers()[0];
    for (int index = 1; index < files.length; index++) {
      X509Certificate[] chain = factory.generateCertificates(new FileInputStream(files[index]))
          .toArray(new X509Certificate[0]);
      try {
        manager.checkServerTrusted(chain, "ECDHE_ECDSA");
        System.out.println("trusted");
      } catch (CertificateException error) {
        System.out.println(error.toString().replace('\\n', ' '));
      }
    }
  }
}
`
