// Password files: every kind of hash against the tool that makes it, and what is no such file.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { hashSync } from 'bcryptjs'
import t from 'tap'
import { CordonError } from '../../src/base/errors.ts'
import { Htpasswd } from '../../src/proxy/htpasswd.ts'

const PASSWORDS = ['word', 'fifteen letters', 'größe ✓ 語', 'x'.repeat(65)]

function made(kind: string, password: string, ...more: string[]): string {
  return execFileSync('openssl', ['passwd', kind, ...more, '-stdin'], {
    input: password,
    encoding: 'utf8',
  }).trim()
}

function file(hashes: Record<string, string>): Htpasswd {
  const lines = Object.entries(hashes).map(([user, hash]) => `${user}:${hash}`)
  return Htpasswd.parse('users', `# people\n\n${lines.join('\r\n')}\n`)
}

for (const kind of ['-apr1', '-5', '-6']) {
  t.test(`what openssl passwd ${kind} makes is understood`, async (t) => {
    for (const password of PASSWORDS) {
      const users = file({ maya: made(kind, password) })
      t.equal(await users.verify('maya', password), 'maya', password)
      t.equal(await users.verify('maya', `${password}x`), undefined)
    }
  })
}

t.test('a salt and rounds of its own count', async (t) => {
  for (const [kind, salt] of [
    ['-apr1', 'ab'],
    ['-5', 'x'],
    ['-6', 'rounds=1234$abc'],
    ['-5', 'rounds=500$sixteen.letters.'],
  ] as const) {
    const users = file({ maya: made(kind, 'word', '-salt', salt) })
    t.equal(await users.verify('maya', 'word'), 'maya', salt)
    t.equal(await users.verify('maya', 'ward'), undefined)
  }
})

t.test('bcrypt, however its hash begins, up to the 72 bytes that it reads', async (t) => {
  const long = 'é'.repeat(36)
  for (const version of ['2a', '2b', '2y']) {
    const hash = (word: string): string => hashSync(word, 4).replace(/^\$2[aby]/, `$${version}`)
    const users = file({ maya: hash('word'), kim: hash(long) })
    t.equal(await users.verify('maya', 'word'), 'maya')
    t.equal(await users.verify('maya', 'Word'), undefined)
    t.equal(await users.verify('maya', 'word\0anything'), undefined)
    t.equal(await users.verify('kim', long), 'kim')
    t.equal(await users.verify('kim', `${long}x`), undefined, 'a longer password is another one')
    t.equal(await users.verify('kim', 'x'.repeat(5000)), undefined)
  }
})

t.test('nobody is in an empty file, and no name has a value by accident', async (t) => {
  t.equal(await file({}).verify('maya', 'word'), undefined)
  const users = file({ maya: hashSync('word', 4) })
  for (const name of ['kim', 'Maya', '__proto__', 'constructor', ''])
    t.equal(await users.verify(name, 'word'), undefined)
})

t.test('the event loop turns while a password is checked', async (t) => {
  const users = file({ maya: hashSync('word', 9) })
  await users.verify('maya', 'warm')
  let turns = 0
  let checking = true
  const turn = (): void => {
    turns += 1
    if (checking) setImmediate(turn)
  }
  turn()
  t.equal(await users.verify('maya', 'word'), 'maya')
  checking = false
  t.ok(turns > 20, `${turns} turns`)
})

t.test('many are checked, each with its own answer', async (t) => {
  const words = Array.from({ length: 20 }, () => randomBytes(6).toString('hex'))
  const users = file(Object.fromEntries(words.map((word) => [`u${word}`, hashSync(word, 4)])))
  const found = await Promise.all(
    words.map((word, index) => users.verify(`u${word}`, index % 2 === 0 ? word : 'other')),
  )
  t.strictSame(
    found,
    words.map((word, index) => (index % 2 === 0 ? `u${word}` : undefined)),
  )
})

t.test('what is no such line is named with its place', async (t) => {
  const good = made('-apr1', 'word')
  const bad = [
    'nothing',
    ':empty',
    'plain:word',
    'sha1:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=',
    'des:rqXexS6ZhobKA',
    'md5:$1$abcdefgh$0123456789012345678901',
    `short:${good.slice(0, -1)}`,
    'cheap:$2y$03$' + 'a'.repeat(53),
    'dear:$2y$16$' + 'a'.repeat(53),
    `rounds:$5$rounds=1000000$abc$${'a'.repeat(43)}`,
    `maya:${good}`,
  ]
  try {
    Htpasswd.parse('users', [`maya:${good}`, ...bad].join('\n'))
    t.fail('accepted')
  } catch (error) {
    if (!(error instanceof CordonError)) throw error
    t.equal(error.code, 'CONFIG_INVALID')
    t.strictSame(
      error.problems.map(({ file: name, line }) => `${name}:${line}`),
      bad.map((_, index) => `users:${index + 2}`),
    )
    t.notMatch(error.problems.map(({ message }) => message).join(), /word|\$apr1/)
  }
})
