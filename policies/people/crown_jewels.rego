# METADATA
# scope: package
# title: Crown-jewel devices stay away from external AI
# description: From a device that the inventory marks as a crown jewel, only approved AI services are used.
# custom:
#   cordon:
#     id: crown-jewel-devices
#     version: 1.0.0
#     priority: 700
#     severity: high
#     mode: warn
#     framework: ISO_27001
#     article: A.8.1
package cordon.people.crown_jewels

deny contains "this device holds very sensitive data, so only approved AI services may be used from it" if {
	input.context.asset.crown_jewel
	input.resource.ai
	not approved
}

approved if input.resource.approval_status == "approved"
