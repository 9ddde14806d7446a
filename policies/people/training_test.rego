package cordon.people.training_test

import data.cordon.people.training

test_an_untrained_person_is_asked if {
	count(training.review) == 1 with input as {"user": {"known": true, "groups": ["staff"]}, "resource": {"ai": true}}
}

test_a_person_without_groups_is_asked if {
	count(training.review) == 1 with input as {"user": {"known": false}, "resource": {"ai": true}}
}

test_a_trained_person_passes if {
	count(training.review) == 0 with input as {"user": {"known": true, "groups": ["ai-trained"]}, "resource": {"ai": true}}
}
