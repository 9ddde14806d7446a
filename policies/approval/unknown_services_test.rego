package cordon.approval.unknown_services_test

import data.cordon.approval.unknown_services

test_an_undecided_service_is_reviewed if {
	count(unknown_services.review) == 1 with input as {"resource": {"ai": true, "known": true, "approval_status": "unknown"}}
}

test_a_suspected_service_is_reviewed if {
	count(unknown_services.review) == 1 with input as {"resource": {"ai": true, "known": false}}
}

test_an_approved_service_passes if {
	count(unknown_services.review) == 0 with input as {"resource": {"ai": true, "known": true, "approval_status": "approved"}}
}

test_an_ordinary_site_passes if {
	count(unknown_services.review) == 0 with input as {"resource": {"ai": false, "known": false}}
}
