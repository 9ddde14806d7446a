// Keys of payment, mail, chat, monitoring and office services, by the shapes of gitleaks and secretlint.

import { shape, type SecretShape } from './secret-shape.ts'

const BASE64URL = '[A-Za-z0-9_-]'
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

export const SERVICE_SHAPES: readonly SecretShape[] = [
  shape(
    'slack',
    'xoxb- xoxp- xoxa- xoxo- xoxr- xoxs- xoxe-',
    '[A-Za-z0-9]{1,64}(?:-[A-Za-z0-9]{1,200}){1,6}',
    {
      entropy: 2.5,
    },
  ),
  shape('slack', 'xoxe.xoxb- xoxe.xoxp-', '\\d-[A-Za-z0-9]{100,250}', { entropy: 2 }),
  shape('slack', 'xapp-', '\\d-[A-Za-z0-9]{6,20}-\\d{6,20}-[0-9a-z]{40,80}', { entropy: 2 }),
  shape('slack', 'hooks.slack.com/', '(?:services|workflows|triggers)/[A-Za-z0-9+/]{43,56}', {
    entropy: 2,
  }),
  shape(
    'teams_webhook',
    'webhook.office.com/webhookb2/',
    `${UUID}@${UUID}/IncomingWebhook/[0-9a-z]{32}/${UUID}(?:/[\\w-]{1,64})?`,
    { entropy: 2 },
  ),
  shape('linear', 'lin_api_', '[A-Za-z0-9]{40}', { entropy: 2 }),
  shape('notion', 'ntn_', '\\d{11}[A-Za-z0-9]{35}'),
  shape('figma', 'figd_', `${BASE64URL}{40,200}`),
  shape('airtable', 'pat', '[A-Za-z0-9]{14}\\.[0-9a-f]{64}'),
  shape('postman', 'PMAK-', '[0-9a-f]{24}-[0-9a-f]{34}'),
  shape('readme', 'rdme_', '[a-z0-9]{70}', { entropy: 2 }),
  shape('typeform', 'tfp_', '[A-Za-z0-9_.=-]{59}', { entropy: 2 }),
  shape('grafana', 'glc_', '[A-Za-z0-9+/]{32,400}={0,3}'),
  shape('grafana', 'glsa_', '[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}'),
  shape('grafana', 'eyJrIjoi', '[A-Za-z0-9+/]{70,400}={0,3}(?![.A-Za-z0-9])'),
  shape('newrelic', 'NRAK-', '[A-Z0-9]{27}'),
  shape('newrelic', 'NRII-', '[A-Za-z0-9-]{32}'),
  shape('newrelic', 'NRJS-', '[0-9a-f]{19}'),
  shape('sentry', 'sntrys_', '[A-Za-z0-9+/=_-]{60,400}'),
  shape('sentry', 'sntryu_', '[0-9a-f]{64}'),
  shape('dynatrace', 'dt0c01.', '[A-Z0-9]{24}\\.[A-Z0-9]{64}'),
  shape('stripe', 'sk_test_ sk_live_ sk_prod_ rk_test_ rk_live_ rk_prod_', '[A-Za-z0-9]{10,120}', {
    entropy: 2.5,
  }),
  shape('square', 'EAAA sq0atp-', `${BASE64URL}{22,60}`),
  shape('shippo', 'shippo_live_ shippo_test_', '[0-9a-f]{40}', { entropy: 2 }),
  shape('plaid', 'access-sandbox- access-development- access-production-', UUID, { entropy: 2 }),
  shape('gocardless', 'live_', '[A-Za-z0-9_=-]{40}', { keyword: /gocardless/i }),
  shape('flutterwave', 'FLWSECK_TEST- FLWPUBK_TEST-', '[0-9a-h]{12,64}(?:-X)?', { entropy: 2 }),
  shape('shopify', 'shpat_ shpca_ shppa_ shpss_', '[0-9a-fA-F]{32}', { entropy: 2 }),
  shape('sendgrid', 'SG.', '(?:[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}|[A-Za-z0-9=_.-]{66})', {
    entropy: 2,
  }),
  shape('mailgun', 'key-', '[0-9a-f]{32}', { entropy: 2, keyword: /mailgun/i }),
  shape('sendinblue', 'xkeysib-', '[0-9a-f]{64}-[A-Za-z0-9]{16}', { entropy: 2 }),
  shape('twilio', 'SK', '[0-9a-fA-F]{32}'),
  shape('facebook', 'EAAM EAAC', '[A-Za-z0-9]{100,400}'),
  shape('twitter', 'AAAAAAAAAAAAAAAAAAAAAA', '[A-Za-z0-9%]{60,120}'),
]
