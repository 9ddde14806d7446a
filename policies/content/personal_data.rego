# METADATA
# scope: package
# title: No personal data to external AI services
# description: Stops government ids, health data and several personal or financial details at once; one e-mail address or phone number passes.
# custom:
#   cordon:
#     id: pii-to-external
#     version: 1.0.0
#     priority: 800
#     severity: high
#     mode: warn
#     framework: EU_AI_ACT
#     article: Article 10
package cordon.content.personal_data

sensitive := {"government_id", "health"}

counted := {"pii", "financial"}

tolerated := 1

external if {
	input.resource.ai
	not local
}

local if "local_llm" in input.resource.capabilities

deny contains "the text holds government ids or health data; take them out and send it again" if {
	external
	some category in input.content.finding_categories
	category in sensitive
}

deny contains "the text holds several personal or financial details; take them out and send it again" if {
	external
	amount := sum([finding.count |
		some finding in input.content.findings
		finding.category in counted
	])
	amount > tolerated
}
