// What is said where OPA is missing, and what builds it.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readFolder } from '../../../src/policy/folder.ts'
import { createHostBuiltins } from '../../../src/policy/rego/builtins/registry.ts'
import { loadCompiled } from '../../../src/policy/rego/compile.ts'
import { Toolchain } from '../../../src/policy/rego/toolchain.ts'

const PACK = join(import.meta.dirname, '../../../policies')
const MISSING = { code: 'POLICY_TOOLCHAIN_MISSING' }

t.test('without OPA and without leave to build it, the message says what to do', async (t) => {
  const toolchain = new Toolchain({ env: { PATH: '' }, toolsDir: '/nowhere', mayInstall: false })
  await t.rejects(toolchain.opa(), {
    ...MISSING,
    message: /policy compile.*PATH or into \/nowhere/,
  })
})

t.test('without OPA and without Go, both are named', async (t) => {
  const toolsDir = t.testdir()
  const toolchain = new Toolchain({ env: { PATH: toolsDir }, toolsDir, mayInstall: true })
  await t.rejects(toolchain.opa(), { ...MISSING, message: /neither is Go.*install Go/ })
})

t.test('where it can be built and not be put, the message says which folder to give', async (t) => {
  const { env } = goThat(t.testdir({ file: '' }), 'exit 1')
  const into = (toolsDir: string): Toolchain => new Toolchain({ env, toolsDir, mayInstall: true })
  const inFile = join(t.testdirName, 'file', 'tools')
  await t.rejects(into(inFile).opa(), {
    ...MISSING,
    message: /cannot be made \(ENOTDIR.*set HOME or XDG_CACHE_HOME/,
  })
  const { message } = await into(join(devNull, 'cordon/tools'))
    .opa()
    .then(
      () => ({ message: '' }),
      (error: Error) => error,
    )
  t.match(message, /no folder of our own.*set HOME or XDG_CACHE_HOME.*on PATH$/)
})

t.test('where Go fails, its last words are passed on', async (t) => {
  const { env, toolsDir } = goThat(t.testdir(), 'echo "no such module" >&2; exit 1')
  const toolchain = new Toolchain({ env, toolsDir, mayInstall: true })
  await t.rejects(toolchain.opa(), { ...MISSING, message: /failed \(no such module\)/ })
})

t.test('Go builds OPA into the tool cache, once', async (t) => {
  const { env, toolsDir } = goThat(
    t.testdir(),
    String.raw`printf '#!/bin/sh\n' > "$GOBIN/opa"; /bin/chmod +x "$GOBIN/opa"; echo "$@" >> "$GOBIN/calls"`,
  )
  const toolchain = new Toolchain({ env, toolsDir, mayInstall: true })
  t.equal(await toolchain.opa(), join(toolsDir, 'opa'))
  t.equal(await new Toolchain({ env, toolsDir, mayInstall: true }).opa(), join(toolsDir, 'opa'))
  t.match(
    readFileSync(join(toolsDir, 'calls'), 'utf8'),
    /^install github\.com\/open-policy-agent\/opa@v\d+\.\d+\.\d+\n$/,
  )
})

t.test('a folder says which of its sources changed since it was compiled', async (t) => {
  const dir = t.testdir()
  const manifest = JSON.parse(readFileSync(join(PACK, 'compiled/manifest.json'), 'utf8')) as object
  mkdirSync(join(dir, 'compiled'))
  writeFileSync(join(dir, 'compiled/manifest.json'), JSON.stringify(manifest))
  writeFileSync(join(dir, 'new.rego'), 'package new\ndeny if true\n')
  const options = {
    toolchain: new Toolchain({ env: { PATH: '' }, toolsDir: dir, mayInstall: false }),
    builtins: createHostBuiltins(),
    cacheDir: join(dir, '.cache'),
  }
  await t.rejects(loadCompiled(readFolder(dir), options), {
    ...MISSING,
    message: /changed since it was compiled \(new\.rego, /,
  })
})

/** A tool folder, and a `go` on PATH that runs these lines. */
function goThat(dir: string, lines: string): { env: Record<string, string>; toolsDir: string } {
  const bin = join(dir, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'go'), `#!/bin/sh\n${lines}\n`)
  chmodSync(join(bin, 'go'), 0o755)
  return { env: { PATH: bin }, toolsDir: join(dir, 'tools') }
}
