import t from 'tap'
import { checkFiles } from '../../src/policy/check-files.ts'
import { createHostBuiltins } from '../../src/policy/rego/builtins/registry.ts'
import { toolchain, withoutOpa } from '../support/policy-folder.ts'
import { RULES } from '../support/policy-rules.ts'

t.test('a policy that looks like a library is no library', { skip: withoutOpa() }, async (t) => {
  const options = {
    dirs: [],
    combining: RULES,
    toolchain: toolchain(),
    builtins: createHostBuiltins(),
    cacheDir: t.testdir(),
  }
  const check = (text: string) => checkFiles([{ path: 'a.rego', text }], options)
  const { problems } = await check(
    'package a\n\n\tdeny contains "x" if input.user.known == false\n',
  )
  t.match(problems, [{ file: 'a.rego', message: /^looks like a library and is a policy/ }])
  t.equal(problems.length, 1)
  const plain = await check('package a\n\ndeny contains "x" if input.user.known == false\n')
  t.same(plain.problems, [])
  t.equal(plain.policies, 1)
})
