# METADATA
# scope: package
# title: EU AI Act, prohibited practices
# description: Services whose purpose Article 5 of Regulation (EU) 2024/1689 prohibits, as far as the catalogue names their capabilities.
# custom:
#   cordon:
#     id: eu-ai-act-article-5
#     version: 1.0.0
#     priority: 1000
#     severity: critical
#     mode: warn
#     framework: EU_AI_ACT
#     article: Article 5
package cordon.eu_ai_act.article_5

practices := {
	"subliminal_manipulation": "Article 5(1)(a) prohibits manipulation below a person's awareness",
	"vulnerability_exploitation": "Article 5(1)(b) prohibits exploiting people's vulnerabilities",
	"social_scoring": "Article 5(1)(c) prohibits social scoring",
	"crime_prediction": "Article 5(1)(d) prohibits predicting crimes from profiles alone",
	"facial_scraping": "Article 5(1)(e) prohibits building face databases by untargeted scraping",
	"biometric_categorisation": "Article 5(1)(g) prohibits sorting people by sensitive traits from biometrics",
}

deny contains reason if {
	some capability in input.resource.capabilities
	reason := practices[capability]
}

deny contains "Article 5(1)(f) prohibits reading emotions at the workplace and in education" if {
	"emotion_recognition" in input.resource.capabilities
	input.context.location_type in {"workplace", "school"}
}

deny contains "Article 5(1)(h) prohibits real-time biometric identification in public spaces" if {
	"biometric_identification" in input.resource.capabilities
	input.context.location_type == "public_space"
}
