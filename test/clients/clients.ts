// The clients of the matrix: real programs, each with the jobs it can do and the error by which it tells a denial.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PAGE_SCRIPT } from './answers.ts'
import { openChromium } from './chromium.ts'
import { CurlSession } from './curl.ts'
import { go, java, output, programFile, python, tool } from './install.ts'
import type { Job, JobName } from './jobs.ts'
import { ProcessSession, type Program, type Session } from './session.ts'
import { environment, type Way } from './way.ts'

export interface Client {
  readonly id: string
  readonly title: string
  readonly group: 'node' | 'python' | 'curl' | 'go' | 'java' | 'chromium'
  readonly jobs: readonly Job[]
  /** What the client throws, or says, where the answer is a denial. */
  readonly permission: string
  /** Makes it ready and gives its version; throws the reason where it cannot be had. */
  prepare(): Promise<string>
  open(way: Way): Promise<Session>
}

const PLAIN = 'HTTP 403'

export const CLIENTS: readonly Client[] = [
  node('openai', ['chat', 'responses', 'embeddings'], 'PermissionDeniedError', 'openai.ts'),
  node('@anthropic-ai/sdk', ['messages'], 'PermissionDeniedError', 'anthropic.ts'),
  node('fetch', ['chat', 'long'], PLAIN, 'fetch.ts'),
  node('undici', ['chat', 'long'], PLAIN, 'fetch.ts', ['undici']),
  node('ws', ['realtime'], PLAIN, 'ws.ts'),
  py('openai', ['chat', 'responses', 'embeddings'], 'PermissionDeniedError'),
  py('anthropic', ['messages'], 'PermissionDeniedError'),
  py('google-genai', ['generate'], 'ClientError'),
  py('httpx', ['chat', 'long'], PLAIN),
  py('httpx', ['chat', 'long'], PLAIN, '-h2'),
  py('requests', ['chat', 'long'], PLAIN),
  py('aiohttp', ['chat', 'long'], PLAIN),
  py('websockets', ['realtime'], PLAIN),
  curl('--http1.1'),
  curl('--http2'),
  golang('net/http', ['chat', 'long'], PLAIN, 'nethttp'),
  golang('openai-go', ['chat'], 'openai.Error', 'openaigo'),
  {
    id: 'java',
    title: 'HttpClient (Java)',
    group: 'java',
    jobs: jobsOf(['chat', 'long']),
    permission: PLAIN,
    prepare: async () => {
      await java()
      const [line = ''] = (
        await output(await tool('java', 'openjdk-17-jdk-headless'), ['-version'])
      )
        .trim()
        .split('\n')
      return `OpenJDK ${/"([^"]+)"/.exec(line)?.[1] ?? line}`
    },
    open: async (way) => new ProcessSession(await javaProgram(way)),
  },
  {
    id: 'chromium',
    title: 'Chromium',
    group: 'chromium',
    jobs: [{ name: 'page', stream: false }, ...jobsOf(['conversation', 'realtime'])],
    permission: PLAIN,
    prepare: async () => {
      await tool('certutil', 'libnss3-tools')
      return (await output(await tool('chromium', 'chromium'), ['--version']))
        .replace(/ built on.*/s, '')
        .trim()
    },
    open: async (way) => openChromium(await tool('chromium', 'chromium'), way, PAGE_SCRIPT),
  },
]

/** Each once, and once more as a stream where there is such a form; a realtime session is always one. */
function jobsOf(names: readonly JobName[]): Job[] {
  return names.flatMap((name): Job[] => {
    if (name === 'embeddings' || name === 'long') return [{ name, stream: false }]
    if (name === 'realtime') return [{ name, stream: true }]
    return [
      { name, stream: false },
      { name, stream: true },
    ]
  })
}

function node(
  name: string,
  jobs: readonly JobName[],
  permission: string,
  file: string,
  args: readonly string[] = [],
): Client {
  return {
    id: `node-${name.replaceAll(/[^a-z]+/g, '')}`,
    title: `${name} (Node)`,
    group: 'node',
    jobs: jobsOf(jobs),
    permission,
    prepare: async () =>
      name === 'fetch' ? `Node ${process.version}` : `${name} ${await installed(name)} (Node)`,
    open: async (way) =>
      new ProcessSession({
        command: process.execPath,
        args: [programFile(file), ...args],
        env: environment(way),
      }),
  }
}

async function installed(name: string): Promise<string> {
  const file = join(import.meta.dirname, '../../node_modules', name, 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version
}

function py(name: string, jobs: readonly JobName[], permission: string, variant = ''): Client {
  return {
    id: `python-${name}${variant}`,
    title: `${name}${variant === '' ? '' : ', http2=True'} (Python)`,
    group: 'python',
    jobs: jobsOf(jobs),
    permission,
    prepare: async () => {
      const program = await python()
      const ask = `import importlib.metadata as m; print(m.version("${name}"))`
      return `${name} ${(await output(program, ['-c', ask])).trim()} (Python)`
    },
    open: async (way) =>
      new ProcessSession({
        command: await python(),
        args: [programFile('python/ask.py'), `${name}${variant}`],
        env: environment(way),
      }),
  }
}

function curl(version: '--http1.1' | '--http2'): Client {
  return {
    id: `curl${version.replaceAll(/[^a-z0-9]/g, '')}`,
    title: `curl ${version}`,
    group: 'curl',
    jobs: jobsOf(['chat', 'long']),
    permission: PLAIN,
    prepare: async () => {
      const said = await output(await tool('curl', 'curl'), ['--version'])
      if (version === '--http2' && !said.includes('HTTP2'))
        throw new Error('this curl was built without HTTP/2')
      return said.split(' ').slice(0, 2).join(' ')
    },
    open: async (way) => new CurlSession(await tool('curl', 'curl'), version, way),
  }
}

function golang(
  title: string,
  jobs: readonly JobName[],
  permission: string,
  name: 'nethttp' | 'openaigo',
): Client {
  return {
    id: `go-${name}`,
    title: `${title} (Go)`,
    group: 'go',
    jobs: jobsOf(jobs),
    permission,
    prepare: async () => {
      const program = await go(name)
      const built = await output(await tool('go', 'golang-go'), ['version', '-m', program])
      const [, version] = /openai-go\S*\s+v(\S+)/.exec(built) ?? []
      return version === undefined
        ? `Go ${/go(\d\S*)/.exec(built)?.[1] ?? ''}`
        : `openai-go ${version}`
    },
    open: async (way) =>
      new ProcessSession({ command: await go(name), args: [], env: environment(way) }),
  }
}

async function javaProgram(way: Way): Promise<Program> {
  const proxy = [
    '-Dhttps.proxyHost=127.0.0.1',
    `-Dhttps.proxyPort=${way.port}`,
    // Without this Java offers no Basic login to a proxy for tunnels.
    '-Djdk.http.auth.tunneling.disabledSchemes=',
  ]
  const program = ['-cp', await java(), 'Ask']
  return {
    command: await tool('java', 'openjdk-17-jdk-headless'),
    args: [...proxy, ...(await way.trust.javaOptions()), ...program],
    env: { ...environment(way), PROXY_LOGIN: `${way.login}:${way.password}` },
  }
}
