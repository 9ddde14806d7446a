# The shipped pack as an OPA user would write it for speed: one package, equality first.
package bench

deny contains "secrets must not leave" if {
	input.resource.ai == true
	"secret" in input.content.finding_categories
}

deny contains "the service is prohibited" if input.resource.approval_status == "prohibited"

deny contains "social scoring is prohibited" if {
	input.action == "social_scoring"
	input.resource.ai == true
}

review contains "the service needs a review" if input.resource.approval_status == "review_required"

review contains "nobody has decided about the service" if {
	input.resource.approval_status == "unknown"
	input.resource.ai == true
}

review contains "high risk" if {
	input.resource.risk_tier == "high"
	input.resource.ai == true
}

review contains "personal data" if {
	input.resource.ai == true
	"pii" in input.content.finding_categories
}

warn contains "training is required" if {
	input.user.known == true
	input.resource.ai == true
	not "ai-literacy" in input.user.trainings
}

warn contains "a crown-jewel device" if input.context.asset.criticality == "crown_jewel"

answer := {"decision": "DENY", "reasons": deny} if count(deny) > 0

else := {"decision": "REVIEW", "reasons": review} if count(review) > 0

else := {"decision": "ALLOW", "reasons": warn}
