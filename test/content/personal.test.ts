// E-mail addresses, phone numbers, cards, bank accounts and addresses of networks: what is one, and what
// only looks like one.

import t from 'tap'
import { detect } from '../../src/content/detect.ts'

/** Written in pieces where the whole is a number that belongs to somebody, or could. */
const TRUE: readonly (readonly [string, string])[] = [
  ['email', 'Please write to maya.lind+ai@acme.example'],
  ['email', 'maya_lind@mail.acme.co.uk, thanks'],
  ['email', '<maya@acme.example>'],
  ['email', '{"to":"maya@acme.example"}'],
  ['email', 'mailto:maya@acme.example?subject=x'],
  ['email', 'to=maya@acme.example&x=1'],
  ['email', "grep 'maya@acme.example' log"],
  ['email', "miles.o'brien@acme.example"],
  ['email', '"first last"@acme.example wrote'],
  ['email', 'josé.garcía@empresa.es'],
  ['email', 'maya@müller.de'],
  ['email', 'maya@xn--mller-kva.de'],
  ['email', 'MAYA@ACME.EXAMPLE.'],
  ['phone', 'call me: +49 30 901820'],
  ['phone', '+1 (415) 867-5309'],
  ['phone', 'tel. +44 (0)20 7123 4567'],
  ['phone', '+33 1 42 68 53 00, bitte'],
  ['phone', '0041 44 668 18 00'],
  ['phone', '+63 (917) 123 4567'],
  ['phone', 'Telefon numaram +905321234567 olarak kayitli.'],
  ['phone', 'Mobile: 0341 8387176'],
  ['phone', 'phone:\n434 14 557'],
  ['phone', 'Desk: (898)666-3621x0135'],
  ['phone', "They're not answering at 780-999-2181"],
  ['phone', 'reach me on 415-867-5309 ext. 12'],
  ['phone', '(415) 867-5309'],
  ['phone', 'Telefon: 030/901820'],
  ['phone', 'téléphone 01 42 68 53 00'],
  ['phone', 'móvil 612 345 678'],
  ['phone', '781 1704 office'],
  ['credit_card', 'card 4539 1488 0343 6467 exp 12/27'],
  ['credit_card', '4539148803436467'],
  ['credit_card', '4539-1488-0343-6467'],
  ['credit_card', 'amex 3714 496353 98456'.replace('98456', '98449')],
  ['credit_card', 'cc\n4539\n1488\n0343\n6467\n'],
  ['credit_card', 'visa 4 5 3 9 1 4 8 8 0 3 4 3 6 4 6 7'],
  ['credit_card', 'What is your credit card? 38134375577528'],
  ['credit_card', 'withdraw with the card 180065008155082'],
  ['credit_card', '"pan":"5425233430109903"'],
  ['credit_card', '4539 1488 0343 6467 12'],
  ['iban', 'IBAN: DE02 1203 0000 0000 2020 51'],
  ['iban', 'de02120300000000202051'],
  ['iban', 'GB33BUKB20201555555555 to other accounts'],
  ['iban', 'NO93 8601 1117 947'],
  ['iban', 'MT84 MALT 0110 0001 2345 MTLC AST0 01S'],
  ['iban', 'NL02-ABNA-0123-4567-89'],
  ['ip_address', 'from 81.2.69.142 at noon'],
  ['ip_address', 'http://81.2.69.142:8080/x'],
  ['ip_address', '(81.2.69.142)'],
  ['ip_address', '81.2.69.0/24.'],
  ['ip_address', '[2a02:2e0:3fe:1001:302::]:443'],
  ['ip_address', '::ffff:81.2.69.142'],
  ['mac_address', 'Lowercase MAC: 01-b3-4a-67-d9-cf'],
  ['mac_address', '01:B3:4A:67:D9:CF'],
  ['mac_address', '0012.3456.789a'],
  ['date_of_birth', 'DOB: 1984-03-12'],
  ['date_of_birth', 'geboren am 12.03.1984'],
  ['date_of_birth', 'born on 12 March 1984'],
  ['date_of_birth', '{"date_of_birth": "1984-03-12"}'],
]
for (const [type, text] of TRUE)
  t.test(`${type}: ${text}`, async (t) => {
    t.same(typesIn(text), [type])
    t.equal(detect({ text }).input.findings[0]?.count, 1)
  })

const NONE: readonly string[] = [
  '@maya on the team',
  'git clone git@github.com:acme/x.git',
  'ssh://git@github.com/acme/x',
  'https://user@acme.example/x',
  'icon@2x.png',
  'npm install lodash@4.17.21',
  'react@18.3.0-rc.next',
  '@decorator.method',
  'maya@localhost',
  'a..b@acme.example',
  'timestamp 1732104000123456',
  'epoch 1732104000 and 1732104000123',
  '2024-11-20 13:45',
  '2024-11-20T13:45:00Z',
  'from 2019-2024 and 10.11.2024',
  'Ratio 1:2:3:4',
  '12345678901',
  '1234567890',
  'order number 4155550',
  'the matrix is [[1, 2, 3], [4, 5, 6], [7, 8, 9]]',
  '0.1234567890123456',
  'width: 1024 height: 768 depth: 32',
  'call +1 202-555-0143',
  'ring 07700 900123 or +44 7700 900123',
  'card 4111 1111 1111 1111',
  'card 4242424242424242',
  'card 4539 1488 0343 6468',
  'card 0000 0000 0000 0000',
  '9781861972712',
  'XX12 3456 7890 1234',
  'DE89 3704 0044 0532 0130 01',
  'DE02 1203 0000 0000 2020 5',
  '127.0.0.1 10.1.2.3 192.168.0.1 172.20.1.1 169.254.169.254 100.64.0.1',
  '192.0.2.1 198.51.100.7 203.0.113.9 0.0.0.0 255.255.255.255 224.0.0.1',
  '::1 fe80::1 2001:db8::1 fd00::1 ff02::1 ::',
  '::ffff:10.0.0.1',
  'std::vector<int> a::b dead::beef',
  'version 1.2.3.4 and v10.20.30.40',
  '1.2.3.4.5',
  '256.1.1.1',
  '00:00:00:00:00:00 ff:ff:ff:ff:ff:ff',
  '12:34:56',
  'Today is 2021-05-21, and 5-MAY-2021',
]
for (const text of NONE) t.test(`nothing in: ${text}`, async (t) => t.same(typesIn(text), []))

t.test('each value counts once, each occurrence counts', async (t) => {
  const text = 'a@acme.example, b@acme.example; a@acme.example and +49 30 901820'
  t.same(
    detect({ text }).input.findings.map(({ type, category, count }) => ({ type, category, count })),
    [
      { type: 'email', category: 'pii', count: 3 },
      { type: 'phone', category: 'pii', count: 1 },
    ],
  )
})

t.test('a phone number beside a card, an account and an address', async (t) => {
  const text =
    'Mobile: 737 219 628\nDesk: 5403926876\nFax: +41 (0)62 585 51 90\nIBAN DE02120300000000202051\ncard 4539148803436467'
  t.same(
    detect({ text }).input.findings.map(({ type, count }) => [type, count]),
    [
      ['credit_card', 1],
      ['iban', 1],
      ['phone', 3],
    ],
  )
})

function typesIn(text: string): readonly string[] {
  return detect({ text }).input.finding_types
}
