package cordon.risk.risk_review_test

import data.cordon.risk.risk_review

test_a_critical_service_is_reviewed if {
	count(risk_review.review) == 1 with input as {"resource": {"ai": true, "risk_tier": "critical"}, "user": {"known": true}}
}

test_two_high_scores_are_reviewed if {
	count(risk_review.review) == 1 with input as {"resource": {"ai": true, "risk_score": 80}, "user": {"known": true, "risk_score": 60}}
}

test_moderate_scores_pass if {
	count(risk_review.review) == 0 with input as {"resource": {"ai": true, "risk_score": 60}, "user": {"known": true, "risk_score": 50}}
}

test_a_service_without_a_score_passes if {
	count(risk_review.review) == 0 with input as {"resource": {"ai": true}, "user": {"known": true, "risk_score": 100}}
}
