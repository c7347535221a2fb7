"""Microsoft.Insights: data collection, alerts, diagnostic settings, metrics, and the activity log."""

from azure_emulator.providers.insights import (
    activity_log,
    alerts,
    components,
    data_collection,
    diagnostics,
    metrics,
)
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.Insights",
    types=(*data_collection.TYPES, *alerts.TYPES, *diagnostics.TYPES, *components.TYPES),
    functions={
        **data_collection.FUNCTIONS,
        **alerts.FUNCTIONS,
        **diagnostics.FUNCTIONS,
        **metrics.FUNCTIONS,
        **activity_log.FUNCTIONS,
    },
)
