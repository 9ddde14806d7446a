// Versions as semver.org orders them.

import * as fc from 'fast-check'
import t from 'tap'
import { compareVersions, isVersion, nextPatch } from '../../src/base/semver.ts'

t.test('what is a version, and what is none', async (t) => {
  for (const good of ['0.0.0', '1.2.3', '10.20.30', '1.0.0-alpha', '1.0.0-0.a-b.1', '1.0.0+x.01'])
    t.ok(isVersion(good), good)
  const bad = ['', '1', '1.2', '01.2.3', '1.2.3.4', 'v1.2.3', '1.2.3-', '1.2.3-01', '1.2.3 ']
  for (const text of [...bad, '1.2.3-a..b', '-1.2.3', '1.2.3\n', '9'.repeat(70)])
    t.notOk(isVersion(text), text)
})

t.test('the order of semver.org, section 11', async (t) => {
  const rising = [
    '0.9.9',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.10',
    '1.2.0',
    '10.0.0',
  ]
  for (const [index, lower] of rising.entries())
    for (const higher of rising.slice(index + 1)) {
      t.ok(compareVersions(lower, higher) < 0, `${lower} < ${higher}`)
      t.ok(compareVersions(higher, lower) > 0, `${higher} > ${lower}`)
    }
  t.equal(compareVersions('1.0.0+a', '1.0.0+b'), 0, 'what follows a plus does not count')
})

t.test('the next version is higher, whatever it follows', async (t) => {
  t.equal(nextPatch('1.4.0'), '1.4.1')
  t.equal(nextPatch('2.0.0-rc.1'), '2.0.0')
  const part = fc.nat(10_000)
  const pre = fc.option(fc.stringMatching(/^[a-z][a-z0-9-]{0,5}$/), { nil: '' })
  fc.assert(
    fc.property(part, part, part, pre, (major, minor, patch, word) => {
      const version = `${major}.${minor}.${patch}${word === '' ? '' : `-${word}`}`
      return compareVersions(nextPatch(version), version) > 0
    }),
  )
})
