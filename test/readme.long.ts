// The commands of the README, as they are written there, run by a shell in an empty folder. Only the ports are others.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { cacheDirs } from '../src/config/cache.ts'
import { Toolchain } from '../src/policy/rego/toolchain.ts'

const root = join(import.meta.dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const run = promisify(execFile)

t.test('a first try: prohibited, refused and recorded; a secret is stopped', async (t) => {
  const [begin = '', look = '', ask = ''] = shellBlocks('## A first try')
  const lives = endsBeforeItsFolder(t)
  const dir = t.testdir()
  const env = environment(dir)
  const cordon = lives(
    spawn('bash', ['-ec', begin], { cwd: dir, env, stdio: ['ignore', 'ignore', 'pipe'] }),
  )
  const [proxy, api] = await addressesOf(cordon)
  const here = (block: string): string =>
    block.replaceAll('http://127.0.0.1:3128', proxy).replaceAll('http://127.0.0.1:8181', api)

  const looked = await shell(here(look), dir, env)
  t.match(looked.stderr, 'CONNECT tunnel failed, response 403')
  t.match(looked.stdout, /^HTTP\/1\.1 403/m)
  const [, id = 'none'] = /^X-Cordon-Decision-Id: (\S+)/im.exec(looked.stdout) ?? []
  // The body of a denial has no end of line, so the record follows it.
  const record = JSON.parse(looked.stdout.slice(looked.stdout.indexOf('{"decision_id"'))) as object
  t.match(record, { decision_id: id, decision: 'DENY', resource: { id: 'deepseek' } })

  const asked = await shell(here(ask), dir, env)
  t.match(JSON.parse(asked.stdout), {
    decision: 'DENY',
    primary_policy_id: 'secrets-to-external',
    findings: [{ type: 'anthropic_api' }],
  })
})

t.test('inside TLS: a secret is found in the body and nothing reaches the origin', async (t) => {
  const [begin = '', ask = ''] = shellBlocks('## See inside TLS')
  const lives = endsBeforeItsFolder(t)
  const dir = t.testdir()
  // Nobody is there: what is refused needs no origin.
  const env = {
    ...environment(dir),
    CORDON_PROXY__RESOLVE: '{"api.openai.com:443": "127.0.0.1:9"}',
  }
  const cordon = lives(
    spawn('bash', ['-ec', begin], { cwd: dir, env, stdio: ['ignore', 'ignore', 'pipe'] }),
  )
  const [proxy] = await addressesOf(cordon)

  const { stdout } = await shell(ask.replaceAll('http://127.0.0.1:3128', proxy), dir, env)
  const [denial = '', record = ''] = stdout.split(/(?=\{"decision_id")/)
  const { error } = JSON.parse(denial) as { error: { message: string } }
  t.match(error, { type: 'policy_violation', message: /the text holds a secret.*\(decision / })
  const recorded = JSON.parse(record.split('\n')[0] ?? '') as { decision_id: string }
  t.match(recorded, {
    decision: 'DENY',
    action: 'send_prompt',
    resource: { id: 'openai-api', path: '/v1/chat/completions' },
    visibility: 'content',
    format: 'openai-chat',
  })
  t.match(error.message, recorded.decision_id)
  t.match(stdout, /^ content +- +100\.0%/m, 'coverage')
})

t.test('the Cedar policy of the README', async (t) => {
  const dir = t.testdir({ 'my-policies': { 'contractors.cedar': fenced('cedar') } })
  const [block = ''] = shellBlocks('## Write a policy')
  const { stdout } = await shell(withoutCompile(block), dir, environment(dir))
  t.match(JSON.parse(stdout), {
    decision: 'DENY',
    primary_policy_id: 'contractors-approved-only',
    reason: 'contractors may use approved AI services only',
  })
})

t.test(
  'the Rego policy of the README, beside it',
  { skip: hasOpa() ? false : 'OPA is not installed' },
  async (t) => {
    const dir = t.testdir({
      'my-policies': {
        'contractors.cedar': fenced('cedar'),
        'personal_data.rego': fenced('rego'),
      },
    })
    const [block = ''] = shellBlocks('## Write a policy')
    const { stdout } = await shell(block, dir, environment(dir))
    const { policies_evaluated: evaluated } = JSON.parse(
      stdout.trim().split('\n').at(-1) ?? '',
    ) as {
      policies_evaluated: unknown
    }
    t.match(evaluated, [{ policy_id: 'personal-data', matched: true, mode: 'warn' }, {}])
  },
)

/** To be called before `testdir`: tap takes a folder away before what is told later, and a Cordon writes on in it. */
function endsBeforeItsFolder(t: Test): (child: ChildProcess) => ChildProcess {
  let running: ChildProcess | undefined
  t.teardown(async () => {
    running?.kill('SIGTERM')
    if (running?.exitCode === null) await once(running, 'exit')
  })
  return (child) => (running = child)
}

/** `npm start` and `npx cordon` of this checkout, as if the folder were one. */
function environment(dir: string): NodeJS.ProcessEnv {
  const bin = join(dir, 'bin')
  mkdirSync(bin)
  const main = join(root, 'src/main.ts')
  for (const name of ['npm', 'npx']) {
    const words = name === 'npm' ? '"$@"' : '"${@:2}"'
    writeFileSync(join(bin, name), `#!/bin/bash\nexec ${process.execPath} ${main} ${words}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  const { HOME: home, PATH: path = '' } = outside()
  return {
    HOME: home,
    PATH: `${bin}:${path}`,
    CORDON_PROXY__LISTEN: '127.0.0.1:0',
    CORDON_PROXY__WORKERS: '1',
    CORDON_API__LISTEN: '127.0.0.1:0',
    CORDON_OBSERVE__LISTEN: '127.0.0.1:0',
  }
}

async function addressesOf(cordon: ChildProcess): Promise<readonly [string, string]> {
  if (cordon.stderr === null) throw new Error('there is no stderr')
  const lines: string[] = []
  for await (const line of createInterface({ input: cordon.stderr })) {
    const [, proxy, api] = /^cordon ready: proxy (\S+), api (\S+),/.exec(line) ?? []
    if (proxy !== undefined && api !== undefined) {
      cordon.stderr.resume()
      return [proxy, api]
    }
    lines.push(line)
  }
  throw new Error(`ended before it was ready:\n${lines.join('\n')}`)
}

function shell(
  block: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ stdout: string; stderr: string }> {
  // What curl answers for a refusal is not a failure of the block.
  return run('bash', ['-c', `${block}\ntrue`], { cwd, env })
}

function withoutCompile(block: string): string {
  return block.replace(/^npx cordon policy compile .*$/m, '')
}

function shellBlocks(heading: string): string[] {
  const section = readme.slice(readme.indexOf(heading) + heading.length)
  const [text = ''] = section.split(/^## /m)
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
}

function fenced(language: string): string {
  return new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(readme)?.[1] ?? ''
}

function hasOpa(): boolean {
  const env = outside()
  const toolsDir = cacheDirs(env, tmpdir()).tools
  return new Toolchain({ env, toolsDir, mayInstall: false }).find() !== undefined
}

function outside(): Readonly<Record<string, string | undefined>> {
  // oxlint-disable-next-line node/no-process-env -- a new user's shell has these
  return process.env
}
