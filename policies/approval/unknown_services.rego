# METADATA
# scope: package
# title: Unknown AI services need a review
# description: An AI service that nobody has decided about, or a host that merely speaks like one, waits for a review.
# custom:
#   cordon:
#     id: unknown-ai-services
#     version: 1.0.0
#     priority: 500
#     severity: medium
#     mode: warn
#     framework: NIST_AI_RMF
#     article: GOVERN 6.1
package cordon.approval.unknown_services

review contains "nobody has looked at this AI service yet; it needs a review before it is used" if {
	input.resource.ai
	not decided
}

decided if input.resource.approval_status in {"approved", "review_required", "prohibited"}
