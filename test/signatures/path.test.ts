import t from 'tap'
import { canonicalPath } from '../../src/base/canonical-path.ts'
import { compilePath } from '../../src/signatures/path.ts'

t.test('a path pattern matches what the reference page says', async (t) => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    [
      '/chat',
      ['/chat', '/chat/', '/chat/x'],
      ['/chatter', '/Chat', '/x/chat', '/cha', '/chat%2Fx'],
    ],
    ['/chat/', ['/chat/', '/chat/x'], ['/chat', '/chatter/']],
    ['/', ['/', '/x'], []],
    ['/a/{id}/b', ['/a/1/b', '/a/1/b/c'], ['/a//b', '/a/b', '/a/1/2/b', '/a/1/bc']],
    ['/a/{id}/b/', ['/a/1/b/', '/a/1/b/c'], ['/a/1/b']],
    ['/api/ai.*', ['/api/ai.', '/api/ai.x/y'], ['/api/ai', '/api/aix']],
    ['/v1/texts/…', ['/v1/texts/', '/v1/texts/x'], ['/v1/texts']],
    [
      '…/chat/completions',
      ['/chat/completions', '/x/v1/chat/completions'],
      ['/chat/completions/x'],
    ],
  ]
  for (const [pattern, hits, misses] of cases) {
    const { matches } = compilePath(pattern)
    for (const path of hits) t.ok(matches(path, undefined), `${pattern} is ${path}`)
    for (const path of misses) t.notOk(matches(path, undefined), `${pattern} is not ${path}`)
  }
  const { matches } = compilePath('/s?k=v w')
  t.ok(matches('/s', 'a=b&k=v%20w'))
  t.notOk(matches('/s', 'k=v'))
  t.notOk(matches('/s', '%zz&%'))
  t.notOk(matches('/s', undefined))
})

t.test('a path from the wire becomes what a browser would have sent', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['/v1/chat', '/v1/chat'],
    ['/a/./b/../c', '/a/c'],
    ['/../../x', '/x'],
    ['/a/%2e%2E/c', '/c'],
    ['/%63hat', '/chat'],
    ['/a%2fb', '/a%2Fb'],
    ['/a\\b', '/a/b'],
    ['/a%zz', '/a%zz'],
    ['/ä', '/%C3%A4'],
    ['//x/../y', '//y'],
    ['', '/'],
  ]
  for (const [path, expected] of cases) t.equal(canonicalPath(path), expected, path)
})
