# METADATA
# scope: package
# title: Training before the first prompt
# description: Whoever sends prompts or files to an AI service has finished the AI training, as the directory group ai-trained says.
# custom:
#   cordon:
#     id: training-required
#     version: 1.0.0
#     priority: 300
#     severity: low
#     mode: warn
#     framework: EU_AI_ACT
#     article: Article 4
#     scope:
#       actions: [send_prompt, upload_file, call_tool, paste]
package cordon.people.training

review contains "please finish the AI training first; prompts and files can be sent after it" if {
	input.resource.ai
	not trained
}

trained if "ai-trained" in input.user.groups
