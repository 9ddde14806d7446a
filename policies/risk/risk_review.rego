# METADATA
# scope: package
# title: Risky combinations need a review
# description: The risk of the service and of the person together decide; a critical service always waits.
# custom:
#   cordon:
#     id: risk-based-review
#     version: 1.0.0
#     priority: 400
#     severity: medium
#     mode: warn
#     framework: NIST_AI_RMF
#     article: MANAGE 1.3
package cordon.risk.risk_review

limit := 130

review contains "this AI service is rated a critical risk, so its use needs a review" if {
	input.resource.ai
	input.resource.risk_tier == "critical"
}

review contains "the risk ratings of this AI service and of your account add up to more than the limit, so its use needs a review" if {
	input.resource.ai
	input.resource.risk_score + input.user.risk_score > limit
}
