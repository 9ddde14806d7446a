// `cordon setup`: what it prints is given to the real tool, which then comes through a proxy and trusts what it must.

import { execFile, execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTls } from 'node:https'
import { type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import { env as environment } from 'node:process'
import t, { type Test } from 'tap'
import { refusalOf, webSocketReason } from '../../src/proxy/refuse.ts'
import { parseTarget } from '../../src/proxy/target.ts'
import { certificatesOf } from '../../src/setup/pem.ts'
import { TOOLS } from '../../src/setup/tools.ts'
import { run } from '../support/command-line.ts'
import { startRig } from '../support/proxy-rig.ts'
import { makeAuthority } from '../support/test-authority.ts'

const dir = t.testdir()
const here = (name: string): string => join(dir, name)
writeFileSync(here('cordon.yaml'), '')
const authority = makeAuthority(dir, ['*.acme.test'])

const asked: string[] = []
const origin = createTls({ cert: authority.cert, key: authority.key }, (request, response) => {
  asked.push(`${request.headers.host?.split(':')[0] ?? ''}${request.url ?? ''}`)
  response.end(moduleFile(request.url ?? '') ?? 'from the origin')
})
const port = await listening(origin)
let wantsLogin = true
const logins = new Set<string | undefined>()
const rig = await startRig({
  wording: { parseTarget, refusalOf, closeReason: webSocketReason },
  callers: {
    identify: (authorization) => {
      logins.add(authorization)
      if (!wantsLogin || authorization === basic('maya', 'to:ken'))
        return { ok: true, principal: {} }
      return {
        ok: false,
        refusal: { status: 407, error: 'http_request_denied', details: 'who?', challenge: true },
      }
    },
  },
})
t.teardown(async () => {
  await rig.close()
  origin.closeAllConnections()
  origin.close()
})

/** What the lines are, with a trusted root of our own and credentials. */
async function linesOf(tool: string, user?: string): Promise<string> {
  const args = [
    'setup',
    tool,
    '--proxy',
    `http://127.0.0.1:${rig.port}`,
    '--ca',
    here('root.pem'),
    '--out',
    here(tool),
  ]
  const { code, out, err } = await run([...args, ...(user === undefined ? [] : ['--user', user])], {
    cwd: dir,
  })
  t.equal(code, 0, err)
  return out
}

/** Runs `command` in a shell that took the lines. */
function shell(lines: string, command: string, more: Record<string, string> = {}): Promise<string> {
  const { PATH = '', HOME = '' } = environment
  return new Promise((resolve) => {
    execFile(
      '/bin/sh',
      ['-c', `${lines}\n${command}`],
      {
        cwd: dir,
        env: { PATH, HOME, GIT_CONFIG_GLOBAL: here('gitconfig'), ...more },
        timeout: 60_000,
      },
      (error, out, err) => resolve(error === null ? out : `${out}${err}`),
    )
  })
}

function has(command: string): false | string {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${command}`], { stdio: 'ignore' })
    return false
  } catch {
    return `no ${command} here`
  }
}

/** The tool came through the proxy, with its name, and its request reached the origin. */
function came(t: Test, host: string): void {
  t.ok(
    rig.decided.some(({ destination }) => destination.host === host),
    'by the proxy',
  )
  t.ok(
    asked.some((each) => each.startsWith(host)),
    'to the origin, inside TLS that it trusted',
  )
}

t.test('curl', { skip: has('curl') }, async (t) => {
  const url = `https://curl.acme.test:${port}/`
  t.equal(await shell(await linesOf('curl', 'maya:to:ken'), `curl -sS ${url}`), 'from the origin')
  came(t, 'curl.acme.test')
  t.match(await shell(await linesOf('curl', 'maya:wrong'), `curl -sS ${url}`), /407/)
})

t.test('Node, by fetch and by https', async (t) => {
  const node = `"${process.execPath}"`
  const lines = await linesOf('node', 'maya:to:ken')
  const byFetch = `fetch('https://fetch.acme.test:${port}/').then((r) => r.text()).then(console.log, console.error)`
  t.equal(await shell(lines, `${node} -e "${byFetch}"`), 'from the origin\n')
  came(t, 'fetch.acme.test')
  const byHttps = `require('https').get('https://https.acme.test:${port}/', (r) => r.pipe(process.stdout))`
  t.equal(await shell(lines, `${node} -e "${byHttps}"`), 'from the origin')
  came(t, 'https.acme.test')
})

t.test(
  'Python, by urllib and by requests where it is installed',
  { skip: has('python3') },
  async (t) => {
    const script = `
import urllib.request
print(urllib.request.urlopen('https://urllib.acme.test:${port}/').read().decode())
try:
    import requests
    print(requests.get('https://requests.acme.test:${port}/').text)
except ModuleNotFoundError:
    print('from the origin')
`
    writeFileSync(here('client.py'), script)
    const out = await shell(await linesOf('python', 'maya:to:ken'), 'python3 client.py')
    t.equal(out, 'from the origin\nfrom the origin\n')
    came(t, 'urllib.acme.test')
  },
)

t.test('Go, whose own command is a client', { skip: has('go') }, async (t) => {
  mkdirSync(here('module'))
  writeFileSync(here('module/go.mod'), 'module example.com/here\n')
  const lines = await linesOf('go', 'maya:to:ken')
  const out = await shell(lines, 'cd module && go list -m -versions example.com/there', {
    GOPROXY: `https://go.acme.test:${port}`,
    GONOSUMDB: '*',
    GOFLAGS: '-mod=mod',
    GOTOOLCHAIN: 'local',
    GOMODCACHE: here('gomod'),
  })
  t.equal(out, 'example.com/there v1.2.3\n')
  came(t, 'go.acme.test')
})

t.test('git', { skip: has('git') }, async (t) => {
  const lines = await linesOf('git', 'maya:to:ken')
  const out = await shell(lines, `git ls-remote https://git.acme.test:${port}/x.git`)
  t.notMatch(out, /certificate|SSL|CONNECT/i)
  came(t, 'git.acme.test')
})

t.test('Java', { skip: has('javac') || has('keytool') }, async (t) => {
  wantsLogin = false
  t.teardown(() => (wantsLogin = true))
  writeFileSync(
    here('Client.java'),
    `import java.net.URI; import java.net.http.*;
public class Client { public static void main(String[] a) throws Exception {
  System.out.print(HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create("https://java.acme.test:${port}/")).build(), HttpResponse.BodyHandlers.ofString()).body()); } }`,
  )
  const out = await shell(
    await linesOf('java'),
    'java -Xshare:auto -XX:TieredStopAtLevel=1 Client.java 2>java.log',
  )
  t.equal(out, 'from the origin', out)
  came(t, 'java.acme.test')
})

t.test('every tool has lines that a shell takes, whatever the names hold', async (t) => {
  const out = join(dir, `it's "a" $(touch x) folder`)
  for (const { id } of TOOLS) {
    const args = [
      'setup',
      id,
      '--proxy',
      'http://[::1]:3128',
      '--user',
      `o'neil $(x):p@ss "w" \`x\``,
      '--ca',
      here('root.pem'),
      '--out',
      out,
    ]
    const { code, out: lines } = await run(args, { cwd: dir })
    t.equal(code, 0, id)
    execFileSync('/bin/sh', ['-n'], { input: lines })
    t.notMatch(lines.replaceAll("'\\''", ''), /^[^#'"]*\$\(touch/m, id)
    const powershell = await run([...args, '--format', 'powershell'], { cwd: dir })
    t.equal(powershell.code, 0)
    t.notMatch(powershell.out, /^export /m)
    const made = JSON.parse((await run([...args, '--json'], { cwd: dir })).out)
    t.equal(made.tool, id)
    t.ok(Object.keys(made.env).length + made.commands.length + made.files.length > 0, id)
  }
})

t.test('ca-bundle.pem holds the roots of the system and ours, once', async (t) => {
  await linesOf('curl')
  const root = new X509Certificate(readFileSync(here('root.pem')))
  const ours = readFileSync(here('curl/ca.pem'), 'utf8')
  t.strictSame(certificatesOf(ours)[0]?.raw, root.raw)
  const all = certificatesOf(readFileSync(here('curl/ca-bundle.pem'), 'utf8'))
  t.ok(all.length > 50)
  t.equal(all.filter(({ raw }) => raw.equals(root.raw)).length, 1)
  t.equal(new Set(all.map(({ fingerprint256 }) => fingerprint256)).size, all.length)
})

t.test(
  'the certificate comes from the proxy that is named; one that tunnels has none',
  async (t) => {
    let status = 200
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/ca.pem' ? status : 500
      response.end(readFileSync(here('root.pem')))
    })
    const proxy = `http://127.0.0.1:${await listening(server)}`
    const setup = (): ReturnType<typeof run> =>
      run(['setup', 'node', '--proxy', proxy, '--json'], { cwd: dir, env: { HOME: '/home/maya' } })
    const trusting = JSON.parse((await setup()).out)
    t.equal(trusting.env.NODE_EXTRA_CA_CERTS, '/home/maya/.cordon/ca.pem')
    t.match(
      trusting.commands[0].sh,
      `curl -fsS --noproxy '*' -o "/home/maya/.cordon/ca.pem" ${proxy}/ca.pem`,
    )
    status = 404
    const tunnelling = JSON.parse((await setup()).out)
    t.notOk(tunnelling.env.NODE_EXTRA_CA_CERTS)
    t.strictSame(tunnelling.commands, [])
    status = 503
    t.match(await setup(), { code: 3, err: /it answers 503/ })
    server.closeAllConnections()
    server.close()
    t.match(await setup(), { code: 3, err: /does not tell its certificate/ })
  },
)

t.test('profiles for managed machines are well-formed and carry the certificate', async (t) => {
  for (const tool of ['macos', 'windows', 'chrome', 'firefox']) await linesOf(tool)
  const profile = readFileSync(here('macos/cordon.mobileconfig'), 'utf8')
  const root = new X509Certificate(readFileSync(here('root.pem')))
  t.ok(profile.includes(root.raw.toString('base64')))
  if (has('python3') === false) {
    const script =
      'import plistlib,sys;p=plistlib.loads(sys.stdin.buffer.read());print([x["PayloadType"] for x in p["PayloadContent"]])'
    t.match(
      execFileSync('python3', ['-c', script], { input: profile }).toString(),
      /security\.root.*proxy\.http\.global/,
    )
  }
  for (const file of ['chrome/cordon.json', 'firefox/policies.json'])
    t.ok(
      JSON.stringify(JSON.parse(readFileSync(here(file), 'utf8'))).includes(
        `127.0.0.1:${rig.port}/proxy.pac`,
      ),
    )
  t.match(await linesOf('windows'), root.raw.toString('base64'))
})

t.test('without a tool it names all; what cannot be told says why', async (t) => {
  const { out } = await run(['setup', '--json'], { cwd: dir })
  t.strictSame(
    JSON.parse(out).map(({ tool }: { tool: string }) => tool),
    TOOLS.map(({ id }) => id),
  )
  t.match((await run(['setup', 'claude'], { cwd: dir })).out, /settings\.json/, 'by another name')
  t.match(await run(['setup', 'codxe'], { cwd: dir }), { code: 2, err: /did you mean "codex"/ })
  t.match(await run(['setup', 'curl', '--proxy', 'https://x'], { cwd: dir }), {
    code: 2,
    err: /http:\/\/host:port/,
  })
  t.match(await run(['setup', 'curl', '--ca', 'absent.pem'], { cwd: dir }), {
    code: 3,
    err: /absent\.pem cannot be read/,
  })
  t.match(await run(['setup', 'curl', '--ca', 'cordon.yaml'], { cwd: dir }), {
    code: 2,
    err: /no certificate/,
  })
  const listen = { CORDON_PROXY__LISTEN: '127.0.0.1:0' }
  t.match(await run(['setup', 'curl'], { cwd: dir, env: listen }), { code: 2, err: /--proxy/ })
  const deny = { CORDON_PROXY__ANONYMOUS: 'deny' }
  t.match(await run(['setup', 'curl'], { cwd: dir, env: deny }), { code: 0, err: /--user NAME/ })
  t.match(await run(['setup', 'curl', '--user', 'maya'], { cwd: dir }), {
    code: 0,
    out: /http:\/\/maya:TOKEN@127\.0\.0\.1:3128/,
    err: /token create/,
  })
})

/** What Go's command asks of a module proxy. */
function moduleFile(path: string): string | undefined {
  if (path.endsWith('/@v/list')) return 'v1.2.3\n'
  if (path.endsWith('.info')) return '{"Version": "v1.2.3"}'
  return path.endsWith('.mod') ? 'module example.com/there\n' : undefined
}

function basic(user: string, token: string): string {
  return `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return (server.address() as AddressInfo).port
}
