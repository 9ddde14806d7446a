package cordon.people.crown_jewels_test

import data.cordon.people.crown_jewels

test_an_undecided_service_is_stopped if {
	count(crown_jewels.deny) == 1 with input as {
		"context": {"asset": {"crown_jewel": true}},
		"resource": {"ai": true, "approval_status": "unknown"},
	}
}

test_an_approved_service_passes if {
	count(crown_jewels.deny) == 0 with input as {
		"context": {"asset": {"crown_jewel": true}},
		"resource": {"ai": true, "approval_status": "approved"},
	}
}

test_an_ordinary_device_passes if {
	count(crown_jewels.deny) == 0 with input as {
		"context": {"asset": {"crown_jewel": false}},
		"resource": {"ai": true, "approval_status": "unknown"},
	}
}
