"""Names of the types of Microsoft.Insights and of the activity log's categories, for whoever refers to them."""

ENDPOINT = "Microsoft.Insights/dataCollectionEndpoints"
RULE = "Microsoft.Insights/dataCollectionRules"
ASSOCIATION = "Microsoft.Insights/dataCollectionRuleAssociations"
ACTION_GROUP = "Microsoft.Insights/actionGroups"
METRIC_ALERT = "Microsoft.Insights/metricAlerts"
QUERY_ALERT = "Microsoft.Insights/scheduledQueryRules"
ACTIVITY_ALERT = "Microsoft.Insights/activityLogAlerts"
AUTOSCALE = "Microsoft.Insights/autoscaleSettings"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
CATEGORIES = "Microsoft.Insights/diagnosticSettingsCategories"
COMPONENT = "Microsoft.Insights/components"
EVENTS = "Microsoft.Insights/eventtypes/values"

# What the events of the activity log are about.
ACTIVITY_CATEGORIES = ("Administrative", "Security", "ServiceHealth", "Alert", "Recommendation", "Policy", "Autoscale",
                       "ResourceHealth")  # fmt: skip
