package cordon.content.personal_data_test

import data.cordon.content.personal_data

service := {"ai": true, "known": true, "capabilities": ["chat"]}

test_government_id_is_stopped if {
	count(personal_data.deny) == 1 with input as {
		"resource": service,
		"content": {"finding_categories": ["government_id"], "findings": [{"category": "government_id", "count": 1}]},
	}
}

test_one_address_passes if {
	count(personal_data.deny) == 0 with input as {
		"resource": service,
		"content": {"finding_categories": ["pii"], "findings": [{"category": "pii", "count": 1}]},
	}
}

test_a_list_of_addresses_is_stopped if {
	count(personal_data.deny) == 1 with input as {
		"resource": service,
		"content": {"finding_categories": ["pii"], "findings": [{"category": "pii", "count": 2}]},
	}
}

test_a_model_on_the_own_machine_may_see_it if {
	count(personal_data.deny) == 0 with input as {
		"resource": {"ai": true, "known": true, "capabilities": ["chat", "local_llm"]},
		"content": {"finding_categories": ["government_id"], "findings": [{"category": "government_id", "count": 1}]},
	}
}
