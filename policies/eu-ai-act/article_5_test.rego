package cordon.eu_ai_act.article_5_test

import data.cordon.eu_ai_act.article_5

test_social_scoring_is_prohibited if {
	article_5.deny == {"Article 5(1)(c) prohibits social scoring"} with input as {"resource": {"ai": true, "capabilities": ["chat", "social_scoring"]}}
}

test_biometric_identification_depends_on_the_place if {
	count(article_5.deny) == 1 with input as {
		"resource": {"capabilities": ["biometric_identification"]},
		"context": {"location_type": "public_space"},
	}
	count(article_5.deny) == 0 with input as {
		"resource": {"capabilities": ["biometric_identification"]},
		"context": {"location_type": "office"},
	}
}

test_emotions_at_work_are_prohibited if {
	count(article_5.deny) == 1 with input as {
		"resource": {"capabilities": ["emotion_recognition"]},
		"context": {"location_type": "workplace"},
	}
}

test_a_chat_service_passes if {
	count(article_5.deny) == 0 with input as {"resource": {"capabilities": ["chat", "tools"]}, "context": {}}
}
