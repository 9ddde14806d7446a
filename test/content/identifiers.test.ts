// Numbers of authorities: the published form is found, a wrong check digit is not.

import t from 'tap'
import { detect } from '../../src/content/detect.ts'

/** Type, a text, and the same with the check digit or rule of issue broken. */
const NUMBERS: readonly (readonly [string, string, string])[] = [
  ['us_ssn', 'SSN 536-22-8714', 'SSN 666-22-8714'],
  ['us_ssn', 'my social security number is 536228714', 'my social security number is 000228714'],
  ['us_ssn', '536 22 8714', '536-22 8714'],
  ['us_itin', '912-53-1234', '912-89-1234'],
  ['us_aba_routing', 'routing number 021000021', 'routing number 021000022'],
  ['us_npi', 'NPI 1245319599', 'NPI 1245319598'],
  ['us_mbi', '1EG4-TE5-MK73', '1EG4-ZE5-MK73x'],
  ['us_dea_number', 'DEA AB1234563', 'DEA AB1234564'],
  ['ca_sin', 'mon NAS: 258 933 688', 'mon NAS: 258 933 689'],
  ['br_cpf', '529.982.247-25', '529.982.247-26'],
  ['br_cnpj', '11.222.333/0001-81', '11.222.333/0001-82'],
  ['mx_curp', 'HEGG560427MVZRRL04', 'HEGG560427MVZRRL05'],
  ['uk_nhs', 'NHS number 943 476 5919', 'NHS number 943 476 5918'],
  ['uk_nino', 'NINO AB 12 34 56 C', 'NINO BG 12 34 56 C'],
  ['uk_nino', 'tw987654a', 'tw987654e'],
  ['de_tax_id', 'IdNr. 86095742719', 'IdNr. 86095742718'],
  ['de_social_security', '15070649C103', '15070649C104'],
  ['ch_ahv', '756.9217.0769.85', '756.9217.0769.84'],
  ['fr_nir', '1 84 12 76 451 089 46', '1 84 12 76 451 089 47'],
  ['be_rrn', '85.07.30-033.28', '85.07.30-033.29'],
  ['es_nif', '54362315K', '54362315L'],
  ['es_nie', 'X-5253868-R', 'X-5253868-S'],
  ['it_fiscal_code', 'RCCMNL83S18D969H', 'RCCMNL83S18D969I'],
  ['it_vat_code', 'P.IVA 00743110157', 'P.IVA 00743110158'],
  ['nl_bsn', 'BSN 111222333', 'BSN 111222334'],
  ['pt_nif', 'NIF 501964843', 'NIF 501964842'],
  ['se_personnummer', '811228-9874', '811228-9875'],
  ['se_personnummer', '19811228-9874', '19811328-9874'],
  ['fi_personal_identity_code', '131052-308T', '131052-308U'],
  ['no_fnr', '15108695088', '15108695089'],
  ['dk_cpr', 'CPR 070761-4285', 'CPR 320761-4285'],
  ['pl_pesel', 'PESEL 44051401359', 'PESEL 44051401358'],
  ['pl_nip', 'NIP 526-000-12-46', 'NIP 526-000-12-47'],
  ['tr_national_id', 'TC Kimlik No: 10000000146', 'TC Kimlik No: 10000000147'],
  ['in_aadhaar', '2341 2341 2346', '2341 2341 2347'],
  ['in_pan', 'PAN ABCPE1234F', 'PAN ABCXE1234F'],
  ['in_gstin', '27AAPFU0939F1ZV', '27AAPFU0939F1ZW'],
  ['sg_nric_fin', 'S2740116C', 'S2740116D'],
  ['cn_resident_id', '11010519491231002X', '110105194912310021'],
  ['jp_my_number', 'My Number 123456789018', 'My Number 123456789019'],
  ['kr_rrn', '820701-2409181', '820701-2409182'],
  ['th_tnin', 'Thai ID 1-1017-00230-70-8', 'Thai ID 1-1017-00230-70-7'],
  ['ae_emirates_id', '784-1979-1234567-1', '784-1979-1234567-2'],
  ['au_tfn', 'TFN 123 456 782', 'TFN 123 456 783'],
  ['au_abn', '51 824 753 556', '51 824 753 557'],
  ['au_medicare', 'Medicare 2123 45670 1', 'Medicare 2123 45680 1'],
  ['za_id_number', 'RSA ID: 8001015009087', 'RSA ID: 8001015009086'],
  ['vin', '1HGCM82633A004352', '1HGCM82633A004353'],
  ['imei', 'IMEI 490154203237518', 'IMEI 490154203237519'],
  ['crypto_wallet', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb'],
  [
    'crypto_wallet',
    'bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq',
    'bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp',
  ],
  ['swift_bic', 'BIC: DEUTDEFF500', 'word: DEUTDEFF500'],
  ['medical_record_number', 'MRN: 00482913', 'MRN: 004'],
  ['icd10_code', 'ICD-10: E11.9', 'grade: E11.9'],
]

for (const [type, right, wrong] of NUMBERS) {
  t.test(`${type}: ${right}`, async (t) => {
    t.same(detect({ text: right }).input.finding_types, [type])
    t.same(
      detect({ text: `On file: ${right}, as agreed.` }).input.finding_types,
      [type],
      'in a sentence',
    )
    t.notOk(detect({ text: wrong }).input.finding_types.includes(type), `not in ${wrong}`)
  })
}

t.test('a number whose form many others have needs a word before it', async (t) => {
  const bare =
    'We shipped 245319 units, 1245319599 in all, 021000021 of them to 86095742719 places.'
  t.same(detect({ text: bare }).input.finding_types, [])
})

t.test('placeholders and documented examples are none', async (t) => {
  const text =
    'SSN 078-05-1120, 219-09-9999, 123-45-6789, 000-00-0000; NINO QQ123456C; CPF 111.111.111-11'
  t.same(detect({ text }).input.finding_types, [])
})
