# METADATA
# scope: package
# title: No secrets to external AI services
# custom:
#   cordon:
#     id: secrets-to-external
#     version: 1.0.0
#     priority: 900
#     severity: critical
#     mode: enforce
#     framework: ISO_27001
#     article: A.8.12
package twins.secrets

deny contains "the text holds a secret, such as a key, a password or a token; take it out and send it again" if {
	input.resource.ai == true
	"secret" in input.content.finding_categories
	not local
}

local if "local_llm" in input.resource.capabilities
