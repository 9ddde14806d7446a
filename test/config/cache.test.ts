// What is run and believed comes from a folder that nobody else can write to.

import { chmodSync, mkdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cacheDirs } from '../../src/config/cache.ts'

const user = process.geteuid?.()

t.test('the cache of a user lies in their home', (t) => {
  const { tools, code } = cacheDirs({ HOME: '/home/a' }, '/tmp')
  t.same([tools, code], ['/home/a/.cache/cordon/tools', '/home/a/.cache/cordon/code'])
  t.equal(cacheDirs({ HOME: '/h', XDG_CACHE_HOME: '/x' }, '/tmp').tools, '/x/cordon/tools')
  for (const XDG_CACHE_HOME of ['', 'relative'])
    t.equal(cacheDirs({ HOME: '/h', XDG_CACHE_HOME }, '/tmp').tools, '/h/.cache/cordon/tools')
  t.end()
})

t.test('without a home it is ours alone, or nothing', { skip: user === undefined }, (t) => {
  const tmp = t.testdir({ linked: {} })
  const dir = join(tmp, `cordon-${user}`)
  const ours = { tools: join(dir, 'tools'), policies: join(dir, 'policies') }
  t.strictSame(cacheDirs({}, tmp), ours, 'code and catalogue are left out')
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.strictSame(cacheDirs({ HOME: '' }, tmp), ours, 'it stays the same one')
  chmodSync(dir, 0o777)
  t.equal(cacheDirs({}, tmp).tools, '/dev/null/cordon/tools', 'others may write to it')

  const other = join(tmp, 'other')
  mkdirSync(other)
  symlinkSync(join(tmp, 'linked'), join(other, `cordon-${user}`))
  t.equal(cacheDirs({}, other).tools, '/dev/null/cordon/tools', 'a link leads elsewhere')
  t.equal(cacheDirs({}, join(tmp, 'none')).tools, '/dev/null/cordon/tools')
  t.end()
})
